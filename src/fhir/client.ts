/** The FHIR client of the service: fhir-kit-client with deadlines, retries, safe paging, tokens and `chart.*` errors. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'fhir-kit-client';
import type { Bundle, CapabilityStatement, FhirResource } from 'fhir/r4.js';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import { FhirFailure, loggableIssues } from './failure.ts';

/** Where access tokens come from. */
export interface Authorization {
  token(signal?: AbortSignal): Promise<string>;
  /** The server refused this token: the next call must bring another. */
  refused(token: string): void;
}

export type SearchParameters = Readonly<Record<string, string | readonly string[]>>;
export type ResourceOf<Type extends FhirResource['resourceType']> = Extract<FhirResource, { resourceType: Type }>;

/** Every method throws `chart.*` errors; an abort by the caller throws the signal's reason. */
export interface FhirClient {
  readonly baseUrl: string;
  read<Type extends FhirResource['resourceType']>(
    type: Type,
    id: string,
    signal?: AbortSignal,
  ): Promise<ResourceOf<Type>>;
  /** All pages, matches only. Throws when there are more than `limit`: half an answer must not decide anything. */
  search<Type extends FhirResource['resourceType']>(
    type: Type,
    parameters: SearchParameters,
    options?: { readonly limit?: number; readonly signal?: AbortSignal | undefined },
  ): Promise<ResourceOf<Type>[]>;
  create<Resource extends FhirResource>(
    resource: Resource,
    options?: { readonly ifNoneExist?: string; readonly signal?: AbortSignal | undefined },
  ): Promise<ResourceOf<Resource['resourceType']>>;
  update<Resource extends FhirResource>(
    resource: Resource & { readonly id: string },
    options?: { readonly ifMatch?: string | undefined; readonly signal?: AbortSignal | undefined },
  ): Promise<ResourceOf<Resource['resourceType']>>;
  remove(type: FhirResource['resourceType'], id: string, signal?: AbortSignal): Promise<void>;
  /** An operation that changes nothing, on one resource: `Subscription/1/$status`. */
  operation(
    type: FhirResource['resourceType'],
    id: string,
    name: string,
    parameters?: SearchParameters,
    signal?: AbortSignal,
  ): Promise<unknown>;
  transaction(bundle: Bundle, signal?: AbortSignal): Promise<Bundle>;
  probe(signal?: AbortSignal): Promise<void>;
}

export type FhirClientOptions = {
  readonly baseUrl: string;
  /** None for an open server. */
  readonly auth?: Authorization;
  /** Longest wait for one answer. */
  readonly timeoutMs: number;
  readonly logger: Logger;
  /** Further tries of one request. Longer outages are the job queue's business. */
  readonly retries?: number;
  /** Wait before the second try; doubles each time. */
  readonly retryMs?: number;
};

type Call = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Relative to the base, or an address that `onOurServer` made. */
  readonly url: string;
  /** For the log: a type never identifies a patient, a URL may. */
  readonly type: string;
  readonly body?: FhirResource;
  readonly headers?: Record<string, string>;
  /** Whether sending it twice changes nothing more than sending it once. */
  readonly repeatable: boolean;
};

/** Answers that say "later". 500 is not among them: most servers answer a defect with it. */
const passing = new Set([429, 502, 503, 504]);
/** The server has not begun to work on the request. */
const untouched = new Set([429, 503]);
const longestRetryAfterMs = 20_000;

export function fhirClient(options: FhirClientOptions): FhirClient {
  const { auth, timeoutMs, logger, retries = 3, retryMs = 200 } = options;
  const baseUrl = options.baseUrl.replace(/\/+$/, '');
  const kit = new Client({ baseUrl });

  async function call(request: Call, signal?: AbortSignal): Promise<unknown> {
    let renewed = false;
    for (let attempt = 0; ; attempt += 1) {
      signal?.throwIfAborted();
      const token = await auth?.token(signal);
      const fault = await attemptOnce(request, token, signal);
      if (!(fault instanceof Fault)) return fault.answer;
      if (fault.status === 401 && token !== undefined && !renewed) {
        // Tokens are revoked before they expire when an EHR restarts; one fresh token decides whether this is that.
        renewed = true;
        auth?.refused(token);
        continue;
      }
      const wait =
        attempt < retries && mayRepeat(request, fault) ? waitBefore(attempt, retryMs, fault.retryAfterMs) : undefined;
      if (wait === undefined) throw asChartError(fault, request, logger);
      logger.debug('FHIR request repeated', {
        method: request.method,
        resourceType: request.type,
        status: fault.status,
        waitMs: Math.round(wait),
      });
      await sleep(wait, undefined, signal === undefined ? {} : { signal });
    }
  }

  async function attemptOnce(
    request: Call,
    token: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Fault | { answer: unknown }> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const headers: Record<string, string> = { ...request.headers };
    if (request.body !== undefined) headers['content-type'] = 'application/fhir+json';
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    try {
      const answer: unknown = await kit.request(request.url, {
        method: request.method,
        ...(request.body === undefined ? {} : { body: request.body }),
        options: { headers, signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]) },
      });
      return { answer };
    } catch (thrown) {
      signal?.throwIfAborted();
      return faultOf(thrown, deadline.aborted);
    }
  }

  /** Only ever our own server: a link in an answer must not carry our token elsewhere. Behind proxies servers name themselves wrongly, so the path decides. */
  function onOurServer(link: string): string {
    const base = new URL(`${baseUrl}/`);
    const target = URL.canParse(link, base) ? new URL(link, base) : undefined;
    const stays =
      target !== undefined &&
      (target.pathname.startsWith(base.pathname) || target.pathname === base.pathname.slice(0, -1));
    if (!stays) throw new WetreadError('chart.bad-answer', 'a "next" link leads to another server');
    return `${base.origin}${target.pathname}${target.search}`;
  }

  return {
    baseUrl,

    async read(type, id, signal) {
      const answer = await call(
        { method: 'GET', url: `${type}/${encodeURIComponent(id)}`, type, repeatable: true },
        signal,
      );
      return ofType(type, answer);
    },

    async search(type, parameters, { limit = 200, signal } = {}) {
      const query = new URLSearchParams();
      for (const [name, value] of Object.entries(parameters)) for (const one of [value].flat()) query.append(name, one);
      const found: ResourceOf<typeof type>[] = [];
      const seen = new Set<string>();
      let url: string | undefined = `${type}?${query}`;
      while (url !== undefined) {
        // Some servers answer the last page with a "next" link to itself.
        if (seen.has(url)) throw new WetreadError('chart.bad-answer', 'its pages lead in a circle');
        seen.add(url);
        const page: Bundle = ofType('Bundle', await call({ method: 'GET', url, type, repeatable: true }, signal));
        for (const { resource, search } of page.entry ?? []) {
          // Included resources and warnings (OperationOutcome) travel in the same list as the matches.
          if (resource?.resourceType === type && search?.mode !== 'include')
            found.push(resource as ResourceOf<typeof type>);
        }
        if (found.length > limit)
          throw new WetreadError('chart.bad-answer', `more than ${limit} ${type} resources match`);
        const next: string | undefined = page.link?.find(({ relation }) => relation === 'next')?.url;
        url = next === undefined ? undefined : onOurServer(next);
      }
      return found;
    },

    async create(resource, { ifNoneExist, signal } = {}) {
      const headers = {
        prefer: 'return=representation',
        ...(ifNoneExist === undefined ? {} : { 'if-none-exist': ifNoneExist }),
      };
      const type = resource.resourceType;
      return sameType(
        resource,
        await call(
          { method: 'POST', url: type, type, body: resource, headers, repeatable: ifNoneExist !== undefined },
          signal,
        ),
      );
    },

    async update(resource, { ifMatch, signal } = {}) {
      const type = resource.resourceType;
      const headers = {
        prefer: 'return=representation',
        ...(ifMatch === undefined ? {} : { 'if-match': `W/"${ifMatch}"` }),
      };
      const url = `${type}/${encodeURIComponent(resource.id)}`;
      return sameType(
        resource,
        await call({ method: 'PUT', url, type, body: resource, headers, repeatable: true }, signal),
      );
    },

    async remove(type, id, signal) {
      await call({ method: 'DELETE', url: `${type}/${encodeURIComponent(id)}`, type, repeatable: true }, signal);
    },

    operation(type, id, name, parameters = {}, signal) {
      const query = new URLSearchParams();
      for (const [key, value] of Object.entries(parameters)) for (const one of [value].flat()) query.append(key, one);
      const asked = query.size === 0 ? '' : `?${query}`;
      return call(
        { method: 'GET', url: `${type}/${encodeURIComponent(id)}/${name}${asked}`, type, repeatable: true },
        signal,
      );
    },

    async transaction(bundle, signal) {
      const answer = await call(
        { method: 'POST', url: baseUrl, type: 'Bundle', body: bundle, repeatable: false },
        signal,
      );
      return ofType('Bundle', answer);
    },

    async probe(signal) {
      const statement: CapabilityStatement = ofType(
        'CapabilityStatement',
        await call({ method: 'GET', url: 'metadata', type: 'CapabilityStatement', repeatable: true }, signal),
      );
      if (statement.fhirVersion !== undefined && !statement.fhirVersion.startsWith('4.')) {
        throw new WetreadError(
          'chart.bad-answer',
          `it speaks FHIR ${statement.fhirVersion.slice(0, 10)}; Wetread needs R4`,
        );
      }
    },
  };
}

/** One try that failed: a status and the server's words, or nothing but the error when no answer came. */
class Fault {
  readonly status: number | undefined;
  readonly data: unknown;
  readonly retryAfterMs: number | undefined;
  readonly error: Error;
  /** No connection was made, so nothing was sent. */
  readonly unsent: boolean;

  constructor(error: Error, status?: number, data?: unknown, retryAfterMs?: number, unsent = false) {
    this.error = error;
    this.status = status;
    this.data = data;
    this.retryAfterMs = retryAfterMs;
    this.unsent = unsent;
  }
}

type KitError = Error & { response?: { status: number; data?: unknown }; config?: { headers?: Headers } };

function faultOf(thrown: unknown, timedOut: boolean): Fault {
  const error = thrown instanceof Error ? (thrown as KitError) : new Error(String(thrown));
  if (timedOut) return new Fault(new Error('no answer in time'));
  const { response, config } = error as KitError;
  if (response === undefined) {
    const code = (error.cause as { code?: unknown } | undefined)?.code;
    const unsent =
      code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EAI_AGAIN' || code === 'UND_ERR_CONNECT_TIMEOUT';
    return new Fault(typeof code === 'string' ? new Error(code) : error, undefined, undefined, undefined, unsent);
  }
  return new Fault(error, response.status, response.data, retryAfterMs(config?.headers?.get('retry-after')));
}

/** RFC 9110, 10.2.3: seconds or a date. */
function retryAfterMs(header: string | null | undefined): number | undefined {
  if (header === null || header === undefined) return undefined;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

function mayRepeat(request: Call, fault: Fault): boolean {
  if (fault.status === undefined) return request.repeatable || fault.unsent;
  return passing.has(fault.status) && (request.repeatable || untouched.has(fault.status));
}

/** Exponential with full jitter, so that a hundred waiting jobs do not come back in one wave. Undefined when the server asks for more patience than a request has. */
function waitBefore(attempt: number, baseMs: number, askedMs: number | undefined): number | undefined {
  if (askedMs !== undefined && askedMs > longestRetryAfterMs) return undefined;
  return Math.max(askedMs ?? 0, Math.random() * baseMs * 2 ** attempt);
}

function asChartError(fault: Fault, request: Call, logger: Logger): WetreadError {
  const { status } = fault;
  if (status === undefined) return new WetreadError('chart.unreachable', fault.error.message, { cause: fault.error });
  const issues = loggableIssues(fault.data, [...new URLSearchParams(request.url.split('?')[1]).values(), request.body]);
  const cause = new FhirFailure(status, request.method, request.type, issues);
  const code = codeOf(status);
  if (code !== 'chart.not-found')
    logger.warn('FHIR server refused', { method: request.method, resourceType: request.type, status, issues, code });
  return new WetreadError(code, `HTTP ${status} to ${request.method} ${request.type}`, { cause });
}

function codeOf(status: number) {
  if (status === 401 || status === 403) return 'chart.refused';
  if (status === 404 || status === 410) return 'chart.not-found';
  // fhir-kit-client reports a page that is not JSON (a login form, a proxy) with the status it came with.
  if (status < 400) return 'chart.bad-answer';
  if (status === 429 || status >= 500) return 'chart.unreachable';
  return 'chart.rejected';
}

function ofType<Type extends FhirResource['resourceType']>(type: Type, answer: unknown): ResourceOf<Type> {
  const resource = answer as FhirResource | undefined;
  if (resource?.resourceType !== type) throw new WetreadError('chart.bad-answer', `expected a ${type}`);
  return resource as ResourceOf<Type>;
}

/** A server may answer a write with nothing, whatever `Prefer` says; what was sent then stands for it. */
function sameType<Resource extends FhirResource>(
  sent: Resource,
  answer: unknown,
): ResourceOf<Resource['resourceType']> {
  const resource = answer as Partial<FhirResource> | undefined;
  return (resource?.resourceType === sent.resourceType ? resource : sent) as ResourceOf<Resource['resourceType']>;
}
