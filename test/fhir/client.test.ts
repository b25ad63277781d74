/** The FHIR client against a real server that misbehaves on request. */
import type { Bundle, Device, Patient } from 'fhir/r4.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger, type Logger, type LogFields } from '../../src/domain/log.ts';
import { fhirClient, type FhirClientOptions } from '../../src/fhir/client.ts';
import { httpStatusOf } from '../../src/fhir/failure.ts';
import { testFhirServer, type Interference, type TestFhirServer } from '../support/fhir-server.ts';

let server: TestFhirServer;
beforeEach(async () => {
  server = await testFhirServer();
});
afterEach(async () => {
  await server.stop();
});
const client = (more: Partial<FhirClientOptions> = {}) =>
  fhirClient({ baseUrl: server.baseUrl, timeoutMs: 30_000, logger: silentLogger, retryMs: 2, ...more });
const patient = (id: string, mrn = id) =>
  server.put<Patient>({ resourceType: 'Patient', id, identifier: [{ system: 'http://h/mrn', value: mrn }] });
/** Answers these, one per request, then what the server says. */
const first = (...answers: Interference[]) => {
  server.interfere = () => answers.shift();
};

describe('trying again', () => {
  it('gets through 503, 429, 502, 504 and a broken connection', async () => {
    await patient('p1');
    for (const answer of [{ status: 503 }, { status: 429 }, { status: 502 }, { status: 504 }, 'hang up'] as const) {
      first(answer, answer);
      expect((await client().read('Patient', 'p1')).id).toBe('p1');
    }
    expect(server.requests).toHaveLength(15);
  });

  it('gives up after its tries with chart.unreachable', async () => {
    server.interfere = () => ({ status: 503 });
    await expect(client({ retries: 2 }).read('Patient', 'p1')).rejects.toMatchObject({
      code: 'chart.unreachable',
      row: { retry: true },
    });
    expect(server.requests).toHaveLength(3);
  });

  it('waits as long as Retry-After says', async () => {
    await patient('p1');
    first({ status: 429, headers: { 'retry-after': '1' } });
    const began = Date.now();
    await client().read('Patient', 'p1');
    expect(Date.now() - began).toBeGreaterThanOrEqual(990);
  });

  it('does not wait minutes inside a request: the job comes back later', async () => {
    first({ status: 503, headers: { 'retry-after': '3600' } });
    await expect(client().read('Patient', 'p1')).rejects.toMatchObject({ code: 'chart.unreachable' });
    expect(server.requests).toHaveLength(1);
  });

  it('does not send a plain create twice when the answer is lost, and sends a conditional one', async () => {
    server.interfere = ({ method }) => (method === 'POST' ? 'lose the answer' : undefined);
    await expect(client().create({ resourceType: 'Device', type: { text: 'x' } })).rejects.toMatchObject({
      code: 'chart.unreachable',
    });
    expect(await server.all('Device')).toHaveLength(1);
    server.requests.length = 0;
    first('lose the answer');
    const created = await client().create(
      { resourceType: 'Device', identifier: [{ system: 'urn:x', value: '1' }] },
      { ifNoneExist: 'identifier=urn:x|1' },
    );
    expect(created.id).toBeDefined();
    expect(server.requests).toHaveLength(2);
    expect(await server.all('Device')).toHaveLength(2);
  });

  it('does not repeat what the server refused for good', async () => {
    first({ status: 500 });
    await expect(client().read('Patient', 'p1')).rejects.toMatchObject({ code: 'chart.unreachable' });
    expect(server.requests).toHaveLength(1);
  });
});

describe('time', () => {
  it('ends a request that is not answered', async () => {
    const { promise, resolve } = Promise.withResolvers<Interference>();
    server.interfere = () => promise;
    await expect(client({ timeoutMs: 1000, retries: 1 }).read('Patient', 'p1')).rejects.toMatchObject({
      code: 'chart.unreachable',
      detail: 'no answer in time',
    });
    expect(server.requests).toHaveLength(2);
    resolve({ status: 503 });
  });

  it("ends with the caller's reason when the caller gives up", async () => {
    const controller = new AbortController();
    server.interfere = () => {
      controller.abort(new Error('shutting down'));
      return { status: 503 };
    };
    await expect(client().read('Patient', 'p1', controller.signal)).rejects.toThrow('shutting down');
    expect(server.requests).toHaveLength(1);
  });
});

describe('errors', () => {
  it('have the code that says what to do', async () => {
    const cases = [
      [401, 'chart.refused'],
      [403, 'chart.refused'],
      [404, 'chart.not-found'],
      [410, 'chart.not-found'],
      [400, 'chart.rejected'],
      [412, 'chart.rejected'],
      [422, 'chart.rejected'],
      [500, 'chart.unreachable'],
    ] as const;
    for (const [status, code] of cases) {
      first({ status });
      const error: unknown = await client({ retries: 0 })
        .read('Patient', 'p1')
        .catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code });
      expect(httpStatusOf(error)).toBe(status);
    }
    await server.stop();
    await expect(client({ retries: 0 }).read('Patient', 'p1')).rejects.toMatchObject({ code: 'chart.unreachable' });
    await server.start();
  });

  it('chart.bad-answer for a login page, another resource or another FHIR version', async () => {
    first({ status: 200, body: '<html>please log in</html>' });
    await expect(client().read('Patient', 'p1')).rejects.toMatchObject({ code: 'chart.bad-answer' });
    first({ status: 200, body: { resourceType: 'Group' } });
    await expect(client().read('Patient', 'p1')).rejects.toMatchObject({ code: 'chart.bad-answer' });
    first({ status: 200, body: { resourceType: 'CapabilityStatement', fhirVersion: '3.0.2' } });
    await expect(client().probe()).rejects.toMatchObject({ code: 'chart.bad-answer' });
    await client().probe();
  });

  it('say in the log what the server said, without a name, number or value that it quotes', async () => {
    const lines: { message: string; fields: LogFields | undefined }[] = [];
    const logger: Logger = { ...silentLogger, warn: (message, fields) => void lines.push({ message, fields }) };
    first({
      status: 422,
      body: {
        resourceType: 'OperationOutcome',
        issue: [
          {
            severity: 'error',
            code: 'invariant',
            expression: ['Patient.name[0]'],
            diagnostics: 'Zappa is not a valid family name for "Frank", MRN 4711-0815, see Observation status',
          },
        ],
      },
    });
    const error = (await client({ logger })
      .update({ resourceType: 'Patient', id: 'p1', name: [{ family: 'Zappa', given: ['Frank'] }] })
      .catch((thrown: unknown) => thrown)) as Error;
    const written = JSON.stringify([lines, error.message, String(error.cause), JSON.stringify(error.cause)]);
    expect(written).not.toMatch(/Zappa|Frank|4711|0815/);
    expect(lines[0]!.fields).toMatchObject({
      status: 422,
      resourceType: 'Patient',
      issues: [{ severity: 'error', issue: 'invariant', where: ['Patient.name[0]'] }],
    });
    expect(written).toContain('is not a valid family name');
  });

  it('never hold the address of a search: it names a patient', async () => {
    first({
      status: 400,
      body: {
        resourceType: 'OperationOutcome',
        issue: [{ severity: 'error', code: 'invalid', diagnostics: 'Bad token secretmrn' }],
      },
    });
    const error = (await client()
      .search('Patient', { identifier: 'http://h/mrn|secretmrn' })
      .catch((thrown: unknown) => thrown)) as Error & { cause: Error };
    expect(JSON.stringify([error.message, error.stack, error.cause, error.cause.stack])).not.toContain('secretmrn');
  });
});

describe('searching', () => {
  const bundle = (ids: string[], next?: string) => ({
    status: 200,
    body: {
      resourceType: 'Bundle',
      type: 'searchset',
      entry: ids.map((id) => ({ resource: { resourceType: 'Patient', id } })),
      ...(next === undefined ? {} : { link: [{ relation: 'next', url: next }] }),
    },
  });

  it('reads every page and keeps only matches', async () => {
    first(bundle(['a', 'b'], `${server.baseUrl}/Patient?page=2`), {
      status: 200,
      body: {
        resourceType: 'Bundle',
        type: 'searchset',
        entry: [
          { resource: { resourceType: 'Patient', id: 'c' } },
          { resource: { resourceType: 'Patient', id: 'included' }, search: { mode: 'include' } },
          { resource: { resourceType: 'OperationOutcome', issue: [] }, search: { mode: 'outcome' } },
        ],
      },
    });
    expect((await client().search('Patient', { active: 'true' })).map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  });

  it('stays on the configured server, whatever name it gives itself in links', async () => {
    await patient('p1');
    first(bundle(['a'], 'http://internal-host:9999/fhir/Patient?_id=p1'));
    expect((await client().search('Patient', {})).map(({ id }) => id)).toEqual(['a', 'p1']);
    first(bundle(['a'], 'https://thief.example/steal?token'));
    await expect(client().search('Patient', {})).rejects.toMatchObject({
      code: 'chart.bad-answer',
      detail: expect.stringContaining('another server') as string,
    });
  });

  it('does not go round in circles', async () => {
    server.interfere = () => bundle([], `${server.baseUrl}/Patient?page=2`);
    await expect(client().search('Patient', {})).rejects.toMatchObject({
      code: 'chart.bad-answer',
      detail: expect.stringContaining('circle') as string,
    });
    expect(server.requests).toHaveLength(2);
  });

  it('refuses to decide by half an answer', async () => {
    first(bundle(['a', 'b', 'c']));
    await expect(client().search('Patient', {}, { limit: 2 })).rejects.toMatchObject({ code: 'chart.bad-answer' });
  });
});

describe('writing', () => {
  it('updates only the version it has seen', async () => {
    const before = await patient('p1');
    await client().update({ ...before, id: 'p1', active: true }, { ifMatch: before.meta!.versionId });
    const error: unknown = await client()
      .update({ ...before, id: 'p1', active: false }, { ifMatch: before.meta!.versionId })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'chart.rejected' });
    expect((await client().read('Patient', 'p1')).active).toBe(true);
  });

  it('takes what it sent for written when the server answers with nothing', async () => {
    first({ status: 201 });
    expect(await client().create({ resourceType: 'Device', type: { text: 'x' } })).toEqual({
      resourceType: 'Device',
      type: { text: 'x' },
    });
  });

  it('sends bundles of many megabytes', async () => {
    const text = 'x'.repeat(3_000_000);
    const bundle: Bundle<Device> = {
      resourceType: 'Bundle',
      type: 'transaction',
      entry: [{ resource: { resourceType: 'Device', type: { text } }, request: { method: 'POST', url: 'Device' } }],
    };
    await client().transaction(bundle as Bundle);
    expect((await server.all('Device'))[0]!.type!.text).toHaveLength(3_000_000);
  });
});
