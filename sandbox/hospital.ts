/** The demo hospital: an EHR with its FHIR server, a PACS and an authorization server, on one port. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import express, { type Request } from 'express';
import type { WithId } from '@medplum/core';
import type { Patient, Reference, Resource } from '@medplum/fhirtypes';
import type { Logger } from '../src/domain/log.ts';
import { archiveServer } from './archive/server.ts';
import { openFilmStore } from './archive/store.ts';
import { worklistServer } from './archive/worklist.ts';
import { accessTokens } from './auth/access-tokens.ts';
import { registeredClients } from './auth/clients.ts';
import { authServer } from './auth/server.ts';
import { makeSigningKeys } from './auth/signing-keys.ts';
import { cdsClient } from './cds-client/cds-client.ts';
import { openHospitalCharts } from './charts.ts';
import { ehrApi } from './ehr/api.ts';
import { uidOf } from './ehr/chart-view.ts';
import { filmRoom } from './ehr/films.ts';
import { filmsOnRecord } from './ehr/films-on-record.ts';
import { pageFiles } from './ehr/page-files.ts';
import { followProgress, type Progress } from './ehr/progress.ts';
import { ehrSessions } from './ehr/sessions.ts';
import { noFaults } from './faults.ts';
import type { Grant } from './fhir/access.ts';
import { fullAccess, type Change, type Charts } from './fhir/repository.ts';
import { fhirServer } from './fhir/server.ts';
import { hospitalTopics, runSubscriptions } from './fhir/subscriptions.ts';
import { hl7Interface } from './hl7.ts';

export type HospitalOptions = {
  readonly host?: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** The service's public address: its keys, its CDS services and its app are looked for there. */
  readonly wetreadUrl: string;
  /** How others reach the hospital. Default: http://host:port. */
  readonly publicUrl?: string;
  /** Keeps charts and films there; otherwise all is new at each start. */
  readonly dataDir?: string;
  /** Template films. Default: sandbox/films. */
  readonly filmsDir?: string;
  /** Lets POST /ehr/api/faults make parts of the hospital fail. */
  readonly faults?: boolean;
  /** Waits before a notification is sent again. */
  readonly notificationRetryMs?: readonly number[];
  /** Where orders and arrived films are told of by HL7 v2 over MLLP. */
  readonly hl7?: { readonly host: string; readonly port: number };
  readonly logger: Logger;
};

export type Hospital = {
  readonly url: string;
  /** The films of the demonstration arrive; those whose file is not there are left out. */
  bringFilmsOnRecord(): Promise<void>;
  close(): Promise<void>;
};

export async function startHospital(options: HospitalOptions): Promise<Hospital> {
  const { host = '127.0.0.1', port, logger, dataDir } = options;
  const wetreadUrl = options.wetreadUrl.replace(/\/+$/, '');
  const server = createServer();
  // Early callers are told to come back: the address is taken before everything is ready, as its own links need it.
  const notYet = (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(503, { 'retry-after': '1' }).end();
  };
  server.on('request', notYet);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const url = (options.publicUrl ?? `http://${host}:${(server.address() as AddressInfo).port}`).replace(/\/+$/, '');
  const fhirUrl = `${url}/fhir`;
  const root = `${url}/dicom-web`;

  const keys = await makeSigningKeys();
  const tokens = accessTokens({ key: keys.tokens, issuer: `${url}/auth`, fhirUrl });
  const clients = registeredClients(wetreadUrl);
  const charts = await openHospitalCharts(dataDir);
  const films = openFilmStore(dataDir === undefined ? undefined : join(dataDir, 'films'));
  const faults = noFaults();
  const progress = followProgress();
  const sessions = ehrSessions('practitioner-vasquez');
  charts.onCommit((changes) => tellPages(changes, charts, progress));

  const subscriptions = runSubscriptions({
    charts,
    fhirUrl,
    mayCall: (endpoint) => isWetread(endpoint, wetreadUrl),
    ...(options.notificationRetryMs === undefined ? {} : { retryMs: options.notificationRetryMs }),
    onDelivered: ({ resource }) => {
      if (resource.resourceType === 'ImagingStudy') progress.reached(uidOf(resource), 'notified');
    },
    logger,
  });
  const engine = options.hl7 === undefined ? undefined : hl7Interface({ charts, ...options.hl7, logger });
  const auth = authServer({ hospitalUrl: url, fhirUrl, clients, keys, tokens, logger });
  const app = clients.find((client) => client.launchUrl !== undefined)!;

  /** A bearer token, or the EHR page's own session for looking (a link to a resource, opened from the page). */
  async function grantOf(request: Request): Promise<Grant | undefined> {
    const [, token] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (token !== undefined) return tokens.verify(token);
    const site = request.headers['sec-fetch-site'];
    const own = site === undefined || site === 'same-origin' || site === 'none';
    return request.method === 'GET' && own && sessions.isOpen(request) ? { scope: 'user/*.rs' } : undefined;
  }

  const hospital = express();
  hospital.disable('x-powered-by');
  hospital.use(
    '/fhir',
    fhirServer({
      charts,
      subscriptions,
      fhirUrl,
      topics: hospitalTopics.map((topic) => topic.url),
      smartConfiguration: auth.smartConfiguration,
      grantOf,
      faults,
      logger,
    }),
  );
  hospital.use(
    '/dicom-web',
    archiveServer({ films, root, faults, onRetrieved: (uid) => progress.reached(uid, 'fetched'), logger }),
  );
  const worklist = worklistServer({ root, logger });
  hospital.use('/dicom-web', worklist.router);
  server.on('upgrade', (request, socket, head) => worklist.upgrade(request, socket, head) || socket.destroy());
  hospital.use('/auth', auth.router);
  const room = filmRoom({
    folder: options.filmsDir ?? join(import.meta.dirname, 'films'),
    films,
    charts: charts.seenBy(fullAccess),
  });
  hospital.use(
    '/ehr/api',
    ehrApi({
      charts,
      sessions,
      filmRoom: room,
      progress,
      cds: cdsClient({ hospitalUrl: url, wetreadUrl, fhirUrl, key: keys.cdsHooks, tokens, charts, logger }),
      app: { ...app, launchUrl: app.launchUrl! },
      offerLaunch: (context) => auth.offerLaunch(context),
      fhirUrl,
      ...(options.faults === true ? { faults } : {}),
      logger,
    }),
  );
  hospital.use(pageFiles({ wetreadUrl, sessions }));
  server.off('request', notYet);
  server.on('request', hospital);

  return {
    url,
    async bringFilmsOnRecord() {
      for (const { patient: id, film, takenDaysAgo } of filmsOnRecord) {
        const template = room.templateOf(film);
        if (template === undefined) continue;
        const patient = await charts.seenBy(fullAccess).readResource<WithId<Patient>>('Patient', id);
        await room.arrive({
          template,
          patient,
          takenDaysAgo,
          storedFirst: (studyUid) => {
            progress.begin({ studyUid, patient: id, film });
            progress.reached(studyUid, 'stored');
          },
        });
      }
    },
    async close() {
      progress.close();
      worklist.close();
      await subscriptions.close();
      await engine?.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      charts.close();
    },
  };
}

/** Notifications go to the service this hospital knows, and to test listeners on this machine: nowhere else, whoever subscribes. */
function isWetread(endpoint: URL, wetreadUrl: string): boolean {
  if (endpoint.protocol !== 'http:' && endpoint.protocol !== 'https:') return false;
  return (
    endpoint.origin === new URL(wetreadUrl).origin || ['127.0.0.1', 'localhost', '[::1]'].includes(endpoint.hostname)
  );
}

function tellPages(changes: readonly Change[], charts: Charts, progress: Progress): void {
  for (const { resource, interaction } of changes) {
    if (resource.resourceType === 'DiagnosticReport' && interaction === 'create') {
      for (const { reference } of resource.imagingStudy ?? []) {
        const study = charts.current().find((one) => `${one.resourceType}/${one.id}` === reference);
        if (study?.resourceType === 'ImagingStudy') progress.reached(uidOf(study), 'reported');
      }
    }
    const patient = patientOf(resource);
    if (patient !== undefined) progress.publish({ kind: 'chart', patient, resourceType: resource.resourceType });
  }
}

function patientOf(resource: Resource): string | undefined {
  const { subject, patient } = resource as { subject?: Reference; patient?: Reference };
  return /^Patient\/(.+)$/.exec((subject ?? patient)?.reference ?? '')?.[1];
}
