/** The service's own key pairs: what it proves itself with at token endpoints (private_key_jwt), published as a JWKS. */
import { randomUUID } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, SignJWT, type CryptoKey, type JWK } from 'jose';
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import { keptFile } from './kept-file.ts';

/** SMART App Launch 2.2 names these two; every server knows at least one. */
export const signatureAlgorithms = ['ES384', 'RS384'] as const;
export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

export type AssertionRequest = {
  readonly clientId: string;
  /** The token endpoint, exactly as it will be called. */
  readonly audience: string;
  readonly algorithm?: SignatureAlgorithm;
};

export interface ServiceKeys {
  /** For `/.well-known/jwks.json`. */
  publicJwks(): { keys: JWK[] };
  /** Algorithms there is a key for, the preferred one first. */
  readonly algorithms: readonly SignatureAlgorithm[];
  /** A client assertion (RFC 7523) for one use. */
  assertion(request: AssertionRequest): Promise<string>;
}

export type ServiceKeysOptions = {
  /** Where keys are kept that Wetread makes itself. */
  readonly dataDir: string;
  /** A JWKS with private keys, instead (WETREAD_PRIVATE_KEY_FILE). */
  readonly keyFile?: string;
  readonly logger: Logger;
};

/** SMART: at most five minutes; less survives a clock that is a little off. */
const assertionSeconds = 240;

const jwks = z.object({
  keys: z
    .array(
      z.looseObject({ kty: z.string(), d: z.string().min(1), alg: z.string().optional(), kid: z.string().optional() }),
    )
    .min(1),
});

type Pair = {
  readonly algorithm: SignatureAlgorithm;
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
};

export async function serviceKeys({ dataDir, keyFile, logger }: ServiceKeysOptions): Promise<ServiceKeys> {
  const path = keyFile ?? join(dataDir, 'service-keys.json');
  const text = keyFile === undefined ? await keptFile(path, makeJwks) : await readGiven(keyFile);
  if (((await stat(path)).mode & 0o077) !== 0)
    logger.warn('the private key file can be read by others than its owner', { path });
  const pairs = await pairsFrom(text, path);

  return {
    algorithms: pairs.map(({ algorithm }) => algorithm),
    publicJwks: () => ({ keys: pairs.map(({ publicJwk }) => publicJwk) }),
    async assertion({ clientId, audience, algorithm }) {
      const pair = pairs.find((one) => one.algorithm === algorithm) ?? pairs[0]!;
      return new SignJWT()
        .setProtectedHeader({ alg: pair.algorithm, kid: pair.kid, typ: 'JWT' })
        .setIssuer(clientId)
        .setSubject(clientId)
        .setAudience(audience)
        .setIssuedAt()
        .setExpirationTime(`${assertionSeconds}s`)
        .setJti(randomUUID())
        .sign(pair.privateKey);
    },
  };
}

async function makeJwks(): Promise<string> {
  const keys: JWK[] = [];
  for (const alg of signatureAlgorithms) {
    const { privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: 3072 });
    keys.push({ ...(await exportJWK(privateKey)), alg });
  }
  return JSON.stringify({ keys }, undefined, 2);
}

async function readGiven(keyFile: string): Promise<string> {
  try {
    return await readFile(keyFile, 'utf8');
  } catch (error) {
    throw new WetreadError('config.invalid', 'WETREAD_PRIVATE_KEY_FILE cannot be read', { cause: error });
  }
}

async function pairsFrom(text: string, path: string): Promise<Pair[]> {
  // What went wrong is said without the content: an error message with half a private key in it ends in a log.
  const broken = (why: string) => new WetreadError('config.invalid', `${path}: ${why}`);
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw broken('not JSON');
  }
  const parsed = jwks.safeParse(content);
  if (!parsed.success) throw broken('not a JWKS with private keys');
  const pairs: Pair[] = [];
  for (const jwk of parsed.data.keys as (JWK & { d: string })[]) {
    const algorithm = algorithmOf(jwk);
    if (algorithm === undefined) continue;
    try {
      const publicPart = publicPartOf(jwk);
      const kid = jwk.kid ?? (await calculateJwkThumbprint(publicPart));
      const privateKey = (await importJWK(jwk, algorithm)) as CryptoKey;
      pairs.push({ algorithm, kid, privateKey, publicJwk: { ...publicPart, kid, alg: algorithm, use: 'sig' } });
    } catch {
      throw broken(`its ${algorithm} key cannot be used`);
    }
  }
  if (pairs.length === 0) throw broken(`no key for ${signatureAlgorithms.join(' or ')}`);
  return pairs.sort((a, b) => signatureAlgorithms.indexOf(a.algorithm) - signatureAlgorithms.indexOf(b.algorithm));
}

function algorithmOf(jwk: JWK): SignatureAlgorithm | undefined {
  if (jwk.kty === 'EC' && jwk.crv === 'P-384') return 'ES384';
  if (jwk.kty === 'RSA' && (jwk.alg === undefined || jwk.alg === 'RS384')) return 'RS384';
  return undefined;
}

/** Named member by member: a new private member of some key type must never be published by accident. */
function publicPartOf(jwk: JWK): JWK {
  const { kty, crv, x, y, n, e } = jwk as Record<string, string>;
  return (kty === 'RSA' ? { kty, n, e } : { kty, crv, x, y }) as JWK;
}
