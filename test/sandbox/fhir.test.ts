/** The demo hospital's FHIR server: what a service may rely on when it is developed against it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fhirCaller, startTestHospital, type TestHospital } from './hospital.ts';

let hospital: TestHospital;
let call: ReturnType<typeof fhirCaller>;

beforeAll(async () => {
  hospital = await startTestHospital();
  call = fhirCaller(hospital.fhir, await hospital.backendToken('system/*.cruds'));
});
afterAll(async () => hospital?.stop());

const observation = (code: string, more: Record<string, unknown> = {}) => ({
  resourceType: 'Observation',
  identifier: [{ system: 'urn:test', value: code }],
  status: 'preliminary',
  code: { text: code },
  subject: { reference: 'Patient/patient-okafor' },
  ...more,
});
const count = async (query: string) => (await call('GET', `/Observation?${query}`)).body.total;

describe('a transaction', () => {
  const bundleOf = (...resources: readonly unknown[]) => ({
    resourceType: 'Bundle',
    type: 'transaction',
    entry: resources.map((resource, index) => ({
      fullUrl: `urn:uuid:00000000-0000-4000-8000-00000000000${index}`,
      resource,
      request: { method: 'POST', url: (resource as { resourceType: string }).resourceType },
    })),
  });

  test('writes all of it, with references between its entries', async () => {
    const { status, body } = await call('POST', '', {
      ...bundleOf(observation('whole-1'), {
        resourceType: 'DiagnosticReport',
        status: 'partial',
        code: { text: 'whole' },
        subject: { reference: 'Patient/patient-okafor' },
        result: [{ reference: 'urn:uuid:00000000-0000-4000-8000-000000000000' }],
      }),
    });
    expect(status).toBe(200);
    const [first, second] = body.entry!;
    expect(first!.response).toMatchObject({ status: '201', etag: 'W/"1"' });
    expect(first!.response!.location).toBe(`Observation/${first!.resource!.id}/_history/1`);
    expect(second!.resource).toMatchObject({ result: [{ reference: `Observation/${first!.resource!.id}` }] });
  });

  test('writes nothing of it when its last entry is refused', async () => {
    const { status } = await call(
      'POST',
      '',
      bundleOf(observation('half-1'), observation('half-2', { status: 'nonsense' })),
    );
    expect(status).toBe(422);
    expect(await count('identifier=urn:test|half-1,urn:test|half-2')).toBe(0);
  });

  test('writes nothing of it when it refers to what is not there', async () => {
    const { status, body } = await call(
      'POST',
      '',
      bundleOf(observation('half-3'), observation('half-4', { device: { reference: 'Device/none' } })),
    );
    expect(status).toBe(422);
    expect(body.issue![0]).toMatchObject({ code: 'not-found', details: { text: 'Device/none is not in the chart' } });
    expect(await count('identifier=urn:test|half-3')).toBe(0);
  });

  test('may be refused while others succeed beside it, and loses none of theirs', async () => {
    const good = Array.from({ length: 8 }, (_, index) => call('POST', '', bundleOf(observation(`beside-${index}`))));
    const bad = Array.from({ length: 8 }, () =>
      call('POST', '', bundleOf(observation('beside-bad'), observation('x', { status: 1 }))),
    );
    const answers = await Promise.all([...good, ...bad]);
    expect(answers.map(({ status }) => status)).toEqual([...Array(8).fill(200), ...Array(8).fill(422)]);
    expect(
      await count(`identifier=${Array.from({ length: 8 }, (_, index) => `urn:test|beside-${index}`).join(',')}`),
    ).toBe(8);
    expect(await count('identifier=urn:test|beside-bad')).toBe(0);
  });

  test('creates once what two of them want to create under the same condition', async () => {
    const bundle = bundleOf(observation('once'));
    const conditional = {
      ...bundle,
      entry: bundle.entry.map((entry) => ({
        ...entry,
        request: { ...entry.request, ifNoneExist: 'identifier=urn:test|once' },
      })),
    };
    const answers = await Promise.all([call('POST', '', conditional), call('POST', '', conditional)]);
    expect(answers.map(({ body }) => body.entry![0]!.response!.status).sort()).toEqual(['200', '201']);
    expect(await count('identifier=urn:test|once')).toBe(1);
  });
});

describe('a large transaction under conditions', () => {
  const conditional = (code: string, more: Record<string, unknown> = {}) => ({
    fullUrl: `urn:uuid:${code}`,
    resource: observation(code, more),
    request: { method: 'POST', url: 'Observation', ifNoneExist: `identifier=urn:test|${code}` },
  });
  const transaction = (entry: readonly unknown[]) =>
    call('POST', '', { resourceType: 'Bundle', type: 'transaction', entry });
  const codes = Array.from({ length: 14 }, (_, index) => `many-${index}`);

  test('creates all of it, and on repetition nothing', async () => {
    const statuses = async () =>
      (await transaction(codes.map((code) => conditional(code)))).body.entry!.map(({ response }) => response!.status);
    expect(await statuses()).toEqual(codes.map(() => '201'));
    expect(await statuses()).toEqual(codes.map(() => '200'));
    expect(await count(`identifier=${codes.map((code) => `urn:test|${code}`).join(',')}`)).toBe(14);
  });

  test('lets its new entries refer to what was there already', async () => {
    const { body: first } = await transaction([conditional('there')]);
    const { status, body } = await transaction([
      conditional('there'),
      {
        resource: observation('new', { derivedFrom: [{ reference: 'urn:uuid:there' }] }),
        request: { method: 'POST', url: 'Observation' },
      },
    ]);
    expect(status).toBe(200);
    expect(body.entry![1]!.resource).toMatchObject({
      derivedFrom: [{ reference: `Observation/${first.entry![0]!.resource!.id}` }],
    });
  });

  test('updates what a search finds and creates what it does not', async () => {
    const put = (code: string) => ({
      resource: observation(code, { status: 'final' }),
      request: { method: 'PUT', url: `Observation?identifier=urn:test|${code}` },
    });
    await transaction([conditional('put-known')]);
    const { body } = await transaction([put('put-known'), put('put-new')]);
    expect(body.entry!.map(({ response, resource }) => [response!.status, resource!.meta!.versionId])).toEqual([
      ['200', '2'],
      ['201', '1'],
    ]);
  });

  test('writes nothing when a condition finds several', async () => {
    await call('POST', '/Observation', observation('double'));
    await call('POST', '/Observation', observation('double'));
    const { status } = await transaction([conditional('beside-double'), conditional('double')]);
    expect(status).toBe(412);
    expect(await count('identifier=urn:test|beside-double')).toBe(0);
  });
});

describe('a single write', () => {
  test('is conditional on If-None-Exist', async () => {
    const condition = { 'if-none-exist': 'identifier=urn:test|alone' };
    const first = await call('POST', '/Observation', observation('alone'), condition);
    const second = await call('POST', '/Observation', observation('alone'), condition);
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.body.id).toBe(first.body.id);
  });

  test('can be conditional on a search, as an update', async () => {
    const first = await call('PUT', '/Observation?identifier=urn:test|put', observation('put'));
    const second = await call('PUT', '/Observation?identifier=urn:test|put', observation('put', { status: 'final' }));
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.body).toMatchObject({ id: first.body.id, status: 'final', meta: { versionId: '2' } });
  });

  test('is refused under a version that is no longer the newest', async () => {
    const { body } = await call('POST', '/Observation', observation('versions'));
    const next = { ...observation('versions', { status: 'final' }), id: body.id };
    expect((await call('PUT', `/Observation/${body.id}`, next, { 'if-match': 'W/"1"' })).status).toBe(200);
    expect((await call('PUT', `/Observation/${body.id}`, next, { 'if-match': 'W/"1"' })).status).toBe(412);
  });

  test('keeps its history, and says when it is gone', async () => {
    const { body, headers } = await call('POST', '/Observation', observation('history'));
    expect(headers.get('etag')).toBe('W/"1"');
    expect(headers.get('location')).toBe(`${hospital.fhir}/Observation/${body.id}/_history/1`);
    const patched = await call(
      'PATCH',
      `/Observation/${body.id}`,
      JSON.stringify([{ op: 'replace', path: '/status', value: 'final' }]),
      {
        'content-type': 'application/json-patch+json',
      },
    );
    expect(patched.body.status).toBe('final');
    for (const _ of [1, 2]) {
      const { body: history } = await call('GET', `/Observation/${body.id}/_history`);
      expect(history.entry!.map(({ resource }) => resource!.status)).toEqual(['final', 'preliminary']);
    }
    expect((await call('GET', `/Observation/${body.id}/_history/1`)).body.status).toBe('preliminary');
    expect((await call('DELETE', `/Observation/${body.id}`)).status).toBe(204);
    expect((await call('GET', `/Observation/${body.id}`)).status).toBe(410);
  });

  test.each([
    ['an unknown element', { colour: 'red' }, 'Observation.colour'],
    ['a code outside its list', { status: 'provisional' }, 'Observation.status'],
    ['a missing element', { code: undefined }, 'Observation.code'],
    ['an empty list', { category: [] }, 'Observation.category'],
    ['a null', { note: [{ text: null }] }, 'Observation.note[0].text'],
    ['a wrong type', { valueQuantity: { value: 'five' } }, 'Observation.value[x].value'],
  ])('with %s is refused, and the answer names the place', async (_, spoiled, place) => {
    const { status, body } = await call('POST', '/Observation', observation('spoiled', spoiled));
    expect(status).toBe(422);
    expect(body.issue!.flatMap(({ expression }) => expression ?? [])).toContain(place);
  });

  test.each([
    '<div xmlns="http://www.w3.org/1999/xhtml"><script>steal()</script></div>',
    '<div xmlns="http://www.w3.org/1999/xhtml"><img src="x" onerror="steal()"/></div>',
    '<div xmlns="http://www.w3.org/1999/xhtml"><a href="javascript:steal()">here</a></div>',
    '<div xmlns="http://www.w3.org/1999/xhtml"><iframe src="https://elsewhere.example"></iframe></div>',
    '<div xmlns="http://www.w3.org/1999/xhtml"><p>open <script</p></div>',
  ])('with script in its narrative is refused: %s', async (div) => {
    const { status } = await call(
      'POST',
      '/Observation',
      observation('script', { text: { status: 'generated', div } }),
    );
    expect(status).toBe(422);
  });

  test('with a plain narrative is kept', async () => {
    const div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>Suspected <b>L4/L5</b> slip</p></div>';
    expect(
      (await call('POST', '/Observation', observation('narrative', { text: { status: 'generated', div } }))).status,
    ).toBe(201);
  });

  test('that is not JSON is answered with an OperationOutcome', async () => {
    const { status, body } = await call('POST', '/Observation', '{"resourceType":');
    expect(status).toBe(400);
    expect(body.resourceType).toBe('OperationOutcome');
  });
});

describe('a search', () => {
  test('takes a form', async () => {
    const { status, body } = await call('POST', '/Patient/_search', 'identifier=http://hospital.example/mrn|40018302', {
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect(status).toBe(200);
    expect(body.entry!.map(({ resource }) => resource!.id)).toEqual(['patient-okafor']);
    expect(body.entry![0]!.fullUrl).toBe(`${hospital.fhir}/Patient/patient-okafor`);
  });

  test('includes what is referred to', async () => {
    const { body } = await call('GET', '/Encounter?_id=okafor-visit-today&_include=Encounter:patient');
    expect(body.entry!.map(({ resource, search }) => [resource!.id, search!.mode])).toEqual([
      ['okafor-visit-today', 'match'],
      ['patient-okafor', 'include'],
    ]);
  });

  test('gives pages that lead to each other until all has been seen', async () => {
    const seen: string[] = [];
    let next: string | undefined = '/Patient?_count=3&_sort=birthdate';
    while (next !== undefined) {
      const { body }: Awaited<ReturnType<typeof call>> = await call('GET', next);
      seen.push(...body.entry!.map(({ resource }) => resource!.id!));
      next = body.link!.find(({ relation }) => relation === 'next')?.url.replace(hospital.fhir, '');
    }
    expect(seen).toHaveLength(7);
    expect(new Set(seen).size).toBe(7);
    expect([seen[0], seen[6]]).toEqual(['patient-whitfield', 'patient-tanabe']);
  });

  test.each(['Patient/patient-brandt', 'patient-brandt', 'ABSOLUTE'])(
    'finds what belongs to a patient: %s',
    async (patient) => {
      const value = patient === 'ABSOLUTE' ? `${hospital.fhir}/Patient/patient-brandt` : patient;
      expect((await call('GET', `/Condition?patient=${encodeURIComponent(value)}`)).body.total).toBe(3);
    },
  );

  test('finds what changed since an instant, and by tag', async () => {
    const before = new Date(Date.now() - 3_600_000).toISOString();
    expect((await call('GET', `/Patient?_lastUpdated=ge${before}`)).body.total).toBe(7);
    const meta = { tag: [{ system: 'urn:test', code: 'tagged' }] };
    await call('POST', '/Observation', observation('tagged', { meta }));
    expect(await count('_tag=urn:test|tagged')).toBe(1);
  });

  test('with a parameter the server does not know is refused instead of answered wrongly', async () => {
    expect((await call('GET', '/Patient?shoe-size=43')).status).toBe(400);
  });
});

describe('access', () => {
  test('needs a token', async () => {
    const answer = await fhirCaller(hospital.fhir, undefined)('GET', '/Patient');
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect((await fhirCaller(hospital.fhir, 'eyJhbGciOiJub25lIn0.e30.')('GET', '/Patient')).status).toBe(401);
  });

  test('is no wider than the scopes', async () => {
    const narrow = fhirCaller(hospital.fhir, await hospital.backendToken('system/Patient.rs'));
    expect((await narrow('GET', '/Patient/patient-okafor')).status).toBe(200);
    expect((await narrow('GET', '/Observation')).status).toBe(403);
    expect(
      (await narrow('PUT', '/Patient/patient-okafor', { resourceType: 'Patient', id: 'patient-okafor' })).status,
    ).toBe(403);
    const bundle = {
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [{ resource: observation('smuggled'), request: { method: 'POST', url: 'Observation' } }],
    };
    expect((await narrow('POST', '', bundle)).status).toBe(403);
    expect(await count('identifier=urn:test|smuggled')).toBe(0);
  });

  test("of a launch ends at the patient's own chart", async () => {
    const { body } = await hospital.launchedToken('patient-okafor');
    const theirs = fhirCaller(hospital.fhir, String(body['access_token']));
    expect((await theirs('GET', '/Patient/patient-okafor')).status).toBe(200);
    expect((await theirs('GET', '/Patient/patient-brandt')).status).toBe(403);
    expect((await theirs('GET', '/Patient')).body.entry!.map(({ resource }) => resource!.id)).toEqual([
      'patient-okafor',
    ]);
    expect((await theirs('GET', '/Condition/okafor-problem-1')).status).toBe(200);
    expect((await theirs('GET', '/Condition/brandt-problem-1')).status).toBe(403);
    expect((await theirs('GET', '/Condition/brandt-problem-1/_history')).status).toBe(403);
    expect((await theirs('GET', '/Condition/brandt-problem-1/_history/1')).status).toBe(403);
    expect((await theirs('GET', '/Condition?patient=Patient/patient-brandt')).body.total).toBe(0);
    expect((await theirs('GET', '/Condition?patient=Patient/patient-okafor&_include=Condition:patient')).status).toBe(
      200,
    );
    expect((await theirs('GET', '/Practitioner/practitioner-vasquez')).status).toBe(200);
    expect((await theirs('GET', '/MedicationRequest')).status).toBe(403);
  });

  test('is described for those who may ask', async () => {
    const smart = (await (await fetch(`${hospital.fhir}/.well-known/smart-configuration`)).json()) as Record<
      string,
      unknown
    >;
    expect(smart).toMatchObject({
      token_endpoint: hospital.tokenEndpoint,
      code_challenge_methods_supported: ['S256'],
      token_endpoint_auth_signing_alg_values_supported: ['ES384', 'RS384'],
    });
    const statement = (await (await fetch(`${hospital.fhir}/metadata`)).json()) as { fhirVersion: string };
    expect(statement.fhirVersion).toBe('4.0.1');
    const preflight = await fetch(`${hospital.fhir}/Patient`, {
      method: 'OPTIONS',
      headers: { origin: 'https://app.example' },
    });
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, '*']);
  });
});
