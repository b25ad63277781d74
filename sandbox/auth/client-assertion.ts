/** `private_key_jwt` (RFC 7523, SMART App Launch 2.2 "Asymmetric Authentication"): who asks for a token. */
import { createRemoteJWKSet, decodeJwt, errors, jwtVerify } from 'jose';
import { OAuthError } from './oauth-error.ts';
import type { Client } from './clients.ts';

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
export const assertionAlgorithms = ['ES384', 'RS384'];
const longestLifeSeconds = 5 * 60;
const clockSkewSeconds = 10;

export type ClientCheck = (form: URLSearchParams, audience: string) => Promise<Client>;

export function clientCheck(clients: readonly Client[], now: () => number = Date.now): ClientCheck {
  // A service that was set up again brings new keys under new ids; half a minute would be long to wait for them.
  const keys = new Map(
    clients.map(({ jwksUrl }) => [
      jwksUrl,
      createRemoteJWKSet(new URL(jwksUrl), { timeoutDuration: 5_000, cooldownDuration: 1_000 }),
    ]),
  );
  const used = new Map<string, number>();

  return async (form, audience) => {
    const assertion = form.get('client_assertion');
    if (form.get('client_assertion_type') !== assertionType || assertion === null) {
      throw new OAuthError('invalid_client', 'a client_assertion is needed');
    }
    const client = clients.find(({ id }) => id === claimedIssuer(assertion));
    if (client === undefined) throw new OAuthError('invalid_client', 'this client is not registered');
    const given = form.get('client_id');
    if (given !== null && given !== client.id) throw new OAuthError('invalid_client', 'client_id and assertion differ');

    const payload = await verified();
    const { exp = 0, jti = '' } = payload;
    if (exp * 1000 > now() + (longestLifeSeconds + clockSkewSeconds) * 1000) {
      throw new OAuthError('invalid_client', 'the assertion lives longer than five minutes');
    }
    for (const [id, until] of used) if (until < now()) used.delete(id);
    const id = `${client.id}\n${jti}`;
    if (used.has(id)) throw new OAuthError('invalid_client', 'this assertion was used before');
    used.set(id, (exp + clockSkewSeconds) * 1000);
    return client;

    async function verified() {
      try {
        const result = await jwtVerify(assertion!, keys.get(client!.jwksUrl)!, {
          algorithms: assertionAlgorithms,
          issuer: client!.id,
          subject: client!.id,
          audience,
          typ: 'JWT',
          clockTolerance: clockSkewSeconds,
          requiredClaims: ['exp', 'jti'],
        });
        return result.payload;
      } catch (error) {
        if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired) {
          throw new OAuthError('invalid_client', `assertion: ${error.claim} is not valid`);
        }
        if (error instanceof errors.JOSEError) throw new OAuthError('invalid_client', 'the assertion is not valid');
        throw new OAuthError('invalid_client', "the client's keys cannot be fetched");
      }
    }
  };
}

function claimedIssuer(assertion: string): string | undefined {
  try {
    return decodeJwt(assertion).iss;
  } catch {
    throw new OAuthError('invalid_client', 'the assertion is not a JWT');
  }
}
