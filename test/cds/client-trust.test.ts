/** Tokens of CDS clients: what opens the door, and everything that must not. */
import { exportSPKI, generateKeyPair } from 'jose';
import { createSign, generateKeyPairSync, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anyCaller, trustedClients } from '../../src/cds/client-trust.ts';
import { WetreadError } from '../../src/domain/errors.ts';
import { silentLogger, type Logger } from '../../src/domain/log.ts';
import { cdsClient, loopbackServer, type TokenChanges } from '../support/cds-client.ts';

const audience = 'https://wetread.example/cds-services/wetread-patient-view';
const seconds = () => Math.floor(Date.now() / 1000);
let ehr: Awaited<ReturnType<typeof cdsClient>>;
let stranger: Awaited<ReturnType<typeof cdsClient>>;

beforeAll(async () => {
  [ehr, stranger] = await Promise.all([cdsClient(), cdsClient()]);
});
afterAll(() => Promise.all([ehr.close(), stranger.close()]));

const registration = () => ({ issuer: ehr.issuer, jwksUrl: ehr.jwksUrl, fhirServers: ['https://fhir.example/r4'] });
const trust = (more: Partial<Parameters<typeof trustedClients>[0]> = {}) =>
  trustedClients({ clients: [registration()], ...more });
const bearer = async (changes?: TokenChanges) => `Bearer ${await ehr.token(audience, changes)}`;

async function refusal(verifying: Promise<unknown>): Promise<string> {
  const error = await verifying.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof WetreadError)) throw new Error(`not refused as it should be: ${String(error)}`);
  return `${error.code} ${error.detail ?? ''}`.trim();
}

describe('a trusted client', () => {
  it('is let in with a fresh token for the address it calls', async () => {
    expect(await trust().verify(await bearer(), audience)).toEqual({
      name: ehr.issuer,
      fhirServers: ['https://fhir.example/r4'],
    });
  });

  it('may name several audiences, and repeat its registered jku', async () => {
    const authorization = await bearer({
      claims: { aud: ['https://other.example', audience] },
      header: { jku: ehr.jwksUrl },
    });
    expect((await trust().verify(authorization, audience)).name).toBe(ehr.issuer);
  });

  it('may sign with RS384', async () => {
    const rsa = await cdsClient('RS384');
    const clients = [{ issuer: rsa.issuer, jwksUrl: rsa.jwksUrl, fhirServers: [] }];
    expect((await trustedClients({ clients }).verify(`Bearer ${await rsa.token(audience)}`, audience)).name).toBe(
      rsa.issuer,
    );
    await rsa.close();
  });

  it('may sign with ES256 only where the site has said so', async () => {
    const small = await cdsClient('ES256');
    const clients = [{ issuer: small.issuer, jwksUrl: small.jwksUrl, fhirServers: [] }];
    expect(await refusal(trustedClients({ clients }).verify(`Bearer ${await small.token(audience)}`, audience))).toBe(
      'cds.token-invalid alg: not allowed',
    );
    const asked = trustedClients({ clients, algorithms: ['ES256'] });
    expect((await asked.verify(`Bearer ${await small.token(audience)}`, audience)).name).toBe(small.issuer);
    await small.close();
  });

  it('is told apart by tenant when one issuer serves several hospitals', async () => {
    const clients = ['north', 'south'].map((tenant) => ({
      ...registration(),
      tenant,
      fhirServers: [`https://${tenant}.example`],
    }));
    const byTenant = trustedClients({ clients });
    expect((await byTenant.verify(await bearer({ claims: { tenant: 'south' } }), audience)).fhirServers).toEqual([
      'https://south.example',
    ]);
    expect(await refusal(byTenant.verify(await bearer({ claims: { tenant: 'west' } }), audience))).toContain('tenant');
    expect(await refusal(byTenant.verify(await bearer(), audience))).toContain('tenant');
  });

  it('may use a new key at once, once, without asking us to fetch for each invented one', async () => {
    const rotating = await cdsClient();
    let now = Date.now();
    const watching = trustedClients({
      clients: [{ issuer: rotating.issuer, jwksUrl: rotating.jwksUrl, fhirServers: [] }],
      now: () => now,
    });
    const verify = async (changes?: TokenChanges) =>
      watching.verify(`Bearer ${await rotating.token(audience, changes)}`, audience);
    await verify();
    const second = await rotating.addKey('key-2');
    now += 40_000;
    await verify({ key: second.privateKey, header: { kid: 'key-2' } });
    expect(rotating.timesAsked()).toBe(2);
    for (let i = 0; i < 20; i += 1) {
      expect(await refusal(verify({ header: { kid: `invented-${i}` } }))).toBe('cds.token-invalid kid: no such key');
    }
    expect(rotating.timesAsked()).toBe(2);
    // A key that was withdrawn stops working when the keys are next fetched.
    rotating.removeKeys();
    now += 11 * 60_000;
    expect(
      await refusal(verify({ claims: { exp: Math.floor(now / 1000) + 60, iat: Math.floor(now / 1000) } })),
    ).toContain('kid');
    await rotating.close();
  });

  it('that replaced a key under its old id is believed after one new fetch', async () => {
    const careless = await cdsClient();
    let now = Date.now();
    const watching = trustedClients({
      clients: [{ issuer: careless.issuer, jwksUrl: careless.jwksUrl, fhirServers: [] }],
      now: () => now,
    });
    await watching.verify(`Bearer ${await careless.token(audience)}`, audience);
    careless.removeKeys();
    const replaced = await careless.addKey('key-1');
    now += 40_000;
    const authorization = `Bearer ${await careless.token(audience, { key: replaced.privateKey })}`;
    expect((await watching.verify(authorization, audience)).name).toBe(careless.issuer);
    await careless.close();
  });
});

describe('a token is refused', () => {
  it.each<[string, () => Promise<string>, string]>([
    ['that expired', () => bearer({ claims: { iat: seconds() - 600, exp: seconds() - 60 } }), 'exp: expired'],
    [
      'that was issued in the future',
      () => bearer({ claims: { iat: seconds() + 120, exp: seconds() + 300 } }),
      'iat: in the future',
    ],
    ['that lives too long', () => bearer({ claims: { exp: seconds() + 86_400 } }), 'exp: more than 3600 s after iat'],
    [
      'for the base address',
      () => bearer({ claims: { aud: 'https://wetread.example/cds-services' } }),
      'aud: is not the address that was called',
    ],
    [
      'for another service',
      () => bearer({ claims: { aud: `${audience}-2` } }),
      'aud: is not the address that was called',
    ],
    ['without aud', () => bearer({ without: ['aud'] }), 'aud: missing'],
    ['without exp', () => bearer({ without: ['exp'] }), 'exp: missing'],
    ['without iat', () => bearer({ without: ['iat'] }), 'iat: missing'],
    ['without jti', () => bearer({ without: ['jti'] }), 'jti: missing'],
    ['with a jti that is not a text', () => bearer({ claims: { jti: 7 } }), 'jti'],
    ['with an endless jti', () => bearer({ claims: { jti: 'x'.repeat(300) } }), 'jti'],
    ['not typed JWT', () => bearer({ header: { typ: 'at+jwt' } }), 'typ: is not JWT'],
    ['with a critical header', () => bearer({ header: { crit: ['b64'], b64: true } }), 'crit: not understood'],
    ['that is not valid yet', () => bearer({ claims: { nbf: seconds() + 120 } }), 'nbf: in the future'],
    ['whose exp is a text', () => bearer({ claims: { exp: 'never' } }), 'exp: not a number'],
    ['without kid', () => bearer({ header: { kid: undefined as unknown as string } }), 'kid: missing'],
    ['of an unknown kid', () => bearer({ header: { kid: 'key-9' } }), 'kid: no such key'],
    ['with a jku that is not registered', () => bearer({ header: { jku: stranger.jwksUrl } }), 'jku: not registered'],
    ['that is no JWT', async () => 'Bearer nonsense', 'not a bearer JWT'],
    ['that is Basic', async () => 'Basic dXNlcjpwYXNz', 'not a bearer JWT'],
    ['that is too long', async () => `Bearer ${'a'.repeat(9_000)}.b.c`, 'not a bearer JWT'],
    ['that is not JSON', async () => 'Bearer YQ.YQ.YQ', 'not a JWT'],
  ])('%s', async (_, authorization, why) => {
    const refused = await refusal(trust().verify(await authorization(), audience));
    expect(refused).toMatch(/^cds\.token-invalid /);
    expect(refused).toContain(why);
  });

  it('when there is none', async () => {
    expect(await refusal(trust().verify(undefined, audience))).toBe('request.unauthenticated');
  });

  it('with alg none', async () => {
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { iss: ehr.issuer, aud: audience, iat: seconds(), exp: seconds() + 60, jti: randomUUID() };
    for (const alg of ['none', 'None', 'NONE']) {
      const token = `${encode({ alg, kid: 'key-1', typ: 'JWT' })}.${encode(claims)}.`;
      expect(await refusal(trust().verify(`Bearer ${token}`, audience))).toBe('cds.token-invalid alg: not allowed');
    }
  });

  it('signed by HMAC with the public key as the secret', async () => {
    const secret = new TextEncoder().encode(await exportSPKI(ehr.firstKeys.publicKey));
    for (const alg of ['HS256', 'HS384']) {
      const authorization = await bearer({ header: { alg }, key: secret });
      expect(await refusal(trust().verify(authorization, audience))).toBe('cds.token-invalid alg: not allowed');
    }
  });

  it("signed by somebody else's key under a known kid", async () => {
    const { privateKey } = await generateKeyPair('ES384');
    expect(await refusal(trust().verify(await bearer({ key: privateKey }), audience))).toContain('signature');
  });

  it('signed with an RSA key that is too short', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const weak = await loopbackServer((_request, response) =>
      response.end(JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'weak', alg: 'RS384' }] })),
    );
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { iss: weak.url, aud: audience, iat: seconds(), exp: seconds() + 60, jti: randomUUID() };
    const signed = `${encode({ alg: 'RS384', kid: 'weak', typ: 'JWT' })}.${encode(claims)}`;
    const signature = createSign('sha384').update(signed).sign(privateKey, 'base64url');
    const door = trustedClients({ clients: [{ issuer: weak.url, jwksUrl: weak.url, fhirServers: [] }] });
    expect(await refusal(door.verify(`Bearer ${signed}.${signature}`, audience))).toContain('signature');
    await weak.close();
  });

  it('whose claims were changed after signing', async () => {
    const [header, , signature] = (await ehr.token(audience)).split('.');
    const claims = {
      iss: ehr.issuer,
      aud: audience,
      iat: seconds(),
      exp: seconds() + 60,
      jti: randomUUID(),
      tenant: 'x',
    };
    const forged = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`;
    expect(await refusal(trust().verify(`Bearer ${forged}`, audience))).toContain('signature');
  });

  it('of an issuer that is not registered, whose keys are never fetched', async () => {
    const before = stranger.timesAsked();
    const authorization = `Bearer ${await stranger.token(audience, { header: { jku: stranger.jwksUrl } })}`;
    expect(await refusal(trust().verify(authorization, audience))).toBe('cds.client-not-trusted');
    expect(stranger.timesAsked()).toBe(before);
  });

  it('by everybody when no client is registered', async () => {
    expect(await refusal(trustedClients({ clients: [] }).verify(await bearer(), audience))).toBe(
      'cds.client-not-trusted',
    );
  });

  it('the second time, also when both come at once', async () => {
    const door = trust();
    const authorization = await bearer();
    const results = await Promise.allSettled([
      door.verify(authorization, audience),
      door.verify(authorization, audience),
    ]);
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(await refusal(door.verify(authorization, audience))).toBe('cds.token-invalid jti: used before');
  });

  it('with a used jti in a new token of the same issuer', async () => {
    const door = trust();
    await door.verify(await bearer({ claims: { jti: 'once' } }), audience);
    const again = await bearer({ claims: { jti: 'once', exp: seconds() + 900 } });
    expect(await refusal(door.verify(again, audience))).toBe('cds.token-invalid jti: used before');
  });

  it('but its jti is not spent by a token that was refused', async () => {
    const door = trust();
    expect(
      await refusal(door.verify(await bearer({ claims: { jti: 'mine', aud: 'https://other.example' } }), audience)),
    ).toContain('aud');
    expect((await door.verify(await bearer({ claims: { jti: 'mine' } }), audience)).name).toBe(ehr.issuer);
  });

  it('when no more can be remembered, and not any more when the old ones have died', async () => {
    let now = Date.now();
    const door = trust({ rememberedTokens: 2, now: () => now });
    const fresh = () => bearer({ claims: { iat: Math.floor(now / 1000), exp: Math.floor(now / 1000) + 60 } });
    await door.verify(await fresh(), audience);
    await door.verify(await fresh(), audience);
    expect(await refusal(door.verify(await fresh(), audience))).toContain('jti: too many tokens alive');
    now += 200_000;
    expect((await door.verify(await fresh(), audience)).name).toBe(ehr.issuer);
  });
});

describe('the keys of a client', () => {
  it.each<[string, (response: import('node:http').ServerResponse) => void]>([
    ['answers with an error', (response) => void response.writeHead(500).end()],
    ['answers with something else', (response) => void response.end('<html></html>')],
    [
      'answers endlessly',
      (response) => void response.end(JSON.stringify({ keys: [], padding: 'x'.repeat(1024 * 1024) })),
    ],
    ['sends us elsewhere', (response) => void response.writeHead(302, { location: stranger.jwksUrl }).end()],
  ])('cannot be had when its server %s', async (_, how) => {
    const before = stranger.timesAsked();
    ehr.answerWith(how);
    const verifying = trust().verify(await bearer(), audience);
    expect(await refusal(verifying)).toBe('cds.keys-unavailable');
    ehr.answerWith(undefined);
    expect(stranger.timesAsked()).toBe(before);
  });

  it('are not asked for again at each call while their server is down, and then they are', async () => {
    const down = await cdsClient();
    let now = Date.now();
    const door = trustedClients({
      clients: [{ issuer: down.issuer, jwksUrl: down.jwksUrl, fhirServers: [] }],
      now: () => now,
    });
    const verify = async () => door.verify(`Bearer ${await down.token(audience)}`, audience);
    down.answerWith((response) => void response.writeHead(503).end());
    for (let i = 0; i < 5; i += 1) expect(await refusal(verify())).toBe('cds.keys-unavailable');
    expect(down.timesAsked()).toBe(1);
    down.answerWith(undefined);
    now += 3_000;
    expect((await verify()).name).toBe(down.issuer);
    await down.close();
  });
});

describe('the open door of development', () => {
  it('warns loudly and lets in everybody, with no FHIR server to visit', async () => {
    const warnings: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (message) => void warnings.push(message) };
    expect(await anyCaller({ logger }).verify(undefined, audience)).toEqual({ name: 'anonymous', fhirServers: [] });
    expect(warnings).toEqual([expect.stringContaining('not checked')]);
  });
});
