/** Access tokens: signed JWTs (RFC 9068) that the FHIR server checks without asking anybody. */
import { randomUUID } from 'node:crypto';
import { jwtVerify } from 'jose';
import type { Grant } from '../fhir/access.ts';
import type { SigningKey } from './signing-keys.ts';

export type IssuedToken = Grant & { readonly clientId: string; readonly subject: string; readonly fhirUser?: string };
export type VerifiedToken = IssuedToken & { readonly issuedAt: number; readonly expiresAt: number };

export type AccessTokens = {
  issue(token: IssuedToken, lifeSeconds: number): Promise<{ readonly token: string; readonly id: string }>;
  /** Undefined when it is not ours, expired or revoked. */
  verify(token: string): Promise<VerifiedToken | undefined>;
  revoke(id: string): void;
};

export function accessTokens(options: {
  readonly key: SigningKey;
  readonly issuer: string;
  readonly fhirUrl: string;
}): AccessTokens {
  const { key, issuer, fhirUrl } = options;
  const revoked = new Set<string>();
  return {
    async issue({ scope, patient, clientId, subject, fhirUser }, lifeSeconds) {
      const id = randomUUID();
      const now = Math.floor(Date.now() / 1000);
      const claims = {
        iss: issuer,
        aud: fhirUrl,
        sub: subject,
        client_id: clientId,
        scope,
        jti: id,
        iat: now,
        exp: now + lifeSeconds,
        ...(patient === undefined ? {} : { patient }),
        ...(fhirUser === undefined ? {} : { fhirUser }),
      };
      return { token: await key.sign(claims, { typ: 'at+jwt' }), id };
    },
    async verify(token) {
      try {
        const { payload } = await jwtVerify(token, key.publicKey, {
          algorithms: ['ES384'],
          issuer,
          audience: fhirUrl,
          typ: 'at+jwt',
          requiredClaims: ['exp', 'iat', 'jti', 'sub', 'client_id', 'scope'],
        });
        if (revoked.has(payload.jti!)) return undefined;
        const { patient, fhirUser } = payload;
        return {
          scope: String(payload['scope']),
          clientId: String(payload['client_id']),
          subject: payload.sub!,
          issuedAt: payload.iat!,
          expiresAt: payload.exp!,
          ...(typeof patient === 'string' ? { patient } : {}),
          ...(typeof fhirUser === 'string' ? { fhirUser } : {}),
        };
      } catch {
        return undefined;
      }
    },
    revoke: (id) => void revoked.add(id),
  };
}
