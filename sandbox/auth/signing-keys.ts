/** The hospital's keys, made at each start: one pair signs tokens for its own servers, the other signs its CDS Hooks calls. */
import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT, type JWK, type JWTPayload } from 'jose';

export type SigningKey = {
  readonly publicKey: CryptoKey;
  sign(claims: JWTPayload, header?: { readonly typ?: string; readonly jku?: string }): Promise<string>;
};

export type SigningKeys = {
  readonly tokens: SigningKey;
  readonly cdsHooks: SigningKey;
  readonly jwks: { readonly keys: readonly JWK[] };
};

export async function makeSigningKeys(): Promise<SigningKeys> {
  const [tokens, cdsHooks] = await Promise.all([makeKey(), makeKey()]);
  return { tokens: tokens.key, cdsHooks: cdsHooks.key, jwks: { keys: [tokens.jwk, cdsHooks.jwk] } };
}

async function makeKey(): Promise<{ key: SigningKey; jwk: JWK }> {
  const { publicKey, privateKey } = await generateKeyPair('ES384');
  const kid = randomUUID();
  return {
    key: {
      publicKey,
      sign: (claims, { typ = 'JWT', jku } = {}) =>
        new SignJWT(claims)
          .setProtectedHeader({ alg: 'ES384', kid, typ, ...(jku === undefined ? {} : { jku }) })
          .sign(privateKey),
    },
    jwk: { ...(await exportJWK(publicKey)), kid, use: 'sig', alg: 'ES384' },
  };
}
