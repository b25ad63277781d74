/** Subscriptions against a real FHIR server for what is stored and searched; notifications are sent as the backport guide writes them. */
import type { Bundle, ImagingStudy, Parameters, ParametersParameter } from 'fhir/r4.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WetreadError } from '../../src/domain/errors.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { imagingStudies } from '../../src/events/chart-topics.ts';
import { fhirSubscriptionSource, type FhirSubscriptionSource } from '../../src/events/fhir-subscription.ts';
import { fhirClient } from '../../src/fhir/client.ts';
import { testFhirServer, type TestFhirServer } from '../support/fhir-server.ts';
import { cursorsInMemory, register, serving, until } from './announcements.ts';

const topic = 'http://hospital.example/topics/imaging-study';
const secret = 'subscription-secret-0123456789';
let chart: TestFhirServer;
let studies: ReturnType<typeof register>;
let cursors: ReturnType<typeof cursorsInMemory>;
let source: FhirSubscriptionSource;
let service: Awaited<ReturnType<typeof serving>>;

async function openSource(port = 0): Promise<void> {
  // The address must be known before the source is made, as it is by configuration.
  const probe = await serving((await import('express')).Router(), port);
  await probe.close();
  source = fhirSubscriptionSource({
    client: fhirClient({ baseUrl: chart.baseUrl, timeoutMs: 30_000, logger: silentLogger, retries: 0 }),
    endpoint: `${probe.url}/events/fhir`,
    secret,
    topic,
    about: imagingStudies({ announce: studies.announce, logger: silentLogger }),
    cursors,
    logger: silentLogger,
  });
  service = await serving(source.router, probe.port);
}

beforeEach(async () => {
  chart = await testFhirServer();
  studies = register();
  cursors = cursorsInMemory();
  await openSource();
});
afterEach(async () => {
  await source.stop();
  await service.close();
  await chart.stop();
});

let made = 0;
const arrive = async (more: Partial<ImagingStudy> = {}) => {
  made += 1;
  return chart.put<ImagingStudy>({
    resourceType: 'ImagingStudy',
    status: 'available',
    subject: { reference: 'Patient/p1' },
    identifier: [
      { system: 'urn:dicom:uid', value: `urn:oid:1.2.840.${made}` },
      {
        type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] },
        value: `A${made}`,
      },
    ],
    ...more,
  });
};
const uidOf = (study: ImagingStudy) => study.identifier![0]!.value!.replace('urn:oid:', '');

function notification(
  type: string,
  since: number,
  events: { number: number; focus?: string }[] = [],
  resources: ImagingStudy[] = [],
): Bundle<Parameters | ImagingStudy> {
  const parameter: ParametersParameter[] = [
    { name: 'subscription', valueReference: { reference: `${chart.baseUrl}/Subscription/1` } },
    { name: 'topic', valueCanonical: topic },
    { name: 'status', valueCode: 'active' },
    { name: 'type', valueCode: type },
    { name: 'events-since-subscription-start', valueString: String(since) },
    ...events.map(({ number, focus }): ParametersParameter => ({
      name: 'notification-event',
      part: [
        { name: 'event-number', valueString: String(number) },
        ...(focus === undefined ? [] : [{ name: 'focus', valueReference: { reference: focus } }]),
      ],
    })),
  ];
  return {
    resourceType: 'Bundle',
    type: 'history',
    entry: [
      {
        resource: { resourceType: 'Parameters', parameter },
        request: { method: 'GET', url: 'Subscription/1/$status' },
      },
      ...resources.map((resource) => ({
        resource,
        request: { method: 'PUT' as const, url: `ImagingStudy/${resource.id}` },
      })),
    ],
  };
}
const send = (body: unknown, authorization = `Bearer ${secret}`) =>
  fetch(`${service.url}/events/fhir`, {
    method: 'POST',
    headers: { 'content-type': 'application/fhir+json', authorization },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const idOnly = (number: number, study: ImagingStudy) =>
  notification('event-notification', number, [{ number, focus: `${chart.baseUrl}/ImagingStudy/${study.id}` }]);
const parametersOf = (bundle: Bundle<Parameters | ImagingStudy>) =>
  (bundle.entry![0]!.resource as Parameters).parameter!;
const started = async () => {
  source.start();
  await until(async () => (await chart.all('Subscription')).length === 1);
  await until(() => source.state().kind === 'requested' && cursors.kept.size > 0);
};

describe('subscribing', () => {
  it('asks the chart for id-only notifications of the topic with the secret', async () => {
    await started();
    const [subscription] = await chart.all('Subscription');
    expect(subscription).toMatchObject({
      status: 'requested',
      criteria: topic,
      channel: {
        type: 'rest-hook',
        endpoint: `${service.url}/events/fhir`,
        payload: 'application/fhir+json',
        header: [`Authorization: Bearer ${secret}`],
      },
    });
    expect((subscription!.channel as { _payload?: unknown })._payload).toEqual({
      extension: [
        {
          url: 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content',
          valueCode: 'id-only',
        },
      ],
    });
  });

  it('takes its own subscription up again after a restart and leaves no second one', async () => {
    await started();
    const [before] = await chart.all('Subscription');
    await chart.put({ ...before!, id: 'spare' });
    await source.stop();
    await service.close();
    await openSource(service.port);
    source.start();
    await until(async () => (await chart.all('Subscription')).length === 1 && source.state().kind === 'requested');
    expect((await chart.all('Subscription'))[0]!.status).toBe('requested');
  });

  it('is active after the handshake', async () => {
    await started();
    expect((await send(notification('handshake', 0))).status).toBe(200);
    expect(source.state().kind).toBe('active');
  });

  it('keeps trying while the chart is down and catches up when it is there', async () => {
    cursors.kept.set('fhir-subscription', new Date(Date.now() - 60_000).toISOString());
    const study = await arrive();
    await chart.stop();
    source.start();
    await until(() => source.state().kind === 'failing');
    expect(source.state().error).toBe('chart.unreachable');
    await chart.start();
    await until(() => studies.events.length === 1);
    expect(studies.events[0]!.studyUid).toBe(uidOf(study));
  });
});

describe('notifications', () => {
  it('id-only: the study is read from the configured server and announced with patient and accession', async () => {
    const study = await arrive();
    expect((await send(idOnly(1, study))).status).toBe(200);
    expect(studies.events).toEqual([
      {
        source: 'fhir-subscription',
        studyUid: uidOf(study),
        reason: 'study-arrived',
        priority: 'routine',
        patientId: 'p1',
        accession: `A${made}`,
      },
    ]);
    expect(source.state()).toMatchObject({ kind: 'active', eventsHeard: 1 });
  });

  it('full-resource: only the name is taken from the bundle, the study is read from the server', async () => {
    const study = await arrive();
    const forged = { ...study, identifier: [{ system: 'urn:dicom:uid', value: 'urn:oid:6.6.6' }] };
    expect((await send(notification('event-notification', 1, [{ number: 1 }], [forged]))).status).toBe(200);
    expect(studies.events.map(({ studyUid }) => studyUid)).toEqual([uidOf(study)]);
  });

  it('empty: the study is searched for before the answer', async () => {
    await started();
    const study = await arrive();
    expect((await send(notification('event-notification', 1, [{ number: 1 }]))).status).toBe(200);
    expect(studies.events.map(({ studyUid }) => studyUid)).toEqual([uidOf(study)]);
  });

  it('with the number of pictures that the chart counts', async () => {
    await send(idOnly(1, await arrive({ numberOfInstances: 3 })));
    expect(studies.events[0]!.instanceCount).toBe(3);
  });

  it('in the R4B form, which some servers send', async () => {
    const study = await arrive();
    const body = {
      resourceType: 'Bundle',
      type: 'subscription-notification',
      entry: [
        {
          resource: {
            resourceType: 'SubscriptionStatus',
            type: 'event-notification',
            eventsSinceSubscriptionStart: '1',
            topic,
            notificationEvent: [{ eventNumber: '1', focus: { reference: `ImagingStudy/${study.id}` } }],
          },
        },
      ],
    };
    expect((await send(body)).status).toBe(200);
    expect(studies.events).toHaveLength(1);
  });

  it('a repeated one changes nothing', async () => {
    const study = await arrive();
    await send(idOnly(1, study));
    expect((await send(idOnly(1, study))).status).toBe(200);
    expect(studies.events).toHaveLength(1);
    expect(source.state().gapsFilled).toBe(0);
  });

  it('a study that is only registered, withdrawn, deleted or without a UID is not read', async () => {
    const left = [
      await arrive({ status: 'registered' }),
      await arrive({ status: 'entered-in-error' }),
      await arrive({ identifier: [{ value: 'X' }] }),
      { ...(await arrive()), id: 'gone' },
    ];
    for (const [index, study] of left.entries()) expect((await send(idOnly(index + 1, study))).status).toBe(200);
    expect(studies.calls).toEqual([]);
  });

  it('never calls an address that a notification names', async () => {
    const elsewhere = await testFhirServer();
    try {
      await elsewhere.put({
        resourceType: 'ImagingStudy',
        id: 'theirs',
        status: 'available',
        subject: { reference: 'Patient/x' },
        identifier: [{ system: 'urn:dicom:uid', value: 'urn:oid:9.9' }],
      });
      expect(
        (
          await send(
            notification('event-notification', 1, [{ number: 1, focus: `${elsewhere.baseUrl}/ImagingStudy/theirs` }]),
          )
        ).status,
      ).toBe(200);
      expect(elsewhere.requests).toEqual([]);
      expect(studies.calls).toEqual([]);
    } finally {
      await elsewhere.stop();
    }
  });

  it('a patient of another server is not taken for ours', async () => {
    const study = await arrive({ subject: { reference: 'https://elsewhere.example/fhir/Patient/p1' } });
    await send(idOnly(1, study));
    expect(studies.events[0]).not.toHaveProperty('patientId');
  });
});

describe('what must not be lost', () => {
  it('a missing event number makes it search for what it did not hear of', async () => {
    await started();
    await send(notification('handshake', 0));
    const [first, lost, third] = [await arrive(), await arrive(), await arrive()];
    await send(idOnly(1, first));
    await send(idOnly(3, third));
    await until(() => studies.events.length === 3);
    expect(studies.events.map(({ studyUid }) => studyUid)).toContain(uidOf(lost));
  });

  it('a heartbeat with a higher count than was heard does so too', async () => {
    await started();
    await send(notification('handshake', 0));
    const lost = await arrive();
    await send(notification('heartbeat', 1));
    await until(() => studies.events.length === 1);
    expect(studies.events[0]!.studyUid).toBe(uidOf(lost));
  });

  it('what arrived while the service was down is found at the next start, by a cursor that survives', async () => {
    await started();
    await send(notification('handshake', 0));
    await send(idOnly(1, await arrive()));
    await source.stop();
    await service.close();
    const missed = await arrive();
    await openSource(service.port);
    source.start();
    await until(() => studies.events.length === 2);
    expect(studies.events[1]!.studyUid).toBe(uidOf(missed));
  });

  it('what is older than the cursor is not searched for again', async () => {
    const old = await arrive();
    const later = new Date(Date.parse(old.meta!.lastUpdated!) + 3_600_000).toISOString();
    cursors.kept.set('fhir-subscription', later);
    source.start();
    await until(() => source.state().kind === 'requested');
    await send(notification('event-notification', 1, [{ number: 1 }]));
    expect(studies.calls).toEqual([]);
  });

  it('nothing is acknowledged that could not be remembered', async () => {
    const study = await arrive();
    studies.failWith(new WetreadError('store.unreachable'));
    expect((await send(idOnly(1, study))).status).toBe(503);
    studies.failWith(undefined);
    expect((await send(idOnly(1, study))).status).toBe(200);
    expect(studies.events).toHaveLength(1);
  });

  it('nothing is acknowledged while the study cannot be read from the chart', async () => {
    const study = await arrive();
    await chart.stop();
    expect((await send(idOnly(1, study))).status).toBe(502);
    await chart.start();
    expect((await send(idOnly(1, study))).status).toBe(200);
  });
});

describe('a subscription that the server gave up', () => {
  const withStatus = (bundle: ReturnType<typeof notification>, status: string) => {
    parametersOf(bundle).find(({ name }) => name === 'status')!.valueCode = status;
    return bundle;
  };
  const versionOf = async () => (await chart.all('Subscription'))[0]!.meta!.versionId;

  it.each(['error', 'off'])('is asked for again when a notification says %s', async (status) => {
    await started();
    await send(notification('handshake', 0));
    const before = await versionOf();
    expect((await send(withStatus(notification('heartbeat', 0), status))).status).toBe(200);
    expect(source.state().kind).toBe('requested');
    await until(async () => (await versionOf()) !== before);
    expect((await chart.all('Subscription'))[0]!.status).toBe('requested');
    await send(notification('handshake', 0));
    expect(source.state().kind).toBe('active');
  });

  it('still delivers what the notification tells of', async () => {
    await started();
    const study = await arrive();
    expect((await send(withStatus(idOnly(1, study), 'error'))).status).toBe(200);
    expect(studies.events.map(({ studyUid }) => studyUid)).toEqual([uidOf(study)]);
  });
});

describe('what must not get in', () => {
  it('without the secret nothing is heard', async () => {
    const study = await arrive();
    for (const authorization of ['', 'Bearer nonsense', `Basic ${secret}`])
      expect((await send(idOnly(1, study), authorization)).status).toBe(401);
    expect(studies.calls).toEqual([]);
    expect(source.state().kind).toBe('off');
  });

  it('malformed bundles are refused and change nothing', async () => {
    const noType = notification('handshake', 0);
    parametersOf(noType).splice(3, 1);
    const badNumber = notification('event-notification', 1, [{ number: 1 }]);
    parametersOf(badNumber)[4]!.valueString = 'many';
    const otherTopic = notification('handshake', 0);
    parametersOf(otherTopic)[1]!.valueCanonical = 'http://hospital.example/topics/other';
    for (const body of [
      '{',
      '[]',
      {},
      { resourceType: 'Bundle' },
      { resourceType: 'Bundle', entry: [] },
      { resourceType: 'Bundle', entry: [{}] },
      noType,
      badNumber,
      otherTopic,
    ]) {
      const response = await send(body);
      expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([400, 'request.malformed']);
    }
    expect(studies.calls).toEqual([]);
    expect(source.state().kind).toBe('off');
  });
});
