/** Who may call: CDS Hooks 2.0.1 "Trusting CDS Clients". Each call brings a fresh signed token for exactly this address. */
import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type JWTPayload,
  type ProtectedHeaderParameters,
} from 'jose';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { Fetch } from './bounded-json.ts';
import { keySetAt, type KeySet } from './key-set.ts';
import { seenTokens } from './seen-tokens.ts';

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

/** Asymmetric only, and only what the specification recommends unless a site says more: `none` and HMAC cannot be configured. */
export type CdsAlgorithm = 'ES384' | 'RS384' | 'ES256' | 'RS256';

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

  return {
    async verify(authorization, audience) {
      const token = bearerToken(authorization);
      const { header, claims: claimed } = decoded(token);
      if (!algorithms.includes(header.alg as CdsAlgorithm)) throw invalid('alg: not allowed');
      if (typeof header.kid !== 'string') throw invalid('kid: missing');
      const client = clientOf(header, claimed);
      const claims = await verified(token, client.keys, {
        algorithms,
        issuer: client.issuer,
        audience,
        typ: 'JWT',
        clockTolerance: tolerance,
        currentDate: new Date(now()),
        requiredClaims: ['exp', 'iat', 'jti'],
      });
      const { exp = 0, iat = 0, jti } = claims;
      if (iat > now() / 1000 + tolerance) throw invalid('iat: in the future');
      if (exp - iat > longestLife) throw invalid(`exp: more than ${longestLife} s after iat`);
      if (typeof jti !== 'string' || jti === '' || jti.length > 256)
        throw invalid('jti: empty, too long or not a text');
      // Last, and in one step with the check: only a token that is good in every other way is remembered.
      if (!seen.first(client.issuer, jti, exp + tolerance)) throw invalid('jti: used before');
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

async function verified(token: string, keys: KeySet, checks: Parameters<typeof jwtVerify>[2]): Promise<JWTPayload> {
  const verify = () => jwtVerify(token, (header) => keys.keyFor(header), checks);
  try {
    return (await verify()).payload;
  } catch (error) {
    // A client that changed a key but kept its id, as happens when a test system is set up again.
    if (error instanceof errors.JWSSignatureVerificationFailed && (await keys.refresh())) {
      return verify().then(
        ({ payload }) => payload,
        (again: unknown) => {
          throw refusal(again);
        },
      );
    }
    throw refusal(error);
  }
}

/** jose's errors, as which claim failed; their texts may quote the token and stay inside. */
function refusal(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) return invalid('exp: expired', error);
  if (error instanceof errors.JWTClaimValidationFailed)
    return invalid(`${error.claim}: ${error.reason.replaceAll('_', ' ')}`, error);
  if (error instanceof errors.JWSSignatureVerificationFailed) return invalid('signature: does not match', error);
  if (error instanceof errors.JOSEError) return invalid('not a valid signed JWT', error);
  return error;
}
