/** The EHR as a CDS Hooks client: finds the services, calls them with signed tokens and filled prefetch, and tells them what became of a card. */
import { randomUUID } from 'node:crypto';
import type { Logger } from '../../src/domain/log.ts';
import type { AccessTokens } from '../auth/access-tokens.ts';
import type { SigningKey } from '../auth/signing-keys.ts';
import { fullAccess, type Charts } from '../fhir/repository.ts';
import type { Card, Coding, ServiceAnswer } from './cards.ts';
import { prefetched, type HookContext } from './prefetch.ts';

export type HookName = 'patient-view' | 'order-select' | 'order-sign';

export type CardFeedback = {
  readonly card: string;
  readonly outcome: 'accepted' | 'overridden';
  readonly acceptedSuggestions?: readonly { readonly id: string }[];
  readonly reason?: Coding;
  readonly comment?: string;
};

export type CdsClient = {
  /** The answers of all services of this hook. Never throws: the chart opens whether or not a service answers. */
  call(hook: HookName, context: HookContext): Promise<ServiceAnswer[]>;
  /** Whether the service took it. */
  sendFeedback(service: string, feedback: CardFeedback): Promise<boolean>;
};

type Service = {
  readonly id: string;
  readonly hook: string;
  readonly title?: string;
  readonly description: string;
  readonly prefetch?: Readonly<Record<string, string>>;
};

const patienceMs = 5_000;
const tokenSeconds = 300;
const discoveryMs = 60_000;

export function cdsClient(options: {
  readonly hospitalUrl: string;
  readonly wetreadUrl: string;
  readonly fhirUrl: string;
  readonly key: SigningKey;
  readonly tokens: AccessTokens;
  readonly charts: Charts;
  readonly logger: Logger;
}): CdsClient {
  const { hospitalUrl, fhirUrl, key, tokens, logger } = options;
  const base = `${options.wetreadUrl}/cds-services`;
  const charts = options.charts.seenBy(fullAccess);
  let discovered: { readonly services: readonly Service[]; readonly at: number } | undefined;

  /** A fresh token for exactly this address; it is good once. */
  async function authorization(endpoint: string): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: hospitalUrl, aud: endpoint, jti: randomUUID(), iat: now, exp: now + tokenSeconds };
    return `Bearer ${await key.sign(claims, { jku: `${hospitalUrl}/auth/jwks` })}`;
  }

  async function ask(endpoint: string, body?: unknown): Promise<Response> {
    const headers = { authorization: await authorization(endpoint), accept: 'application/json' };
    const signal = AbortSignal.timeout(patienceMs);
    if (body === undefined) return fetch(endpoint, { headers, signal, redirect: 'error' });
    return fetch(endpoint, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal,
      redirect: 'error',
    });
  }

  async function services(): Promise<readonly Service[]> {
    if (discovered !== undefined && Date.now() - discovered.at < discoveryMs) return discovered.services;
    const response = await ask(base);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const { services: found } = (await response.json()) as { services: Service[] };
    discovered = { services: found, at: Date.now() };
    return found;
  }

  async function callOne(service: Service, context: HookContext): Promise<ServiceAnswer> {
    const named = { service: service.id, title: service.title ?? service.id };
    try {
      const grant = { scope: 'patient/*.rs', patient: context.patientId, clientId: 'wetread', subject: 'wetread' };
      const { token } = await tokens.issue(grant, tokenSeconds);
      const response = await ask(`${base}/${service.id}`, {
        hook: service.hook,
        hookInstance: randomUUID(),
        fhirServer: fhirUrl,
        fhirAuthorization: {
          access_token: token,
          token_type: 'Bearer',
          expires_in: tokenSeconds,
          scope: grant.scope,
          subject: grant.subject,
          patient: context.patientId,
        },
        context,
        prefetch: await prefetched(service.prefetch ?? {}, context, charts),
      });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      const { cards } = (await response.json()) as { cards: Card[] };
      return { ...named, cards };
    } catch (error) {
      // The list may be out of date: the next call looks again.
      discovered = undefined;
      logger.warn('CDS service did not answer', { serviceName: service.id, reason: String(error) });
      return { ...named, cards: [], problem: 'did not answer' };
    }
  }

  return {
    async call(hook, context) {
      let found: readonly Service[];
      try {
        found = await services();
      } catch (error) {
        logger.warn('CDS services cannot be listed', { reason: String(error) });
        return [{ service: '', title: 'Decision support', cards: [], problem: 'cannot be reached' }];
      }
      return Promise.all(found.filter((service) => service.hook === hook).map((service) => callOne(service, context)));
    },
    async sendFeedback(service, { card, outcome, acceptedSuggestions, reason, comment }) {
      const overrideReason = {
        ...(reason === undefined ? {} : { reason }),
        ...(comment === undefined ? {} : { userComment: comment }),
      };
      const feedback = {
        card,
        outcome,
        outcomeTimestamp: new Date().toISOString(),
        ...(acceptedSuggestions === undefined ? {} : { acceptedSuggestions }),
        ...(outcome === 'overridden' && Object.keys(overrideReason).length > 0 ? { overrideReason } : {}),
      };
      try {
        const response = await ask(`${base}/${encodeURIComponent(service)}/feedback`, { feedback: [feedback] });
        await response.body?.cancel();
        return response.ok;
      } catch (error) {
        logger.warn('feedback could not be sent', { reason: String(error) });
        return false;
      }
    },
  };
}
