/** Finding the patient and the order of a study: every kind of evidence, and every way in which it can be wrong. */
import type { ImagingStudy, Patient, ServiceRequest } from 'fhir/r4.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { patientId, studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { StudySummary } from '../../src/domain/study.ts';
import { fhirChart, type ChartIdentifierSystems } from '../../src/fhir/chart.ts';
import { fhirClient } from '../../src/fhir/client.ts';
import { testFhirServer, type TestFhirServer } from '../support/fhir-server.ts';

const systems: ChartIdentifierSystems = {
  patient: 'http://hospital.example/mrn',
  accession: 'http://hospital.example/accession',
};
let server: TestFhirServer;
beforeAll(async () => {
  server = await testFhirServer();
  await person('ana', 'M1');
  await person('bo', 'M2');
  await person('nobody');
  await server.put<Patient>({
    resourceType: 'Patient',
    id: 'old-ana',
    identifier: [{ system: systems.patient!, value: 'M1-old' }],
    link: [{ type: 'replaced-by', other: { reference: 'Patient/ana' } }],
  });
});
afterAll(async () => {
  await server.stop();
});

const person = (id: string, mrn?: string) =>
  server.put<Patient>({
    resourceType: 'Patient',
    id,
    identifier: [
      { system: 'http://other.example/id', value: 'M2' },
      ...(mrn === undefined ? [] : [{ system: systems.patient!, value: mrn }]),
    ],
  });
const order = (id: string, patient: string, accession: string, more: Partial<ServiceRequest> = {}) =>
  server.put<ServiceRequest>({
    resourceType: 'ServiceRequest',
    id,
    status: 'active',
    intent: 'order',
    subject: { reference: `Patient/${patient}` },
    identifier: [{ system: systems.accession!, value: accession }],
    ...more,
  });
const study = (id: string, patient: string, uid: string, more: Partial<ImagingStudy> = {}) =>
  server.put<ImagingStudy>({
    resourceType: 'ImagingStudy',
    id,
    status: 'available',
    subject: { reference: `Patient/${patient}` },
    identifier: [{ system: 'urn:dicom:uid', value: `urn:oid:${uid}` }],
    ...more,
  });
const image = (uid: string, more: { dicomPatientId?: string; accession?: string } = {}): StudySummary => ({
  studyUid: studyUid(uid),
  modalities: ['DX'],
  ...more,
});
const locate = (summary: StudySummary, hint?: string, identifierSystems = systems) =>
  fhirChart({
    client: fhirClient({ baseUrl: server.baseUrl, timeoutMs: 30_000, logger: silentLogger, retries: 0 }),
    identifierSystems,
  }).locate(summary, hint === undefined ? {} : { patientId: patientId(hint) });
const unknown = (detail?: string) => ({
  code: 'chart.patient-unknown',
  ...(detail === undefined ? {} : { detail: expect.stringContaining(detail) as string }),
});

describe('by the ImagingStudy', () => {
  it('finds patient, study and the order the study is based on', async () => {
    await order('o1', 'ana', 'A1');
    await study('s1', 'ana', '1.1', { basedOn: [{ reference: 'ServiceRequest/o1' }] });
    expect(await locate(image('1.1', { dicomPatientId: 'M1' }))).toEqual({
      patientId: 'ana',
      imagingStudy: 'ImagingStudy/s1',
      order: 'ServiceRequest/o1',
    });
  });

  it('finds a study whose UID was written without urn:oid', async () => {
    await study('s2', 'ana', 'x', { identifier: [{ system: 'urn:dicom:uid', value: '1.2.2' }] });
    expect((await locate(image('1.2.2'))).imagingStudy).toBe('ImagingStudy/s2');
  });

  it('finds the order by accession when the study names none', async () => {
    await order('o3', 'ana', 'A3');
    await study('s3', 'ana', '1.3');
    expect((await locate(image('1.3', { accession: 'A3' }))).order).toBe('ServiceRequest/o3');
  });

  it('does not take an order of somebody else with the same accession number', async () => {
    await order('o4', 'bo', 'A4');
    await study('s4', 'ana', '1.4');
    expect(await locate(image('1.4', { accession: 'A4' }))).toEqual({
      patientId: 'ana',
      imagingStudy: 'ImagingStudy/s4',
    });
  });

  it("stops when the image carries another patient's record number", async () => {
    await study('s5', 'ana', '1.5');
    await expect(locate(image('1.5', { dicomPatientId: 'M2' }))).rejects.toMatchObject(unknown('not the same person'));
  });

  it('compares record numbers of the configured system only', async () => {
    await study('s6', 'nobody', '1.6');
    expect((await locate(image('1.6', { dicomPatientId: 'M9' }))).patientId).toBe('nobody');
    await study('s6b', 'ana', '1.6.2');
    expect((await locate(image('1.6.2', { dicomPatientId: 'anything' }), undefined, {})).patientId).toBe('ana');
  });

  it('follows a merged record to the one in use, with the old number on the film', async () => {
    await study('s7', 'old-ana', '1.7');
    expect(await locate(image('1.7', { dicomPatientId: 'M1-old' }))).toEqual({
      patientId: 'ana',
      imagingStudy: 'ImagingStudy/s7',
    });
    expect((await locate(image('1.7'), 'old-ana')).patientId).toBe('ana');
  });

  it('two of different patients: the record number decides, or nobody does', async () => {
    await study('s8a', 'ana', '1.8');
    await study('s8b', 'bo', '1.8');
    expect(await locate(image('1.8', { dicomPatientId: 'M2' }))).toEqual({
      patientId: 'bo',
      imagingStudy: 'ImagingStudy/s8b',
    });
    await expect(locate(image('1.8'))).rejects.toMatchObject(unknown('different patients'));
  });

  it('stops when the event named another patient', async () => {
    await study('s9', 'ana', '1.9');
    await expect(locate(image('1.9'), 'bo')).rejects.toMatchObject(unknown('name different patients'));
  });

  it("does not take another server's Patient/ana for ours", async () => {
    await study('s10', 'ana', '1.10', { subject: { reference: 'https://elsewhere.example/fhir/Patient/ana' } });
    await expect(locate(image('1.10'))).rejects.toMatchObject(unknown());
    await study('s11', 'ana', '1.11', { subject: { reference: `${server.baseUrl}/Patient/ana/_history/1` } });
    expect((await locate(image('1.11'))).patientId).toBe('ana');
  });

  it('ignores one that was entered in error', async () => {
    await study('s12', 'ana', '1.12', { status: 'entered-in-error' });
    await expect(locate(image('1.12'))).rejects.toMatchObject(unknown());
  });
});

describe('by the order', () => {
  it('finds patient and order by accession number', async () => {
    await order('p1', 'ana', 'B1');
    expect(await locate(image('2.1', { accession: 'B1' }))).toEqual({ patientId: 'ana', order: 'ServiceRequest/p1' });
  });

  it('never picks one of several patients at random', async () => {
    await order('p2a', 'ana', 'B2');
    await order('p2b', 'bo', 'B2');
    await expect(locate(image('2.2', { accession: 'B2' }))).rejects.toMatchObject(unknown('different patients'));
    expect(await locate(image('2.2', { accession: 'B2', dicomPatientId: 'M2' }))).toEqual({
      patientId: 'bo',
      order: 'ServiceRequest/p2b',
    });
    expect(await locate(image('2.2', { accession: 'B2' }), 'ana')).toEqual({
      patientId: 'ana',
      order: 'ServiceRequest/p2a',
    });
    await expect(locate(image('2.2', { accession: 'B2', dicomPatientId: 'M3' }))).rejects.toMatchObject(unknown());
  });

  it('names the patient but no order when several orders of one patient share the number', async () => {
    await order('p3a', 'ana', 'B3');
    await order('p3b', 'ana', 'B3');
    expect(await locate(image('2.3', { accession: 'B3' }))).toEqual({ patientId: 'ana' });
  });

  it('leaves out drafts and revoked orders', async () => {
    await order('p4a', 'ana', 'B4', { status: 'revoked' });
    await order('p4b', 'ana', 'B4');
    expect((await locate(image('2.4', { accession: 'B4' }))).order).toBe('ServiceRequest/p4b');
  });

  it('stops when the image carries the record number of somebody else', async () => {
    await order('p5', 'ana', 'B5');
    await expect(locate(image('2.5', { accession: 'B5', dicomPatientId: 'M2' }))).rejects.toMatchObject(
      unknown('not the same person'),
    );
  });

  it('survives accession numbers with characters that mean something in a search', async () => {
    await order('p6', 'ana', 'B,6');
    await order('p6b', 'bo', '6');
    await expect(locate(image('2.6', { accession: 'nothing,6' }))).rejects.toMatchObject(unknown());
  });
});

describe('by the record number', () => {
  it('finds the patient', async () => {
    expect(await locate(image('3.1', { dicomPatientId: 'M1' }))).toEqual({ patientId: 'ana' });
  });

  it('does not find a patient by a number of another system', async () => {
    await expect(locate(image('3.2', { dicomPatientId: 'M7' }))).rejects.toMatchObject(unknown());
    expect((await locate(image('3.2', { dicomPatientId: 'M2' }))).patientId).toBe('bo');
  });

  it('stops when two patients carry it', async () => {
    await person('twin-a', 'M8');
    await person('twin-b', 'M8');
    await expect(locate(image('3.3', { dicomPatientId: 'M8' }))).rejects.toMatchObject(unknown('several patients'));
    expect((await locate(image('3.3', { dicomPatientId: 'M8' }), 'twin-b')).patientId).toBe('twin-b');
  });

  it('says which setting is missing', async () => {
    await expect(locate(image('3.4', { dicomPatientId: 'M1' }), undefined, {})).rejects.toMatchObject(
      unknown('WETREAD_PATIENT_IDENTIFIER_SYSTEM'),
    );
  });
});

describe('by what the event said', () => {
  it('takes the patient when nothing contradicts', async () => {
    expect(await locate(image('4.1'), 'nobody')).toEqual({ patientId: 'nobody' });
  });

  it('stops when the record number contradicts or the patient does not exist', async () => {
    await expect(locate(image('4.2', { dicomPatientId: 'M2' }), 'ana')).rejects.toMatchObject(unknown());
    await expect(locate(image('4.3'), 'ghost')).rejects.toMatchObject(unknown('not in the chart'));
  });
});
