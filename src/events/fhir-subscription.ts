/** Hears of new studies from the chart: an R4 backport Subscription that is kept alive, and catching up with whatever it did not deliver. */
import express, { Router } from 'express';
import type { FhirResource, ImagingStudy, Subscription } from 'fhir/r4.js';
import { asWetreadError, WetreadError, type ErrorCode } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { StudyRegister } from '../domain/ports.ts';
import { backportSubscription } from './backport-subscription.ts';
import { bearerOnly } from './bearer.ts';
import type { Cursors } from './cursors.ts';
import { heardStudy } from './imaging-study.ts';
import { readNotification, type Notification } from './notification.ts';

type Heard<Type extends FhirResource['resourceType']> = Extract<FhirResource, { resourceType: Type }>;
type CallOptions = { readonly limit?: number; readonly signal?: AbortSignal | undefined };

/** What this source needs of a FHIR client. Errors are `chart.*`. */
export interface SubscriptionServer {
  readonly baseUrl: string;
  read<Type extends 'ImagingStudy'>(type: Type, id: string, signal?: AbortSignal): Promise<Heard<Type>>;
  search<Type extends 'ImagingStudy' | 'Subscription'>(
    type: Type,
    parameters: Readonly<Record<string, string>>,
    options?: CallOptions,
  ): Promise<Heard<Type>[]>;
  create(
    resource: Subscription,
    options?: { readonly ifNoneExist?: string; readonly signal?: AbortSignal | undefined },
  ): Promise<Subscription>;
  update(
    resource: Subscription & { readonly id: string },
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<Subscription>;
  remove(type: 'Subscription', id: string, signal?: AbortSignal): Promise<void>;
}

export type FhirSubscriptionOptions = {
  readonly client: SubscriptionServer;
  /** Where the chart reaches `POST /events/fhir`. */
  readonly endpoint: string;
  /** The chart shows it with every notification. */
  readonly secret: string;
  /** Canonical of the topic whose events are new or changed ImagingStudy resources. */
  readonly topic: string;
  readonly announce: StudyRegister['announce'];
  readonly logger: Logger;
  /** Without one, what happened while the service was down is left to other sources. */
  readonly cursors?: Cursors;
  readonly heartbeatSeconds?: number;
  readonly now?: () => Date;
};

export type SubscriptionState = {
  readonly kind: 'off' | 'subscribing' | 'requested' | 'active' | 'failing';
  readonly lastHeardAt?: string;
  readonly error?: ErrorCode;
  readonly eventsHeard: number;
  readonly gapsFilled: number;
};

export interface FhirSubscriptionSource {
  readonly router: Router;
  start(): void;
  stop(): Promise<void>;
  state(): SubscriptionState;
}

const cursorName = 'fhir-subscription';
/** Clocks differ, and `lastUpdated` is set before the commit that makes it visible. */
const overlapMs = 120_000;
const mostCaughtUp = 10_000;
const shortestRetryMs = 1000;
const longestRetryMs = 60_000;

export function fhirSubscriptionSource(options: FhirSubscriptionOptions): FhirSubscriptionSource {
  const {
    client,
    endpoint,
    secret,
    topic,
    announce,
    logger,
    cursors,
    heartbeatSeconds = 60,
    now = () => new Date(),
  } = options;
  let kind: SubscriptionState['kind'] = 'off';
  let error: ErrorCode | undefined;
  let lastHeardAt: Date | undefined;
  let eventsHeard = 0;
  let gapsFilled = 0;
  /** The number of the newest event that was heard of; unknown until the server says one. */
  let lastNumber: number | undefined;
  /** Something was missed and is not yet caught up with: the cursor must not pass it. */
  let behind = true;
  let cursor: Date | undefined;
  let stopping: AbortController | undefined;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let nextSearch: Promise<void> | undefined;

  const router = Router();
  router.post(
    '/events/fhir',
    bearerOnly(secret),
    express.json({ type: ['application/fhir+json', 'application/json'], limit: '5mb' }),
    (request, response, next) => {
      // 200 only when everything in it is in the database; anything else makes the server send it again.
      void hear(request.body).then(() => response.status(200).end(), next);
    },
  );

  async function hear(body: unknown): Promise<void> {
    const notification = readNotification(body);
    if (notification.topic !== undefined && notification.topic !== topic) {
      throw new WetreadError('request.malformed', 'the notification is about another topic');
    }
    lastHeardAt = now();
    switch (notification.type) {
      case 'handshake':
        // A new count begins; what happened before it is found by searching.
        lastNumber = notification.eventsSinceStart;
        becomeActive();
        catchUpSoon();
        return;
      case 'heartbeat':
        becomeActive();
        if (isGap(notification.eventsSinceStart)) catchUpSoon();
        lastNumber = notification.eventsSinceStart ?? lastNumber;
        return;
      case 'event-notification':
        becomeActive();
        await hearEvents(notification);
        return;
      case 'other':
        return;
    }
  }

  async function hearEvents(notification: Notification): Promise<void> {
    const { events, eventsSinceStart } = notification;
    const numbers = events.flatMap(({ number }) => number ?? []);
    // A notification without numbers stands at the end of the count.
    const first =
      numbers.length > 0
        ? Math.min(...numbers)
        : eventsSinceStart === undefined
          ? undefined
          : eventsSinceStart - Math.max(events.length, 1) + 1;
    const newest = numbers.length > 0 ? Math.max(...numbers) : eventsSinceStart;
    const missed = isGap(first === undefined ? undefined : first - 1);
    if (missed) behind = true;

    const ids = new Set(events.flatMap(({ imagingStudy }) => imagingStudy ?? []));
    for (const id of notification.studies.keys()) ids.add(id);
    let updatedTo: Date | undefined;
    for (const id of ids) {
      const study = notification.studies.get(id) ?? (await readStudy(id));
      if (study === undefined) continue;
      await announceStudy(study);
      updatedTo = later(updatedTo, study.meta?.lastUpdated);
    }
    // Empty payloads say only that something happened; the search says what.
    if (ids.size === 0) await catchUp();
    eventsHeard += Math.max(events.length, 1);
    if (newest !== undefined) lastNumber = Math.max(lastNumber ?? 0, newest);
    if (missed) catchUpSoon();
    else if (!behind) await moveCursor(updatedTo);
  }

  const isGap = (heardBefore: number | undefined): boolean =>
    heardBefore !== undefined && lastNumber !== undefined && heardBefore > lastNumber;

  async function readStudy(id: string): Promise<ImagingStudy | undefined> {
    try {
      return await client.read('ImagingStudy', id, stopping?.signal);
    } catch (thrown) {
      // Deleted since: nothing to read, and repeating the notification would not bring it back.
      if (thrown instanceof WetreadError && thrown.code === 'chart.not-found') return undefined;
      throw thrown;
    }
  }

  async function announceStudy(study: ImagingStudy): Promise<void> {
    const heard = heardStudy(study, client.baseUrl);
    if ('left' in heard) {
      logger.info('a study in the chart is not read', { reason: heard.left });
      return;
    }
    const outcome = await announce(heard.event);
    if (outcome === 'queued')
      logger.info('study announced', { source: 'fhir-subscription', studyUid: heard.event.studyUid });
  }

  /** One search at a time; whoever asks while one runs shares the next, which begins after the asking. */
  function catchUp(): Promise<void> {
    if (nextSearch !== undefined) return nextSearch;
    const search = running.then(() => {
      nextSearch = undefined;
      return searchForMissed();
    });
    nextSearch = search;
    running = search.catch(() => undefined);
    return search;
  }

  async function searchForMissed(): Promise<void> {
    behind = true;
    cursor ??= await storedCursor();
    const since = new Date(cursor.getTime() - overlapMs);
    const studies = await client.search(
      'ImagingStudy',
      { _lastUpdated: `ge${since.toISOString()}`, _count: '100' },
      { limit: mostCaughtUp, signal: stopping?.signal },
    );
    let updatedTo: Date | undefined;
    for (const study of studies) {
      await announceStudy(study);
      updatedTo = later(updatedTo, study.meta?.lastUpdated);
    }
    behind = false;
    await moveCursor(updatedTo);
  }

  /** A notification is answered before the search it causes is done: `behind` stays, and the next start begins at the old cursor. */
  function catchUpSoon(): void {
    behind = true;
    void fillGap(stopping?.signal);
  }

  async function fillGap(signal: AbortSignal | undefined): Promise<void> {
    try {
      await catchUp();
      gapsFilled += 1;
    } catch (thrown) {
      if (signal?.aborted !== true) failed(thrown, 'missed studies could not be searched for');
    }
  }

  async function storedCursor(): Promise<Date> {
    const text = await cursors?.get(cursorName);
    const stored = text === undefined ? Number.NaN : Date.parse(text);
    if (!Number.isNaN(stored)) return new Date(stored);
    // The first start ever does not read the hospital's past.
    const beginning = now();
    await cursors?.set(cursorName, beginning.toISOString());
    return beginning;
  }

  async function moveCursor(to: Date | undefined): Promise<void> {
    if (to === undefined || (cursor !== undefined && to <= cursor)) return;
    cursor = to;
    await cursors?.set(cursorName, to.toISOString());
  }

  function becomeActive(): void {
    if (kind !== 'active') logger.info('the chart announces studies', { topic });
    kind = 'active';
    error = undefined;
  }

  function failed(thrown: unknown, message: string): void {
    const cause = asWetreadError(thrown);
    if (error !== cause.code) logger.error(message, { code: cause.code, cause });
    error = cause.code;
    kind = 'failing';
  }

  /** Written anew at each start: the server shakes hands again, and a secret or address that changed is replaced. */
  async function subscribe(signal: AbortSignal): Promise<void> {
    kind = 'subscribing';
    const found = await client.search('Subscription', { url: endpoint }, { signal });
    const [ours, ...spare] = found.filter(
      ({ channel, criteria }) => channel.endpoint === endpoint && criteria === topic,
    );
    const wanted = backportSubscription({ endpoint, secret, topic, heartbeatSeconds });
    // Before the write: the server may shake hands before it answers.
    kind = 'requested';
    if (ours?.id === undefined)
      await client.create(wanted, {
        ifNoneExist: `url=${encodeURIComponent(endpoint)}&criteria=${encodeURIComponent(topic)}`,
        signal,
      });
    else await client.update({ ...wanted, id: ours.id }, { signal });
    for (const { id } of spare)
      if (id !== undefined) await client.remove('Subscription', id, signal).catch(() => undefined);
  }

  /** Subscribes, then watches: silence for two and a half heartbeats means that the server gave up on us. */
  async function keepAlive(signal: AbortSignal): Promise<void> {
    let retryMs = shortestRetryMs;
    let waitMs = 0;
    while (!signal.aborted) {
      await pause(waitMs, signal);
      if (signal.aborted) return;
      try {
        const silentMs = lastHeardAt === undefined ? Infinity : now().getTime() - lastHeardAt.getTime();
        if (kind !== 'active' || silentMs > heartbeatSeconds * 2500) {
          await subscribe(signal);
          // Not every server shakes hands; what the wait for it would hide is looked for at once.
          await catchUp();
        } else if (behind) {
          await catchUp();
        }
        retryMs = shortestRetryMs;
        waitMs = heartbeatSeconds * 1000;
      } catch (thrown) {
        if (signal.aborted) return;
        failed(thrown, 'the chart cannot be subscribed to');
        waitMs = retryMs * (0.5 + Math.random() / 2);
        retryMs = Math.min(retryMs * 2, longestRetryMs);
      }
    }
  }

  function pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      timer = setTimeout(done, ms);
      timer.unref();
      signal.addEventListener('abort', done, { once: true });
    });
  }

  let watching: Promise<void> = Promise.resolve();
  return {
    router,
    state: () => ({
      kind,
      eventsHeard,
      gapsFilled,
      ...(lastHeardAt === undefined ? {} : { lastHeardAt: lastHeardAt.toISOString() }),
      ...(error === undefined ? {} : { error }),
    }),
    start() {
      if (stopping !== undefined) return;
      stopping = new AbortController();
      watching = keepAlive(stopping.signal);
    },
    /** The Subscription stays: what it counts while we are away is caught up with at the next start. */
    async stop() {
      stopping?.abort();
      await Promise.all([watching, running]);
      stopping = undefined;
      kind = 'off';
    },
  };
}

function later(a: Date | undefined, instant: string | undefined): Date | undefined {
  const b = instant === undefined ? Number.NaN : Date.parse(instant);
  if (Number.isNaN(b)) return a;
  return a === undefined || b > a.getTime() ? new Date(b) : a;
}
