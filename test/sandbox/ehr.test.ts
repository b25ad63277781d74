/** The demo hospital's EHR: films that arrive, orders that are signed, cards that are asked for, and what a bad caller may not do. */
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ChartView, ServiceAnswer } from '../../sandbox/ehr/chart-contract.ts';
import type { JsonDataset } from '../../sandbox/dicom/part10.ts';
import { fhirCaller, json, startTestHospital, until, type Heard, type TestHospital } from './hospital.ts';

let hospital: TestHospital;
beforeEach(async () => {
  hospital = await startTestHospital();
});
afterEach(async () => hospital?.stop());

const get = async <T>(path: string) => (await (await fetch(`${hospital.url}${path}`)).json()) as T;
const chart = (patient: string) => get<ChartView>(`/ehr/api/patients/${patient}`);
const post = (path: string, body: unknown) => json(`${hospital.url}/ehr/api${path}`, body);

const card = {
  uuid: '5a3cbbd8-6b4c-8d3f-9d0c-0b5e8b1f2c11',
  summary: 'Suspected L4/L5 slip',
  indicator: 'warning',
  source: { label: 'Test' },
  overrideReasons: [{ code: 'seen', display: 'Seen already' }],
};
/** The listener as a CDS service with one hook each. */
function offerServices(cards: (heard: Heard) => unknown[]): void {
  const service = (hook: string) => ({
    id: `test-${hook}`,
    hook,
    title: `Test ${hook}`,
    description: 'test',
    prefetch: {
      patient: 'Patient/{{context.patientId}}',
      problems: 'Condition?patient={{context.patientId}}',
      nobody: 'Patient/nobody',
      role: 'PractitionerRole/{{userPractitionerRoleId}}',
    },
  });
  hospital.listener.answerWith((heard) => {
    if (heard.path === '/cds-services')
      return { status: 200, body: { services: ['patient-view', 'order-select', 'order-sign'].map(service) } };
    if (heard.path.endsWith('/feedback')) return { status: 200 };
    return { status: 200, body: { cards: cards(heard) } };
  });
}
const calls = (path: string) => hospital.listener.heard.filter((heard) => heard.path === path);
type HookCall = {
  hook: string;
  context: Record<string, unknown>;
  prefetch: Record<string, { id?: string; total?: number } | null>;
  fhirServer: string;
  fhirAuthorization: Record<string, unknown>;
};

describe('a film that arrives', () => {
  test('is in the archive and in the chart, with the same patient and numbers', async () => {
    const { status, body } = await post('/films', { patient: 'patient-brandt', film: 'l1-wedge' });
    expect(status).toBe(201);
    const [study] = await get<JsonDataset[]>(`/dicom-web/studies?StudyInstanceUID=${String(body['studyUid'])}`);
    const value = (tag: string) => study![tag]!.Value![0];
    expect([value('00100020'), value('00100010'), value('00100040'), value('00080050')]).toEqual([
      '40009145',
      { Alphabetic: 'Brandt^Hannelore' },
      'F',
      body['accession'],
    ]);
    const { studies } = await chart('patient-brandt');
    expect(studies).toMatchObject([
      {
        uid: body['studyUid'],
        accession: body['accession'],
        modality: 'CR',
        ordered: false,
        progress: { film: 'l1-wedge' },
      },
    ]);
    expect(Object.keys(studies[0]!.progress!.steps)).toEqual(['stored']);
  });

  test('twice is two studies', async () => {
    for (const _ of [1, 2]) await post('/films', { patient: 'patient-okafor', film: 'normal' });
    const { studies } = await chart('patient-okafor');
    expect(new Set(studies.map(({ uid }) => uid)).size).toBe(2);
  });

  test('for an order answers that order, once', async () => {
    const signed = await post('/patients/patient-okafor/orders', { exam: 'lumbar-lateral', cardsSeen: true });
    const order = String(signed.body['order']);
    const arrived = await post('/films', { patient: 'patient-okafor', film: 'normal', order });
    const { studies, orders } = await chart('patient-okafor');
    expect(orders).toMatchObject([
      { id: order.split('/')[1], status: 'completed', accession: arrived.body['accession'] },
    ]);
    expect(studies).toMatchObject([{ name: 'Lumbar spine X-ray, lateral', ordered: true }]);
    expect((await post('/films', { patient: 'patient-okafor', film: 'normal', order })).status).toBe(409);
    expect((await post('/films', { patient: 'patient-brandt', film: 'normal', order })).status).toBe(409);
  });

  test('is followed from the archive to the report', async () => {
    const stream = await fetch(`${hospital.url}/ehr/api/events`);
    const call = fhirCaller(hospital.fhir, await hospital.backendToken('system/*.cruds'));
    const subscription = await call('POST', '/Subscription', {
      resourceType: 'Subscription',
      status: 'requested',
      reason: 'test',
      criteria: 'http://hospital.example/topics/imaging-study',
      channel: {
        type: 'rest-hook',
        endpoint: `${hospital.listener.url}/events/fhir`,
        payload: 'application/fhir+json',
      },
    });
    await until(async () =>
      (await call('GET', `/Subscription/${subscription.body.id}`)).body.status === 'active' ? true : undefined,
    );
    const { body } = await post('/films', { patient: 'patient-okafor', film: 'normal' });
    const steps = async () => Object.keys((await chart('patient-okafor')).studies[0]!.progress!.steps);
    await until(async () => ((await steps()).includes('notified') ? true : undefined));
    await (await fetch(`${hospital.url}/dicom-web/studies/${String(body['studyUid'])}`)).arrayBuffer();
    const report = {
      resourceType: 'DiagnosticReport',
      meta: { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'AIAST' }] },
      status: 'partial',
      code: { text: 'AI reading' },
      subject: { reference: 'Patient/patient-okafor' },
      imagingStudy: [{ reference: body['imagingStudy'] }],
      conclusion: 'Suspected slip.',
    };
    const written = await call('POST', '/DiagnosticReport', report);
    await until(async () => ((await steps()).length === 4 ? true : undefined));
    expect(await steps()).toEqual(['stored', 'notified', 'fetched', 'reported']);
    expect((await chart('patient-okafor')).studies[0]!.reports).toMatchObject([
      { standing: 'Partial – AI suggestion, not yet reviewed', tone: 'suggested', conclusion: 'Suspected slip.' },
    ]);

    await call('PUT', `/DiagnosticReport/${written.body.id}`, {
      ...report,
      meta: {},
      id: written.body.id,
      status: 'final',
    });
    await call('POST', '/Provenance', {
      resourceType: 'Provenance',
      target: [{ reference: `DiagnosticReport/${written.body.id}` }],
      recorded: new Date().toISOString(),
      agent: [
        {
          type: {
            coding: [{ system: 'http://terminology.hl7.org/CodeSystem/provenance-participant-type', code: 'verifier' }],
          },
          who: { reference: 'Practitioner/practitioner-moreau', display: 'Dr Paul Moreau' },
        },
      ],
    });
    expect((await chart('patient-okafor')).studies[0]!.reports).toMatchObject([
      { standing: 'Final – verified by Dr Paul Moreau', tone: 'confirmed' },
    ]);

    const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('"reported"')) text += (await reader.read()).value ?? '';
    expect(text).toContain('"kind":"film"');
    expect(text).toContain('"kind":"chart"');
    await reader.cancel();
  });
});

describe('decision support', () => {
  test('is asked at the opening of a chart, with a signed token for exactly that address and the data it wants', async () => {
    offerServices(() => [card]);
    const { body } = await post('/patients/patient-okafor/hooks/patient-view', {});
    expect(body).toMatchObject({ services: [{ service: 'test-patient-view', cards: [card] }] });
    const [call] = calls('/cds-services/test-patient-view');
    const asked = call!.body as HookCall;
    expect(asked).toMatchObject({
      hook: 'patient-view',
      context: {
        userId: 'Practitioner/practitioner-vasquez',
        patientId: 'patient-okafor',
        encounterId: 'okafor-visit-today',
      },
      prefetch: { patient: { id: 'patient-okafor' }, problems: { total: 2 }, nobody: null },
      fhirServer: hospital.fhir,
      fhirAuthorization: { token_type: 'Bearer', patient: 'patient-okafor' },
    });
    // What cannot be filled is left out; null would say that there is no such thing.
    expect(Object.keys(asked.prefetch)).not.toContain('role');
    const { payload, protectedHeader } = await jwtVerify(
      String(call!.headers.authorization).replace('Bearer ', ''),
      createRemoteJWKSet(new URL(`${hospital.url}/auth/jwks`)),
      {
        issuer: hospital.url,
        audience: `${hospital.listener.url}/cds-services/test-patient-view`,
        requiredClaims: ['exp', 'iat', 'jti'],
      },
    );
    expect(protectedHeader).toMatchObject({ alg: 'ES384', typ: 'JWT', jku: `${hospital.url}/auth/jwks` });
    expect(payload.exp! - payload.iat!).toBeLessThanOrEqual(300);
  });

  test('gets a token for this chart only', async () => {
    offerServices(() => []);
    await post('/patients/patient-okafor/hooks/patient-view', {});
    const { fhirAuthorization } = calls('/cds-services/test-patient-view')[0]!.body as HookCall;
    const call = fhirCaller(hospital.fhir, String(fhirAuthorization['access_token']));
    expect((await call('GET', '/Condition?patient=Patient/patient-okafor')).body.total).toBe(2);
    expect((await call('GET', '/Patient/patient-brandt')).status).toBe(403);
    const problem = {
      resourceType: 'Condition',
      code: { text: 'x' },
      subject: { reference: 'Patient/patient-okafor' },
    };
    expect((await call('POST', '/Condition', problem)).status).toBe(403);
  });

  test('never keeps a chart from opening', async () => {
    hospital.listener.answerWith(() => ({ status: 500 }));
    const { status, body } = await post('/patients/patient-okafor/hooks/patient-view', {});
    expect(status).toBe(200);
    expect((body['services'] as ServiceAnswer[]).map(({ cards, problem }) => [cards, problem])).toEqual([
      [[], 'cannot be reached'],
    ]);
  });

  test('hears of one and the same order while it is chosen, signed and kept', async () => {
    offerServices(({ path }) => (path.endsWith('order-sign') ? [card] : []));
    const selected = await post('/patients/patient-okafor/hooks/order-select', {
      exam: 'lumbar-lateral',
      reason: 'Back pain',
    });
    const { draft } = selected.body;
    const first = await post('/patients/patient-okafor/orders', { exam: 'lumbar-lateral', reason: 'Back pain', draft });
    expect(first.body).toMatchObject({ signed: false, services: [{ cards: [card] }] });
    expect((await chart('patient-okafor')).orders).toEqual([]);
    const second = await post('/patients/patient-okafor/orders', {
      exam: 'lumbar-lateral',
      reason: 'Back pain',
      draft,
      cardsSeen: true,
    });
    expect(second.status).toBe(201);

    type Draft = {
      draftOrders: { entry: { resource: { id: string; identifier: { value: string }[]; status: string } }[] };
      selections?: string[];
    };
    const [select, sign] = ['order-select', 'order-sign'].map(
      (hook) => (calls(`/cds-services/test-${hook}`)[0]!.body as HookCall).context as unknown as Draft,
    );
    const [selectedOrder, signedOrder] = [select!, sign!].map(({ draftOrders }) => draftOrders.entry[0]!.resource);
    const { id, accession } = draft as { id: string; accession: string };
    expect(select!.selections).toEqual([`ServiceRequest/${id}`]);
    expect(selectedOrder).toMatchObject({ id, status: 'draft', identifier: [{ value: accession }] });
    expect(signedOrder).toMatchObject({ id, identifier: [{ value: accession }] });
    expect(second.body['order']).toBe(`ServiceRequest/${id}`);
    expect((await chart('patient-okafor')).orders).toMatchObject([
      { id, accession, status: 'active', reason: 'Back pain' },
    ]);
  });

  test('hears why a card was put aside', async () => {
    offerServices(() => [card]);
    const { body } = await post('/feedback', {
      service: 'test-patient-view',
      card: card.uuid,
      outcome: 'overridden',
      reason: { code: 'seen', display: 'Seen already' },
      comment: 'Known since May',
    });
    expect(body).toEqual({ taken: true });
    expect(calls('/cds-services/test-patient-view/feedback')[0]!.body).toMatchObject({
      feedback: [
        {
          card: card.uuid,
          outcome: 'overridden',
          overrideReason: { reason: { code: 'seen' }, userComment: 'Known since May' },
        },
      ],
    });
  });
});

describe('the page', () => {
  test('comes with a policy that lets no other script in, and begins a session', async () => {
    const page = await fetch(`${hospital.url}/`);
    const policy = page.headers.get('content-security-policy')!;
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain(`frame-src 'self' ${hospital.listener.url}`);
    expect(policy).not.toContain('unsafe');
    const cookie = page.headers.get('set-cookie')!;
    expect(cookie).toMatch(/HttpOnly/);
    expect(cookie).toMatch(/SameSite=Strict/);
    const headers = { cookie: cookie.split(';')[0]!, 'content-type': 'application/json' };
    await fetch(`${hospital.url}/ehr/api/session`, {
      method: 'POST',
      headers,
      body: '{"practitioner":"practitioner-moreau"}',
    });
    const setting = (await (await fetch(`${hospital.url}/ehr/api/setting`, { headers })).json()) as {
      user: { name: string };
    };
    expect(setting.user.name).toBe('Dr Paul Moreau');
    // The page's session may look at the chart's resources; it may not write them.
    expect((await fetch(`${hospital.fhir}/Patient/patient-okafor`, { headers })).status).toBe(200);
    expect((await fetch(`${hospital.fhir}/Patient/patient-okafor`, { method: 'DELETE', headers })).status).toBe(401);
    expect(
      (await fetch(`${hospital.fhir}/Patient`, { headers: { ...headers, 'sec-fetch-site': 'cross-site' } })).status,
    ).toBe(401);
  });

  test.each([
    ['another site', { 'content-type': 'application/json', origin: 'https://elsewhere.example' }, 403],
    ['a form', { 'content-type': 'text/plain' }, 415],
  ])('is not to be used by %s', async (_, headers, status) => {
    const answer = await fetch(`${hospital.url}/ehr/api/films`, {
      method: 'POST',
      headers,
      body: '{"patient":"patient-okafor","film":"normal"}',
    });
    expect(answer.status).toBe(status);
    expect((await chart('patient-okafor')).studies).toEqual([]);
  });

  test('cannot make anything fail unless the hospital was started so', async () => {
    expect((await post('/faults', { archive: 'down' })).status).toBe(404);
    expect((await fetch(`${hospital.url}/dicom-web/studies`)).status).toBe(200);
  });
});

test('with a data folder, charts and films outlive the hospital', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'wetread-hospital-'));
  try {
    const first = await startTestHospital({ dataDir });
    const { body } = await json(`${first.url}/ehr/api/films`, { patient: 'patient-okafor', film: 'normal' });
    await first.stop();
    const second = await startTestHospital({ dataDir });
    const studies = (await (await fetch(`${second.url}/dicom-web/studies`)).json()) as JsonDataset[];
    const { studies: inChart } = (await (
      await fetch(`${second.url}/ehr/api/patients/patient-okafor`)
    ).json()) as ChartView;
    await second.stop();
    expect(studies.map((row) => row['0020000D']!.Value![0])).toEqual([body['studyUid']]);
    expect(inChart.map(({ uid }) => uid)).toEqual([body['studyUid']]);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
});

describe('a suggestion that is accepted', () => {
  const suggestion = { uuid: '7d1f1f0e-6b4c-8d3f-9d0c-0b5e8b1f2c12', label: 'Draft an order: flexion views' };
  const resource = (patient = 'patient-brandt', fields: object = {}) => ({
    resourceType: 'ServiceRequest',
    status: 'draft',
    intent: 'proposal',
    category: [{ coding: [{ system: 'http://snomed.info/sct', code: '363679005' }] }],
    code: { coding: [{ system: 'http://loinc.org', code: '24971-4' }], text: 'Flexion and extension views' },
    subject: { reference: `Patient/${patient}` },
    reasonCode: [{ text: 'Suspected slip (AI finding, not yet reviewed)' }],
    ...fields,
  });
  const accept = (given: object = resource()) =>
    post('/patients/patient-brandt/suggestions', {
      service: 'test-patient-view',
      card: card.uuid,
      suggestion: suggestion.uuid,
      actions: [{ type: 'create', resource: given }],
    });

  test('is a draft in the chart, and the service is told; nothing is ordered until somebody signs', async () => {
    offerServices(() => []);
    const { status, body } = await accept();
    expect(status).toBe(201);
    const [told] = calls('/cds-services/test-patient-view/feedback');
    expect((told!.body as { feedback: unknown[] }).feedback).toMatchObject([
      { card: card.uuid, outcome: 'accepted', acceptedSuggestions: [{ id: suggestion.uuid }] },
    ]);
    const [draft] = body['drafts'] as string[];
    const id = draft!.replace('ServiceRequest/', '');
    const order = async () => (await chart('patient-brandt')).orders.find((one) => one.id === id)!;
    expect(await order()).toMatchObject({ status: 'draft', by: '', name: 'Flexion and extension views' });
    expect((await order()).accession).toMatch(/^RG/);

    const signed = await post(`/patients/patient-brandt/drafts/${id}/sign`, {});
    expect(signed.status).toBe(201);
    expect(await order()).toMatchObject({ status: 'active', by: expect.stringContaining('Vasquez') });
    const [asked] = calls('/cds-services/test-order-sign');
    expect(JSON.stringify(asked!.body)).toContain(id);
    // Signed is signed.
    expect((await post(`/patients/patient-brandt/drafts/${id}/sign`, {})).status).toBe(409);
    expect((await post(`/patients/patient-brandt/drafts/${id}/discard`, {})).status).toBe(409);
  });

  test('shows the cards of signing first, and can be discarded', async () => {
    offerServices((heard) => (heard.path.endsWith('order-sign') ? [card] : []));
    const id = ((await accept()).body['drafts'] as string[])[0]!.replace('ServiceRequest/', '');
    expect((await post(`/patients/patient-brandt/drafts/${id}/sign`, {})).body).toMatchObject({ signed: false });
    expect((await post(`/patients/patient-brandt/drafts/${id}/discard`, {})).body).toEqual({ discarded: true });
    expect((await chart('patient-brandt')).orders.find((one) => one.id === id)!.status).toBe('revoked');
  });

  test('is refused for another patient, and for what is no draft', async () => {
    offerServices(() => []);
    expect((await accept(resource('patient-haddad'))).status).toBe(409);
    expect((await accept(resource('patient-brandt', { status: 'active' }))).status).toBe(400);
    expect((await accept({ ...resource(), resourceType: 'MedicationRequest' })).status).toBe(400);
    expect((await chart('patient-brandt')).orders.filter(({ status }) => status === 'draft')).toEqual([]);
  });
});

test('a film may have been taken long before it comes', async () => {
  const { body } = await post('/films', { patient: 'patient-brandt', film: 'normal', takenDaysAgo: 400 });
  const { studies } = await chart('patient-brandt');
  const days = (Date.now() - Date.parse(studies.find(({ uid }) => uid === body['studyUid'])!.startedAt)) / 86_400_000;
  expect(days).toBeGreaterThan(399);
  expect(days).toBeLessThan(401);
});
