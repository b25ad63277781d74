/** The whole FHIR side against the demo hospital: its authorization server, its validating FHIR server, its subscriptions. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express, { type Router } from 'express';
import type { ImagingStudy } from 'fhir/r4.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startHospital, type Hospital } from '../../sandbox/hospital.ts';
import type { Reading } from '../../src/domain/finding.ts';
import { patientId, studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { StudyRecord } from '../../src/domain/study.ts';
import { imagingStudies } from '../../src/events/chart-topics.ts';
import { fhirSubscriptionSource, type FhirSubscriptionSource } from '../../src/events/fhir-subscription.ts';
import { backendAuthorization } from '../../src/fhir/backend-authorization.ts';
import { fhirChart } from '../../src/fhir/chart.ts';
import { fhirClient, type FhirClient } from '../../src/fhir/client.ts';
import { serviceKeys } from '../../src/fhir/service-keys.ts';
import { errorHandler } from '../../src/http/errors.ts';
import { fhirReport } from '../../src/outputs/fhir-report.ts';
import { cursorsInMemory, register, until } from '../events/announcements.ts';
import { confirmed, gradeOne, packSummary, rejected, study as studyOf } from './readings.ts';

const topic = 'http://hospital.example/topics/imaging-study';
const patient = 'patient-brandt';
const study: StudyRecord = { ...studyOf, patientId: patientId(patient) };
/** The same reading of another set of pictures, so that each test has a report of its own. */
let count = 0;
const another = (reading: Reading, tag = (count += 1)): Reading => {
  const renamed = (id: string) => `${id.slice(0, 24)}${String(tag).padStart(12, '0')}`;
  return {
    ...reading,
    id: renamed(reading.id) as Reading['id'],
    patientId: patientId(patient),
    findings: reading.findings.map((finding, index) => ({
      ...finding,
      id: `${renamed(finding.id).slice(0, -14)}${index}${String(tag).padStart(13, '0')}` as typeof finding.id,
    })),
  };
};

const film = (uid: string): ImagingStudy => ({
  resourceType: 'ImagingStudy',
  status: 'available',
  subject: { reference: `Patient/${patient}` },
  identifier: [{ system: 'urn:dicom:uid', value: `urn:oid:${uid}` }],
});

let folder: string;
let hospital: Hospital;
/** As the service is registered. */
let client: FhirClient;
/** As the hospital's own systems, which bring films and orders. */
let insider: FhirClient;
let service: ReturnType<typeof createServer>;
let serviceUrl: string;
/** What the service listens with; undefined while it is "down". */
let events: Router | undefined;
const studies = register();
const cursors = cursorsInMemory();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wetread-demo-'));
  const keys = await serviceKeys({ dataDir: folder, logger: silentLogger });
  const app = express();
  app.get('/.well-known/jwks.json', (_request, response) => void response.json(keys.publicJwks()));
  app.use((request, response, next) =>
    events === undefined ? void response.status(503).end() : events(request, response, next),
  );
  app.use(errorHandler(silentLogger));
  service = createServer(app);
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  serviceUrl = `http://127.0.0.1:${(service.address() as { port: number }).port}`;
  hospital = await startHospital({ port: 0, wetreadUrl: serviceUrl, notificationRetryMs: [10], logger: silentLogger });
  const fhirBaseUrl = `${hospital.url}/fhir`;
  const auth = backendAuthorization({
    fhirBaseUrl,
    clientId: 'wetread',
    keys,
    timeoutMs: 30_000,
    logger: silentLogger,
  });
  client = fhirClient({ baseUrl: fhirBaseUrl, auth, timeoutMs: 30_000, logger: silentLogger, retryMs: 5 });
  const all = backendAuthorization({
    fhirBaseUrl,
    clientId: 'wetread',
    keys,
    timeoutMs: 30_000,
    logger: silentLogger,
    scope: 'system/*.cruds',
  });
  insider = fhirClient({ baseUrl: fhirBaseUrl, auth: all, timeoutMs: 30_000, logger: silentLogger });
  await insider.update({ resourceType: 'Practitioner', id: 'rad' });
  await insider.update({
    resourceType: 'ServiceRequest',
    id: 'order-1',
    status: 'active',
    intent: 'order',
    subject: { reference: `Patient/${patient}` },
  });
  await insider.update({ ...film('1.2.3.0'), id: 'img-1' });
});
afterAll(async () => {
  await hospital.close();
  service.closeAllConnections();
  await new Promise((resolve) => service.close(resolve));
  await rm(folder, { recursive: true });
});

const output = () =>
  fhirReport({ client, publicUrl: serviceUrl, reportStatus: 'partial', packs: [packSummary], logger: silentLogger });
const reportsOf = (reading: Reading) =>
  client.search('DiagnosticReport', { identifier: `urn:ietf:rfc:3986|urn:uuid:${reading.id}` });
const observationsOf = (reading: Reading) =>
  client.search('Observation', {
    identifier: reading.findings.map(({ id }) => `urn:ietf:rfc:3986|urn:uuid:${id}`).join(','),
  });

describe('the report', () => {
  it('is accepted by the validating server and is one, written twice', async () => {
    const reading = another(gradeOne);
    await output().write(reading, study);
    await output().write(reading, study);
    const [report, ...others] = await reportsOf(reading);
    expect(others).toEqual([]);
    expect(report).toMatchObject({ status: 'partial', subject: { reference: `Patient/${patient}` } });
    const observations = await observationsOf(reading);
    expect(new Set(report!.result!.map(({ reference }) => reference))).toEqual(
      new Set(observations.map(({ id }) => `Observation/${id}`)),
    );
    expect(report!.meta?.versionId).toBe('1');
  });

  it('becomes final with the review', async () => {
    const tag = (count += 1);
    await output().write(another(gradeOne, tag), study);
    await output().write(another(confirmed, tag), study);
    const [report, ...others] = await reportsOf(another(confirmed, tag));
    expect(others).toEqual([]);
    expect(report!.status).toBe('final');
    const provenances = await client.search('Provenance', { target: `DiagnosticReport/${report!.id}` });
    expect(provenances.map(({ agent }) => agent[0]!.type!.coding![0]!.code).sort()).toEqual(['author', 'verifier']);
  });

  it('of a rejected suggestion withdraws it', async () => {
    const tag = (count += 1);
    await output().write(another(gradeOne, tag), study);
    await output().write(another(rejected, tag), study);
    const statuses = (await observationsOf(another(rejected, tag))).map(({ status }) => status).sort();
    expect(statuses).toEqual(['entered-in-error', 'final', 'final', 'final', 'final', 'final']);
  });

  it('is written without an order and a study that are no longer there', async () => {
    const reading = another(gradeOne);
    await output().write(reading, {
      ...study,
      order: 'ServiceRequest/cancelled',
      imagingStudy: 'ImagingStudy/replaced',
    });
    const [report] = await reportsOf(reading);
    expect(report!.basedOn).toBeUndefined();
    expect(report!.imagingStudy).toEqual([
      { type: 'ImagingStudy', identifier: { system: 'urn:dicom:uid', value: `urn:oid:${study.studyUid}` } },
    ]);
  });

  it('is refused for a patient who does not exist, whatever else is left out', async () => {
    const reading = { ...another(gradeOne), patientId: patientId('nobody') };
    await expect(output().write(reading, study)).rejects.toMatchObject({ code: 'chart.rejected' });
    expect(await reportsOf(reading)).toEqual([]);
    expect(await observationsOf(reading)).toEqual([]);
  });

  it('is one and final when writers contradict each other, three times over', async () => {
    for (let round = 0; round < 3; round += 1) {
      const tag = (count += 1);
      const [before, after] = [another(gradeOne, tag), another(confirmed, tag)];
      await Promise.all([output().write(before, study), output().write(after, study), output().write(before, study)]);
      const reports = await reportsOf(after);
      expect(reports.map(({ status }) => status)).toEqual(['final']);
      const observations = await observationsOf(after);
      expect(observations).toHaveLength(6);
      expect(new Set(reports[0]!.result!.map(({ reference }) => reference))).toEqual(
        new Set(observations.map(({ id }) => `Observation/${id}`)),
      );
    }
  });
});

describe('the chart', () => {
  it('finds a patient of the hospital by record number', async () => {
    const chart = fhirChart({
      client,
      identifierSystems: { patient: 'http://hospital.example/mrn', accession: 'http://hospital.example/accession' },
    });
    await chart.probe();
    expect(
      await chart.locate({ studyUid: studyUid('1.2.99'), modalities: ['DX'], dicomPatientId: '40009145' }, {}),
    ).toEqual({ patientId: patient });
    await expect(
      chart.locate({ studyUid: studyUid('1.2.99'), modalities: ['DX'], dicomPatientId: '0' }, {}),
    ).rejects.toMatchObject({ code: 'chart.patient-unknown' });
  });
});

describe('the subscription', () => {
  const open = (): FhirSubscriptionSource => {
    const source = fhirSubscriptionSource({
      client,
      endpoint: `${serviceUrl}/events/fhir`,
      secret: 'a-secret-for-the-demo-hospital',
      topic,
      about: imagingStudies({ announce: studies.announce, logger: silentLogger }),
      cursors,
      logger: silentLogger,
      heartbeatSeconds: 1,
    });
    events = source.router;
    return source;
  };

  it('shakes hands, hears of a study, comes back after an outage and misses nothing', async () => {
    let source = open();
    source.start();
    await until(() => source.state().kind === 'active');
    await insider.create(film('1.2.3.1'));
    await until(() => studies.events.some(({ studyUid: uid }) => uid === studyUid('1.2.3.1')));
    expect(studies.events.at(-1)).toMatchObject({ source: 'fhir-subscription', patientId: patient });

    // Down: the hospital tries, gives up and marks the subscription as failed.
    events = undefined;
    await source.stop();
    await insider.create(film('1.2.3.2'));
    const status = async () => (await client.search('Subscription', {}))[0]!.status;
    await until(async () => (await status()) === 'error');

    source = open();
    source.start();
    await until(() => studies.events.some(({ studyUid: uid }) => uid === studyUid('1.2.3.2')));
    await until(async () => (await status()) === 'active');
    expect(await client.search('Subscription', {})).toHaveLength(1);
    await insider.create(film('1.2.3.3'));
    await until(() => studies.events.some(({ studyUid: uid }) => uid === studyUid('1.2.3.3')));
    await source.stop();
    events = undefined;
  });

  it('takes itself up again when the hospital has given up while the service was only deaf', async () => {
    const source = open();
    source.start();
    await until(() => source.state().kind === 'active');
    const router = events;
    events = undefined;
    await insider.create(film('1.2.3.4'));
    await until(async () => (await client.search('Subscription', {}))[0]!.status === 'error');
    events = router;
    // No restart: the missing heartbeats tell.
    await until(() => studies.events.some(({ studyUid: uid }) => uid === studyUid('1.2.3.4')));
    await until(() => source.state().kind === 'active');
    expect(source.state().error).toBeUndefined();
    await source.stop();
    events = undefined;
  });
});
