/** A CDS client with its own keys and key server on the loopback, as an EHR has them. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK, type JWTHeaderParameters } from 'jose';

export type LoopbackServer = { readonly url: string; close(): Promise<void> };

export async function loopbackServer(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<LoopbackServer> {
  const server: Server = createServer(handler);
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export type TokenChanges = {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly without?: readonly string[];
  readonly header?: Partial<JWTHeaderParameters>;
  readonly key?: CryptoKey | Uint8Array;
};

export async function cdsClient(alg: 'ES384' | 'RS384' | 'ES256' = 'ES384') {
  const keys: JWK[] = [];
  let asked = 0;
  let answer: ((response: ServerResponse) => void) | undefined;
  const server = await loopbackServer((_request, response) => {
    asked += 1;
    if (answer !== undefined) return answer(response);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ keys }));
  });
  const addKey = async (kid: string) => {
    const pair = await generateKeyPair(alg, { extractable: true });
    keys.push({ ...(await exportJWK(pair.publicKey)), kid, alg, use: 'sig' });
    return pair;
  };
  const first = await addKey('key-1');
  const issuer = server.url;

  const token = async (audience: string, changes: TokenChanges = {}): Promise<string> => {
    const now = Math.floor(Date.now() / 1000);
    const claims: Record<string, unknown> = {
      iss: issuer,
      aud: audience,
      iat: now,
      exp: now + 300,
      jti: randomUUID(),
      ...changes.claims,
    };
    for (const claim of changes.without ?? []) delete claims[claim];
    return new SignJWT(claims)
      .setProtectedHeader({ alg, kid: 'key-1', typ: 'JWT', ...changes.header })
      .sign(changes.key ?? first.privateKey);
  };

  return {
    issuer,
    jwksUrl: `${server.url}/jwks`,
    publicKeys: keys,
    firstKeys: first,
    token,
    addKey,
    removeKeys: () => void keys.splice(0),
    timesAsked: () => asked,
    answerWith: (how: ((response: ServerResponse) => void) | undefined) => void (answer = how),
    close: () => server.close(),
  };
}
