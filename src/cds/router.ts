/** The CDS service's addresses: discovery, one per hook, and its feedback. Errors go on to the application's error handler. */
import express, { type RequestHandler, type Response, type Router } from 'express';
import { WetreadError, asWetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type {
  AuditTrail,
  FeedbackStore,
  OrderBook,
  PackSummary,
  ReadingStore,
  StudyRegister,
} from '../domain/ports.ts';
import { afterAnswers } from './after-answers.ts';
import type { Fetch } from './bounded-json.ts';
import type { CdsClient, CdsClientTrust } from './client-trust.ts';
import { allowedOrigins } from './cors.ts';
import { discoveryOf } from './discovery.ts';
import { storeFeedback } from './feedback.ts';
import { invoker } from './invoke.ts';
import type { LoadedHook } from './load-hooks.ts';
import { fhirLimits, type FhirLimits } from './prefetch.ts';
import { cdsRequest, feedbackRequest, parsed } from './wire.ts';

/** What is counted, if anybody counts. */
export type CdsMetrics = {
  answered(answer: {
    readonly service: string;
    readonly status: number;
    readonly seconds: number;
    readonly cards: number;
  }): void;
};

export type CdsOptions = {
  readonly hooks: readonly LoadedHook[];
  readonly ports: {
    readonly readings: ReadingStore;
    readonly studies: StudyRegister;
    readonly orders: OrderBook;
    readonly feedback: FeedbackStore;
    readonly audit: AuditTrail;
  };
  /** What the installed models say of themselves, for the cards. */
  readonly packs: readonly PackSummary[];
  readonly clients: CdsClientTrust;
  /** How clients reach this service; `aud` of their tokens and the app's links are built from it. */
  readonly publicUrl: string;
  readonly logger: Logger;
  /** Origins of browser-based clients. */
  readonly origins?: readonly string[];
  readonly metrics?: CdsMetrics;
  readonly maxBodyBytes?: number;
  readonly fhirLimits?: FhirLimits;
  readonly fetch?: Fetch;
  readonly now?: () => Date;
};

export type CdsRouter = Router & {
  /** Resolves when what was to be done after answers is done: called before the database closes. */
  drain(): Promise<void>;
};

type ClientLocals = { client: CdsClient };

export function cdsRouter(options: CdsOptions): CdsRouter {
  const publicUrl = options.publicUrl.replace(/\/+$/, '');
  const after = afterAnswers(options.logger);
  const discovery = discoveryOf(options.hooks);
  const services = new Map(
    options.hooks.map((loaded) => [
      loaded.id,
      invoker(loaded, {
        ...options.ports,
        packs: options.packs,
        publicUrl,
        after,
        logger: options.logger.with({ serviceName: loaded.id }),
        fetch: options.fetch ?? globalThis.fetch,
        limits: options.fhirLimits ?? fhirLimits,
        now: options.now ?? (() => new Date()),
      }),
    ]),
  );

  const trusted: RequestHandler = async (request, response, next) => {
    try {
      // `aud` names exactly the address that was called, without a query.
      const client = await options.clients.verify(
        request.headers.authorization,
        `${publicUrl}${request.baseUrl}${request.path}`,
      );
      (response.locals as ClientLocals).client = client;
      next();
    } catch (error) {
      if (asWetreadError(error).row.status === 401) response.set('WWW-Authenticate', 'Bearer');
      next(error);
    }
  };
  const known: RequestHandler<{ id: string }> = (request, _response, next) =>
    next(services.has(request.params.id) ? undefined : new WetreadError('cds.unknown-service'));
  const json = express.json({
    limit: options.maxBodyBytes ?? 1024 * 1024,
    type: ['application/json', 'application/fhir+json'],
  });
  const timed: RequestHandler<{ id: string }> = (request, response, next) => {
    const started = performance.now();
    // Taken now: an error leaves the route, and its parameters are gone when the answer is sent.
    const service = services.has(request.params.id) ? request.params.id : 'unknown';
    response.once('finish', () =>
      options.metrics?.answered({
        service,
        status: response.statusCode,
        seconds: (performance.now() - started) / 1000,
        cards: (response.locals['cards'] as number | undefined) ?? 0,
      }),
    );
    next();
  };

  const router = express.Router({ caseSensitive: true, strict: true });
  router.use('/cds-services', allowedOrigins(options.origins ?? []));

  // Public, as the specification allows: it tells what is offered, nothing about anybody. A token that is sent is still checked.
  router.get('/cds-services', (request, response, next) => {
    const send = () => void response.json(discovery);
    return request.headers.authorization === undefined
      ? send()
      : trusted(request, response, (error?: unknown) => (error === undefined ? send() : next(error)));
  });

  router.post('/cds-services/:id', timed, known, trusted, json, async (request, response) => {
    const { cards, served } = await services.get(request.params.id)!(
      parsed(cdsRequest, request.body, ''),
      (response.locals as ClientLocals).client,
    );
    response.locals['cards'] = cards.length;
    privately(response).json({ cards });
    served();
  });

  router.post('/cds-services/:id/feedback', known, trusted, json, async (request, response) => {
    const { client } = response.locals as ClientLocals;
    const { feedback } = parsed(feedbackRequest, request.body, '');
    await storeFeedback(request.params.id, feedback, client, { ...options.ports, after });
    privately(response).status(200).end();
  });

  for (const [path, allow] of [
    ['/cds-services', 'GET'],
    ['/cds-services/:id', 'POST'],
    ['/cds-services/:id/feedback', 'POST'],
  ] as const) {
    router.all(path, (_request, response, next) => {
      response.set('Allow', allow);
      next(new WetreadError('request.method-not-allowed'));
    });
  }

  return Object.assign(router, { drain: after.drain });
}

/** What is said of a patient stays out of every cache. */
const privately = (response: Response): Response => response.set('Cache-Control', 'no-store');
