/** A hospital that holds out in a storm, as a process of its own: the demo archive over very many small studies, and a FHIR server that finds by index and counts what is written to it. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import express, { type Request, type Response } from 'express';
import type { Bundle, FhirResource, ImagingStudy, Patient } from 'fhir/r4.js';
import { answerQuery } from '../../sandbox/archive/qido.ts';
import { archiveServer } from '../../sandbox/archive/server.ts';
import { withElements } from '../../sandbox/dicom/part10.ts';
import { openFilmStore, type FilmStore, type Instance } from '../../sandbox/archive/store.ts';
import { silentLogger } from '../../src/domain/log.ts';

/** 1 to a million. */
export const studyUidOf = (number: number): string => `1.2.826.0.1.3680043.8.498.7${String(1_000_000 + number)}`;
export const accessionOf = (number: number): string => `STORM${number}`;

const fixture = readFileSync(join(import.meta.dirname, '../fixtures/dicom/grey12.dcm'));

/** The fixture with another identity. */
function filmOf(number: number, today: string): Uint8Array {
  const uid = studyUidOf(number);
  return withElements(fixture, [
    ['00080018', 'UI', `${uid}.1.1`],
    ['00080020', 'DA', today],
    ['00080050', 'SH', accessionOf(number)],
    ['00080060', 'CS', 'DX'],
    ['00100020', 'LO', 'STORM'],
    ['0020000D', 'UI', uid],
    ['0020000E', 'UI', `${uid}.1`],
  ]);
}

export type StormCounts = {
  /** Resources made, by type; nothing is ever deleted. */
  readonly made: Readonly<Record<string, number>>;
  /** How often a resource that was there already was changed. */
  readonly changed: Readonly<Record<string, number>>;
  readonly removed: number;
  /** Distinct identifiers of reports. */
  readonly reports: number;
};

function archive(studies: number) {
  const today = new Date().toISOString().slice(0, 10).replaceAll('-', '');
  const all = openFilmStore();
  const byStudy = new Map<string, Instance[]>();
  for (let number = 1; number <= studies; number += 1) {
    const result = all.add(filmOf(number, today));
    if (!('kept' in result)) throw new Error(`film ${number} was refused`);
    byStudy.set(result.kept.studyUid, [result.kept]);
  }
  const films: FilmStore = {
    add: all.add,
    find: (where) => (where.studyUid === undefined ? all.find(where) : (byStudy.get(where.studyUid) ?? [])),
  };
  const router = express.Router();
  // The demo archive goes through all its films for each question; here there are too many for that.
  router.get('/studies', (request, response, next) => {
    const parameters = new URL(request.url, 'http://archive').searchParams;
    const uid = parameters.get('StudyInstanceUID') ?? uidOf(parameters.get('AccessionNumber'));
    if (uid === undefined) return next();
    const rows = answerQuery('studies', byStudy.get(uid) ?? [], parameters, 'http://archive');
    if (rows.length === 0) return void response.status(204).end();
    response.type('application/dicom+json').send(JSON.stringify(rows));
  });
  router.use(
    archiveServer({ films, root: 'http://archive', faults: { archive: null, fhir: null }, logger: silentLogger }),
  );
  return router;
}

const uidOf = (accession: string | null): string | undefined =>
  accession === null ? undefined : studyUidOf(Number(accession.replace('STORM', '')));

/** Search by identifier, _tag and _id, conditional creates, atomic transactions: what Wetread uses, and nothing else. */
function fhir(studies: number) {
  const resources = new Map<string, FhirResource & { id: string }>();
  const byKey = new Map<string, Set<string>>();
  const counts = { made: {} as Record<string, number>, changed: {} as Record<string, number>, removed: 0 };
  const keysOf = (resource: FhirResource): string[] => {
    const { identifier = [], meta } = resource as ImagingStudy;
    return [...identifier, ...(meta?.tag ?? []).map(({ system, code }) => ({ system, value: code }))].map(
      ({ system, value }) => `${resource.resourceType}?${system}|${value}`,
    );
  };
  const store = (resource: FhirResource & { id: string }, version: number) => {
    const kept = {
      ...resource,
      meta: { ...resource.meta, versionId: String(version), lastUpdated: new Date().toISOString() },
    };
    resources.set(`${resource.resourceType}/${resource.id}`, kept);
    for (const key of keysOf(kept))
      (byKey.get(key) ?? byKey.set(key, new Set()).get(key)!).add(`${kept.resourceType}/${kept.id}`);
    return kept;
  };
  const find = (type: string, parameters: URLSearchParams): FhirResource[] => {
    const wanted = parameters.get('identifier') ?? parameters.get('_tag');
    if (wanted === null) {
      return parameters.has('_lastUpdated') ? [...resources.values()].filter((one) => one.resourceType === type) : [];
    }
    return wanted
      .split(',')
      .flatMap((one) => [...(byKey.get(`${type}?${one}`) ?? [])].flatMap((place) => resources.get(place) ?? []));
  };
  const create = (resource: FhirResource, condition?: string) => {
    const type = resource.resourceType;
    const [there] = condition === undefined ? [] : find(type, new URLSearchParams(condition));
    if (there !== undefined) return { status: '200 OK', resource: there };
    counts.made[type] = (counts.made[type] ?? 0) + 1;
    return {
      status: '201 Created',
      resource: store({ ...resource, id: randomUUID() } as FhirResource & { id: string }, 1),
    };
  };
  const update = (resource: FhirResource & { id: string }, ifMatch?: string) => {
    const before = resources.get(`${resource.resourceType}/${resource.id}`);
    const version = Number(before?.meta?.versionId ?? 0);
    if (ifMatch !== undefined && ifMatch !== `W/"${version}"`) return undefined;
    counts.changed[resource.resourceType] = (counts.changed[resource.resourceType] ?? 0) + 1;
    return { status: '200 OK', resource: store(resource, version + 1) };
  };

  store(
    { resourceType: 'Patient', id: 'storm', identifier: [{ system: 'urn:storm', value: 'STORM' }] } as Patient & {
      id: string;
    },
    1,
  );
  for (let number = 1; number <= studies; number += 1) {
    store(
      {
        resourceType: 'ImagingStudy',
        id: `study-${number}`,
        status: 'available',
        numberOfInstances: 1,
        subject: { reference: 'Patient/storm' },
        identifier: [{ system: 'urn:dicom:uid', value: `urn:oid:${studyUidOf(number)}` }],
      } as ImagingStudy & { id: string },
      1,
    );
  }

  const send = (response: Response, body: object, status = 200) =>
    void response.status(status).type('application/fhir+json').send(JSON.stringify(body));
  const searchset = (found: readonly FhirResource[]): Bundle => ({
    resourceType: 'Bundle',
    type: 'searchset',
    entry: found.map((resource) => ({ resource })),
  });
  const refused = (response: Response, status: number) =>
    send(response, { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'conflict' }] }, status);

  const router = express.Router();
  router.use(express.json({ type: () => true, limit: '20mb' }));
  router.get('/:type/:id', ({ params }, response) => {
    const found = resources.get(`${params.type}/${params.id}`);
    if (found === undefined) refused(response, 404);
    else send(response, found);
  });
  router.get('/:type', (request: Request<{ type: string }>, response) =>
    send(response, searchset(find(request.params.type, new URL(request.url, 'http://fhir').searchParams))),
  );
  router.post('/:type', ({ body, headers }, response) => {
    const { status, resource } = create(body as FhirResource, headers['if-none-exist'] as string | undefined);
    send(response, resource, Number(status.slice(0, 3)));
  });
  router.put('/:type/:id', ({ body, headers }, response) => {
    const kept = update(body as FhirResource & { id: string }, headers['if-match']);
    if (kept === undefined) refused(response, 412);
    else send(response, kept.resource);
  });
  router.delete('/:type/:id', ({ params }, response) => {
    counts.removed += 1;
    resources.delete(`${params.type}/${params.id}`);
    response.status(204).end();
  });
  router.post('/', ({ body }, response) => {
    const { entry = [] } = body as Bundle;
    // All or nothing: nothing is written before everything is known to fit.
    const stale = entry.some(({ request, resource }) => {
      const before = resources.get(`${resource?.resourceType}/${resource?.id}`);
      return request?.ifMatch !== undefined && request.ifMatch !== `W/"${before?.meta?.versionId}"`;
    });
    if (stale) return refused(response, 412);
    const places = new Map<string, string>();
    const answers = entry.map(({ fullUrl = '', request, resource }) => {
      const settled = JSON.parse(JSON.stringify(resource), (name, value: unknown) =>
        name === 'reference' && typeof value === 'string' ? (places.get(value) ?? value) : value,
      ) as FhirResource & { id: string };
      const kept = request?.method === 'POST' ? create(settled, request.ifNoneExist) : update(settled)!;
      places.set(fullUrl, `${kept.resource.resourceType}/${kept.resource.id}`);
      return { response: { status: kept.status } };
    });
    send(response, { resourceType: 'Bundle', type: 'transaction-response', entry: answers });
  });

  const report = (): StormCounts => ({
    ...counts,
    reports: [...byKey.keys()].filter((key) => key.startsWith('DiagnosticReport?')).length,
  });
  return { router, report };
}

/** Started as a program: `{"studies": 1000}`. Says its address and answers GET /counts. */
if (import.meta.main) {
  const { studies } = JSON.parse(process.argv[2] ?? '{}') as { studies: number };
  const chart = fhir(studies);
  const app = express().disable('x-powered-by').disable('etag');
  app.use('/dicom-web', archive(studies));
  app.get('/counts', (_request, response) => void response.json(chart.report()));
  app.use('/fhir', chart.router);
  const server = createServer(app).listen(0, '127.0.0.1', () =>
    console.log(`open http://127.0.0.1:${(server.address() as AddressInfo).port}`),
  );
}
