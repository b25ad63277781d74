/** Subscriptions of the demo hospital: what a subscriber hears, and when it hears no more. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fhirCaller, json, startTestHospital, until, type Heard, type TestHospital } from './hospital.ts';

const guide = 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition';
let hospital: TestHospital;
let call: ReturnType<typeof fhirCaller>;

beforeEach(async () => {
  hospital = await startTestHospital();
  call = fhirCaller(hospital.fhir, await hospital.backendToken('system/*.cruds'));
});
afterEach(async () => hospital?.stop());

type Options = { payload?: string; heartbeat?: number; filter?: string; endpoint?: string; topic?: string };
const subscription = ({ payload = 'id-only', heartbeat, filter, endpoint, topic }: Options = {}) => ({
  resourceType: 'Subscription',
  status: 'requested',
  reason: 'test',
  criteria: topic ?? 'http://hospital.example/topics/imaging-study',
  ...(filter === undefined
    ? {}
    : { _criteria: { extension: [{ url: `${guide}/backport-filter-criteria`, valueString: filter }] } }),
  channel: {
    type: 'rest-hook',
    endpoint: endpoint ?? `${hospital.listener.url}/events/fhir`,
    payload: 'application/fhir+json',
    _payload: { extension: [{ url: `${guide}/backport-payload-content`, valueCode: payload }] },
    header: ['Authorization: Bearer the-secret'],
    ...(heartbeat === undefined
      ? {}
      : { extension: [{ url: `${guide}/backport-heartbeat-period`, valueUnsignedInt: heartbeat }] }),
  },
});
const study = (patient = 'patient-okafor') => ({
  resourceType: 'ImagingStudy',
  status: 'available',
  subject: { reference: `Patient/${patient}` },
});

type Parameter = {
  name: string;
  valueCode?: string;
  valueString?: string;
  valueReference?: { reference: string };
  part?: Parameter[];
};
type Bundle = {
  type: string;
  entry: {
    fullUrl: string;
    resource?: { resourceType: string; id: string; parameter?: Parameter[] };
    request: { method: string; url: string };
  }[];
};
const bundleOf = (heard: Heard) => heard.body as Bundle;
const parameter = (heard: Heard, name: string) =>
  bundleOf(heard).entry[0]!.resource!.parameter!.find((one) => one.name === name);
const typeOf = (heard: Heard) => parameter(heard, 'type')?.valueCode;
const counted = (heard: Heard) => parameter(heard, 'events-since-subscription-start')?.valueString;
const ofType = (type: string) => hospital.listener.heard.filter((heard) => typeOf(heard) === type);
const statusOf = async (id: string) => (await call('GET', `/Subscription/${id}`)).body.status;

async function activeSubscription(options?: Options): Promise<string> {
  const { body } = await call('POST', '/Subscription', subscription(options));
  await until(async () => ((await statusOf(body.id!)) === 'active' ? true : undefined));
  return body.id!;
}

describe('a subscription', () => {
  test('becomes active after a handshake that the subscriber accepts, with the headers it asked for', async () => {
    const id = await activeSubscription();
    const [handshake] = hospital.listener.heard;
    expect(handshake!.headers).toMatchObject({
      authorization: 'Bearer the-secret',
      'content-type': 'application/fhir+json',
    });
    expect(bundleOf(handshake!).type).toBe('history');
    expect([typeOf(handshake!), counted(handshake!)]).toEqual(['handshake', '0']);
    expect(parameter(handshake!, 'subscription')!.valueReference!.reference).toBe(
      `${hospital.fhir}/Subscription/${id}`,
    );
  });

  test('hears of each study once, with a number, in the order of their writing', async () => {
    await activeSubscription();
    const ids: string[] = [];
    for (let round = 0; round < 3; round += 1) ids.push((await call('POST', '/ImagingStudy', study())).body.id!);
    await until(() => (ofType('event-notification').length === 3 ? true : undefined));
    const events = ofType('event-notification');
    expect(events.map(counted)).toEqual(['1', '2', '3']);
    expect(events.map((heard) => bundleOf(heard).entry[1]!.fullUrl)).toEqual(
      ids.map((id) => `${hospital.fhir}/ImagingStudy/${id}`),
    );
    const parts = parameter(events[1]!, 'notification-event')!.part!;
    expect(parts.find(({ name }) => name === 'event-number')!.valueString).toBe('2');
    expect(parts.find(({ name }) => name === 'focus')!.valueReference!.reference).toBe(
      `${hospital.fhir}/ImagingStudy/${ids[1]}`,
    );
    // id-only: where the study is, not what it says.
    expect(bundleOf(events[0]!).entry[1]!.resource).toBeUndefined();
  });

  test('hears of a change as it heard of the creation', async () => {
    await activeSubscription();
    const { body } = await call('POST', '/ImagingStudy', study());
    await call('PUT', `/ImagingStudy/${body.id}`, { ...study(), id: body.id, description: 'Lumbar spine' });
    await until(() => (ofType('event-notification').length === 2 ? true : undefined));
    expect(ofType('event-notification').map((heard) => bundleOf(heard).entry[1]!.request.method)).toEqual([
      'POST',
      'PUT',
    ]);
  });

  test('gets the whole resource or nothing of it, as it asked', async () => {
    await activeSubscription({ payload: 'full-resource' });
    await activeSubscription({ payload: 'empty' });
    const { body } = await call('POST', '/ImagingStudy', study());
    await until(() => (ofType('event-notification').length === 2 ? true : undefined));
    const byLength = ofType('event-notification').toSorted(
      (one, other) => bundleOf(one).entry.length - bundleOf(other).entry.length,
    );
    expect(bundleOf(byLength[0]!).entry).toHaveLength(1);
    expect(JSON.stringify(byLength[0]!.body)).not.toContain(body.id!);
    expect(bundleOf(byLength[1]!).entry[1]!.resource).toMatchObject({ resourceType: 'ImagingStudy', id: body.id });
  });

  test('hears only what its filter lets through', async () => {
    await activeSubscription({ filter: 'ImagingStudy?patient=Patient/patient-brandt' });
    await call('POST', '/ImagingStudy', study('patient-okafor'));
    const { body } = await call('POST', '/ImagingStudy', study('patient-brandt'));
    await until(() => (ofType('event-notification').length > 0 ? true : undefined));
    expect(ofType('event-notification').map((heard) => [counted(heard), bundleOf(heard).entry[1]!.fullUrl])).toEqual([
      ['1', `${hospital.fhir}/ImagingStudy/${body.id}`],
    ]);
  });

  test('hears nothing of a transaction that failed', async () => {
    const id = await activeSubscription();
    const entry = [study(), { ...study(), status: 'nonsense' }].map((resource) => ({
      resource,
      request: { method: 'POST', url: 'ImagingStudy' },
    }));
    expect((await call('POST', '', { resourceType: 'Bundle', type: 'transaction', entry })).status).toBe(422);
    const { body } = await call('GET', `/Subscription/${id}/$status`);
    expect(
      (body.entry![0]!.resource as unknown as { parameter: Parameter[] }).parameter.find(
        ({ name }) => name === 'events-since-subscription-start',
      )!.valueString,
    ).toBe('0');
  });

  test('is told again what it did not accept at first', async () => {
    const id = await activeSubscription();
    let refusals = 2;
    hospital.listener.answerWith(() => ({ status: refusals-- > 0 ? 503 : 200 }));
    await call('POST', '/ImagingStudy', study());
    await until(() => (ofType('event-notification').length === 3 ? true : undefined));
    expect(new Set(ofType('event-notification').map(counted))).toEqual(new Set(['1']));
    expect(await statusOf(id)).toBe('active');
  });

  test('that never accepts ends in error, still counts, can be asked, and can begin again', async () => {
    const id = await activeSubscription();
    hospital.listener.answerWith(() => ({ status: 500 }));
    await call('POST', '/ImagingStudy', study());
    await until(async () => ((await statusOf(id)) === 'error' ? true : undefined));
    expect((await call('GET', `/Subscription/${id}`)).body.error).toBe(
      'event-notification could not be delivered: HTTP 500',
    );

    hospital.listener.answerWith(() => ({ status: 200 }));
    const missed = await call('POST', '/ImagingStudy', study());
    const events = await call('GET', `/Subscription/${id}/$events?eventsSinceNumber=2`);
    expect(JSON.stringify(events.body)).toContain(`ImagingStudy/${missed.body.id}`);

    await call('PUT', `/Subscription/${id}`, { ...subscription(), id });
    await until(async () => ((await statusOf(id)) === 'active' ? true : undefined));
    // The handshake says how many there have been: the subscriber sees that it missed some.
    expect(ofType('handshake').map(counted)).toEqual(['0', '2']);
  });

  test('that cannot be reached at the beginning is in error', async () => {
    hospital.listener.answerWith(() => ({ status: 404 }));
    const { body } = await call('POST', '/Subscription', subscription());
    await until(async () => ((await statusOf(body.id!)) === 'error' ? true : undefined));
    expect(ofType('handshake')).toHaveLength(3);
  });

  test('hears a heartbeat while nothing happens', async () => {
    await activeSubscription({ heartbeat: 1 });
    await until(() => (ofType('heartbeat').length > 0 ? true : undefined));
    expect(counted(ofType('heartbeat')[0]!)).toBe('0');
  });

  test.each([
    ['to a topic that does not exist', { topic: 'http://hospital.example/topics/weather' }],
    ['that would send charts elsewhere', { endpoint: 'https://elsewhere.example/hook' }],
    ['that would read a file', { endpoint: 'file:///etc/passwd' }],
    ['with a filter of another type', { filter: 'Observation?status=final' }],
  ])('%s is refused', async (_, options) => {
    expect((await call('POST', '/Subscription', subscription(options))).status).toBe(422);
  });
});

test('a film that arrives is heard of with what is needed to find it', async () => {
  await activeSubscription({ payload: 'full-resource' });
  const { body } = await json(`${hospital.url}/ehr/api/films`, { patient: 'patient-okafor', film: 'normal' });
  await until(() => (ofType('event-notification').length > 0 ? true : undefined));
  expect(bundleOf(ofType('event-notification')[0]!).entry[1]!.resource).toMatchObject({
    resourceType: 'ImagingStudy',
    identifier: [
      { system: 'urn:dicom:uid', value: `urn:oid:${String(body['studyUid'])}` },
      { value: body['accession'] },
    ],
    subject: { reference: 'Patient/patient-okafor' },
  });
});
