/** The SMART EHR launch (App Launch 2.2), done by the service: the page never sees the EHR's tokens. */
import { createHash, randomBytes } from 'node:crypto';
import { Router, type Request, type Response } from 'express';
import { jwtVerify, type JWTPayload } from 'jose';
import { asWetreadError, WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { AuditTrail, StrangerRefusals } from '../domain/ports.ts';
import { askEhr } from './ehr-request.ts';
import { launchCookie } from './launch-cookie.ts';
import { chartOf, readAppContext, readFhirUser, readTokenAnswer, type TokenAnswer } from './launch-context.ts';
import { launchPage, launchPageStyle } from './launch-page.ts';
import { securityHeaders, type FrameOptions } from './security-headers.ts';
import type { AppSessions } from './sessions.ts';
import { smartDiscovery, type EhrAuthorization } from './smart-discovery.ts';

export type SmartIssuer = { readonly iss: string; readonly clientId: string } & FrameOptions['issuers'][number];

export type SmartLaunchOptions = {
  readonly issuers: readonly SmartIssuer[];
  /** A signed `private_key_jwt` (RFC 7523) of this client for this token endpoint. */
  readonly clientAssertion: (clientId: string, audience: string) => Promise<string>;
  /** How browsers reach this service, without a slash at the end. */
  readonly publicUrl: string;
  readonly sessions: Pick<AppSessions, 'offer' | 'rememberLaunch' | 'takeLaunch'>;
  readonly audit: AuditTrail;
  readonly strangers: StrangerRefusals;
  readonly logger: Logger;
  readonly now?: () => number;
};

/** Reading only; names come from the chart so that no banner and no verdict is anonymous. */
const scopes = 'launch openid fhirUser patient/Patient.rs patient/ImagingStudy.rs user/Practitioner.rs';
/** Asymmetric ones: a symmetric key would be a secret shared with the EHR, `none` no signature at all. */
const idTokenAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'ES256', 'ES384', 'EdDSA'];
/** Long enough to log in to the EHR on the way. */
const launchMs = 10 * 60_000;

const random = (): string => randomBytes(32).toString('base64url');
const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64url');

type Remembered = {
  readonly iss: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly browser: string;
};

export function smartLaunch(options: SmartLaunchOptions): Router {
  const { issuers, clientAssertion, publicUrl, sessions, audit, strangers, logger, now = Date.now } = options;
  const redirectUri = `${publicUrl}/app/callback`;
  const discover = smartDiscovery(now);
  const cookie = launchCookie(publicUrl, launchMs);
  const router = Router();
  const headers = securityHeaders({ issuers });

  const issuerOf = (iss: unknown): SmartIssuer => {
    const wanted = typeof iss === 'string' ? iss.replace(/\/+$/, '') : undefined;
    const found = issuers.find((issuer) => issuer.iss.replace(/\/+$/, '') === wanted);
    if (found === undefined) throw new WetreadError('smart.issuer-not-trusted');
    return { ...found, iss: found.iss.replace(/\/+$/, '') };
  };

  router.get(
    '/app/launch',
    headers,
    readable(async (request, response) => {
      const { iss, launch } = request.query;
      const issuer = issuerOf(iss);
      if (typeof launch !== 'string' || launch === '' || launch.length > 4_096) {
        throw new WetreadError('smart.launch-expired', 'The EHR sent no launch.');
      }
      const { authorizationEndpoint } = await discover(issuer.iss);
      const [state, nonce, verifier] = [random(), random(), random()];
      const remembered: Remembered = { iss: issuer.iss, nonce, verifier, browser: cookie.set(response, state) };
      await sessions.rememberLaunch({ state, expiresAt: new Date(now() + launchMs).toISOString(), remembered });

      const address = new URL(authorizationEndpoint);
      for (const [name, value] of Object.entries({
        response_type: 'code',
        client_id: issuer.clientId,
        redirect_uri: redirectUri,
        launch,
        scope: scopes,
        state,
        nonce,
        aud: issuer.iss,
        code_challenge: sha256(verifier),
        code_challenge_method: 'S256',
      })) {
        address.searchParams.set(name, value);
      }
      response.redirect(302, address.href);
    }),
  );

  router.get(
    '/app/callback',
    headers,
    readable(async (request, response) => {
      const { state, code, error, iss: answeringIssuer } = request.query;
      const taken = typeof state === 'string' && state.length === 43 ? await sessions.takeLaunch(state) : undefined;
      if (typeof state !== 'string' || taken === undefined || Date.parse(taken.expiresAt) <= now()) {
        throw new WetreadError('smart.launch-expired');
      }
      const { iss, nonce, verifier, browser } = taken.remembered as unknown as Remembered;
      const sameBrowser = cookie.isFrom(request, state, browser);
      cookie.clear(response, state);
      if (!sameBrowser) throw new WetreadError('smart.launch-expired', 'It was begun in another browser window.');
      if (typeof error === 'string') {
        throw new WetreadError(
          'smart.authorization-failed',
          /^[a-z_]{1,40}$/.test(error) ? `It said: ${error}.` : undefined,
        );
      }
      if (typeof code !== 'string' || code === '')
        throw new WetreadError('smart.authorization-failed', 'No code came back.');

      // Still on the list? The configuration may have changed since the launch began.
      const issuer = issuerOf(iss);
      const ehr = await discover(iss);
      // RFC 9207: an answer from another authorization server must not reach this one's token endpoint.
      if (answeringIssuer !== undefined && answeringIssuer !== ehr.issuer) {
        throw new WetreadError('smart.authorization-failed', 'The answer came from another server.');
      }
      const answer = await exchange(issuer, ehr, code, verifier);
      const identity = await verified(answer.id_token, ehr, issuer.clientId, nonce);
      const reviewer = readFhirUser(identity['fhirUser'], iss);

      const chart = chartOf(iss, answer.access_token);
      const [banner, display, study] = await Promise.all([
        chart.banner(answer.patient),
        chart.nameOf(reviewer),
        chart.studyIn(answer.fhirContext),
      ]);
      const opens = readAppContext(answer.appContext) ?? study;
      const oneTimeCode = await sessions.offer({
        patientId: answer.patient,
        reviewer: { reference: reviewer, display: display ?? nameIn(identity) ?? reviewer },
        ...(opens ? { opens } : {}),
        banner,
      });
      await audit.record({ action: 'launch', actor: reviewer, patientId: answer.patient, subject: iss });
      response.redirect(302, `${publicUrl}/app/#code=${oneTimeCode}`);
    }),
  );

  async function exchange(
    issuer: SmartIssuer,
    ehr: EhrAuthorization,
    code: string,
    verifier: string,
  ): Promise<TokenAnswer> {
    const { status, body } = await askEhr(ehr.tokenEndpoint, {
      method: 'POST',
      headers: { accept: 'application/json' },
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code,
        redirect_uri: redirectUri,
        code_verifier: verifier,
        client_id: issuer.clientId,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: await clientAssertion(issuer.clientId, ehr.tokenEndpoint),
      }),
    });
    if (status !== 200) {
      logger.warn('token request refused', { status, reason: String(body['error']).slice(0, 60) });
      throw new WetreadError('smart.authorization-failed');
    }
    return readTokenAnswer(body);
  }

  /** Whatever goes wrong is shown to a person, in words, with the next step. */
  function readable(handle: (request: Request, response: Response) => Promise<void>) {
    return async (request: Request, response: Response): Promise<void> => {
      response.setHeader('Cache-Control', 'no-store');
      try {
        await handle(request, response);
      } catch (thrown) {
        const error = asWetreadError(thrown);
        logger.warn('launch refused', { code: error.code, cause: error.cause });
        await strangers.refused(request.socket.remoteAddress, error.code);
        const policy = String(response.getHeader('Content-Security-Policy'));
        const styleHash = `'sha256-${createHash('sha256').update(launchPageStyle).digest('base64')}'`;
        response.setHeader('Content-Security-Policy', policy.replace("style-src 'self'", `style-src ${styleHash}`));
        response.status(error.row.status).type('html').send(launchPage(error));
      }
    };
  }

  return router;
}

async function verified(idToken: string, ehr: EhrAuthorization, clientId: string, nonce: string): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(idToken, ehr.keys, {
      issuer: ehr.issuer,
      audience: clientId,
      algorithms: idTokenAlgorithms,
      requiredClaims: ['exp', 'iat', 'sub'],
      clockTolerance: 30,
    });
    if (payload['nonce'] !== nonce) throw new Error('nonce differs');
    return payload;
  } catch (error) {
    throw new WetreadError('smart.authorization-failed', 'The proof of who you are is not valid.', { cause: error });
  }
}

function nameIn(identity: JWTPayload): string | undefined {
  const name = identity['name'] ?? identity['preferred_username'];
  return typeof name === 'string' && name !== '' ? name.slice(0, 200) : undefined;
}
