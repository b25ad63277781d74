/** The hospital's FHIR R4 endpoint: HTTP around the charts. */
import {
  badRequest,
  forbidden,
  getStatus,
  isOk,
  normalizeOperationOutcome,
  OperationOutcomeError,
  unauthorized,
  type WithId,
} from '@medplum/core';
import { FhirRouter, type FhirRequest, type FhirResponse, type HttpMethod } from '@medplum/fhir-router';
import type { Bundle, BundleEntry, OperationOutcome, Resource } from '@medplum/fhirtypes';
import express, { Router, type NextFunction, type Request, type Response } from 'express';
import type { Logger } from '../../src/domain/log.ts';
import type { Faults } from '../faults.ts';
import { accessOf, type Grant } from './access.ts';
import { capabilityStatement } from './capability.ts';
import { withoutConditions } from './conditional-entries.ts';
import type { ChartRepository, Charts } from './repository.ts';
import type { Subscriptions } from './subscriptions.ts';
import { fault, unprocessable } from './validate.ts';

export type FhirServerOptions = {
  readonly charts: Charts;
  readonly subscriptions: Subscriptions;
  /** The address of this endpoint, as others know it. */
  readonly fhirUrl: string;
  readonly topics: readonly string[];
  readonly smartConfiguration: Readonly<Record<string, unknown>>;
  /** What the request's token grants; undefined when it has none that is valid. */
  readonly grantOf: (request: Request) => Promise<Grant | undefined>;
  readonly faults: Faults;
  readonly logger: Logger;
};

const jsonTypes = ['application/fhir+json', 'application/json', 'application/json-patch+json'];
const largestBody = '8mb';
const pageSize = 50;

export function fhirServer(options: FhirServerOptions): Router {
  const { charts, subscriptions, fhirUrl, grantOf, faults, logger } = options;
  const fhir = new FhirRouter();
  const router = Router();

  router.use(cors);
  router.use((request, response, next) => {
    if (faults.fhir === 'down') request.socket.destroy();
    else if (faults.fhir === 'refuse') answer(response, forbidden);
    else next();
  });

  router.get('/.well-known/smart-configuration', (_request, response) => {
    response.json(options.smartConfiguration);
  });
  router.get('/metadata', (_request, response) => {
    const { authorization_endpoint: authorize, token_endpoint: token } = options.smartConfiguration;
    const statement = capabilityStatement({
      fhir: fhirUrl,
      authorize: String(authorize),
      token: String(token),
      topics: options.topics,
    });
    response.type('application/fhir+json').send(JSON.stringify(statement));
  });

  router.use(express.json({ type: jsonTypes, limit: largestBody }));
  router.use(express.urlencoded({ extended: false, limit: largestBody }));

  router.use(async (request, response, next) => {
    const grant = await grantOf(request);
    if (grant === undefined) {
      // RFC 6750, 3: a token that was sent and is not good is named; a missing one is not an error yet.
      const reason = request.headers.authorization === undefined ? '' : ', error="invalid_token"';
      response.setHeader('WWW-Authenticate', `Bearer realm="fhir"${reason}`);
      answer(response, unauthorized);
      return;
    }
    response.locals['grant'] = grant;
    next();
  });
  router.use((request, _response, next) => {
    const writes = request.method !== 'GET' && !request.path.endsWith('/_search');
    if (faults.fhir === 'reject' && writes)
      throw unprocessable([fault('business-rule', 'refused by the fault switch', 'Bundle')]);
    next();
  });

  router.get('/Subscription/:id/\\$status', async (request, response) => {
    mustRead(response, 'Subscription');
    send(response, 200, await subscriptions.status([String(request.params['id'])]));
  });
  router.get('/Subscription/:id/\\$events', async (request, response) => {
    mustRead(response, 'Subscription');
    const { eventsSinceNumber, eventsUntilNumber } = request.query;
    const bound = (value: unknown, otherwise: number) => (/^\d{1,9}$/.test(String(value)) ? Number(value) : otherwise);
    const from = bound(eventsSinceNumber, 1);
    send(
      response,
      200,
      await subscriptions.events(request.params['id'], from, bound(eventsUntilNumber, Number.MAX_SAFE_INTEGER)),
    );
  });

  router.use(async (request, response) => {
    const repository = charts.seenBy(accessOf(grantIn(response)));
    const asked = asFhirRequest(request);
    const before = request.method === 'PUT' ? await existed(asked.url, repository) : true;
    const [outcome, resource] = await handle(asked, repository);
    const status = getStatus(outcome);
    if (resource === undefined) {
      // R4, 3.1.0.7: a deletion that is done needs no content.
      if (request.method === 'DELETE' && status < 300) response.status(204).end();
      else answer(response, outcome);
      return;
    }
    if (status >= 300) {
      answer(response, outcome);
      return;
    }
    const code = request.method === 'PUT' && !before ? 201 : status;
    if (resource.resourceType === 'Bundle') {
      send(response, code, linked(resource, asked));
      return;
    }
    versionHeaders(response, resource as WithId<Resource>);
    if (request.method !== 'GET' && /\breturn=minimal\b/.test(String(request.headers['prefer'] ?? '')))
      response.status(code).end();
    else send(response, code, resource);
  });

  router.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    // body-parser's errors carry their status: not JSON, too large, an unknown charset.
    const { status, type } = error as { status?: number; type?: string };
    if (status === 413 || type === 'entity.parse.failed' || (status !== undefined && status < 500)) {
      response.status(status ?? 400);
      answer(response, badRequest(`The body cannot be read: ${type ?? 'bad request'}`), status);
      return;
    }
    if (!(error instanceof OperationOutcomeError)) logger.error('FHIR request failed', { error: String(error) });
    answer(response, normalizeOperationOutcome(error));
  });

  /** A transaction holds the lock from its first look on: which conditional creates match is decided inside it too. */
  function handle(asked: FhirRequest, repository: ChartRepository): Promise<FhirResponse> {
    const isTransaction = asked.method === 'POST' && (asked.body as Bundle | undefined)?.type === 'transaction';
    if (!isTransaction || asked.url.split('?')[0] !== '/') return fhir.handleRequest(asked, repository);
    return repository.withTransaction(async (draft) => {
      const body = await withoutConditions(asked.body as Bundle, draft);
      const result = await fhir.handleRequest({ ...asked, body }, draft);
      if (!isOk(result[0])) throw new OperationOutcomeError(result[0]);
      return result;
    });
  }

  function linked(bundle: Bundle, asked: FhirRequest): Bundle {
    if (bundle.type.endsWith('-response')) return { ...bundle, entry: (bundle.entry ?? []).map(described) };
    if (bundle.type !== 'searchset') return bundle;
    const entry = bundle.entry?.map((one) => ({
      fullUrl: `${fhirUrl}/${one.resource?.resourceType}/${one.resource?.id}`,
      ...one,
    }));
    const query = new URLSearchParams(
      Object.entries(asked.query).flatMap(([name, value]) => [value ?? []].flat().map((one) => [name, one])),
    );
    const path = asked.url.replace(/\/_search$/, '').replace(/\?.*$/, '');
    const at = (offset: number) => {
      query.set('_offset', String(offset));
      return `${fhirUrl}${path}?${query}`;
    };
    const offset = Number(asked.query['_offset'] ?? 0);
    const count = Number(asked.query['_count'] ?? pageSize);
    return {
      ...bundle,
      link: [
        { relation: 'self', url: at(offset) },
        ...(count > 0 && offset + count < (bundle.total ?? 0)
          ? [{ relation: 'next' as const, url: at(offset + count) }]
          : []),
      ],
      ...(entry === undefined ? {} : { entry }),
    };
  }

  return router;

  function versionHeaders(response: Response, resource: WithId<Resource>): void {
    const { versionId, lastUpdated } = resource.meta ?? {};
    if (versionId !== undefined) {
      response.setHeader('ETag', `W/"${versionId}"`);
      response.setHeader('Location', `${fhirUrl}/${resource.resourceType}/${resource.id}/_history/${versionId}`);
    }
    if (lastUpdated !== undefined) response.setHeader('Last-Modified', new Date(lastUpdated).toUTCString());
  }
}

/** R4, 3.1.0.11.3: what the headers of a single answer say, per entry. */
function described(entry: BundleEntry): BundleEntry {
  const { versionId, lastUpdated } = entry.resource?.meta ?? {};
  const { response } = entry;
  if (response === undefined || versionId === undefined || lastUpdated === undefined) return entry;
  const { outcome: _allOk, ...rest } = response;
  const location = `${entry.resource!.resourceType}/${entry.resource!.id}/_history/${versionId}`;
  return { ...entry, response: { ...rest, location, etag: `W/"${versionId}"`, lastModified: lastUpdated } };
}

const grantIn = (response: Response): Grant => response.locals['grant'] as Grant;

function mustRead(response: Response, type: string): void {
  if (!accessOf(grantIn(response)).mayUse('read', type)) throw new OperationOutcomeError(forbidden);
}

function asFhirRequest(request: Request): FhirRequest {
  const isForm =
    request.is('application/x-www-form-urlencoded') !== false &&
    request.is('application/x-www-form-urlencoded') !== null;
  const query = { ...(request.query as FhirRequest['query']) };
  // R4, 3.1.1.1.2: a POST _search carries its parameters as a form, in the URL, or both.
  const searching = request.path.endsWith('/_search');
  if (searching && isForm) Object.assign(query, request.body as FhirRequest['query']);
  const isSearch = searching || (request.method === 'GET' && /^\/[A-Z][A-Za-z]+$/.test(request.path));
  if (isSearch) {
    const count = Number(query['_count'] ?? pageSize);
    if (!Number.isInteger(count) || count < 0) throw new OperationOutcomeError(badRequest('_count is not a number'));
    query['_count'] = String(count);
  }
  if (!searching && request.method !== 'GET' && request.method !== 'DELETE' && (request.body === undefined || isForm)) {
    throw new OperationOutcomeError(badRequest('The body is not FHIR JSON'));
  }
  return {
    method: request.method as HttpMethod,
    // The router reads the query from the address when there is one there.
    url: isSearch ? request.path : request.url.replace(/^\/(?=\?|$)/, '/'),
    pathname: '',
    params: {},
    query,
    headers: request.headers,
    // Without this the router runs a transaction as a batch.
    config: { transactions: true },
    body: searching ? query : (request.body as unknown),
  };
}

/** Whether a PUT changes a resource or brings a new one: the answers differ (200 and 201). */
async function existed(url: string, repository: ReturnType<Charts['seenBy']>): Promise<boolean> {
  const [, type, id] = /^\/([A-Z][A-Za-z]+)\/([^/?]+)$/.exec(url) ?? [];
  if (type === undefined || id === undefined) return true;
  return repository.readResource(type, id).then(
    () => true,
    (error: unknown) => !(error instanceof OperationOutcomeError && [404, 410].includes(getStatus(error.outcome))),
  );
}

function cors(request: Request, response: Response, next: NextFunction): void {
  response.setHeader('Access-Control-Allow-Origin', '*');
  response.setHeader('Access-Control-Expose-Headers', 'ETag, Location, Last-Modified, WWW-Authenticate');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('Cache-Control', 'no-store');
  if (request.method !== 'OPTIONS') {
    next();
    return;
  }
  response.setHeader('Access-Control-Allow-Methods', 'GET, POST, PUT, PATCH, DELETE');
  response.setHeader('Access-Control-Allow-Headers', 'Authorization, Content-Type, If-Match, If-None-Exist, Prefer');
  response.status(204).end();
}

function send(response: Response, status: number, resource: Resource): void {
  response.status(status).type('application/fhir+json').send(JSON.stringify(resource));
}

function answer(response: Response, outcome: OperationOutcome, status = getStatus(outcome)): void {
  const { id: _id, ...body } = outcome;
  send(response, status, body);
}
