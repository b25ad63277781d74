/** Who may call: CDS Hooks 2.0.1 "Trusting CDS Clients". Each call brings a fresh signed token for exactly this address. */
import {
  decodeJwt,
  decodeProtectedHeader,
  type JWTHeaderParameters,
  type JWTPayload,
  type ProtectedHeaderParameters,
} from 'jose';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { Fetch } from './bounded-json.ts';
import { keySetAt, type KeySet } from './key-set.ts';
import { seenTokens } from './seen-tokens.ts';
import { signatureMatches, type CdsAlgorithm } from './signature.ts';

export type { CdsAlgorithm } from './signature.ts';

/** One line of the allow-list. */
export type CdsClientRegistration = {
  /** `iss` of its tokens. */
  readonly issuer: string;
  /** Where its public keys are. A token's `jku` may repeat this address and nothing else. */
  readonly jwksUrl: string;
  /** Needed in the token when given here. */
  readonly tenant?: string | undefined;
  /** FHIR servers that its requests may send us to. */
  readonly fhirServers: readonly string[];
};

/** Who is calling. */
export type CdsClient = { readonly name: string; readonly fhirServers: readonly string[] };

export type CdsClientTrust = {
  /** Throws `cds.client-not-trusted`, `cds.token-invalid` or `cds.keys-unavailable`. `audience` is the full address that was called. */
  verify(authorization: string | undefined, audience: string): Promise<CdsClient>;
};

/** Far more than a token needs; parsing is work done for strangers. */
const longestToken = 8 * 1024;

export function trustedClients(options: {
  readonly clients: readonly CdsClientRegistration[];
  readonly algorithms?: readonly CdsAlgorithm[];
  /** How far the clocks of two hospitals may be apart. */
  readonly toleranceSeconds?: number;
  /** Tokens that say they live longer are refused: each must be remembered until it dies. */
  readonly longestLifeSeconds?: number;
  readonly rememberedTokens?: number;
  readonly fetch?: Fetch;
  readonly now?: () => number;
}): CdsClientTrust {
  const now = options.now ?? Date.now;
  const tolerance = options.toleranceSeconds ?? 30;
  const longestLife = options.longestLifeSeconds ?? 3600;
  const algorithms = [...(options.algorithms ?? ['ES384', 'RS384'])];
  const seen = seenTokens({ atMost: options.rememberedTokens ?? 500_000, now });
  const registered = options.clients.map((client) => ({
    ...client,
    keys: keySetAt(client.jwksUrl, { fetch: options.fetch ?? globalThis.fetch, now }),
  }));

  const isAllowed = (alg: unknown): alg is CdsAlgorithm => algorithms.some((allowed) => allowed === alg);

  const clientOf = (header: ProtectedHeaderParameters, claims: JWTPayload) => {
    const sameIssuer = registered.filter(({ issuer }) => issuer === claims.iss);
    if (sameIssuer.length === 0) throw new WetreadError('cds.client-not-trusted');
    const client =
      sameIssuer.find(({ tenant }) => tenant !== undefined && tenant === claims['tenant']) ??
      sameIssuer.find(({ tenant }) => tenant === undefined);
    if (client === undefined) throw invalid('tenant: not registered for this issuer');
    // The address is compared, never fetched because a token says so.
    if (header.jku !== undefined && header.jku !== client.jwksUrl) throw invalid('jku: not registered for this issuer');
    return client;
  };

  const checkedClaims = (claims: JWTPayload, audience: string, nowSeconds: number): { jti: string; exp: number } => {
    const { aud, exp, iat, nbf, jti } = claims;
    // "The exact address that was called": neither the base address nor another service of ours.
    if (aud === undefined) throw invalid('aud: missing');
    if (!(Array.isArray(aud) ? aud : [aud]).includes(audience))
      throw invalid('aud: is not the address that was called');
    const expiry = seconds('exp', exp);
    const issued = seconds('iat', iat);
    if (expiry <= nowSeconds - tolerance) throw invalid('exp: expired');
    if (issued > nowSeconds + tolerance) throw invalid('iat: in the future');
    if (nbf !== undefined && seconds('nbf', nbf) > nowSeconds + tolerance) throw invalid('nbf: in the future');
    if (expiry - issued > longestLife) throw invalid(`exp: more than ${longestLife} s after iat`);
    if (jti === undefined) throw invalid('jti: missing');
    if (typeof jti !== 'string' || jti === '' || jti.length > 256) throw invalid('jti: empty, too long or not a text');
    return { jti, exp: expiry };
  };

  return {
    async verify(authorization, audience) {
      const token = bearerToken(authorization);
      const { header, claims } = decoded(token);
      if (!isAllowed(header.alg)) throw invalid('alg: not allowed');
      if (typeof header.kid !== 'string') throw invalid('kid: missing');
      if (header.typ?.toUpperCase() !== 'JWT') throw invalid('typ: is not JWT');
      // RFC 7515 4.1.11: what is marked critical must be understood, and nothing is.
      if (header.crit !== undefined) throw invalid('crit: not understood');
      const client = clientOf(header, claims);
      // What costs nothing is looked at before the signature is.
      const { jti, exp } = checkedClaims(claims, audience, now() / 1000);
      await checkSignature(header.alg, { ...header, alg: header.alg }, token, client.keys);
      // Last, and in one step with the check: only a token that is good in every other way is remembered.
      const use = seen.use(client.issuer, jti, exp + tolerance);
      if (use !== 'first')
        throw invalid(use === 'full' ? 'jti: too many tokens alive, let them live shorter' : 'jti: used before');
      return { name: client.issuer, fhirServers: client.fhirServers };
    },
  };
}

/** Development only, and only when asked for by name: everybody is let in, and nobody's FHIR server is visited unless listed. */
export function anyCaller(options: {
  readonly fhirServers?: readonly string[];
  readonly logger: Logger;
}): CdsClientTrust {
  options.logger.warn('CDS clients are not checked: every caller is answered. For development only.');
  const client: CdsClient = { name: 'anonymous', fhirServers: options.fhirServers ?? [] };
  return { verify: async () => client };
}

const invalid = (detail: string, cause?: unknown): WetreadError =>
  new WetreadError('cds.token-invalid', detail, { cause });

function bearerToken(authorization: string | undefined): string {
  if (authorization === undefined) throw new WetreadError('request.unauthenticated');
  const token = /^Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*)$/i.exec(authorization)?.[1];
  if (token === undefined || token.length > longestToken) throw invalid('Authorization: not a bearer JWT');
  return token;
}

function decoded(token: string): { header: ProtectedHeaderParameters; claims: JWTPayload } {
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt(token) };
  } catch (error) {
    throw invalid('not a JWT', error);
  }
}

function seconds(claim: string, value: unknown): number {
  if (value === undefined) throw invalid(`${claim}: missing`);
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid(`${claim}: not a number`);
  return value;
}

async function checkSignature(
  alg: CdsAlgorithm,
  header: JWTHeaderParameters,
  token: string,
  keys: KeySet,
): Promise<void> {
  if (await signatureMatches(alg, await keys.keyFor(header), token)) return;
  // A client that changed a key but kept its id, as happens when a test system is set up again.
  if ((await keys.refresh()) && (await signatureMatches(alg, await keys.keyFor(header), token))) return;
  throw invalid('signature: does not match');
}
