/** The data a hook asked for: as sent, else from the client's FHIR server, else 412. */
import type { Bundle, FhirResource, OperationOutcome } from 'fhir/r4.d.ts';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { DefinedHook } from '../kit/hook.ts';
import { boundedJson, type Fetch } from './bounded-json.ts';
import type { CdsClient } from './client-trust.ts';
import { filledIn } from './prefetch-template.ts';
import type { CdsRequest } from './wire.ts';

export type FhirLimits = {
  /** For everything one answer needs, pages included: the clinician waits. */
  readonly timeoutMs: number;
  /** The same for data that a hook can do without: waiting for it is hardly worth anything. */
  readonly optionalTimeoutMs: number;
  readonly maxBytes: number;
  readonly maxPages: number;
};

export const fhirLimits: FhirLimits = {
  timeoutMs: 2_000,
  optionalTimeoutMs: 300,
  maxBytes: 5 * 1024 * 1024,
  maxPages: 10,
};

type Parts = { readonly fetch: Fetch; readonly limits: FhirLimits; readonly logger: Logger };
type Value = FhirResource | null | undefined;

export async function fillPrefetch(
  hook: DefinedHook,
  request: CdsRequest,
  client: CdsClient,
  parts: Parts,
): Promise<Readonly<Record<string, Value>>> {
  const { timeoutMs, optionalTimeoutMs } = parts.limits;
  const patient = lazily(() => fhirServerOf(request, client, parts, timeoutMs));
  const impatient = lazily(() => fhirServerOf(request, client, parts, optionalTimeoutMs));
  const entries = Object.entries(hook.prefetch ?? {}).map(async ([key, template]) => {
    const { query, needed } = typeof template === 'string' ? { query: template, needed: true } : template;
    const sent =
      request.prefetch !== undefined && Object.hasOwn(request.prefetch, key) ? request.prefetch[key] : undefined;
    try {
      return [key, await valueOf(sent, query, request, needed ? patient : impatient)] as const;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      if (needed)
        throw new WetreadError('cds.prefetch-unavailable', `${key}: ${error.message}`, { cause: error.cause });
      parts.logger.info('prefetch done without', { prefetch: key, why: error.message });
      return [key, undefined] as const;
    }
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Why a value could not be had; names addresses and limits, never a token or a patient. */
class Unavailable extends Error {}

async function valueOf(sent: Value, query: string, request: CdsRequest, server: () => FhirServer): Promise<Value> {
  if (sent === null) return null;
  if (sent !== undefined && !isFailure(sent)) return isUnfinished(sent, query) ? server().rest(sent) : sent;
  const filled = filledIn(query, request.context);
  if (filled === undefined) throw new Unavailable('not sent, and a value of its template is missing in context');
  return server().get(filled, query);
}

/** An OperationOutcome in the place of data, alone or among a bundle's entries, says that the client could not get it (all). */
function isFailure(value: FhirResource): boolean {
  if (value.resourceType === 'OperationOutcome') return true;
  if (value.resourceType !== 'Bundle') return false;
  return (value.entry ?? []).some(
    ({ resource }) => resource?.resourceType === 'OperationOutcome' && isSerious(resource as OperationOutcome),
  );
}

/** Searches add warnings ("parameter ignored") to their results: those are not failures. */
const isSerious = (outcome: OperationOutcome): boolean =>
  (outcome.issue ?? []).some(({ severity }) => severity === 'error' || severity === 'fatal');

/** A page is not the whole, unless the template asked for so many only. */
const isUnfinished = (value: FhirResource, query: string): value is Bundle =>
  value.resourceType === 'Bundle' && nextPage(value) !== undefined && !/[?&]_count=/.test(query);

const nextPage = (bundle: Bundle): string | undefined => bundle.link?.find(({ relation }) => relation === 'next')?.url;

type FhirServer = {
  get(filledQuery: string, template: string): Promise<Value>;
  /** The bundle with the pages that follow it. */
  rest(bundle: Bundle): Promise<Bundle>;
};

/** The FHIR server of the request, if this client may send us there: without the allow-list, any address inside the hospital could be reached through us. */
function fhirServerOf(
  request: CdsRequest,
  client: CdsClient,
  { fetch, limits, logger }: Parts,
  timeoutMs: number,
): FhirServer {
  if (request.fhirServer === undefined) throw new Unavailable('not sent, and there is no fhirServer');
  const base = withoutSlash(request.fhirServer);
  if (!client.fhirServers.some((allowed) => withoutSlash(allowed) === base)) {
    logger.warn('fhirServer refused', { client: client.name });
    throw new Unavailable('not sent, and fhirServer is not registered for this client');
  }
  const { origin } = new URL(base);
  // The token lives in this closure, for this request.
  const token = request.fhirAuthorization?.access_token;
  const headers = {
    accept: 'application/fhir+json',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  const signal = AbortSignal.timeout(timeoutMs);

  const read = async (url: string): Promise<FhirResource | null> => {
    const { status, body } = await boundedJson(url, { fetch, headers, maxBytes: limits.maxBytes, signal }).catch(
      (cause: unknown) => {
        throw new Unavailable('the FHIR server gave no usable answer in time', { cause });
      },
    );
    if (status === 404 || status === 410) return null;
    if (status !== 200) throw new Unavailable(`the FHIR server answered ${status}`);
    const resource = body as FhirResource | null;
    if (typeof resource?.resourceType !== 'string' || isFailure(resource)) {
      throw new Unavailable('the FHIR server answered without the data');
    }
    return resource;
  };

  const rest = async (first: Bundle): Promise<Bundle> => {
    const entry = [...(first.entry ?? [])];
    let next = nextPage(first);
    for (let pages = 1; next !== undefined; pages += 1) {
      if (pages >= limits.maxPages) throw new Unavailable(`more than ${limits.maxPages} pages`);
      const url = URL.parse(next, `${base}/`);
      // The token goes where it was meant to go.
      if (url === null || url.origin !== origin) throw new Unavailable('the next page is on another server');
      const page = await read(url.href);
      if (page?.resourceType !== 'Bundle') throw new Unavailable('a page is not a Bundle');
      entry.push(...(page.entry ?? []));
      next = nextPage(page);
    }
    const { link: _pages, ...whole } = first;
    return { ...whole, entry };
  };

  return {
    rest,
    async get(filledQuery, template) {
      const url = new URL(`${base}/${filledQuery}`);
      if (!url.href.startsWith(`${base}/`)) throw new Unavailable('its template leads away from the FHIR server');
      const value = await read(url.href);
      return value !== null && isUnfinished(value, template) ? rest(value) : value;
    },
  };
}

const withoutSlash = (url: string): string => new URL(url).href.replace(/\/+$/, '');

function lazily<Made>(make: () => Made): () => Made {
  let made: { readonly value: Made } | undefined;
  return () => (made ??= { value: make() }).value;
}
