/** Tokens for the archive: asked for once, proven in each of three ways, renewed in time. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { afterEach, describe, expect, test } from 'vitest';
import { archiveTransport } from '../../src/dicom/archive-transport.ts';
import {
  clientCredentials,
  type ClientCredentialsOptions,
  type ClientProof,
} from '../../src/dicom/client-credentials.ts';
import { dicomwebArchive } from '../../src/dicom/dicomweb-archive.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { serviceKeys } from '../../src/fhir/service-keys.ts';
import { answering, dicomJson, stopAnswering, type Answering } from '../support/answering-server.ts';

afterEach(stopAnswering);

const basic: ClientProof = { method: 'client_secret_basic', secret: 'p:ä&s' };
const grant =
  (token: string, more: object = { expires_in: 300 }): Answering =>
  (_, response) =>
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ access_token: token, token_type: 'Bearer', ...more }));

async function tokensFrom(answer: Answering, options: Partial<ClientCredentialsOptions> = {}) {
  const { url, heard } = await answering(answer);
  const tokenUrl = `${url}/token`;
  const credentials = clientCredentials({
    tokenUrl,
    clientId: 'wetread',
    proof: basic,
    transport: archiveTransport({ timeoutMs: 30_000 }),
    logger: silentLogger,
    ...options,
  });
  return {
    credentials,
    heard,
    tokenUrl,
    form: (index = 0) => Object.fromEntries(new URLSearchParams(heard[index]?.body.toString())),
  };
}

describe('a client', () => {
  test('proves itself with a secret in the header, form-encoded as RFC 6749 says', async () => {
    const { credentials, heard, form } = await tokensFrom(grant('abc'), { scope: 'read' });
    expect(await credentials.header()).toBe('Bearer abc');
    const [, encoded] = heard[0]!.headers.authorization!.split(' ');
    expect(Buffer.from(encoded!, 'base64').toString()).toBe('wetread:p%3A%C3%A4%26s');
    expect(form()).toEqual({ grant_type: 'client_credentials', scope: 'read' });
    expect(heard[0]?.headers['content-type']).toBe('application/x-www-form-urlencoded');
  });

  test('proves itself with a secret in the body', async () => {
    const { credentials, heard, form } = await tokensFrom(grant('abc'), {
      proof: { method: 'client_secret_post', secret: 'p&s' },
    });
    await credentials.header();
    expect(heard[0]?.headers.authorization).toBeUndefined();
    expect(form()).toEqual({ grant_type: 'client_credentials', client_id: 'wetread', client_secret: 'p&s' });
  });

  test("proves itself with the service's own key", async () => {
    const folder = await mkdtemp(join(tmpdir(), 'wetread-keys-'));
    const keys = await serviceKeys({ dataDir: folder, logger: silentLogger });
    const { credentials, form, tokenUrl } = await tokensFrom(grant('abc'), {
      proof: { method: 'private_key_jwt', assertion: (audience) => keys.assertion({ clientId: 'wetread', audience }) },
    });
    await credentials.header();
    const { client_assertion: assertion, ...rest } = form();
    expect(rest).toEqual({
      grant_type: 'client_credentials',
      client_id: 'wetread',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    });
    const { payload } = await jwtVerify(assertion!, createLocalJWKSet(keys.publicJwks()), { audience: tokenUrl });
    expect(payload).toMatchObject({ iss: 'wetread', sub: 'wetread' });
    await rm(folder, { recursive: true });
  });
});

describe('a token', () => {
  test('serves many requests and is renewed before it expires', async () => {
    let now = 0;
    let given = 0;
    const { credentials, heard } = await tokensFrom((...call) => grant(`t${(given += 1)}`)(...call), {
      now: () => now,
    });
    expect(await Promise.all([credentials.header(), credentials.header(), credentials.header()])).toEqual(
      Array.from({ length: 3 }, () => 'Bearer t1'),
    );
    now = 269_000;
    expect(await credentials.header()).toBe('Bearer t1');
    now = 271_000;
    expect(await credentials.header()).toBe('Bearer t2');
    expect(heard).toHaveLength(2);
  });

  test('that the archive refuses is thrown away once, however many requests it was refused to', async () => {
    let given = 0;
    const { credentials } = await tokensFrom((...call) => grant(`t${(given += 1)}`)(...call));
    const old = (await credentials.header())!;
    credentials.refused!(old);
    expect(await credentials.header()).toBe('Bearer t2');
    credentials.refused!(old);
    expect(await credentials.header()).toBe('Bearer t2');
  });

  test('is fetched and shown to the archive', async () => {
    const { credentials } = await tokensFrom(grant('abc'));
    const { url, heard } = await answering((_, response) => dicomJson(response, []));
    await dicomwebArchive({ baseUrl: url, authorization: credentials, logger: silentLogger }).probe();
    expect(heard[0]?.headers.authorization).toBe('Bearer abc');
  });
});

describe('a token endpoint', () => {
  const refusals: [string, Answering, string, string][] = [
    [
      'refuses',
      (_, response) =>
        response
          .writeHead(401, { 'content-type': 'application/json' })
          .end('{"error":"invalid_client","error_description":"secret p:s"}'),
      'archive.refused',
      'HTTP 401 invalid_client',
    ],
    ['is down', (_, response) => response.writeHead(503).end(), 'archive.unreachable', 'HTTP 503'],
    [
      'answers with a page',
      (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
      'archive.refused',
      'HTTP 200',
    ],
    ['gives another kind of token', grant('abc', { token_type: 'mac' }), 'archive.refused', 'HTTP 200'],
    ['gives a token that splits the header', grant('abc\r\nX-Evil: 1'), 'archive.refused', 'HTTP 200'],
    [
      'sends elsewhere',
      (_, response) => response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end(),
      'archive.refused',
      'HTTP 307',
    ],
  ];
  test.each(refusals)('that %s is said as what it is', async (_, answer, code, detail) => {
    const { credentials } = await tokensFrom(answer);
    await expect(credentials.header()).rejects.toMatchObject({
      code,
      detail: `the token endpoint answered ${detail}`,
    });
  });
});
