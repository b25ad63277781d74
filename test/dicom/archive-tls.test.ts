/** The archive over TLS: a private authority, a certificate of our own, and clear words when either is wrong. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { archiveFromConfig } from '../../src/archive-from-config.ts';
import { readConfig } from '../../src/config.ts';
import { upsClient } from '../../src/dicom/ups-client.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { answering, dicomJson, stopAnswering } from '../support/answering-server.ts';
import { certificateFolder, opensslInstalled, type Certificate } from '../support/certificates.ts';

const skip = !opensslInstalled && !process.env['CI'];
if (skip) console.warn('SKIPPED: the archive over TLS, as openssl is not installed');

describe.skipIf(skip)('an archive over TLS', () => {
  let folder: ReturnType<typeof certificateFolder>;
  let house: Certificate;
  let stranger: Certificate;
  let server: Certificate;
  let ours: Certificate;
  beforeAll(() => {
    folder = certificateFolder();
    house = folder.authority('house');
    stranger = folder.authority('stranger');
    server = folder.signed('archive', 'house');
    ours = folder.signed('wetread', 'house');
  });
  afterAll(() => folder?.remove());
  afterEach(stopAnswering);

  const secure = (options: object = {}) =>
    answering((_, response) => dicomJson(response, []), { tls: { cert: server.cert, key: server.key, ...options } });
  const archiveAt = (url: string, settings: Record<string, string>) =>
    archiveFromConfig(`${url}/dicom-web`, readConfig(settings), {
      assertion: async () => '',
      logger: silentLogger,
    });

  test('is reached with its private authority', async () => {
    const { url } = await secure();
    await expect(archiveAt(url, { WETREAD_DICOMWEB_CA_FILE: house.certFile }).probe()).resolves.toBeUndefined();
  });

  test('is not trusted with another authority, or none', async () => {
    const { url, heard } = await secure();
    await expect(archiveAt(url, { WETREAD_DICOMWEB_CA_FILE: stranger.certFile }).probe()).rejects.toMatchObject({
      code: 'archive.untrusted',
      detail: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    });
    await expect(archiveAt(url, {}).probe()).rejects.toMatchObject({ code: 'archive.untrusted' });
    expect(heard).toEqual([]);
  });

  test('is not trusted under another name', async () => {
    const other = folder.signed('other', 'house', 'DNS:archive.example');
    const { url } = await secure({ cert: other.cert, key: other.key });
    await expect(archiveAt(url, { WETREAD_DICOMWEB_CA_FILE: house.certFile }).probe()).rejects.toMatchObject({
      code: 'archive.untrusted',
      detail: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });

  test('that wants to see a certificate sees ours', async () => {
    let seen: string | undefined;
    const { url } = await answering(
      (_, response, request) => {
        seen = (request.socket as TLSSocket).getPeerCertificate().subject.CN as string;
        dicomJson(response, []);
      },
      { tls: { cert: server.cert, key: server.key, ca: house.cert, requestCert: true, rejectUnauthorized: true } },
    );
    await archiveAt(url, {
      WETREAD_DICOMWEB_CA_FILE: house.certFile,
      WETREAD_DICOMWEB_CLIENT_CERT_FILE: ours.certFile,
      WETREAD_DICOMWEB_CLIENT_KEY_FILE: ours.keyFile,
    }).probe();
    expect(seen).toBe('wetread');

    const theirs = folder.signed('intruder', 'stranger');
    await expect(
      archiveAt(url, {
        WETREAD_DICOMWEB_CA_FILE: house.certFile,
        WETREAD_DICOMWEB_CLIENT_CERT_FILE: theirs.certFile,
        WETREAD_DICOMWEB_CLIENT_KEY_FILE: theirs.keyFile,
      }).probe(),
    ).rejects.toMatchObject({ code: expect.stringMatching(/^archive\.un(trusted|reachable)$/) });
    await expect(archiveAt(url, { WETREAD_DICOMWEB_CA_FILE: house.certFile }).probe()).rejects.toMatchObject({
      code: expect.stringMatching(/^archive\.un(trusted|reachable)$/),
    });
  });

  test('that speaks no TLS is told apart from one that is down', async () => {
    const { url } = await answering((_, response) => dicomJson(response, []));
    const archive = archiveAt(url.replace('http:', 'https:'), { WETREAD_DICOMWEB_CA_FILE: house.certFile });
    await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.untrusted' });
  });

  test('gets its token from an endpoint of the same authority', async () => {
    const tokens = await answering(
      (_, response) =>
        response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify({ access_token: 'abc', token_type: 'Bearer', expires_in: 60 })),
      { tls: { cert: server.cert, key: server.key } },
    );
    const { url, heard } = await secure();
    await archiveAt(url, {
      WETREAD_DICOMWEB_CA_FILE: house.certFile,
      WETREAD_DICOMWEB_TOKEN_URL: `${tokens.url}/token`,
      WETREAD_DICOMWEB_CLIENT_ID: 'wetread',
      WETREAD_DICOMWEB_CLIENT_SECRET: 'secret',
    }).probe();
    expect(heard[0]?.headers.authorization).toBe('Bearer abc');
  });

  test('with a worklist gives events over TLS, with our credentials and certificate', async () => {
    const https = createServer({
      cert: server.cert,
      key: server.key,
      ca: house.cert,
      requestCert: true,
      rejectUnauthorized: true,
    });
    const sockets = new WebSocketServer({ server: https });
    let header: string | undefined;
    sockets.on('connection', (socket, request) => {
      header = request.headers.authorization;
      socket.send(JSON.stringify({ '00001000': { vr: 'UI', Value: ['1.2.3'] }, '00001002': { vr: 'US', Value: [5] } }));
    });
    await new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve));
    const { port } = https.address() as AddressInfo;
    https.on('request', (_, response) => response.writeHead(201).end());
    const client = upsClient({
      baseUrl: `https://127.0.0.1:${port}/dicom-web`,
      authorization: { header: async () => 'Bearer abc' },
      tls: { ca: house.cert, cert: ours.cert, key: ours.key },
      timeoutMs: 30_000,
      logger: silentLogger,
    });
    const abort = new AbortController();
    const event = await new Promise((resolve) => {
      void client
        .watch({ subscriber: 'WETREAD', filter: {} }, { open() {}, event: resolve }, abort.signal)
        .catch(() => {});
    });
    expect(event).toEqual({ kind: 'changed', workitem: '1.2.3' });
    expect(header).toBe('Bearer abc');
    abort.abort();
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
    https.closeAllConnections();
    await new Promise((resolve) => https.close(resolve));
  });

  test.each([
    [
      'a file that is not there',
      { WETREAD_DICOMWEB_CA_FILE: '/nowhere.pem' },
      'WETREAD_DICOMWEB_CA_FILE cannot be read',
    ],
    [
      'a certificate without its key',
      { WETREAD_DICOMWEB_CLIENT_CERT_FILE: 'ours' },
      'WETREAD_DICOMWEB_CLIENT_CERT_FILE and WETREAD_DICOMWEB_CLIENT_KEY_FILE go together',
    ],
    [
      'an authority that is a key',
      { WETREAD_DICOMWEB_CA_FILE: 'key' },
      'WETREAD_DICOMWEB_CA_FILE holds no certificate in PEM',
    ],
    [
      'a key of another certificate',
      { WETREAD_DICOMWEB_CLIENT_CERT_FILE: 'ours', WETREAD_DICOMWEB_CLIENT_KEY_FILE: 'key' },
      'WETREAD_DICOMWEB_CLIENT_KEY_FILE is not the key of WETREAD_DICOMWEB_CLIENT_CERT_FILE',
    ],
    [
      'nonsense for a key',
      { WETREAD_DICOMWEB_CLIENT_CERT_FILE: 'ours', WETREAD_DICOMWEB_CLIENT_KEY_FILE: 'nonsense' },
      'WETREAD_DICOMWEB_CLIENT_KEY_FILE holds no private key in PEM without a passphrase',
    ],
  ])('configured with %s is refused at the start', (_, settings, detail) => {
    writeFileSync(join(folder.folder, 'nonsense'), 'no key');
    const files: Record<string, string> = {
      ours: ours.certFile,
      key: server.keyFile,
      nonsense: join(folder.folder, 'nonsense'),
    };
    const given = Object.fromEntries(Object.entries(settings).map(([name, file]) => [name, files[file] ?? file]));
    expect(() => archiveAt('https://archive', given)).toThrow(
      expect.objectContaining({ code: 'config.invalid', detail }),
    );
  });

  test.each([
    [{ WETREAD_DICOMWEB_TOKEN_URL: 'https://a/token' }, 'WETREAD_DICOMWEB_CLIENT_ID'],
    [
      { WETREAD_DICOMWEB_TOKEN_URL: 'https://a/token', WETREAD_DICOMWEB_CLIENT_ID: 'w' },
      'WETREAD_DICOMWEB_CLIENT_SECRET',
    ],
    [
      { WETREAD_DICOMWEB_TOKEN_URL: 'https://a/token', WETREAD_DICOMWEB_AUTHORIZATION: 'Basic x' },
      'exclude each other',
    ],
  ])('configured with half of the credentials is refused at the start: %j', (settings, detail) => {
    expect(() => archiveAt('https://archive', settings as unknown as Record<string, string>)).toThrow(detail);
  });
});
