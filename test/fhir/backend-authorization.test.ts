/** Getting tokens as SMART Backend Services says, from a server that checks the signature. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger, type Logger } from '../../src/domain/log.ts';
import { backendAuthorization, backendScope } from '../../src/fhir/backend-authorization.ts';
import { fhirClient } from '../../src/fhir/client.ts';
import { serviceKeys, type ServiceKeys } from '../../src/fhir/service-keys.ts';
import { testFhirServer } from '../support/fhir-server.ts';
import { authorizationServer } from './authorization-server.ts';

let folder: string;
let keys: ServiceKeys;
let server: Awaited<ReturnType<typeof authorizationServer>>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wetread-keys-'));
  keys = await serviceKeys({ dataDir: folder, logger: silentLogger });
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => server.close());

const authorization = (more: { now?: () => number; logger?: Logger } = {}) =>
  backendAuthorization({
    fhirBaseUrl: server.fhirBaseUrl,
    clientId: 'wetread',
    keys,
    timeoutMs: 30_000,
    logger: silentLogger,
    ...more,
  });

describe('a token', () => {
  it('is asked for with an assertion signed by ES384, valid for less than five minutes and used once', async () => {
    server = await authorizationServer({ keys: keys.publicJwks() as never });
    expect(await authorization().token()).toBe('token-1');
    const [{ payload, header, form }] = server.assertions as [(typeof server.assertions)[0]];
    expect(header).toMatchObject({ alg: 'ES384', typ: 'JWT', kid: keys.publicJwks().keys[0]!.kid });
    expect(payload.exp! - payload.iat!).toBeLessThanOrEqual(300);
    expect(payload.jti).toMatch(/^[0-9a-f-]{36}$/);
    expect(form.get('grant_type')).toBe('client_credentials');
    expect(form.get('scope')).toBe(backendScope);
  });

  it('is asked for with RS384 where the server knows nothing else', async () => {
    server = await authorizationServer({ keys: keys.publicJwks() as never, algorithms: ['RS384'] });
    expect(await authorization().token()).toBe('token-1');
    expect(server.assertions[0]!.header.alg).toBe('RS384');
  });

  it('is kept until shortly before it expires', async () => {
    server = await authorizationServer({ keys: keys.publicJwks() as never, expiresIn: 300 });
    let now = 1_000_000;
    const auth = authorization({ now: () => now });
    expect([await auth.token(), await auth.token()]).toEqual(['token-1', 'token-1']);
    now += 269_000;
    expect(await auth.token()).toBe('token-1');
    now += 2_000;
    expect(await auth.token()).toBe('token-2');
    expect(server.state.discoveries).toBe(1);
  });

  it('is asked for once by a hundred requests at the same time', async () => {
    server = await authorizationServer({ keys: keys.publicJwks() as never });
    server.state.delayMs = 20;
    const auth = authorization();
    expect(new Set(await Promise.all(Array.from({ length: 100 }, () => auth.token())))).toEqual(new Set(['token-1']));
    expect(server.assertions).toHaveLength(1);
  });

  it('that was refused is thrown away once, not again by those who come late with the old one', async () => {
    server = await authorizationServer({ keys: keys.publicJwks() as never });
    const auth = authorization();
    const old = await auth.token();
    auth.refused(old);
    expect(await auth.token()).toBe('token-2');
    auth.refused(old);
    expect(await auth.token()).toBe('token-2');
  });

  it('is not waited for any longer when the caller gives up, and others still get it', async () => {
    server = await authorizationServer({ keys: keys.publicJwks() as never });
    server.state.delayMs = 30;
    const auth = authorization();
    const controller = new AbortController();
    const impatient = auth.token(controller.signal);
    const patient = auth.token();
    controller.abort(new Error('enough'));
    await expect(impatient).rejects.toThrow('enough');
    expect(await patient).toBe('token-1');
  });
});

describe('no token', () => {
  it('because the client is not registered: chart.refused, with the OAuth code and nothing else in the log', async () => {
    server = await authorizationServer({ keys: { keys: [] } });
    const lines: string[] = [];
    const logger: Logger = {
      ...silentLogger,
      error: (message, fields) => void lines.push(`${message} ${JSON.stringify(fields)}`),
    };
    await expect(authorization({ logger }).token()).rejects.toMatchObject({
      code: 'chart.refused',
      detail: expect.stringContaining('invalid_client') as string,
    });
    expect(lines.join()).toContain('invalid_client');
    expect(lines.join()).not.toMatch(/Zappa|eyJ/);
  });

  it('because the server is in trouble: chart.unreachable, and the endpoint is looked up again', async () => {
    server = await authorizationServer({ keys: keys.publicJwks() as never });
    const auth = authorization();
    server.state.refuse = { status: 503, body: {} };
    await expect(auth.token()).rejects.toMatchObject({ code: 'chart.unreachable', row: { retry: true } });
    server.state.refuse = undefined;
    expect(await auth.token()).toBe('token-1');
    expect(server.state.discoveries).toBe(2);
  });

  it('because the answer is not a token', async () => {
    server = await authorizationServer({ keys: keys.publicJwks() as never });
    server.state.refuse = { status: 200, body: { access_token: 'x', token_type: 'mac' } };
    await expect(authorization().token()).rejects.toMatchObject({ code: 'chart.refused' });
  });

  it('because there is no SMART configuration', async () => {
    server = await authorizationServer({ keys: { keys: [] } });
    const elsewhere = backendAuthorization({
      fhirBaseUrl: server.fhirBaseUrl.replace('/fhir', '/other'),
      clientId: 'wetread',
      keys,
      timeoutMs: 30_000,
      logger: silentLogger,
    });
    await expect(elsewhere.token()).rejects.toMatchObject({ code: 'chart.bad-answer' });
  });
});

describe('the client with a token', () => {
  it('gets a new one when the server refuses the old, once', async () => {
    server = await authorizationServer({ keys: keys.publicJwks() as never });
    const chart = await testFhirServer();
    try {
      await chart.put({ resourceType: 'Patient', id: 'p1' });
      let good = 'Bearer token-2';
      chart.interfere = ({ headers }) => (headers.authorization === good ? undefined : { status: 401 });
      const client = fhirClient({
        baseUrl: chart.baseUrl,
        auth: authorization(),
        timeoutMs: 30_000,
        logger: silentLogger,
        retryMs: 5,
      });
      expect((await client.read('Patient', 'p1')).id).toBe('p1');
      expect(chart.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer token-1', 'Bearer token-2']);

      good = 'Bearer none';
      await expect(client.read('Patient', 'p1')).rejects.toMatchObject({ code: 'chart.refused' });
      expect(chart.requests).toHaveLength(4);
    } finally {
      await chart.stop();
    }
  });
});
