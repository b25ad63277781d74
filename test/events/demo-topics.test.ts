/** Subscriptions to all topics of the demo hospital, which speaks `$status` and `$events`; and its HL7 messages. */
import { createServer } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express, { type Router } from 'express';
import type { ImagingStudy, Subscription } from 'fhir/r4.js';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startHospital, type Hospital } from '../../sandbox/hospital.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { imagingStudies } from '../../src/events/chart-topics.ts';
import type { Cursors } from '../../src/events/cursors.ts';
import { fhirSubscriptionSource, type FhirSubscriptionSource } from '../../src/events/fhir-subscription.ts';
import { hl7Source, type Hl7Source } from '../../src/events/hl7-mllp.ts';
import { theExamWatch, theSubscriptions } from '../../src/event-sources.ts';
import { readConfig } from '../../src/config.ts';
import { backendAuthorization } from '../../src/fhir/backend-authorization.ts';
import { fhirClient, type FhirClient } from '../../src/fhir/client.ts';
import { serviceKeys } from '../../src/fhir/service-keys.ts';
import { errorHandler } from '../../src/http/errors.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { testDatabase } from '../support/postgres.ts';
import { cursorsInMemory, register, until } from './announcements.ts';

const patient = 'patient-brandt';
const topics = 'http://hospital.example/topics';
const film = (uid: string, accession?: string): ImagingStudy => ({
  resourceType: 'ImagingStudy',
  status: 'available',
  subject: { reference: `Patient/${patient}` },
  identifier: [
    { system: 'urn:dicom:uid', value: `urn:oid:${uid}` },
    ...(accession === undefined ? [] : [{ system: 'http://hospital.example/accession', value: accession }]),
  ],
});

let folder: string;
let hospital: Hospital;
let hl7: Hl7Source;
let store: Store;
let pg: Client;
let client: FhirClient;
let insider: FhirClient;
let service: ReturnType<typeof createServer>;
let serviceUrl: string;
let routers: Router[] = [];
/** Answers 200 and forgets: what a broken proxy does. */
let swallowing = false;
let swallowed = 0;
const searches = { count: 0 };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wetread-topics-'));
  const databaseUrl = await testDatabase();
  store = await openStore({ databaseUrl, dataDir: folder, outputs: [], logger: silentLogger });
  pg = new Client({ connectionString: databaseUrl });
  await pg.connect();
  hl7 = hl7Source({ host: '127.0.0.1', port: 0, exams: store.exams, logger: silentLogger });
  await hl7.start();
  const keys = await serviceKeys({ dataDir: folder, logger: silentLogger });
  const app = express();
  app.get('/.well-known/jwks.json', (_request, response) => void response.json(keys.publicJwks()));
  app.post('/{*path}', (_request, response, next) => {
    if (!swallowing) return next();
    swallowed += 1;
    response.status(200).end();
  });
  app.use((request, response, next) => {
    const chain = [...routers];
    const step = (error?: unknown): void => {
      const router = chain.shift();
      if (error !== undefined || router === undefined) next(error);
      else router(request, response, step);
    };
    step();
  });
  app.use(errorHandler(silentLogger));
  service = createServer(app);
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  serviceUrl = `http://127.0.0.1:${(service.address() as { port: number }).port}`;
  hospital = await startHospital({
    port: 0,
    wetreadUrl: serviceUrl,
    notificationRetryMs: [10],
    hl7: { host: '127.0.0.1', port: hl7.port! },
    logger: silentLogger,
  });
  const fhirBaseUrl = `${hospital.url}/fhir`;
  const authorized = (scope?: string) =>
    backendAuthorization({
      fhirBaseUrl,
      clientId: 'wetread',
      keys,
      timeoutMs: 30_000,
      logger: silentLogger,
      ...(scope === undefined ? {} : { scope }),
    });
  const asService = fhirClient({ baseUrl: fhirBaseUrl, auth: authorized(), timeoutMs: 30_000, logger: silentLogger });
  client = {
    ...asService,
    search: (type, ...rest) => {
      if (type === 'ImagingStudy') searches.count += 1;
      return asService.search(type, ...rest);
    },
  };
  insider = fhirClient({
    baseUrl: fhirBaseUrl,
    auth: authorized('system/*.cruds'),
    timeoutMs: 30_000,
    logger: silentLogger,
  });
});
afterAll(async () => {
  await hospital.close();
  await hl7.stop();
  await pg.end();
  await store.close();
  service.closeAllConnections();
  await new Promise((resolve) => service.close(resolve));
  await rm(folder, { recursive: true });
});

const opened: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.stop();
  routers = [];
  swallowing = false;
});

describe('the subscription to imaging studies', () => {
  const studies = register();
  let cursors: Cursors;
  beforeEach(() => {
    cursors = cursorsInMemory();
    searches.count = 0;
  });
  const open = (heartbeatSeconds = 60): FhirSubscriptionSource => {
    const source = fhirSubscriptionSource({
      client,
      endpoint: `${serviceUrl}/events/fhir`,
      secret: 'a-secret-for-the-demo-hospital',
      topic: `${topics}/imaging-study`,
      about: imagingStudies({ announce: studies.announce, logger: silentLogger }),
      cursors,
      logger: silentLogger,
      heartbeatSeconds,
    });
    routers = [source.router];
    opened.push(source);
    source.start();
    return source;
  };
  const known = (uid: string) => studies.events.some((event) => event.studyUid === studyUid(uid));
  const subscription = async () => (await client.search('Subscription', {}))[0] as Subscription & { id: string };
  /** What the handshake has made it look for is found. */
  const caughtUp = (source: FhirSubscriptionSource) => until(() => source.state().gapsFilled > 0);

  it('fills a gap by number, without searching', async () => {
    const source = open();
    await until(() => source.state().kind === 'active');
    await caughtUp(source);
    await insider.create(film('1.1.1'));
    await until(() => known('1.1.1'));
    const { gapsFilled } = source.state();
    swallowing = true;
    await insider.create(film('1.1.2'));
    await insider.create(film('1.1.3'));
    await until(() => swallowed === 2);
    swallowing = false;
    const before = searches.count;
    await insider.create(film('1.1.4'));
    await until(() => ['1.1.2', '1.1.3', '1.1.4'].every(known));
    await until(() => source.state().gapsFilled > gapsFilled);
    expect(searches.count).toBe(before);
  });

  it('is taken up as it stands after a restart, and asks for what it missed by number', async () => {
    const source = open();
    await until(async () => (await cursors.get('fhir-subscription:number')) !== undefined);
    await insider.create(film('1.2.1'));
    await until(() => known('1.2.1'));
    const before = await subscription();
    await source.stop();
    // Deliveries are taken and lost, so that the hospital believes that all is well.
    swallowing = true;
    const lost = swallowed;
    await insider.create(film('1.2.2'));
    await until(() => swallowed > lost);
    swallowing = false;
    const searched = searches.count;
    const again = open();
    await until(() => again.state().kind === 'active' && known('1.2.2'));
    expect((await subscription()).meta?.versionId).toBe(before.meta?.versionId);
    expect(searches.count).toBe(searched);
    await insider.create(film('1.2.3'));
    await until(() => known('1.2.3'));
  });

  it('is written anew when the hospital gave it up while the service was away', async () => {
    const source = open();
    await until(() => source.state().kind === 'active');
    await source.stop();
    routers = [];
    await insider.create(film('1.3.1'));
    await until(async () => (await subscription()).status === 'error');
    const again = open();
    await until(() => known('1.3.1'));
    await until(async () => again.state().kind === 'active' && (await subscription()).status === 'active');
    expect(again.state().error).toBeUndefined();
  });

  it('is written anew when its secret or what it asks for is another', async () => {
    const source = open();
    await until(() => source.state().kind === 'active');
    const before = await subscription();
    await source.stop();
    open(30);
    await until(async () => (await subscription()).meta?.versionId !== before.meta?.versionId);
    expect((await subscription()).channel.extension?.[0]?.valueUnsignedInt).toBe(30);
  });
});

describe('all topics, and HL7', () => {
  const config = () =>
    readConfig({
      WETREAD_PUBLIC_URL: serviceUrl,
      WETREAD_DATA_DIR: folder,
      WETREAD_SUBSCRIPTION_TOPIC: `${topics}/imaging-study,ServiceRequest=${topics}/imaging-order,DiagnosticReport=${topics}/diagnostic-report`,
      WETREAD_SUBSCRIPTION_PAYLOAD: 'full-resource',
    });
  const identifierSystems = { accession: 'http://hospital.example/accession', patient: 'http://hospital.example/mrn' };
  const priorityIn = async (uid: string) =>
    (await pg.query<{ priority: number }>('select priority from wetread.study where study_uid = $1', [uid])).rows[0]
      ?.priority;
  const exams = async () =>
    (
      await pg.query<{ accession: string; priority: number; state: string; numbers: string[] }>(
        `select accession, priority, state, numbers from wetread.expected_exam where accession like 'RG%' order by exam_id`,
      )
    ).rows;
  const order = (id: string, accession: string) =>
    insider.update({
      resourceType: 'ServiceRequest',
      id,
      status: 'active',
      intent: 'order',
      priority: 'stat',
      subject: { reference: `Patient/${patient}` },
      category: [{ coding: [{ system: 'http://snomed.info/sct', code: '363679005' }] }],
      code: { coding: [{ system: 'http://loinc.org', code: '24969-8' }], text: 'XR lumbar spine, lateral' },
      identifier: [{ system: 'http://hospital.example/accession', value: accession }],
    });
  const watched = () => {
    const watch = theExamWatch({
      exams: store.exams,
      archive: { findStudies: async () => [] } as never,
      announce: (event) => store.register.announce(event),
      orders: store.orders,
      client,
      identifierSystems,
      logger: silentLogger,
    });
    opened.push(watch);
    watch.start();
    return watch;
  };

  it('a STAT order by HL7 and by FHIR is one exam; its film, announced by a report, is read first', async () => {
    const watch = watched();
    const sources = await theSubscriptions(config(), {
      client,
      identifierSystems,
      exams: store.exams,
      onHeard: watch.soon,
      announce: (event) => store.register.announce(event),
      cursors: store.cursors,
      logger: silentLogger,
    });
    routers = sources.map(({ router }) => router);
    opened.push(...sources);
    for (const source of sources) source.start();
    await until(() => sources.every((source) => source.state().kind === 'active'));
    expect(
      (await client.search('Subscription', { status: 'active' })).map(({ channel }) => channel.endpoint).toSorted(),
    ).toEqual(['', '/orders', '/reports'].map((path) => `${serviceUrl}/events/fhir${path}`));

    await order('stat-order', 'RG77');
    await until(async () => (await exams()).some(({ accession }) => accession === 'RG77'));
    // Told twice, by two systems with two numbers.
    await until(async () => (await exams()).some(({ numbers }) => numbers.length === 2));
    expect((await exams()).filter(({ accession }) => accession === 'RG77')).toMatchObject([
      { priority: 30, state: 'ordered' },
    ]);
    await until(async () =>
      (await store.orders.forPatient(patient as never)).some(({ accession }) => accession === 'RG77'),
    );

    const study = await insider.create(film('1.9.1', 'RG77'));
    await insider.create({
      resourceType: 'DiagnosticReport',
      status: 'preliminary',
      code: { text: 'XR lumbar spine' },
      subject: { reference: `Patient/${patient}` },
      category: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0074', code: 'RAD' }] }],
      imagingStudy: [{ reference: `ImagingStudy/${study.id}` }],
    });
    await until(async () => (await priorityIn('1.9.1')) === 30);
    expect((await exams()).filter(({ accession }) => accession === 'RG77')).toMatchObject([
      { priority: 30, state: 'done' },
    ]);
  });

  it('a film that only HL7 tells of is announced with its order’s priority', async () => {
    watched();
    await order('hl7-order', 'RG88');
    await until(async () => (await exams()).some(({ accession }) => accession === 'RG88'));
    await insider.create(film('1.9.2', 'RG88'));
    await until(async () => (await priorityIn('1.9.2')) === 30);
    const record = await store.register.get(studyUid('1.9.2'));
    expect(record).toMatchObject({ accession: 'RG88', state: { kind: 'pending' } });
  });
});
