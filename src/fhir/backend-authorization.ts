/** SMART Backend Services: the service signs for itself and gets tokens for the chart; one token at a time, renewed before it expires. */
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { Authorization } from './client.ts';
import { signatureAlgorithms, type ServiceKeys } from './service-keys.ts';

export type BackendAuthorizationOptions = {
  readonly fhirBaseUrl: string;
  readonly clientId: string;
  readonly keys: ServiceKeys;
  readonly timeoutMs: number;
  readonly logger: Logger;
  readonly scope?: string;
  readonly now?: () => number;
};

/** What the service does in the chart and nothing more. */
export const backendScope = [
  'system/Patient.rs',
  'system/ImagingStudy.rs',
  'system/ServiceRequest.rs',
  'system/DiagnosticReport.cruds',
  'system/Observation.cruds',
  'system/Device.cruds',
  'system/Provenance.cruds',
  'system/Subscription.cruds',
].join(' ');

/** A token is not used in its last seconds: it must still be valid when the request arrives. */
const marginMs = 30_000;
/** RFC 6749, 5.1 only recommends `expires_in`. */
const unstatedLifeSeconds = 60;

const smartConfiguration = z.looseObject({
  token_endpoint: z.url(),
  token_endpoint_auth_signing_alg_values_supported: z.array(z.string()).optional(),
});
const tokenAnswer = z.looseObject({
  access_token: z.string().min(1),
  token_type: z.string().regex(/^bearer$/i),
  expires_in: z.coerce.number().positive().optional(),
});

type Held = { readonly token: string; readonly goodUntil: number };
type Endpoint = { readonly url: string; readonly algorithm: (typeof signatureAlgorithms)[number] | undefined };

export function backendAuthorization(options: BackendAuthorizationOptions): Authorization {
  const { clientId, keys, timeoutMs, logger, scope = backendScope, now = Date.now } = options;
  const fhirBaseUrl = options.fhirBaseUrl.replace(/\/+$/, '');
  let endpoint: Endpoint | undefined;
  let held: Held | undefined;
  let renewal: Promise<Held> | undefined;

  async function discover(): Promise<Endpoint> {
    const answer = await ask(`${fhirBaseUrl}/.well-known/smart-configuration`, {
      headers: { accept: 'application/json' },
    });
    const configuration = smartConfiguration.safeParse(answer.body);
    if (!answer.ok || !configuration.success) {
      // A server in the middle of its start answers 503 here; a server without SMART answers 404 for ever.
      throw new WetreadError(
        answer.status >= 500 ? 'chart.unreachable' : 'chart.bad-answer',
        `no SMART configuration (HTTP ${answer.status})`,
      );
    }
    const url = configuration.data.token_endpoint;
    if (fhirBaseUrl.startsWith('https:') && !url.startsWith('https:')) {
      throw new WetreadError('chart.bad-answer', 'its token endpoint is not https');
    }
    const offered = configuration.data.token_endpoint_auth_signing_alg_values_supported;
    return { url, algorithm: keys.algorithms.find((one) => offered === undefined || offered.includes(one)) };
  }

  async function renew(): Promise<Held> {
    endpoint ??= await discover();
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      scope,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await keys.assertion({
        clientId,
        audience: endpoint.url,
        ...(endpoint.algorithm === undefined ? {} : { algorithm: endpoint.algorithm }),
      }),
    });
    const asked = now();
    const answer = await ask(endpoint.url, { method: 'POST', body: form, headers: { accept: 'application/json' } });
    const token = tokenAnswer.safeParse(answer.body);
    if (answer.ok && token.success) {
      const lifeMs = (token.data.expires_in ?? unstatedLifeSeconds) * 1000;
      return { token: token.data.access_token, goodUntil: asked + lifeMs - Math.min(marginMs, lifeMs / 2) };
    }
    // The endpoint may have moved: the next try looks again.
    endpoint = undefined;
    const reason = oauthError(answer.body);
    logger.error('no access token for the chart', { status: answer.status, reason, clientId });
    throw new WetreadError(
      answer.status >= 500 || answer.status === 429 ? 'chart.unreachable' : 'chart.refused',
      `the token endpoint answered HTTP ${answer.status} ${reason}`.trim(),
    );
  }

  async function ask(url: string, init: RequestInit): Promise<{ ok: boolean; status: number; body: unknown }> {
    try {
      // A redirect would carry the signed assertion to an address nobody configured.
      const response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(timeoutMs) });
      return { ok: response.ok, status: response.status, body: await response.json().catch(() => undefined) };
    } catch (error) {
      throw new WetreadError('chart.unreachable', 'its authorization server does not answer', { cause: error });
    }
  }

  return {
    async token(signal) {
      if (held !== undefined && now() < held.goodUntil) return held.token;
      // Everybody who needs a token now waits for the same request; it belongs to no single caller, so no caller's abort ends it.
      renewal ??= renew().finally(() => {
        renewal = undefined;
      });
      held = await orAborted(renewal, signal);
      return held.token;
    },
    refused(token) {
      // Ten requests refused together must not throw away the fresh token that the first of them got.
      if (held?.token === token) held = undefined;
    },
  };
}

/** RFC 6749, 5.2: a code of letters and underscores; anything else in that place is not repeated. */
function oauthError(body: unknown): string {
  const code = (body as { error?: unknown } | undefined)?.error;
  return typeof code === 'string' && /^[a-z_]{1,40}$/.test(code) ? code : '';
}

async function orAborted<Result>(work: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
