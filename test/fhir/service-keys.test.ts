/** The service's keys: made once, kept private, published without their secret part. */
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger, type Logger } from '../../src/domain/log.ts';
import { keptSecret } from '../../src/fhir/kept-file.ts';
import { serviceKeys } from '../../src/fhir/service-keys.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wetread-keys-'));
});
afterEach(() => rm(folder, { recursive: true }));
const open = (keyFile?: string, logger: Logger = silentLogger) =>
  serviceKeys({ dataDir: join(folder, 'data'), logger, ...(keyFile === undefined ? {} : { keyFile }) });

describe('own keys', () => {
  it('are made once and stay the same', async () => {
    const [first, second] = [await open(), await open()];
    expect(first.publicJwks()).toEqual(second.publicJwks());
    expect(first.algorithms).toEqual(['ES384', 'RS384']);
  });

  it('are the same for processes that start together, and no draft stays behind', async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => open()));
    expect(new Set(all.map((keys) => JSON.stringify(keys.publicJwks()))).size).toBe(1);
    expect(await readdir(join(folder, 'data'))).toEqual(['service-keys.json']);
  });

  it('can be read by the owner only', async () => {
    await open();
    expect((await stat(join(folder, 'data/service-keys.json'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, 'data'))).mode & 0o777).toBe(0o700);
  });

  it('are published without anything secret', async () => {
    const published = JSON.stringify((await open()).publicJwks());
    const kept = JSON.parse(await readFile(join(folder, 'data/service-keys.json'), 'utf8')) as {
      keys: Record<string, string>[];
    };
    const secrets = kept.keys.flatMap(({ d, p, q, dp, dq, qi }) =>
      [d, p, q, dp, dq, qi].filter((part) => part !== undefined),
    );
    expect(secrets).toHaveLength(7);
    for (const part of secrets) expect(published).not.toContain(part);
    for (const key of (await open()).publicJwks().keys)
      expect(Object.keys(key).sort()).toEqual(
        (key.kty === 'RSA'
          ? ['alg', 'e', 'kid', 'kty', 'n', 'use']
          : ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']
        ).sort(),
      );
  });

  it('sign what the published keys verify', async () => {
    const keys = await open();
    for (const algorithm of ['ES384', 'RS384'] as const) {
      const jwt = await keys.assertion({ clientId: 'wetread', audience: 'http://ehr.example/token', algorithm });
      const { protectedHeader, payload } = await jwtVerify(jwt, createLocalJWKSet(keys.publicJwks() as never), {
        audience: 'http://ehr.example/token',
      });
      expect(protectedHeader.alg).toBe(algorithm);
      expect([payload.iss, payload.sub]).toEqual(['wetread', 'wetread']);
    }
  });
});

describe('given keys', () => {
  it('are used as they are', async () => {
    const { privateKey } = await generateKeyPair('ES384', { extractable: true });
    const file = join(folder, 'site.json');
    await writeFile(file, JSON.stringify({ keys: [{ ...(await exportJWK(privateKey)), kid: 'site-1' }] }), {
      mode: 0o600,
    });
    const keys = await open(file);
    expect(keys.publicJwks().keys.map(({ kid }) => kid)).toEqual(['site-1']);
    expect(keys.algorithms).toEqual(['ES384']);
  });

  it('that others can read are used with a warning', async () => {
    const { privateKey } = await generateKeyPair('ES384', { extractable: true });
    const file = join(folder, 'site.json');
    await writeFile(file, JSON.stringify({ keys: [await exportJWK(privateKey)] }));
    await chmod(file, 0o644);
    const warnings: string[] = [];
    await open(file, { ...silentLogger, warn: (message) => void warnings.push(message) });
    expect(warnings).toHaveLength(1);
  });

  it('that cannot be used stop the start without repeating what is in the file', async () => {
    const file = join(folder, 'site.json');
    for (const [content, why] of [
      ['-----BEGIN s3cret', 'not JSON'],
      ['{"keys":[]}', 'not a JWKS'],
      ['{"keys":[{"kty":"oct","d":"s3cret"}]}', 'no key for'],
      ['{"keys":[{"kty":"EC","crv":"P-384","x":"s3cret","y":"a","d":"b"}]}', 'cannot be used'],
    ] as const) {
      await writeFile(file, content);
      const error = await open(file).then(
        () => undefined,
        (thrown: Error) => thrown,
      );
      expect(error).toMatchObject({ code: 'config.invalid' });
      expect(error!.message).toContain(why);
      expect(`${error!.message}${error!.stack}`).not.toContain('s3cret');
    }
    await expect(open(join(folder, 'missing.json'))).rejects.toMatchObject({ code: 'config.invalid' });
  });
});

describe('a kept secret', () => {
  it('is long, random, private and stays', async () => {
    const path = join(folder, 'secrets/events');
    const [one, two] = await Promise.all([keptSecret(path), keptSecret(path)]);
    expect(one).toBe(two);
    expect(one).toMatch(/^[\w-]{43}$/);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await keptSecret(join(folder, 'secrets/other'))).not.toBe(one);
  });
});
