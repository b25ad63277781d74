/** The addresses of the CDS service, called as an EHR calls them, over a real database. */
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CdsResponse, DiscoveredService } from '../../src/cds/wire.ts';
import { WetreadError } from '../../src/domain/errors.ts';
import { silentLogger, type LogFields, type Logger } from '../../src/domain/log.ts';
import { defineHook } from '../../src/kit/hook.ts';
import { cdsClient } from '../support/cds-client.ts';
import { cdsService, type CdsService } from '../support/cds-service.ts';
import { testDatabase } from '../support/postgres.ts';
import { newPatient, read, slip } from '../support/sample-readings.ts';

const patientView = '/cds-services/wetread-patient-view';
let service: CdsService;
const logged: (string | LogFields)[] = [];

const hooks = [
  {
    id: 'needs-patient',
    hook: defineHook(
      { hook: 'patient-view', title: 'T', description: 'D', prefetch: { patient: 'Patient/{{context.patientId}}' } },
      () => [],
    ),
  },
  {
    id: 'breaks',
    hook: defineHook({ hook: 'patient-view', title: 'T', description: 'D' }, () => {
      throw new Error('a secret detail of the inside');
    }),
  },
  {
    id: 'breaks-a-limit',
    hook: defineHook({ hook: 'patient-view', title: 'T', description: 'D' }, ({ card }) => [
      card({ about: { state: 'x' }, summary: 'x', indicator: 'info', source: { label: 'x' } }),
    ]),
  },
];

beforeAll(async () => {
  service = await cdsService({ origins: ['https://ehr.example'] });
});
afterAll(() => service.close());

const body = (patientId: string, more: Readonly<Record<string, unknown>> = {}) => ({
  hook: 'patient-view',
  hookInstance: randomUUID(),
  context: { userId: 'Practitioner/example', patientId },
  prefetch: { patient: null },
  ...more,
});

describe('discovery', () => {
  it('lists every hook with what it needs, to anybody', async () => {
    const { status, body: found } = await service.send('/cds-services', { token: null });
    expect(status).toBe(200);
    expect((found as { services: DiscoveredService[] }).services).toContainEqual({
      id: 'wetread-patient-view',
      hook: 'patient-view',
      title: expect.any(String),
      description: expect.any(String),
      prefetch: expect.objectContaining({ patient: 'Patient/{{context.patientId}}' }),
    });
  });

  it('checks a token that is sent', async () => {
    expect((await service.send('/cds-services')).status).toBe(200);
    expect((await service.send('/cds-services', { changes: { claims: { aud: service.url } } })).status).toBe(401);
  });
});

describe('a call', () => {
  it('is answered with the cards of the patient, and not cached', async () => {
    const patient = newPatient();
    const reading = await read(service.store, patient, [slip('L4/L5', 18)]);
    const { status, headers, body: answer } = await service.post(patientView, body(patient));
    expect(status).toBe(200);
    expect(headers.get('cache-control')).toBe('no-store');
    expect((answer as CdsResponse).cards).toMatchObject([
      {
        summary: 'AI suggestion, not yet reviewed: Suspected L4/L5 anterolisthesis, grade I (18 %, 95 % 14 to 22)',
        indicator: 'info',
        links: [
          {
            type: 'smart',
            label: 'Open the film at L4/L5',
            url: `${service.url}/app/launch`,
            appContext: JSON.stringify({ finding: reading.findings[0]!.id }),
          },
        ],
      },
    ]);
  });

  it('may carry what a later version of the specification adds', async () => {
    const more = { hookVersion: '3.0', extension: { 'com.example': true } };
    expect((await service.post(patientView, body(newPatient(), more))).status).toBe(200);
  });

  it('without a token is refused with the way to do better', async () => {
    const { status, headers, body: answer } = await service.post(patientView, body('1'), { token: null });
    expect(status).toBe(401);
    expect(headers.get('www-authenticate')).toBe('Bearer');
    expect(answer).toEqual({
      code: 'request.unauthenticated',
      message: expect.any(String),
      next: 'Send a valid bearer token.',
    });
  });

  it.each([
    ['for the base address', () => service.url],
    ['for discovery', () => `${service.url}/cds-services`],
    ['for the feedback address', () => `${service.url}${patientView}/feedback`],
    ['for the same path elsewhere', () => `https://other.example${patientView}`],
  ])('with a token %s is refused', async (_, aud) => {
    const { status, body: answer } = await service.post(patientView, body('1'), {
      changes: { claims: { aud: aud() } },
    });
    expect(status).toBe(401);
    expect(answer).toMatchObject({ code: 'cds.token-invalid', detail: 'aud: is not the address that was called' });
  });

  it('with a token that was used is refused', async () => {
    const token = await service.client.token(`${service.url}${patientView}`);
    expect((await service.post(patientView, body(newPatient()), { token })).status).toBe(200);
    const again = await service.post(patientView, body(newPatient()), { token });
    expect(again.status).toBe(401);
    expect(again.body).toMatchObject({ code: 'cds.token-invalid', detail: 'jti: used before' });
  });

  it('from a client nobody registered is refused', async () => {
    const stranger = await cdsClient();
    const token = await stranger.token(`${service.url}${patientView}`);
    const { status, body: answer } = await service.post(patientView, body('1'), { token });
    expect(status).toBe(401);
    expect(answer).toMatchObject({ code: 'cds.client-not-trusted' });
    await stranger.close();
  });

  it('of an unknown service is 404, and by the wrong method 405', async () => {
    const unknown = await service.post('/cds-services/no-such', body('1'));
    expect(unknown.status).toBe(404);
    expect(unknown.body).toMatchObject({ code: 'cds.unknown-service' });
    const wrong = await service.send(patientView);
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get('allow')).toBe('POST');
  });

  it.each<[string, unknown, string]>([
    ['no JSON', '{"hook":', 'the body is not JSON'],
    ['nothing', '', 'hook'],
    ['a list', [], 'body'],
    ['another hook', body('1', { hook: 'order-sign' }), 'hook: this service answers patient-view'],
    ['no hookInstance', body('1', { hookInstance: undefined }), 'hookInstance'],
    ['a hookInstance that is no UUID', body('1', { hookInstance: 'x' }), 'hookInstance'],
    ['no patient', body('1', { context: { userId: 'Practitioner/1' } }), 'context.patientId'],
    [
      'a patient id that is none',
      body('1', { context: { userId: 'Practitioner/1', patientId: '../2' } }),
      'context.patientId',
    ],
    ['a user that is no reference', body('1', { context: { userId: 'me', patientId: '1' } }), 'context.userId'],
    ['a prefetch that is no resource', body('1', { prefetch: { patient: 7 } }), 'prefetch.patient'],
    [
      "somebody else's prefetch",
      body('1', { prefetch: { patient: { resourceType: 'Patient', id: '2' } } }),
      'prefetch.patient',
    ],
    [
      'a token for no FHIR server',
      body('1', {
        fhirAuthorization: { access_token: 'a', token_type: 'Bearer', expires_in: 1, scope: 's', subject: 's' },
      }),
      'fhirServer',
    ],
    ['a FHIR server that is not http', body('1', { fhirServer: 'file:///etc/passwd' }), 'fhirServer'],
  ])('with %s is malformed, and the answer names the field', async (_, sent, field) => {
    const { status, body: answer } = await service.post(patientView, sent);
    expect(status).toBe(400);
    expect(answer).toMatchObject({ code: 'request.malformed', detail: expect.stringContaining(field) });
  });

  it('of 2 MB is too large', async () => {
    const { status, body: answer } = await service.post(
      patientView,
      body('1', { extension: 'x'.repeat(2 * 1024 * 1024) }),
    );
    expect(status).toBe(413);
    expect(answer).toMatchObject({ code: 'request.too-large' });
  });

  it('of 2 MB without a token is refused before it is read', async () => {
    const sent = body('1', { extension: 'x'.repeat(2 * 1024 * 1024) });
    expect((await service.post(patientView, sent, { token: null })).status).toBe(401);
  });
});

describe('a browser', () => {
  const preflight = (origin: string) =>
    service.send(patientView, {
      method: 'OPTIONS',
      token: null,
      headers: { origin, 'access-control-request-method': 'POST' },
    });

  it('may call from a listed origin', async () => {
    const { status, headers } = await preflight('https://ehr.example');
    expect(status).toBe(204);
    expect(headers.get('access-control-allow-origin')).toBe('https://ehr.example');
    expect(headers.get('access-control-allow-headers')).toContain('Authorization');
    const answer = await service.post(patientView, body(newPatient()), {
      headers: { 'content-type': 'application/json', origin: 'https://ehr.example' },
    });
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://ehr.example');
  });

  it.each(['https://evil.example', 'https://ehr.example.evil.example', 'null'])(
    'may not call from %s',
    async (origin) => {
      const { headers } = await preflight(origin);
      expect(headers.get('access-control-allow-origin')).toBeNull();
      expect(headers.get('vary')).toContain('Origin');
    },
  );
});

describe('feedback', () => {
  const feedbackOn = (card: string, more: Readonly<Record<string, unknown>> = {}) => ({
    feedback: [{ card, outcome: 'overridden', outcomeTimestamp: new Date().toISOString(), ...more }],
  });
  const servedCard = async () => {
    const patient = newPatient();
    // Two films, for each has one card whatever is seen on it.
    for (const finding of [slip('L4/L5', 18), slip('L3/L4', 12)]) await read(service.store, patient, [finding]);
    const [first, second] = await service.cards('wetread-patient-view', { patientId: patient });
    return { patient, first: first!.uuid, second: second!.uuid };
  };

  it('of an overridden card takes that card away for this patient and service, and no other', async () => {
    const { patient, first, second } = await servedCard();
    const why = { overrideReason: { reason: { code: 'known' }, userComment: 'seen last year' } };
    const { status, body: answer } = await service.post(`${patientView}/feedback`, feedbackOn(first, why));
    expect([status, answer]).toEqual([200, undefined]);
    expect((await service.cards('wetread-patient-view', { patientId: patient })).map(({ uuid }) => uuid)).toEqual([
      second,
    ]);
  });

  it('that is repeated changes nothing and is answered like the first', async () => {
    const { patient, first, second } = await servedCard();
    const same = feedbackOn(first);
    for (let i = 0; i < 3; i += 1) expect((await service.post(`${patientView}/feedback`, same)).status).toBe(200);
    expect((await service.cards('wetread-patient-view', { patientId: patient })).map(({ uuid }) => uuid)).toEqual([
      second,
    ]);
  });

  it('of an accepted card leaves it where it is', async () => {
    const { patient, first } = await servedCard();
    await service.post(`${patientView}/feedback`, feedbackOn(first, { outcome: 'accepted', acceptedSuggestions: [] }));
    expect(await service.cards('wetread-patient-view', { patientId: patient })).toHaveLength(2);
  });

  it('on a card that was never served, or by another service, is 404; what is known is kept', async () => {
    const { patient, first, second } = await servedCard();
    const both = { feedback: [...feedbackOn(first).feedback, ...feedbackOn(randomUUID()).feedback] };
    expect((await service.post(`${patientView}/feedback`, both)).status).toBe(404);
    expect((await service.post('/cds-services/wetread-order-sign/feedback', feedbackOn(second))).status).toBe(404);
    expect((await service.cards('wetread-patient-view', { patientId: patient })).map(({ uuid }) => uuid)).toEqual([
      second,
    ]);
  });

  it.each<[string, unknown]>([
    ['nothing', {}],
    ['an empty list', { feedback: [] }],
    ['an unknown outcome', feedbackOn(randomUUID(), { outcome: 'ignored' })],
    ['a card that is no UUID', feedbackOn('x')],
    ['no time', feedbackOn(randomUUID(), { outcomeTimestamp: 'yesterday' })],
  ])('with %s is malformed', async (_, sent) => {
    expect((await service.post(`${patientView}/feedback`, sent)).status).toBe(400);
  });

  it('needs a token for its own address', async () => {
    const { first } = await servedCard();
    const changes = { claims: { aud: `${service.url}${patientView}` } };
    expect((await service.post(`${patientView}/feedback`, feedbackOn(first), { changes })).status).toBe(401);
  });
});

describe('a hook', () => {
  let strange: CdsService;
  const write = (message: string, fields: LogFields = {}) => void logged.push(message, fields);
  const logger: Logger = { debug: write, info: write, warn: write, error: write, with: () => logger };
  const answers: unknown[] = [];
  beforeAll(async () => {
    strange = await cdsService({ hooks, logger, metrics: { answered: (answer) => void answers.push(answer) } });
  });
  afterAll(() => strange.close());

  it('that lacks data it needs is answered with 412', async () => {
    const { status, body: answer } = await strange.post('/cds-services/needs-patient', body('1', { prefetch: {} }));
    expect(status).toBe(412);
    expect(answer).toMatchObject({
      code: 'cds.prefetch-unavailable',
      detail: 'patient: not sent, and there is no fhirServer',
    });
  });

  it('that is told there is no such data is asked', async () => {
    expect((await strange.post('/cds-services/needs-patient', body('1'))).status).toBe(200);
  });

  it('sends no token to a FHIR server that is not registered, and does not log it', async () => {
    const request = body('1', {
      prefetch: undefined,
      fhirServer: 'http://169.254.169.254/latest/meta-data',
      fhirAuthorization: {
        access_token: 'the-secret-token',
        token_type: 'Bearer',
        expires_in: 1,
        scope: 's',
        subject: 's',
      },
    });
    expect((await strange.post('/cds-services/needs-patient', request)).status).toBe(412);
    expect(logged).toContain('fhirServer refused');
    expect(JSON.stringify(logged)).not.toContain('the-secret-token');
  });

  it.each(['breaks', 'breaks-a-limit'])(
    'that %s is answered with 500 and nothing from the inside, never with no cards',
    async (id) => {
      const { status, body: answer } = await strange.post(`/cds-services/${id}`, body('1'));
      expect(status).toBe(500);
      expect(answer).toEqual({ code: 'internal.unexpected', message: expect.any(String), next: expect.any(String) });
    },
  );

  it('is counted with its status', () => {
    expect(answers).toContainEqual({ service: 'needs-patient', status: 412, seconds: expect.any(Number), cards: 0 });
    expect(answers).toContainEqual({ service: 'breaks', status: 500, seconds: expect.any(Number), cards: 0 });
  });
});

describe('the audit', () => {
  it('names who saw which findings of whom', async () => {
    const databaseUrl = await testDatabase();
    const own = await cdsService({}, databaseUrl);
    const patient = newPatient();
    const reading = await read(own.store, patient, [slip('L4/L5', 18)]);
    const [card] = await own.cards('wetread-patient-view', { patientId: patient });
    await own.drain();
    const database = new Client({ connectionString: databaseUrl });
    await database.connect();
    const { rows } = await database.query('select action, actor, patient_id, subject from wetread.audit');
    await database.end();
    expect(rows).toEqual([
      {
        action: 'card-served',
        actor: `${own.client.issuer} Practitioner/example`,
        patient_id: patient,
        subject: `card/${card!.uuid} finding/${reading.findings[0]!.id}`,
      },
    ]);
    await own.close();
  });

  it('that fails is an error in the log, and the clinician still gets the cards', async () => {
    const lines: string[] = [];
    const logger: Logger = { ...silentLogger, error: (message) => void lines.push(message), with: () => logger };
    const failing = { record: () => Promise.reject(new WetreadError('store.unreachable')) };
    const own = await cdsService({
      logger,
      ports: {
        readings: service.store.readings,
        studies: service.store.register,
        orders: service.store.orders,
        feedback: service.store.feedback,
        audit: failing,
      },
    });
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)]);
    expect(await own.cards('wetread-patient-view', { patientId: patient })).toHaveLength(1);
    await own.drain();
    expect(lines).toEqual(['audit failed']);
    await own.close();
  });
});
