/** What is said and remembered when imaging is ordered. */
import type { ServiceRequest } from 'fhir/r4.d.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PatientId } from '../../src/domain/ids.ts';
import { cdsService, type CdsService } from '../support/cds-service.ts';
import {
  arrive,
  daysAgo,
  newPatient,
  noSlip,
  read,
  reader,
  settle,
  slip,
  unusable,
} from '../support/sample-readings.ts';

let service: CdsService;
beforeAll(async () => {
  service = await cdsService();
});
afterAll(() => service.close());

const lumbarFilm = (
  patient: PatientId,
  id = `order-of-${patient}`,
  fields: Partial<ServiceRequest> = {},
): ServiceRequest => ({
  resourceType: 'ServiceRequest',
  id,
  status: 'draft',
  intent: 'order',
  subject: { reference: `Patient/${patient}` },
  category: [{ coding: [{ system: 'http://snomed.info/sct', code: '363679005' }] }],
  code: { coding: [{ system: 'http://loinc.org', code: '24969-8' }] },
  ...fields,
});
const drafts = (...resources: readonly unknown[]) => ({
  resourceType: 'Bundle',
  type: 'collection',
  entry: resources.map((resource) => ({ resource })),
});
const select = (
  patientId: PatientId,
  orders: readonly ServiceRequest[],
  selections = orders.map(({ id }) => `ServiceRequest/${id}`),
) => service.cards('wetread-order-select', { patientId, selections, draftOrders: drafts(...orders) });
const sign = (patientId: PatientId, orders: readonly unknown[]) =>
  service.cards('wetread-order-sign', { patientId, draftOrders: drafts(...orders) });

describe('an imaging order', () => {
  it('shows an unreviewed suspicion on a recent film of the same region, and opens it', async () => {
    const patient = newPatient();
    const reading = await read(service.store, patient, [slip('L4/L5', 18)], { startedAt: daysAgo(9) });
    const [card, ...others] = await select(patient, [lumbarFilm(patient)]);
    expect(others).toEqual([]);
    expect(card!.summary).toMatch(
      /^A lumbar film from \d+ \w+ \d{4} exists: AI suggestion, unreviewed: Suspected L4\/L5/,
    );
    expect(card!.indicator).toBe('info');
    expect(card!.links![0]).toMatchObject({ appContext: JSON.stringify({ finding: reading.findings[0]!.id }) });
  });

  it.each<[string, (patient: PatientId) => Promise<unknown>, string]>([
    [
      'unreviewed and without suspicion',
      (patient) => read(service.store, patient, [noSlip('L4/L5')]),
      'read by AI, nothing suspected, unreviewed',
    ],
    ['waiting', (patient) => arrive(service.store, patient), 'being read by AI'],
    [
      'unreadable',
      (patient) => settle(service.store, patient, { kind: 'failed', code: 'dicom.truncated' }),
      'AI could not read it',
    ],
    [
      'not for any model',
      (patient) => settle(service.store, patient, { kind: 'skipped', reason: 'no-pack-applies', selection: [] }),
      'not read by AI',
    ],
    [
      'not assessable',
      (patient) => read(service.store, patient, [unusable('wrong-view', 'Not lateral.')]),
      'AI could not assess it',
    ],
  ])('shows a recent film that is %s', async (_, given, status) => {
    const patient = newPatient();
    await given(patient);
    const [card] = await select(patient, [lumbarFilm(patient)]);
    expect(card!.summary).toContain(`exists: ${status}`);
  });

  it('shows what a reader said', async () => {
    const confirmed = newPatient();
    const rejected = newPatient();
    const yes = await read(service.store, confirmed, [slip('L4/L5', 18)], { startedAt: daysAgo(500) });
    const no = await read(service.store, rejected, [slip('L4/L5', 18)]);
    await service.store.readings.recordVerdict(yes.findings[0]!.id, { kind: 'confirmed' }, reader);
    await service.store.readings.recordVerdict(no.findings[0]!.id, { kind: 'rejected', reason: 'projection' }, reader);
    expect((await select(confirmed, [lumbarFilm(confirmed)]))[0]!.summary).toContain(
      'exists: confirmed: Suspected L4/L5',
    );
    expect((await select(rejected, [lumbarFilm(rejected)]))[0]!.summary).toContain('the AI suggestion was rejected');
  });

  it('shows nothing of other regions, of old films without findings, or for other orders', async () => {
    const patient = newPatient();
    await read(service.store, patient, [noSlip('L4/L5')], { startedAt: daysAgo(31) });
    await read(service.store, patient, [noSlip('L4/L5')], { description: 'XR chest' });
    expect(await select(patient, [lumbarFilm(patient)])).toEqual([]);
    const recent = newPatient();
    await read(service.store, recent, [slip('L4/L5', 18)]);
    const blood = lumbarFilm(recent, 'b', {
      category: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0074', code: 'LAB' }] }],
      code: { text: 'Haemoglobin' },
    });
    const chest = lumbarFilm(recent, 'c', { code: { coding: [{ system: 'http://loinc.org', code: '36643-5' }] } });
    const somebodyElse = lumbarFilm(newPatient());
    expect(await select(recent, [blood, chest, somebodyElse])).toEqual([]);
  });

  it('knows the region of a film without description by the model that read it', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)], { description: '' });
    expect(await select(patient, [lumbarFilm(patient)])).toHaveLength(1);
  });

  it('answers only for what is selected, and once for two orders of one region', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)]);
    const orders = [lumbarFilm(patient, 'one'), lumbarFilm(patient, 'two')];
    expect(await select(patient, orders, ['MedicationRequest/one'])).toEqual([]);
    expect(await select(patient, orders)).toHaveLength(1);
  });

  it('does not show a card again that was put away', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)]);
    const [card] = await select(patient, [lumbarFilm(patient)]);
    await service.post('/cds-services/wetread-order-select/feedback', {
      feedback: [{ card: card!.uuid, outcome: 'overridden', outcomeTimestamp: new Date().toISOString() }],
    });
    expect(await select(patient, [lumbarFilm(patient)])).toEqual([]);
  });
});

describe('what may be ordered besides', () => {
  const none = { flexionExtension: null, boneDensity: null, lumbarMr: null, thoracicMr: null, imagingReports: null };
  const cardOf = async (patientId: PatientId, birthDate: string) => {
    const order = lumbarFilm(patientId);
    const [card] = await service.cards(
      'wetread-order-select',
      { patientId, selections: [`ServiceRequest/${order.id}`], draftOrders: drafts(order) },
      { ...none, patient: { resourceType: 'Patient', id: patientId, birthDate } },
    );
    return card!;
  };

  it('is suggested for an adult, and not for what was seen on the film of a child', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)], { startedAt: daysAgo(3) });
    const adult = await cardOf(patient, '1960-02-01');
    expect(adult.suggestions).toHaveLength(1);
    expect(adult.detail).not.toContain('under 18');
    const child = await cardOf(patient, daysAgo(15 * 365).slice(0, 10));
    expect(child.suggestions).toBeUndefined();
    expect(child.detail).toContain('under 18');
    expect(child.summary).toContain('exists: AI suggestion, unreviewed');
  });

  it('is not answered with the chart of somebody else', async () => {
    const patient = newPatient();
    const strangers = { ...none, patient: { resourceType: 'Patient', id: newPatient() } };
    const context = { patientId: patient, selections: [], draftOrders: drafts() };
    await expect(service.cards('wetread-order-select', context, strangers)).rejects.toThrow(/^400 /);
  });
});

describe('a signed imaging order', () => {
  it('still says of an earlier film that it is a child’s, and is not taken with the chart of somebody else', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)], { startedAt: daysAgo(3) });
    const signed = (birthDate: string, id: string = patient) =>
      service.cards(
        'wetread-order-sign',
        { patientId: patient, draftOrders: drafts(lumbarFilm(patient)) },
        { patient: { resourceType: 'Patient', id, birthDate } },
      );
    expect((await signed(daysAgo(15 * 365).slice(0, 10)))[0]!.detail).toContain('under 18');
    expect((await signed('1960-02-01'))[0]!.detail).not.toContain('under 18');
    await expect(signed('1960-02-01', newPatient())).rejects.toThrow(/^400 /);
  });

  it('is remembered with its region and accession number, and others are not', async () => {
    const patient = newPatient();
    const acsn = { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] };
    await sign(patient, [
      lumbarFilm(patient, 'signed-1', { identifier: [{ type: acsn, value: 'A-77' }] }),
      { resourceType: 'MedicationRequest', id: 'm', status: 'draft', intent: 'order', subject: {} },
    ]);
    expect(await service.store.orders.forPatient(patient)).toEqual([
      {
        reference: 'ServiceRequest/signed-1',
        patientId: patient,
        region: 'lumbar-spine',
        accession: 'A-77',
        seenAt: expect.stringMatching(/^\d{4}-/),
      },
    ]);
  });

  it('is remembered with its urgency, by which the study that answers it is read', async () => {
    const patient = newPatient();
    const priorities = ['stat', 'asap', 'urgent', 'routine'] as const;
    for (const priority of priorities) await sign(patient, [lumbarFilm(patient, `p-${priority}`, { priority })]);
    const orders = await service.store.orders.forPatient(patient);
    expect(
      priorities.map((one) => orders.find(({ reference }) => reference === `ServiceRequest/p-${one}`)?.priority),
    ).toEqual(['stat', 'stat', 'waiting', 'routine']);
  });

  it('that is signed twice is remembered once', async () => {
    const patient = newPatient();
    await sign(patient, [lumbarFilm(patient)]);
    await sign(patient, [lumbarFilm(patient)]);
    expect(await service.store.orders.forPatient(patient)).toHaveLength(1);
  });

  it('that is only being selected is not remembered', async () => {
    const patient = newPatient();
    await select(patient, [lumbarFilm(patient)]);
    expect(await service.store.orders.forPatient(patient)).toEqual([]);
  });

  it('without an id is remembered by its region alone', async () => {
    const patient = newPatient();
    const { id: _, ...unnamed } = lumbarFilm(patient);
    await sign(patient, [unnamed]);
    const [order] = await service.store.orders.forPatient(patient);
    expect(order).toMatchObject({ patientId: patient, region: 'lumbar-spine' });
    expect(order).not.toHaveProperty('reference');
  });

  it('also shows earlier films', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)]);
    expect(await sign(patient, [lumbarFilm(patient)])).toHaveLength(1);
  });
});
