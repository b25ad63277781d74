/** A token endpoint that really checks private_key_jwt against the service's published keys. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  createLocalJWKSet,
  jwtVerify,
  type JSONWebKeySet,
  type JWTPayload,
  type ProtectedHeaderParameters,
} from 'jose';

export type SeenAssertion = {
  readonly payload: JWTPayload;
  readonly header: ProtectedHeaderParameters;
  readonly form: URLSearchParams;
};

export async function authorizationServer(settings: {
  keys: JSONWebKeySet;
  algorithms?: string[];
  expiresIn?: number;
}) {
  const assertions: SeenAssertion[] = [];
  const used = new Set<string>();
  const state = { refuse: undefined as undefined | { status: number; body: unknown }, discoveries: 0, delayMs: 0 };
  let base = '';
  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (request.url === '/fhir/.well-known/smart-configuration') {
      state.discoveries += 1;
      return void answer(200, {
        token_endpoint: `${base}/auth/token`,
        token_endpoint_auth_signing_alg_values_supported: settings.algorithms ?? ['RS384', 'ES384'],
        grant_types_supported: ['client_credentials'],
      });
    }
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      void (async () => {
        await new Promise((resolve) => setTimeout(resolve, state.delayMs));
        if (state.refuse !== undefined) return answer(state.refuse.status, state.refuse.body);
        const form = new URLSearchParams(text);
        try {
          const { payload, protectedHeader } = await jwtVerify(
            form.get('client_assertion') ?? '',
            createLocalJWKSet(settings.keys),
            {
              audience: `${base}/auth/token`,
              issuer: 'wetread',
              subject: 'wetread',
              algorithms: settings.algorithms ?? ['RS384', 'ES384'],
              maxTokenAge: '5m',
              requiredClaims: ['exp', 'jti'],
            },
          );
          if (used.has(payload.jti!)) return answer(400, { error: 'invalid_client' });
          used.add(payload.jti!);
          assertions.push({ payload, header: protectedHeader, form });
          return answer(200, {
            access_token: `token-${assertions.length}`,
            token_type: 'bearer',
            expires_in: settings.expiresIn ?? 300,
            scope: form.get('scope'),
          });
        } catch {
          return answer(401, { error: 'invalid_client', error_description: 'the patient Zappa is not amused' });
        }
      })();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    fhirBaseUrl: `${base}/fhir`,
    assertions,
    state,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
