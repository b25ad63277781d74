/** A demo hospital on a free port, and a small service for it to know: keys, and an address that hears notifications. */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, type JWTPayload } from 'jose';
import { startHospital, type HospitalOptions } from '../../sandbox/hospital.ts';
import { silentLogger } from '../../src/domain/log.ts';

export type Heard = { readonly path: string; readonly headers: IncomingMessage['headers']; readonly body: unknown };

/** Stands where Wetread stands: publishes keys, hears notifications, and answers CDS calls as told. */
export async function startListener() {
  const { publicKey, privateKey } = await generateKeyPair('ES384');
  const heard: Heard[] = [];
  let answer: (request: Heard) => { status: number; body?: unknown } = () => ({ status: 200 });
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'test-key', alg: 'ES384', use: 'sig' }] };
  const server = createServer(async (request, response) => {
    if (request.url === '/.well-known/jwks.json') {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(jwks));
      return;
    }
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    const one: Heard = {
      path: request.url ?? '',
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    heard.push(one);
    let result: { status: number; body?: unknown };
    try {
      result = answer(one);
    } catch {
      result = { status: 500 };
    }
    response
      .writeHead(result.status, { 'content-type': 'application/json' })
      .end(result.body === undefined ? '' : JSON.stringify(result.body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    heard,
    answerWith(next: typeof answer): void {
      answer = next;
    },
    /** A `private_key_jwt`; `overrides` spoils it. */
    assertion(
      clientId: string,
      audience: string,
      overrides: { claims?: JWTPayload; alg?: string; key?: CryptoKey | Uint8Array } = {},
    ) {
      const now = Math.floor(Date.now() / 1000);
      return new SignJWT({
        iss: clientId,
        sub: clientId,
        aud: audience,
        jti: randomUUID(),
        iat: now,
        exp: now + 120,
        ...overrides.claims,
      })
        .setProtectedHeader({ alg: overrides.alg ?? 'ES384', kid: 'test-key', typ: 'JWT' })
        .sign(overrides.key ?? privateKey);
    },
    async stop(): Promise<void> {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
export type Listener = Awaited<ReturnType<typeof startListener>>;

export async function startTestHospital(options: Partial<HospitalOptions> = {}) {
  const listener = await startListener();
  const hospital = await startHospital({
    port: 0,
    wetreadUrl: listener.url,
    notificationRetryMs: [10, 20],
    logger: silentLogger,
    ...options,
  });
  const tokenEndpoint = `${hospital.url}/auth/token`;

  async function backendToken(scope: string): Promise<string> {
    const answer = await form(tokenEndpoint, {
      grant_type: 'client_credentials',
      scope,
      client_assertion_type: assertionType,
      client_assertion: await listener.assertion('wetread', tokenEndpoint),
    });
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
    return String(answer.body['access_token']);
  }

  return {
    url: hospital.url,
    fhir: `${hospital.url}/fhir`,
    tokenEndpoint,
    listener,
    backendToken,
    /** Launch, authorize, token: the answer of the token endpoint for this patient. */
    async launchedToken(patient: string, context: { appContext?: string; imagingStudy?: string } = {}) {
      const { launch } = (await json(`${hospital.url}/ehr/api/launch`, { patient, ...context })).body as {
        launch: string;
      };
      const asked = authorizeRequest({ listener, fhir: `${hospital.url}/fhir`, launch });
      const { code } = await authorize(hospital.url, asked.parameters);
      return form(tokenEndpoint, await codeForm({ listener, tokenEndpoint, code, verifier: asked.verifier }));
    },
    async stop(): Promise<void> {
      await hospital.close();
      await listener.stop();
    },
  };
}
export type TestHospital = Awaited<ReturnType<typeof startTestHospital>>;

export const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

export function authorizeRequest({ listener, fhir, launch }: { listener: Listener; fhir: string; launch: string }) {
  const verifier = randomBytes(32).toString('base64url');
  return {
    verifier,
    parameters: {
      response_type: 'code',
      client_id: 'wetread-app',
      redirect_uri: `${listener.url}/app/callback`,
      launch,
      scope:
        'launch openid fhirUser patient/Patient.rs patient/ImagingStudy.rs patient/Condition.rs user/Practitioner.rs',
      state: randomBytes(32).toString('base64url'),
      nonce: 'the-nonce',
      aud: fhir,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    } as Record<string, string>,
  };
}

/** Where the authorization endpoint sends the browser. */
export async function authorize(url: string, parameters: Record<string, string>) {
  const response = await fetch(`${url}/auth/authorize?${new URLSearchParams(parameters)}`, { redirect: 'manual' });
  const location = response.headers.get('location');
  const query = location === null ? new URLSearchParams() : new URL(location).searchParams;
  return {
    status: response.status,
    location,
    code: query.get('code') ?? '',
    error: query.get('error'),
    state: query.get('state'),
    body: location === null ? ((await response.json()) as Record<string, unknown>) : {},
  };
}

export async function codeForm(given: {
  listener: Listener;
  tokenEndpoint: string;
  code: string;
  verifier: string;
}): Promise<Record<string, string>> {
  return {
    grant_type: 'authorization_code',
    code: given.code,
    redirect_uri: `${given.listener.url}/app/callback`,
    code_verifier: given.verifier,
    client_id: 'wetread-app',
    client_assertion_type: assertionType,
    client_assertion: await given.listener.assertion('wetread-app', given.tokenEndpoint),
  };
}

export async function form(url: string, parameters: Record<string, string>) {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(parameters) });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

export async function json(url: string, body: unknown) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** Waits for something that happens by itself; the test's own time limit ends a wait in vain. */
export async function until<Value>(look: () => Value | undefined | Promise<Value | undefined>): Promise<Value> {
  for (;;) {
    const value = await look();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function fhirCaller(base: string, token: string | undefined) {
  return async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? {} : JSON.parse(text)) as Record<string, never> & FhirAnswer,
    };
  };
}

/** What tests look at in an answer of the FHIR server. */
export type FhirAnswer = {
  readonly id?: string;
  readonly resourceType?: string;
  readonly total?: number;
  readonly status?: string;
  readonly error?: string;
  readonly meta?: { readonly versionId?: string };
  readonly issue?: readonly {
    readonly code: string;
    readonly details?: { readonly text?: string };
    readonly expression?: readonly string[];
  }[];
  readonly entry?: readonly {
    readonly fullUrl?: string;
    readonly resource?: FhirAnswer;
    readonly search?: { readonly mode: string };
    readonly response?: { readonly status: string; readonly location?: string; readonly etag?: string };
  }[];
  readonly link?: readonly { readonly relation: string; readonly url: string }[];
};
