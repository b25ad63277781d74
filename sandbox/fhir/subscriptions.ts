/** Topic-based subscriptions over rest-hook: handshake, heartbeat, events in their order, a few retries, then the error state. */
import { setTimeout as sleep } from 'node:timers/promises';
import { matchesSearchRequest, parseSearchRequest, type WithId } from '@medplum/core';
import type { Bundle, Subscription } from '@medplum/fhirtypes';
import type { Logger } from '../../src/domain/log.ts';
import { notification, settingsOf, statusOf, type NotificationType, type SubscriptionEvent } from './notification.ts';
import { fullAccess, type Change, type Charts } from './repository.ts';
import { fault, unprocessable } from './validate.ts';

/** A topic says which writes are events. */
export type Topic = {
  readonly url: string;
  readonly resourceType: string;
  readonly interactions: readonly Change['interaction'][];
};

export const imagingStudyTopic: Topic = {
  url: 'http://hospital.example/topics/imaging-study',
  resourceType: 'ImagingStudy',
  interactions: ['create', 'update'],
};

/** Orders that are signed, changed or cancelled. */
export const orderTopic: Topic = {
  url: 'http://hospital.example/topics/imaging-order',
  resourceType: 'ServiceRequest',
  interactions: ['create', 'update'],
};

export const reportTopic: Topic = {
  url: 'http://hospital.example/topics/diagnostic-report',
  resourceType: 'DiagnosticReport',
  interactions: ['create', 'update'],
};

export const hospitalTopics: readonly Topic[] = [imagingStudyTopic, orderTopic, reportTopic];

export type Subscriptions = {
  /** `$status` of one subscription, or of all that match. */
  status(ids: readonly string[]): Promise<Bundle>;
  /** `$events`: what was sent or should have been, by number, so that a subscriber can fill a gap. */
  events(id: string, from: number, to: number): Promise<Bundle>;
  close(): Promise<void>;
};

type Live = {
  /** Grows by one per event, delivered or not: this is how a subscriber sees a gap. */
  counted: number;
  readonly log: SubscriptionEvent[];
  /** Deliveries of one subscription wait for each other, so that events arrive in their order. */
  queue: Promise<void>;
  heartbeat?: NodeJS.Timeout;
};

const longestLog = 1_000;

export function runSubscriptions(options: {
  readonly charts: Charts;
  readonly fhirUrl: string;
  readonly topics?: readonly Topic[];
  /** Waits before the second, third … try of one notification. */
  readonly retryMs?: readonly number[];
  readonly mayCall: (endpoint: URL) => boolean;
  readonly onDelivered?: (event: SubscriptionEvent) => void;
  readonly logger: Logger;
}): Subscriptions {
  const { charts, fhirUrl, topics = hospitalTopics, retryMs = [250, 1_000, 3_000], mayCall, logger } = options;
  const repository = charts.seenBy(fullAccess);
  const live = new Map<string, Live>();
  const closing = new AbortController();

  charts.onCheck((resource) => {
    if (resource.resourceType === 'Subscription') assertSupported(resource, topics, mayCall);
  });
  charts.onCommit((changes) => {
    for (const change of changes) {
      if (change.resource.resourceType === 'Subscription') settingsChanged(change);
      else happened(change);
    }
  });

  const liveOf = (id: string): Live => {
    const known = live.get(id) ?? { counted: 0, log: [], queue: Promise.resolve() };
    live.set(id, known);
    return known;
  };

  function settingsChanged({ interaction, resource }: Change): void {
    const subscription = resource as WithId<Subscription>;
    const state = liveOf(subscription.id);
    clearInterval(state.heartbeat);
    if (interaction === 'delete') {
      live.delete(subscription.id);
      return;
    }
    if (subscription.status === 'requested') inTurn(state, () => handshake(subscription.id));
    const { heartbeatSeconds } = settingsOf(subscription);
    if (subscription.status === 'active' && heartbeatSeconds > 0) {
      state.heartbeat = setInterval(
        () => inTurn(state, () => deliver(subscription.id, 'heartbeat', [])),
        heartbeatSeconds * 1000,
      );
      state.heartbeat.unref();
    }
  }

  function happened(change: Change): void {
    const subscriptions = charts
      .current()
      .filter((one): one is WithId<Subscription> => one.resourceType === 'Subscription');
    for (const subscription of subscriptions) {
      // In the error state events are still counted; only a subscription that is off hears and counts nothing.
      if (subscription.status === 'off' || !isEventFor(subscription, change)) continue;
      const state = liveOf(subscription.id);
      state.counted += 1;
      const event = {
        number: state.counted,
        at: new Date().toISOString(),
        interaction: change.interaction,
        resource: change.resource,
      };
      state.log.push(event);
      if (state.log.length > longestLog) state.log.shift();
      inTurn(state, () => deliver(subscription.id, 'event-notification', [event]));
    }
  }

  function isEventFor(subscription: Subscription, { interaction, resource }: Change): boolean {
    const topic = topics.find(({ url }) => url === subscription.criteria);
    if (
      topic === undefined ||
      topic.resourceType !== resource.resourceType ||
      !topic.interactions.includes(interaction)
    )
      return false;
    return settingsOf(subscription).filters.every((filter) =>
      matchesSearchRequest(resource, parseSearchRequest(filter)),
    );
  }

  function inTurn(state: Live, work: () => Promise<void>): void {
    state.queue = state.queue.then(work).catch((error: unknown) => {
      if (!closing.signal.aborted) logger.error('subscription', { error: String(error) });
    });
  }

  async function handshake(id: string): Promise<void> {
    const subscription = await current(id);
    if (subscription?.status !== 'requested') return;
    await attempt(subscription, 'handshake', [], 'active');
  }

  async function deliver(id: string, type: NotificationType, events: readonly SubscriptionEvent[]): Promise<void> {
    const subscription = await current(id);
    if (subscription?.status !== 'active') return;
    await attempt(subscription, type, events);
  }

  async function attempt(
    subscription: WithId<Subscription>,
    type: NotificationType,
    events: readonly SubscriptionEvent[],
    then?: 'active',
  ): Promise<void> {
    let reason = '';
    for (const wait of [0, ...retryMs]) {
      if (wait > 0) await sleep(wait, undefined, { signal: closing.signal });
      reason = await send(
        subscription,
        notification(subscription, type, liveOf(subscription.id).counted, events, fhirUrl),
      );
      if (reason === '') {
        if (then !== undefined) await become(subscription.id, then);
        for (const event of events) options.onDelivered?.(event);
        return;
      }
      logger.info('notification not delivered', { type, reason });
    }
    await become(subscription.id, 'error', `${type} could not be delivered: ${reason}`);
  }

  /** Empty when the subscriber accepted it, otherwise why not. */
  async function send(subscription: Subscription, bundle: Bundle): Promise<string> {
    const { channel } = subscription;
    const headers = new Headers({ 'content-type': 'application/fhir+json' });
    for (const line of channel.header ?? []) {
      const [, name = '', value = ''] = /^([^:]+):\s*(.*)$/.exec(line) ?? [];
      if (name !== '') headers.set(name, value);
    }
    try {
      const response = await fetch(channel.endpoint!, {
        method: 'POST',
        headers,
        body: JSON.stringify(bundle),
        redirect: 'error',
        signal: AbortSignal.any([closing.signal, AbortSignal.timeout(settingsOf(subscription).timeoutSeconds * 1000)]),
      });
      await response.body?.cancel();
      return response.ok ? '' : `HTTP ${response.status}`;
    } catch (error) {
      closing.signal.throwIfAborted();
      return error instanceof Error && error.name === 'TimeoutError' ? 'no answer in time' : 'no connection';
    }
  }

  async function current(id: string): Promise<WithId<Subscription> | undefined> {
    return repository.readResource<WithId<Subscription>>('Subscription', id).catch(() => undefined);
  }

  async function become(id: string, status: 'active' | 'error', error?: string): Promise<void> {
    const subscription = await current(id);
    // Switched off or deleted in the meantime: the subscriber's word stands.
    if (subscription === undefined || subscription.status === 'off') return;
    const { error: _before, ...rest } = subscription;
    await repository.updateResource<Subscription>({ ...rest, status, ...(error === undefined ? {} : { error }) });
  }

  return {
    async status(ids) {
      const found = await Promise.all(
        ids.map((id) => repository.readResource<WithId<Subscription>>('Subscription', id)),
      );
      return {
        resourceType: 'Bundle',
        type: 'searchset',
        total: found.length,
        entry: found.map((subscription) => ({
          resource: statusOf(subscription, 'query-status', liveOf(subscription.id).counted, [], fhirUrl),
          search: { mode: 'match' },
        })),
      };
    },
    async events(id, from, to) {
      const subscription = await repository.readResource<WithId<Subscription>>('Subscription', id);
      const { log, counted } = liveOf(id);
      const wanted = log.filter(({ number }) => number >= from && number <= to);
      return notification(subscription, 'query-event', counted, wanted, fhirUrl);
    },
    async close() {
      closing.abort();
      for (const { heartbeat } of live.values()) clearInterval(heartbeat);
      await Promise.all([...live.values()].map(({ queue }) => queue));
    },
  };
}

function assertSupported(
  subscription: Subscription,
  topics: readonly Topic[],
  mayCall: (endpoint: URL) => boolean,
): void {
  const { channel, criteria } = subscription;
  const refuse = (text: string, path: string): never => {
    throw unprocessable([fault('not-supported', text, path)]);
  };
  if (!topics.some(({ url }) => url === criteria)) refuse(`there is no topic ${criteria}`, 'Subscription.criteria');
  if (channel.type !== 'rest-hook') refuse('only rest-hook', 'Subscription.channel.type');
  const { endpoint } = channel;
  if (endpoint === undefined || !URL.canParse(endpoint) || !mayCall(new URL(endpoint))) {
    refuse('this address is not allowed', 'Subscription.channel.endpoint');
  }
  for (const filter of settingsOf(subscription).filters) {
    if (!topics.some(({ url, resourceType }) => url === criteria && filter.startsWith(`${resourceType}?`))) {
      refuse(`the topic has no filter ${filter}`, 'Subscription.criteria.extension');
    }
  }
}

export type { SubscriptionEvent } from './notification.ts';
