/** Prefetch: as sent, else fetched where we may, else 412. Against a real FHIR-speaking server on the loopback. */
import type { Bundle, OperationOutcome, Patient } from 'fhir/r4.d.ts';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fillPrefetch, fhirLimits, type FhirLimits } from '../../src/cds/prefetch.ts';
import { faultOfTemplate, filledIn } from '../../src/cds/prefetch-template.ts';
import type { CdsRequest } from '../../src/cds/wire.ts';
import { WetreadError } from '../../src/domain/errors.ts';
import { silentLogger, type LogFields, type Logger } from '../../src/domain/log.ts';
import { defineHook, ifAvailable } from '../../src/kit/hook.ts';
import { loopbackServer, type LoopbackServer } from '../support/cds-client.ts';

const patient: Patient = { resourceType: 'Patient', id: '7', gender: 'female' };
const failure: OperationOutcome = {
  resourceType: 'OperationOutcome',
  issue: [{ severity: 'error', code: 'security' }],
};

type Answers = Record<string, (request: IncomingMessage, response: ServerResponse) => void>;
let answers: Answers = {};
let calls: { url: string; authorization: string | undefined }[] = [];
let fhir: LoopbackServer;
let elsewhere: LoopbackServer;
let visited = 0;

beforeAll(async () => {
  fhir = await loopbackServer((request, response) => {
    calls.push({ url: request.url ?? '', authorization: request.headers.authorization });
    const answer = answers[request.url ?? ''];
    if (answer === undefined) return void response.writeHead(404).end('{}');
    answer(request, response);
  });
  elsewhere = await loopbackServer((_request, response) => {
    visited += 1;
    response.end(JSON.stringify({ resourceType: 'Bundle', type: 'searchset' }));
  });
});
afterEach(() => {
  answers = {};
  calls = [];
  visited = 0;
});
afterAll(() => Promise.all([fhir.close(), elsewhere.close()]));

const json =
  (body: unknown, status = 200) =>
  (_request: IncomingMessage, response: ServerResponse) =>
    void response.writeHead(status, { 'content-type': 'application/fhir+json' }).end(JSON.stringify(body));

const bundle = (ids: readonly string[], next?: string): Bundle => ({
  resourceType: 'Bundle',
  type: 'searchset',
  ...(next === undefined ? {} : { link: [{ relation: 'next', url: next }] }),
  entry: ids.map((id) => ({ resource: { resourceType: 'ImagingStudy', id, status: 'available', subject: {} } })),
});

const needing = (query: string) =>
  defineHook({ hook: 'patient-view', title: 'x', description: 'x', prefetch: { data: query } }, () => []);

const request = (fields: Partial<CdsRequest> = {}): CdsRequest => ({
  hook: 'patient-view',
  hookInstance: randomUUID(),
  context: { userId: 'Practitioner/12', patientId: '7' },
  ...fields,
});

const withServer = (fields: Partial<CdsRequest> = {}): CdsRequest =>
  request({
    fhirServer: `${fhir.url}/fhir`,
    fhirAuthorization: {
      access_token: 'the-secret-token',
      token_type: 'Bearer',
      expires_in: 300,
      scope: 'user/*.read',
      subject: 'wetread',
    },
    ...fields,
  });

const client = () => ({ name: 'https://ehr.example', fhirServers: [`${fhir.url}/fhir/`] });

const filled = (
  hook = needing('Patient/{{context.patientId}}'),
  asked = request(),
  limits: Partial<FhirLimits> = {},
  logger: Logger = silentLogger,
) => fillPrefetch(hook, asked, client(), { fetch: globalThis.fetch, limits: { ...fhirLimits, ...limits }, logger });

async function unavailable(filling: Promise<unknown>): Promise<string> {
  const error = await filling.then(
    (value) => new Error(`not refused: ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof WetreadError) || error.code !== 'cds.prefetch-unavailable') throw error;
  return error.detail ?? '';
}

describe('prefetch that was sent', () => {
  it('is used as it is, and nothing is fetched', async () => {
    expect(await filled(undefined, withServer({ prefetch: { data: patient } }))).toEqual({ data: patient });
    expect(calls).toEqual([]);
  });

  it('as null means that there is no such data: it is not fetched', async () => {
    expect(await filled(undefined, withServer({ prefetch: { data: null } }))).toEqual({ data: null });
    expect(calls).toEqual([]);
  });

  it('as an OperationOutcome, alone or in a bundle, is fetched anew', async () => {
    answers['/fhir/ImagingStudy?patient=7'] = json(bundle(['a']));
    const broken = { ...bundle([]), entry: [{ resource: failure }] } as Bundle;
    for (const sent of [failure, broken]) {
      const { data } = await filled(
        needing('ImagingStudy?patient={{context.patientId}}'),
        withServer({ prefetch: { data: sent } }),
      );
      expect((data as Bundle).entry).toHaveLength(1);
    }
  });

  it('with a warning among its entries is still good', async () => {
    const warned = {
      ...bundle(['a']),
      entry: [{ resource: { ...failure, issue: [{ severity: 'warning', code: 'informational' }] } }],
    } as unknown as Bundle;
    expect(await filled(undefined, withServer({ prefetch: { data: warned } }))).toEqual({ data: warned });
    expect(calls).toEqual([]);
  });

  it('as one page is completed with the pages that follow', async () => {
    answers['/fhir?page=2'] = json(bundle(['b']));
    const sent = bundle(['a'], `${fhir.url}/fhir?page=2`);
    const { data } = await filled(
      needing('ImagingStudy?patient={{context.patientId}}'),
      withServer({ prefetch: { data: sent } }),
    );
    expect((data as Bundle).entry?.map(({ resource }) => resource?.id)).toEqual(['a', 'b']);
    expect((data as Bundle).link).toBeUndefined();
  });

  it('as one page is enough when the template asked for so many only', async () => {
    const sent = bundle(['a'], `${fhir.url}/fhir?page=2`);
    const { data } = await filled(
      needing('ImagingStudy?patient={{context.patientId}}&_count=1'),
      withServer({ prefetch: { data: sent } }),
    );
    expect(data).toEqual(sent);
    expect(calls).toEqual([]);
  });
});

describe('prefetch that was not sent', () => {
  it("is fetched from the client's FHIR server with its token", async () => {
    answers['/fhir/Patient/7'] = json(patient);
    expect(await filled(undefined, withServer())).toEqual({ data: patient });
    expect(calls).toEqual([{ url: '/fhir/Patient/7', authorization: 'Bearer the-secret-token' }]);
  });

  it('is fetched without a token when the client gave none', async () => {
    answers['/fhir/Patient/7'] = json(patient);
    expect(await filled(undefined, request({ fhirServer: `${fhir.url}/fhir` }))).toEqual({ data: patient });
    expect(calls[0]!.authorization).toBeUndefined();
  });

  it('is null when the server does not have it', async () => {
    expect(await filled(undefined, withServer())).toEqual({ data: null });
  });

  it('is fetched over several pages', async () => {
    answers['/fhir/ImagingStudy?patient=7'] = json(bundle(['a'], `${fhir.url}/fhir?page=2`));
    answers['/fhir?page=2'] = json(bundle(['b'], '?page=3'));
    answers['/fhir/?page=3'] = json(bundle(['c']));
    const { data } = await filled(needing('ImagingStudy?patient={{context.patientId}}'), withServer());
    expect((data as Bundle).entry?.map(({ resource }) => resource?.id)).toEqual(['a', 'b', 'c']);
  });

  it('is unavailable without a FHIR server', async () => {
    expect(await unavailable(filled())).toBe('data: not sent, and there is no fhirServer');
  });

  it('is unavailable when the FHIR server is not registered: nobody is called', async () => {
    for (const fhirServer of [
      elsewhere.url,
      'http://169.254.169.254/latest',
      `${fhir.url}/admin`,
      `${fhir.url}/fhir/../admin`,
    ]) {
      expect(await unavailable(filled(undefined, withServer({ fhirServer })))).toContain('not registered');
    }
    expect(visited + calls.length).toBe(0);
  });

  it('is unavailable when a page is on another server, which gets no token', async () => {
    answers['/fhir/ImagingStudy?patient=7'] = json(bundle(['a'], `${elsewhere.url}/page`));
    expect(await unavailable(filled(needing('ImagingStudy?patient={{context.patientId}}'), withServer()))).toContain(
      'another server',
    );
    expect(visited).toBe(0);
  });

  it('is unavailable when the server sends us elsewhere', async () => {
    answers['/fhir/Patient/7'] = (_request, response) =>
      void response.writeHead(302, { location: elsewhere.url }).end();
    expect(await unavailable(filled(undefined, withServer()))).toContain('no usable answer');
    expect(visited).toBe(0);
  });

  it.each<[string, Answers[string], Partial<FhirLimits>, string]>([
    ['refuses', json(failure, 403), {}, 'answered 403'],
    ['answers an OperationOutcome', json(failure), {}, 'without the data'],
    ['answers no resource', json(null), {}, 'without the data'],
    ['answers no JSON', (_request, response) => void response.end('<html>'), {}, 'no usable answer'],
    ['is silent', () => undefined, { timeoutMs: 100 }, 'no usable answer'],
    ['answers too much', json({ ...patient, id: 'x'.repeat(10_000) }), { maxBytes: 5_000 }, 'no usable answer'],
  ])('is unavailable when the server %s', async (_, answer, limits, why) => {
    answers['/fhir/Patient/7'] = answer;
    expect(await unavailable(filled(undefined, withServer(), limits))).toContain(why);
  });

  it('is unavailable when pages never end', async () => {
    answers['/fhir/ImagingStudy?patient=7'] = json(bundle(['a'], `${fhir.url}/fhir/ImagingStudy?patient=7`));
    expect(
      await unavailable(filled(needing('ImagingStudy?patient={{context.patientId}}'), withServer(), { maxPages: 3 })),
    ).toContain('more than 3 pages');
    expect(calls).toHaveLength(3);
  });

  it('is unavailable when the context lacks a value of the template', async () => {
    expect(await unavailable(filled(needing('Encounter/{{context.encounterId}}'), withServer()))).toContain(
      'missing in context',
    );
    expect(await unavailable(filled(needing('Patient/{{userPatientId}}'), withServer()))).toContain(
      'missing in context',
    );
  });

  it('is done without when the hook can, and the token is in no log line', async () => {
    const lines: (string | LogFields)[] = [];
    const write = (message: string, fields: LogFields = {}) => void lines.push(message, fields);
    const logger: Logger = { debug: write, info: write, warn: write, error: write, with: () => logger };
    const hook = defineHook(
      {
        hook: 'patient-view',
        title: 'x',
        description: 'x',
        prefetch: { patient: ifAvailable('Patient/{{context.patientId}}') },
      },
      () => [],
    );
    expect(await filled(hook, withServer({ fhirServer: elsewhere.url }), {}, logger)).toEqual({ patient: undefined });
    answers['/fhir/Patient/7'] = json(failure, 401);
    expect(await filled(hook, withServer(), {}, logger)).toEqual({ patient: undefined });
    // Silence costs a clinician less where the data can be done without.
    answers['/fhir/Patient/7'] = () => undefined;
    expect(await filled(hook, withServer(), { timeoutMs: 60_000, optionalTimeoutMs: 50 }, logger)).toEqual({
      patient: undefined,
    });
    expect(lines.length).toBeGreaterThan(0);
    expect(JSON.stringify(lines)).not.toContain('the-secret-token');
  });
});

describe('a prefetch template', () => {
  it.each([
    ['Patient/{{context.patientId}}', { patientId: '7' }, 'Patient/7'],
    ['Practitioner/{{userPractitionerId}}', { userId: 'Practitioner/12' }, 'Practitioner/12'],
    ['PractitionerRole/{{userPractitionerRoleId}}', { userId: 'PractitionerRole/9' }, 'PractitionerRole/9'],
    ['Practitioner/{{userPractitionerId}}', { userId: 'Patient/12' }, undefined],
    ['{{context.userId}}', { userId: 'Practitioner/12' }, 'Practitioner/12'],
    [
      'Observation?patient={{context.patientId}}',
      { patientId: '7&_include=*' },
      'Observation?patient=7%26_include%3D*',
    ],
    ['Patient/{{context.patientId}}', { patientId: '../../admin' }, undefined],
    ['Patient/{{context.patientId}}', { patientId: { nested: true } }, undefined],
    ['Patient/{{context.patientId}}', {}, undefined],
  ])('%s with %j becomes %s', (query, context, expected) => {
    expect(filledIn(query, context)).toBe(expected);
  });

  it.each([
    ['Patient/{{context.patientId}}', undefined],
    ['ImagingStudy?patient={{context.patientId}}&_sort=-started&_count=5', undefined],
    ['https://evil.example/Patient/1', 'is neither Type/id nor Type?search'],
    ['Patient', 'is neither Type/id nor Type?search'],
    ['Patient/{{context.patient}}', '{{context.patient}} is not known to patient-view'],
    ['Patient/{{patientId}}', '{{patientId}} is not known to patient-view'],
    ['Patient/{{context.patientId', 'has an open {{'],
  ])('%s: %s', (query, fault) => {
    expect(faultOfTemplate(query, 'patient-view')).toBe(fault);
  });
});
