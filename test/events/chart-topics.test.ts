/** Orders and reports in the chart: what is understood of them, read from a real FHIR server. */
import type { DiagnosticReport, ImagingStudy, ServiceRequest } from 'fhir/r4.js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { HeardExam } from '../../src/domain/expected-exam.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { diagnosticReports, serviceRequests } from '../../src/events/chart-topics.ts';
import { fhirClient, type FhirClient } from '../../src/fhir/client.ts';
import { isImagingOrder, regionOfOrder } from '../../src/kit/imaging-order.ts';
import { testFhirServer, type TestFhirServer } from '../support/fhir-server.ts';

let chart: TestFhirServer;
let client: FhirClient;
let heard: HeardExam[];
let woken: number;
beforeAll(async () => {
  chart = await testFhirServer();
  client = fhirClient({ baseUrl: chart.baseUrl, timeoutMs: 30_000, logger: silentLogger, retries: 0 });
});
afterAll(() => chart.stop());
beforeEach(() => {
  heard = [];
  woken = 0;
});
const remembering = {
  exams: {
    async hear(exams: readonly HeardExam[]) {
      heard.push(...exams);
      return 'new' as const;
    },
  },
  onHeard: () => void (woken += 1),
  logger: silentLogger,
};
const accessionSystem = 'http://hospital.example/accession';
const acsn = { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] };
const studyIdentifier = (uid: string) => ({ system: 'urn:dicom:uid', value: `urn:oid:${uid}` });

describe('a ServiceRequest', () => {
  const topic = serviceRequests({
    ...remembering,
    reading: { isImaging: isImagingOrder, regionOf: regionOfOrder, accessionSystem },
  });
  const hear = (more: object = {}) =>
    topic.hear(
      {
        resourceType: 'ServiceRequest',
        id: 's1',
        status: 'active',
        intent: 'order',
        subject: { reference: 'Patient/p1' },
        category: [{ coding: [{ system: 'http://snomed.info/sct', code: '363679005' }] }],
        code: { coding: [{ system: 'http://loinc.org', code: '24969-8' }] },
        ...more,
      },
      chart.baseUrl,
    );

  it('is remembered with its numbers, patient, region and priority', async () => {
    await hear({
      priority: 'stat',
      identifier: [
        { type: acsn, value: 'A1' },
        { type: { coding: [{ code: 'PLAC' }] }, system: 'urn:oid:1.2.3', value: '77' },
        { type: { coding: [{ code: 'FILL' }] }, value: '88' },
      ],
    });
    expect(heard).toEqual([
      {
        source: 'fhir-subscription',
        numbers: ['ServiceRequest/s1', 'placer:77^1.2.3', 'filler:88^'],
        accession: 'A1',
        studyUids: [],
        patientId: 'p1',
        order: 'ServiceRequest/s1',
        region: 'lumbar-spine',
        priority: 'stat',
        state: 'ordered',
      },
    ]);
    expect(woken).toBe(1);
  });

  it.each([
    ['stat', 'stat'],
    ['asap', 'stat'],
    ['urgent', 'stat'],
    ['routine', 'routine'],
    [undefined, undefined],
  ] as const)('priority %s is %s', async (priority, expected) => {
    await hear(priority === undefined ? {} : { priority });
    expect(heard[0]!.priority).toBe(expected);
  });

  it.each([
    ['active', 'ordered'],
    ['on-hold', 'ordered'],
    ['completed', 'done'],
    ['revoked', 'cancelled'],
    ['entered-in-error', 'cancelled'],
  ] as const)('that is %s means %s', async (status, state) => {
    await hear({ status, identifier: [{ type: acsn, value: 'A1' }] });
    expect(heard[0]!.state).toBe(state);
  });

  it('that is completed without an accession number leads to no study', async () => {
    await hear({ status: 'completed' });
    expect(heard[0]!.state).toBe('ordered');
  });

  it('has an accession number by the configured system as well', async () => {
    await hear({ identifier: [{ system: accessionSystem, value: 'A9' }] });
    expect(heard[0]!.accession).toBe('A9');
  });

  it.each([
    ['a draft', { status: 'draft' as const }],
    ['a plan', { intent: 'plan' as const }],
    [
      'of the laboratory',
      {
        category: [{ coding: [{ system: 'http://snomed.info/sct', code: '108252007' }] }],
        code: { text: 'Blood count' },
      },
    ],
  ])('%s is left', async (_what, more) => {
    await hear(more);
    expect([heard, woken]).toEqual([[], 0]);
  });
});

describe('a DiagnosticReport', () => {
  const topic = () =>
    diagnosticReports({ ...remembering, sources: { baseUrl: chart.baseUrl, read: client.read, accessionSystem } });
  const report = (more: object): DiagnosticReport & { id: string } => ({
    resourceType: 'DiagnosticReport',
    id: 'r1',
    status: 'final',
    category: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0074', code: 'RAD' }] }],
    code: { text: 'XR lumbar spine' },
    subject: { reference: 'Patient/p1' },
    ...more,
  });
  const hear = (more: object) => topic().hear(report(more), chart.baseUrl);

  it('names studies by reference', async () => {
    const study = await chart.put<ImagingStudy>({
      resourceType: 'ImagingStudy',
      status: 'available',
      subject: { reference: 'Patient/p1' },
      identifier: [studyIdentifier('1.2.3'), { type: acsn, value: 'A1' }],
    });
    await hear({
      imagingStudy: [{ reference: `ImagingStudy/${study.id}` }, { reference: `${chart.baseUrl}/ImagingStudy/gone` }],
    });
    expect(heard).toEqual([
      {
        source: 'fhir-subscription',
        numbers: [],
        accession: 'A1',
        studyUids: ['1.2.3'],
        patientId: 'p1',
        region: 'lumbar-spine',
        state: 'done',
      },
    ]);
  });

  it('names studies by identifier, also where R5 does', async () => {
    await hear({ imagingStudy: [{ identifier: studyIdentifier('1.2.4') }] });
    await hear({ study: [{ identifier: studyIdentifier('1.2.5') }] });
    await hear({ identifier: [studyIdentifier('1.2.6')] });
    expect(heard.map(({ studyUids }) => studyUids)).toEqual([['1.2.4'], ['1.2.5'], ['1.2.6']]);
  });

  it('leads to its study by its own accession number, or by its order’s', async () => {
    const order = await chart.put<ServiceRequest>({
      resourceType: 'ServiceRequest',
      status: 'completed',
      intent: 'order',
      subject: { reference: 'Patient/p1' },
      identifier: [{ system: accessionSystem, value: 'A7' }],
    });
    await hear({ identifier: [{ type: acsn, value: 'A6' }] });
    await hear({ basedOn: [{ reference: `ServiceRequest/${order.id}` }] });
    expect(heard.map(({ accession, numbers }) => [accession, numbers])).toEqual([
      ['A6', []],
      ['A7', [`ServiceRequest/${order.id}`]],
    ]);
  });

  it.each([
    ['only registered', { status: 'registered' as const }],
    ['withdrawn', { status: 'entered-in-error' as const }],
    [
      'a machine’s',
      { meta: { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'AIAST' }] } },
    ],
    [
      'of the laboratory',
      { category: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0074', code: 'LAB' }] }] },
    ],
    ['about nothing that can be found', { identifier: [] }],
  ])('%s tells of nothing', async (_what, more) => {
    await hear({ identifier: [{ type: acsn, value: 'A6' }], ...more });
    expect([heard, woken]).toEqual([[], 0]);
  });

  it('is heard of again when the chart could not be asked', async () => {
    chart.interfere = () => ({ status: 503 });
    await expect(hear({ imagingStudy: [{ reference: 'ImagingStudy/x' }] })).rejects.toMatchObject({
      code: 'chart.unreachable',
    });
    chart.interfere = () => undefined;
    expect(heard).toEqual([]);
  });
});
