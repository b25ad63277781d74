/** A small EHR with an OpenID provider: just enough of a second party to launch from, and to lie when a test wants it to. */
import { createHash, randomUUID } from 'node:crypto';
import express from 'express';
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT, type JWK } from 'jose';
import { listen } from '../../src/http/server.ts';

export type Lies = {
  nonce?: string;
  issuer?: string;
  audience?: string;
  /** Signs with a key that is not published. */
  strangersKey?: boolean;
  algorithm?: 'none' | 'HS256';
  expired?: boolean;
  fhirUser?: string | null;
  patient?: string | null;
  tokenStatus?: number;
  callbackError?: string;
  pkce?: readonly string[];
  answeringIssuer?: string;
};

export async function ehrForTests(client: { id: string; jwks: { keys: JWK[] }; redirectUri: string }) {
  const own = await generateKeyPair('ES384', { extractable: true });
  const stranger = await generateKeyPair('ES384', { extractable: true });
  const jwk: JWK = { ...(await exportJWK(own.publicKey)), kid: 'ehr-1', alg: 'ES384', use: 'sig' };
  const clientKeys = createLocalJWKSet(client.jwks);
  const given = new Map<string, Record<string, string>>();
  const state = {
    lies: {} as Lies,
    appContext: undefined as unknown,
    fhirContext: undefined as unknown,
    /** What came to /authorize and /token, newest last. */
    authorizations: [] as Record<string, string>[],
    exchanges: [] as Record<string, string>[],
    discoveries: 0,
    usedAssertions: new Set<string>(),
  };
  const app = express();
  let base = '';

  app.get('/fhir/.well-known/smart-configuration', (_request, response) => {
    state.discoveries += 1;
    response.json({
      issuer: base,
      jwks_uri: `${base}/jwks`,
      authorization_endpoint: `${base}/authorize`,
      token_endpoint: `${base}/token`,
      code_challenge_methods_supported: state.lies.pkce ?? ['S256'],
    });
  });
  app.get('/jwks', (_request, response) => void response.json({ keys: [jwk] }));

  app.get('/authorize', (request, response) => {
    const asked = request.query as Record<string, string>;
    state.authorizations.push(asked);
    const back = new URL(asked['redirect_uri']!);
    back.searchParams.set('state', asked['state']!);
    if (state.lies.answeringIssuer !== undefined) back.searchParams.set('iss', state.lies.answeringIssuer);
    if (state.lies.callbackError !== undefined) back.searchParams.set('error', state.lies.callbackError);
    else {
      const code = randomUUID();
      given.set(code, asked);
      back.searchParams.set('code', code);
    }
    response.redirect(back.href);
  });

  app.post('/token', express.urlencoded({ extended: false }), async (request, response) => {
    const form = request.body as Record<string, string>;
    state.exchanges.push(form);
    const asked = given.get(form['code'] ?? '');
    given.delete(form['code'] ?? '');
    const challenge = createHash('sha256')
      .update(form['code_verifier'] ?? '')
      .digest('base64url');
    const assertion = await jwtVerify(form['client_assertion'] ?? '', clientKeys, {
      issuer: client.id,
      subject: client.id,
      audience: `${base}/token`,
      requiredClaims: ['jti', 'exp'],
    }).catch(() => undefined);
    const fresh = assertion !== undefined && !state.usedAssertions.has(assertion.payload.jti!);
    if (assertion) state.usedAssertions.add(assertion.payload.jti!);
    const right =
      asked !== undefined &&
      fresh &&
      challenge === asked['code_challenge'] &&
      form['redirect_uri'] === client.redirectUri &&
      form['grant_type'] === 'authorization_code';
    if (!right) return void response.status(400).json({ error: 'invalid_grant' });
    if (state.lies.tokenStatus !== undefined)
      return void response.status(state.lies.tokenStatus).json({ error: 'nope' });
    response.json({
      access_token: 'the-access-token',
      token_type: 'Bearer',
      expires_in: 300,
      id_token: await idToken(asked['nonce']!),
      scope: asked['scope'],
      ...(state.lies.patient === null ? {} : { patient: state.lies.patient ?? 'ada' }),
      ...(state.appContext === undefined ? {} : { appContext: state.appContext }),
      ...(state.fhirContext === undefined ? {} : { fhirContext: state.fhirContext }),
    });
  });

  async function idToken(nonce: string): Promise<string> {
    const { lies } = state;
    const claims = {
      nonce: lies.nonce ?? nonce,
      ...(lies.fhirUser === null ? {} : { fhirUser: lies.fhirUser ?? `${base}/fhir/Practitioner/lin` }),
    };
    if (lies.algorithm === 'none') {
      const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const times = { iat: Math.floor(Date.now() / 1000), exp: Math.floor(Date.now() / 1000) + 60 };
      return `${part({ alg: 'none' })}.${part({ ...claims, ...times, iss: base, aud: client.id, sub: 'lin' })}.`;
    }
    const unsigned = new SignJWT(claims)
      .setProtectedHeader({ alg: lies.algorithm ?? 'ES384', kid: 'ehr-1' })
      .setIssuer(lies.issuer ?? base)
      .setAudience(lies.audience ?? client.id)
      .setSubject('lin')
      .setIssuedAt(lies.expired ? Math.floor(Date.now() / 1000) - 7_200 : undefined)
      .setExpirationTime(lies.expired ? Math.floor(Date.now() / 1000) - 3_600 : '5m');
    // The classic confusion: the public key's text used as a shared secret.
    if (lies.algorithm === 'HS256') return unsigned.sign(new TextEncoder().encode(JSON.stringify(jwk)));
    return unsigned.sign(lies.strangersKey ? stranger.privateKey : own.privateKey);
  }

  app.get('/fhir/:type/:id', (request, response) => {
    if (request.headers.authorization !== 'Bearer the-access-token') return void response.status(401).json({});
    const resources: Record<string, object> = {
      'Patient/ada': {
        resourceType: 'Patient',
        name: [
          { use: 'nickname', text: 'Addie' },
          { use: 'official', given: ['Ada'], family: 'Marsh' },
        ],
        birthDate: '1958-03-12',
        gender: 'female',
      },
      'Practitioner/lin': { resourceType: 'Practitioner', name: [{ prefix: ['Dr'], given: ['Lin'], family: 'Wei' }] },
      'ImagingStudy/7': {
        resourceType: 'ImagingStudy',
        identifier: [{ value: 'A-1' }, { system: 'urn:dicom:uid', value: 'urn:oid:1.2.3.10' }],
      },
    };
    const found = resources[`${request.params.type}/${request.params.id}`];
    response.status(found ? 200 : 404).json(found ?? {});
  });

  const server = await listen(app, { host: '127.0.0.1', port: 0 });
  base = `http://127.0.0.1:${server.port}`;
  return Object.assign(state, { iss: `${base}/fhir`, base, close: () => server.close() });
}
