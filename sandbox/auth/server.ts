/** The hospital's authorization server: SMART App Launch 2.2 (EHR launch, backend services), OpenID Connect for who is signed in. */
import { createHash, timingSafeEqual } from 'node:crypto';
import express, { Router, type NextFunction, type Request, type Response } from 'express';
import type { Logger } from '../../src/domain/log.ts';
import type { AccessTokens } from './access-tokens.ts';
import { assertionAlgorithms, clientCheck } from './client-assertion.ts';
import type { Client } from './clients.ts';
import { shortLived, type IssuedCode, type LaunchContext } from './launches.ts';
import { OAuthError } from './oauth-error.ts';
import { grantedScopes } from './scopes.ts';
import type { SigningKeys } from './signing-keys.ts';

export type AuthServer = {
  readonly router: Router;
  readonly smartConfiguration: Readonly<Record<string, unknown>>;
  /** The `launch` parameter for an app that is about to be opened. */
  offerLaunch(context: LaunchContext): string;
};

/** OAuth 2.0 Security BCP: a code lives for less than a minute. */
const codeMs = 50_000;
const launchMs = 5 * 60_000;
const appTokenSeconds = 3600;
const backendTokenSeconds = 300;
const idTokenSeconds = 300;

export function authServer(options: {
  readonly hospitalUrl: string;
  readonly fhirUrl: string;
  readonly clients: readonly Client[];
  readonly keys: SigningKeys;
  readonly tokens: AccessTokens;
  readonly logger: Logger;
}): AuthServer {
  const { hospitalUrl, fhirUrl, clients, keys, tokens, logger } = options;
  const issuer = `${hospitalUrl}/auth`;
  const tokenEndpoint = `${issuer}/token`;
  const introspectionEndpoint = `${issuer}/introspect`;
  const checkClient = clientCheck(clients);
  const launches = shortLived<LaunchContext>(launchMs);
  const codes = shortLived<IssuedCode>(codeMs);
  /** Codes that were used, with the token each gave: a second use ends that token (RFC 6749, 4.1.2). */
  const spent = new Map<string, string>();
  const router = Router();

  const openidConfiguration = {
    issuer,
    jwks_uri: `${issuer}/jwks`,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: tokenEndpoint,
    introspection_endpoint: introspectionEndpoint,
    response_types_supported: ['code'],
    grant_types_supported: ['authorization_code', 'client_credentials'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES384'],
    token_endpoint_auth_methods_supported: ['private_key_jwt'],
    token_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
    scopes_supported: [...new Set(clients.flatMap(({ scopes }) => scopes))],
    claims_supported: ['sub', 'fhirUser', 'name', 'nonce'],
  };
  const smartConfiguration = {
    ...openidConfiguration,
    capabilities: [
      'launch-ehr',
      'client-confidential-asymmetric',
      'sso-openid-connect',
      'context-banner',
      'context-ehr-patient',
      'context-ehr-encounter',
      'permission-patient',
      'permission-user',
      'permission-v2',
      'authorize-post',
    ],
  };

  router.use((_request, response, next) => {
    // RFC 6749, 5.1: tokens may not stay in a cache.
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    next();
  });
  router.get('/jwks', (_request, response) => void response.json(keys.jwks));
  router.get('/.well-known/openid-configuration', (_request, response) => void response.json(openidConfiguration));
  router.use(express.urlencoded({ extended: false, limit: '64kb' }));

  const authorizeFrom = (given: unknown, response: Response): void => authorize(asParameters(given), response);
  router.get('/authorize', (request, response) => authorizeFrom(request.query, response));
  router.post('/authorize', (request, response) => authorizeFrom(request.body, response));

  function authorize(asked: URLSearchParams, response: Response): void {
    // An address that is not registered is never sent to, not even with an error.
    const client = clients.find(({ id, grant }) => id === asked.get('client_id') && grant === 'authorization_code');
    const redirectUri = asked.get('redirect_uri') ?? '';
    if (client === undefined) throw new OAuthError('invalid_request', 'client_id is not registered for launches');
    if (!client.redirectUris.includes(redirectUri))
      throw new OAuthError('invalid_request', 'redirect_uri is not the registered one');

    const answer = new URL(redirectUri);
    const state = asked.get('state');
    if (state !== null) answer.searchParams.set('state', state);
    answer.searchParams.set('iss', issuer);
    try {
      answer.searchParams.set('code', codes.put(codeFor(asked, client, redirectUri)));
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error;
      answer.searchParams.set('error', error.code);
      answer.searchParams.set('error_description', error.message);
    }
    response.redirect(302, answer.href);
  }

  function codeFor(asked: URLSearchParams, client: Client, redirectUri: string): IssuedCode {
    if (asked.get('response_type') !== 'code') throw new OAuthError('unsupported_response_type', 'only code');
    const state = asked.get('state') ?? '';
    // 122 bits are 21 characters of base64url.
    if (state.length < 21) throw new OAuthError('invalid_request', 'state is missing or too short');
    const codeChallenge = asked.get('code_challenge') ?? '';
    if (asked.get('code_challenge_method') !== 'S256' || !/^[A-Za-z0-9_-]{43}$/.test(codeChallenge)) {
      throw new OAuthError('invalid_request', 'PKCE with S256 is needed');
    }
    // SMART App Launch 2.2: keeps a token for this hospital from being asked for by somebody who forwards us.
    if (asked.get('aud')?.replace(/\/$/, '') !== fhirUrl)
      throw new OAuthError('invalid_request', 'aud is not this FHIR server');
    const scope = grantedScopes(asked.get('scope') ?? '', client);
    const launch = launches.take(asked.get('launch') ?? '');
    if (launch === undefined || launch.clientId !== client.id || !scope.split(' ').includes('launch')) {
      throw new OAuthError('invalid_request', 'launch is unknown, was used before, or is too old');
    }
    const nonce = asked.get('nonce');
    return { clientId: client.id, redirectUri, codeChallenge, scope, launch, ...(nonce === null ? {} : { nonce }) };
  }

  router.post('/token', async (request, response) => {
    const form = asParameters(request.body);
    const client = await checkClient(form, tokenEndpoint);
    const asked = form.get('grant_type');
    if (asked !== 'authorization_code' && asked !== 'client_credentials') {
      throw new OAuthError('unsupported_grant_type', 'authorization_code or client_credentials');
    }
    if (asked !== client.grant) throw new OAuthError('unauthorized_client', `this client may not use ${asked}`);
    response.json(asked === 'client_credentials' ? await backendAnswer(form, client) : await appAnswer(form, client));
  });

  async function backendAnswer(form: URLSearchParams, client: Client) {
    const scope = grantedScopes(form.get('scope') ?? '', client);
    const { token } = await tokens.issue({ scope, clientId: client.id, subject: client.id }, backendTokenSeconds);
    return { access_token: token, token_type: 'Bearer', expires_in: backendTokenSeconds, scope };
  }

  async function appAnswer(form: URLSearchParams, client: Client) {
    const code = form.get('code') ?? '';
    const before = spent.get(code);
    if (before !== undefined) {
      // Whoever stole a code, or was robbed of one: neither keeps what it gave.
      tokens.revoke(before);
      logger.warn('authorization code used twice', { clientId: client.id });
      throw new OAuthError('invalid_grant', 'this code was used before');
    }
    const issued = codes.take(code);
    if (issued === undefined || issued.clientId !== client.id)
      throw new OAuthError('invalid_grant', 'this code is not valid');
    if (form.get('redirect_uri') !== issued.redirectUri) throw new OAuthError('invalid_grant', 'redirect_uri differs');
    if (!isAnswerTo(issued.codeChallenge, form.get('code_verifier') ?? '')) {
      throw new OAuthError('invalid_grant', 'code_verifier does not match');
    }
    const { launch, scope, nonce } = issued;
    const fhirUser = `${fhirUrl}/${launch.user}`;
    const { token, id } = await tokens.issue(
      { scope, patient: launch.patient, clientId: client.id, subject: launch.user, fhirUser },
      appTokenSeconds,
    );
    spent.set(code, id);
    setTimeout(() => spent.delete(code), appTokenSeconds * 1000).unref();
    const { encounter, fhirContext, appContext, intent, patient } = launch;
    return {
      access_token: token,
      token_type: 'Bearer',
      expires_in: appTokenSeconds,
      scope,
      patient,
      // The EHR shows who the patient is above the frame.
      need_patient_banner: false,
      ...(encounter === undefined ? {} : { encounter }),
      ...(fhirContext === undefined ? {} : { fhirContext }),
      ...(appContext === undefined ? {} : { appContext }),
      ...(intent === undefined ? {} : { intent }),
      ...(scope.split(' ').includes('openid') ? { id_token: await idToken(launch, fhirUser, client, nonce) } : {}),
    };
  }

  function idToken(
    launch: LaunchContext,
    fhirUser: string,
    client: Client,
    nonce: string | undefined,
  ): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    return keys.tokens.sign({
      iss: issuer,
      sub: createHash('sha256').update(launch.user).digest('hex'),
      aud: client.id,
      iat: now,
      exp: now + idTokenSeconds,
      fhirUser,
      name: launch.userName,
      ...(nonce === undefined ? {} : { nonce }),
    });
  }

  /** RFC 7662; only registered clients may ask. */
  router.post(['/introspect', '/introspection'], async (request, response) => {
    const form = asParameters(request.body);
    await checkClient(form, introspectionEndpoint);
    const found = await tokens.verify(form.get('token') ?? '');
    if (found === undefined) {
      response.json({ active: false });
      return;
    }
    const { scope, clientId, subject, patient, fhirUser, issuedAt, expiresAt } = found;
    response.json({
      active: true,
      scope,
      client_id: clientId,
      sub: subject,
      iss: issuer,
      aud: fhirUrl,
      iat: issuedAt,
      exp: expiresAt,
      ...(patient === undefined ? {} : { patient }),
      ...(fhirUser === undefined ? {} : { fhirUser }),
    });
  });

  router.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (!(error instanceof OAuthError)) {
      next(error);
      return;
    }
    logger.info('authorization refused', { code: error.code, reason: error.message });
    response
      .status(error.code === 'invalid_client' ? 401 : 400)
      .json({ error: error.code, error_description: error.message });
  });

  return { router, smartConfiguration, offerLaunch: (context) => launches.put(context) };
}

/** RFC 6749, 3.1: a parameter may be given once only. */
function asParameters(given: unknown): URLSearchParams {
  const entries = Object.entries((given ?? {}) as Record<string, unknown>);
  for (const [name, value] of entries) {
    if (typeof value !== 'string')
      throw new OAuthError('invalid_request', `${name.slice(0, 40)} is given more than once`);
  }
  return new URLSearchParams(entries as [string, string][]);
}

/** RFC 7636, 4.6. */
function isAnswerTo(challenge: string, verifier: string): boolean {
  if (!/^[A-Za-z0-9\-._~]{43,128}$/.test(verifier)) return false;
  const computed = createHash('sha256').update(verifier).digest();
  const expected = Buffer.from(challenge, 'base64url');
  return expected.length === computed.length && timingSafeEqual(expected, computed);
}
