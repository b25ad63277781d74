/** Hears of studies, orders and reports from the chart: an R4 backport Subscription that is kept alive, and catching up with whatever it did not deliver. */
import express, { Router } from 'express';
import type { FhirResource, Subscription } from 'fhir/r4.js';
import { asWetreadError, WetreadError, type ErrorCode } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import { backportSubscription, sameSubscription, type Payload } from './backport-subscription.ts';
import { bearerOnly } from './bearer.ts';
import type { ChartTopic, TopicResource, TopicType } from './chart-topics.ts';
import type { Cursors } from './cursors.ts';
import { readNotification, type Focus, type Notification } from './notification.ts';

type Heard<Type extends FhirResource['resourceType']> = Extract<FhirResource, { resourceType: Type }>;
type CallOptions = { readonly limit?: number; readonly signal?: AbortSignal | undefined };

/** What this source needs of a FHIR client. Errors are `chart.*`. */
export interface SubscriptionServer {
  readonly baseUrl: string;
  read<Type extends TopicType>(type: Type, id: string, signal?: AbortSignal): Promise<Heard<Type>>;
  search<Type extends TopicType | 'Subscription'>(
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
  operation(
    type: 'Subscription',
    id: string,
    name: '$status' | '$events',
    parameters?: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<unknown>;
}

export type FhirSubscriptionOptions = {
  readonly client: SubscriptionServer;
  /** Where the chart reaches the path below; no other source has the same. */
  readonly endpoint: string;
  readonly path?: string;
  /** The chart shows it with every notification. */
  readonly secret: string;
  /** Canonical of the topic, and what its events are about. */
  readonly topic: string;
  readonly about: ChartTopic;
  readonly payload?: Payload;
  readonly logger: Logger;
  /** Without one, what happened while the service was down is left to other sources. */
  readonly cursors?: Cursors;
  /** Under which the cursors are kept. */
  readonly name?: string;
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

/** Numbers of events that were not heard. */
type Gap = { readonly from: number; readonly to: number };
/** Nobody says which. A new one each time: what is asked for later is not answered by a search that began earlier. */
const everything = (): Gap => ({ from: 0, to: Infinity });

/** Clocks differ, and `lastUpdated` is set before the commit that makes it visible. */
const overlapMs = 120_000;
const mostCaughtUp = 10_000;
/** What is asked of `$events` at once; a longer gap is searched for. */
const longestGap = 1_000;
const shortestRetryMs = 1000;
const longestRetryMs = 60_000;
const longestUnansweredMs = 600_000;

export function fhirSubscriptionSource(options: FhirSubscriptionOptions): FhirSubscriptionSource {
  const { client, endpoint, secret, topic, about, payload, logger, cursors, name = 'fhir-subscription' } = options;
  const { path = '/events/fhir', heartbeatSeconds = 60, now = () => new Date() } = options;
  let kind: SubscriptionState['kind'] = 'off';
  let error: ErrorCode | undefined;
  let lastHeardAt: Date | undefined;
  let eventsHeard = 0;
  let gapsFilled = 0;
  /** How often the server gave up on us since it last worked. */
  let givenUp = 0;
  /** The server's name for our Subscription. */
  let subscriptionId: string | undefined;
  /** The number of the newest event that was heard of; unknown until the server says one. */
  let lastNumber: number | undefined;
  /** Missed and not yet caught up with: the cursor must not pass it. */
  let behind: Gap | undefined = everything();
  let cursor: Date | undefined;
  let keptNumber = '';
  let stopping: AbortController | undefined;
  let running: Promise<void> = Promise.resolve();
  let nextSearch: Promise<void> | undefined;
  let resume = () => {};

  const router = Router();
  router.post(
    path,
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
        catchUpSoon(everything());
        return;
      case 'heartbeat': {
        stillActive(notification.status);
        const gap = gapBefore(notification.eventsSinceStart);
        lastNumber = notification.eventsSinceStart ?? lastNumber;
        if (gap !== undefined) catchUpSoon(gap);
        return;
      }
      case 'event-notification':
        await hearEvents(notification);
        stillActive(notification.status);
        return;
      case 'query-status':
      case 'query-event':
      case 'other':
        return;
    }
  }

  async function hearEvents(notification: Notification): Promise<void> {
    const { events, eventsSinceStart } = notification;
    // Sorted, not spread into a call: a notification may hold more events than a call takes arguments.
    const numbers = events.flatMap(({ number }) => number ?? []).sort((a, b) => a - b);
    // A notification without numbers stands at the end of the count.
    const first =
      numbers[0] ?? (eventsSinceStart === undefined ? undefined : eventsSinceStart - Math.max(events.length, 1) + 1);
    const newest = numbers.at(-1) ?? eventsSinceStart;
    const missed = gapBefore(first === undefined ? undefined : first - 1);
    if (missed !== undefined) behind = together(behind, missed);

    const foci = fociOf(notification);
    const updatedTo = await hearAll(foci);
    // Empty payloads say only that something happened; the server is asked what.
    if (foci.length === 0)
      await catchUp(first === undefined || newest === undefined ? everything() : { from: first, to: newest });
    eventsHeard += Math.max(events.length, 1);
    if (newest !== undefined) lastNumber = Math.max(lastNumber ?? 0, newest);
    if (missed !== undefined) catchUpSoon(missed);
    else if (behind === undefined) await moveCursor(updatedTo);
  }

  /** What was not heard before the event after this number. */
  function gapBefore(heardBefore: number | undefined): Gap | undefined {
    if (heardBefore === undefined || lastNumber === undefined || heardBefore <= lastNumber) return undefined;
    return { from: lastNumber + 1, to: heardBefore };
  }

  /** Whatever a notification says, only names are taken from it. */
  function fociOf({ events, brought }: Notification): string[] {
    const foci = [...events.flatMap(({ focus }) => focus ?? []), ...brought];
    return [...new Set(foci.filter((focus: Focus) => focus.type === about.type).map(({ id }) => id))];
  }

  /** Reads each from the server and hears it; the latest change that was seen. */
  async function hearAll(ids: readonly string[]): Promise<Date | undefined> {
    let updatedTo: Date | undefined;
    for (const id of ids) {
      const resource = await readFocus(id);
      if (resource === undefined) continue;
      await about.hear(resource, client.baseUrl, stopping?.signal);
      updatedTo = later(updatedTo, resource.meta?.lastUpdated);
    }
    return updatedTo;
  }

  async function readFocus(id: string): Promise<(TopicResource & { id: string }) | undefined> {
    try {
      return { ...(await client.read(about.type, id, stopping?.signal)), id };
    } catch (thrown) {
      // Deleted since: nothing to read, and repeating the notification would not bring it back.
      if (thrown instanceof WetreadError && thrown.code === 'chart.not-found') return undefined;
      throw thrown;
    }
  }

  /** One catching up at a time; whoever asks while one runs shares the next, which begins after the asking. */
  function catchUp(gap: Gap): Promise<void> {
    behind = together(behind, gap);
    if (nextSearch !== undefined) return nextSearch;
    const search = running.then(() => {
      nextSearch = undefined;
      return fillGap();
    });
    nextSearch = search;
    running = search.catch(() => undefined);
    return search;
  }

  async function fillGap(): Promise<void> {
    const gap = behind;
    if (gap === undefined) return;
    const updatedTo = (await eventsOf(gap)) ?? (await searchForMissed());
    // What was missed meanwhile stays to be caught up with.
    if (behind === gap) {
      behind = undefined;
      await moveCursor(updatedTo.date);
    }
  }

  /** `$events`: what happened, by number. Undefined when the server does not know all of it, or has no such operation. */
  async function eventsOf(gap: Gap): Promise<{ date?: Date | undefined } | undefined> {
    if (subscriptionId === undefined || gap.to - gap.from >= longestGap) return undefined;
    const { from, to } = gap;
    let answer: Notification;
    try {
      const parameters = { eventsSinceNumber: String(from), eventsUntilNumber: String(to), content: 'id-only' };
      const body = await client.operation('Subscription', subscriptionId, '$events', parameters, stopping?.signal);
      answer = readNotification(body);
    } catch (thrown) {
      if (stopping?.signal.aborted === true) throw thrown;
      logger.debug('missed events cannot be asked for by number', { code: asWetreadError(thrown).code });
      return undefined;
    }
    const told = new Set(answer.events.filter(({ focus }) => focus !== undefined).map(({ number }) => number));
    for (let number = from; number <= to; number += 1) if (!told.has(number)) return undefined;
    const date = await hearAll(fociOf(answer));
    logger.info('missed events were asked for by number', { topic, count: to - from + 1 });
    return { date };
  }

  async function searchForMissed(): Promise<{ date?: Date | undefined }> {
    cursor ??= await storedCursor();
    const since = new Date(cursor.getTime() - overlapMs);
    const found = await client.search(
      about.type,
      { _lastUpdated: `ge${since.toISOString()}`, _count: '100' },
      { limit: mostCaughtUp, signal: stopping?.signal },
    );
    let date: Date | undefined;
    for (const resource of found) {
      if (resource.id === undefined) continue;
      await about.hear({ ...resource, id: resource.id }, client.baseUrl, stopping?.signal);
      date = later(date, resource.meta?.lastUpdated);
    }
    return { date };
  }

  /** A notification is answered before the search it causes is done: `behind` stays, and the next start begins at the old cursor. */
  function catchUpSoon(gap: Gap): void {
    behind = together(behind, gap);
    void catchUpNow(gap, stopping?.signal);
  }

  async function catchUpNow(gap: Gap, signal: AbortSignal | undefined): Promise<void> {
    try {
      await catchUp(gap);
      gapsFilled += 1;
    } catch (thrown) {
      if (signal?.aborted !== true) failed(thrown, 'what was missed could not be caught up with');
    }
  }

  async function storedCursor(): Promise<Date> {
    const text = await cursors?.get(name);
    const stored = text === undefined ? Number.NaN : Date.parse(text);
    if (!Number.isNaN(stored)) return new Date(stored);
    // The first start ever does not read the hospital's past.
    const beginning = now();
    await cursors?.set(name, beginning.toISOString());
    return beginning;
  }

  async function moveCursor(to: Date | undefined): Promise<void> {
    // The number belongs to one Subscription's count: another one counts anew.
    if (subscriptionId !== undefined && lastNumber !== undefined) {
      const number = `${subscriptionId} ${lastNumber}`;
      if (number !== keptNumber) await cursors?.set(`${name}:number`, number);
      keptNumber = number;
    }
    if (to === undefined || (cursor !== undefined && to <= cursor)) return;
    cursor = to;
    await cursors?.set(name, to.toISOString());
  }

  async function storedNumber(id: string): Promise<number | undefined> {
    const [of, number] = ((await cursors?.get(`${name}:number`)) ?? '').split(' ');
    return of === id && number !== undefined && /^\d{1,15}$/.test(number) ? Number(number) : undefined;
  }

  function becomeActive(): void {
    if (kind !== 'active') logger.info('the chart tells of what happens', { topic });
    kind = 'active';
    error = undefined;
  }

  /** A notification may be the server's last word: in its error and off states it tells so, and then nothing more. */
  function stillActive(status: string | undefined): void {
    if (status !== 'error' && status !== 'off') {
      givenUp = 0;
      becomeActive();
      return;
    }
    logger.warn('the chart gave the subscription up; it is asked for again', { topic, status });
    kind = 'requested';
    setTimeout(() => resume(), Math.min(shortestRetryMs * 2 ** givenUp, longestRetryMs)).unref();
    givenUp += 1;
  }

  function failed(thrown: unknown, message: string): void {
    const cause = asWetreadError(thrown);
    if (error !== cause.code) logger.error(message, { topic, code: cause.code, cause });
    error = cause.code;
    kind = 'failing';
  }

  /** Takes up the Subscription that is there when the server says that it works; otherwise it is written anew, which makes the server shake hands. */
  async function subscribe(signal: AbortSignal): Promise<void> {
    kind = 'subscribing';
    const found = await client.search('Subscription', { url: endpoint }, { signal });
    const here = found.filter(({ channel }) => channel.endpoint === endpoint);
    const ours = here.find(({ criteria }) => criteria === topic);
    const wanted = backportSubscription({ endpoint, secret, topic, heartbeatSeconds, payload });
    if (ours?.id !== undefined && sameSubscription(ours, wanted) && (await works(ours.id, signal))) {
      lastHeardAt = now();
      becomeActive();
    } else {
      // Before the write: the server may shake hands before it answers.
      kind = 'requested';
      const written =
        ours?.id === undefined
          ? await client.create(wanted, {
              ifNoneExist: `url=${encodeURIComponent(endpoint)}&criteria=${encodeURIComponent(topic)}`,
              signal,
            })
          : await client.update({ ...wanted, id: ours.id }, { signal });
      subscriptionId = written.id ?? ours?.id;
    }
    for (const spare of here)
      if (spare.id !== undefined && spare.id !== ours?.id && spare.id !== subscriptionId)
        await client.remove('Subscription', spare.id, signal).catch(() => undefined);
  }

  /** `$status`: active, and how far its count is. What we did not hear of that is behind. */
  async function works(id: string, signal: AbortSignal): Promise<boolean> {
    let status: Notification;
    try {
      status = readNotification(await client.operation('Subscription', id, '$status', {}, signal));
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      // Servers without the operation are asked to shake hands, which shows the same.
      logger.debug('the chart does not say how the subscription stands', { code: asWetreadError(thrown).code });
      return false;
    }
    if (status.status !== 'active') {
      logger.warn('the chart gave the subscription up; it is asked for again', { topic, status: status.status });
      return false;
    }
    subscriptionId = id;
    // A process that just began is behind by what happened since its predecessor stood there; nothing else is known yet.
    const begun = lastNumber !== undefined;
    const heard = lastNumber ?? (await storedNumber(id));
    const counted = status.eventsSinceStart;
    const certain = counted !== undefined && heard !== undefined && counted >= heard;
    const missed = !certain ? everything() : counted > heard ? { from: heard + 1, to: counted } : undefined;
    if (!begun) behind = missed;
    else if (missed !== undefined) behind = together(behind, missed);
    lastNumber = counted ?? lastNumber;
    return true;
  }

  /** Subscribes, then watches: silence for two and a half heartbeats means that the server gave up on us. */
  async function keepAlive(signal: AbortSignal): Promise<void> {
    let retryMs = shortestRetryMs;
    let waitMs = 0;
    let unanswered = 0;
    while (!signal.aborted) {
      await pause(waitMs, signal);
      if (signal.aborted) return;
      try {
        const silentMs = lastHeardAt === undefined ? Infinity : now().getTime() - lastHeardAt.getTime();
        if (kind !== 'active' || silentMs > heartbeatSeconds * 2500) {
          await subscribe(signal);
          // Not every server shakes hands; what the wait for it would hide is looked for at once.
          if (behind !== undefined || isNot('active')) await catchUp(behind ?? everything());
          unanswered = isNot('active') ? unanswered + 1 : 0;
        } else {
          unanswered = 0;
          if (behind !== undefined) await catchUp(behind);
        }
        retryMs = shortestRetryMs;
        // A server that takes the Subscription and never reaches us is asked ever less often.
        waitMs = Math.min(
          heartbeatSeconds * 1000 * 2 ** Math.max(0, unanswered - 1),
          Math.max(longestUnansweredMs, heartbeatSeconds * 1000),
        );
      } catch (thrown) {
        if (signal.aborted) return;
        failed(thrown, 'the chart cannot be subscribed to');
        waitMs = retryMs * (0.5 + Math.random() / 2);
        retryMs = Math.min(retryMs * 2, longestRetryMs);
      }
    }
  }

  /** Notifications change the state while others wait; the compiler believes what it saw before. */
  const isNot = (wanted: SubscriptionState['kind']): boolean => kind !== wanted;

  function pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resume = () => {};
        resolve();
      };
      const timer = setTimeout(done, ms);
      timer.unref();
      signal.addEventListener('abort', done, { once: true });
      resume = done;
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

/** One gap that holds both: what lies between them was heard, and hearing it again does nothing. */
function together(one: Gap | undefined, other: Gap): Gap {
  if (one === undefined || other.to === Infinity) return other;
  if (one.to === Infinity) return everything();
  if (one.from <= other.from && one.to >= other.to) return one;
  return { from: Math.min(one.from, other.from), to: Math.max(one.to, other.to) };
}

function later(a: Date | undefined, instant: string | undefined): Date | undefined {
  const b = instant === undefined ? Number.NaN : Date.parse(instant);
  if (Number.isNaN(b)) return a;
  return a === undefined || b > a.getTime() ? new Date(b) : a;
}
