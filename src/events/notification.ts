/** Notifications of topic-based subscriptions (R5 backport, 1.1): a history Bundle whose first entry is the subscription's status. */
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import { isFhirId } from '../domain/ids.ts';

/** A resource of the server that is configured; nothing else of a reference is kept. */
export type Focus = { readonly type: string; readonly id: string };

export type NotifiedEvent = {
  readonly number?: number;
  /** What the event is about; none with `empty` payloads. */
  readonly focus?: Focus;
};

export type Notification = {
  readonly type: 'handshake' | 'heartbeat' | 'event-notification' | 'query-status' | 'query-event' | 'other';
  /** The Subscription's own state: `active`, or `error` and `off` when the server gave up on us. */
  readonly status?: string;
  /** As the server counts them; a number above what was heard means that something was missed. */
  readonly eventsSinceStart?: number;
  readonly topic?: string;
  readonly events: readonly NotifiedEvent[];
  /** What full-resource payloads bring along. Only its names are believed: what it says is read from the server. */
  readonly brought: readonly Focus[];
};

const reference = z.looseObject({ reference: z.string().optional() });
/** R4 has no integer64: the guide writes numbers as strings, some servers as one of R4's integers. */
const count = z.union([
  z.number().int().nonnegative(),
  z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number),
]);

const part = z.looseObject({
  name: z.string(),
  valueString: z.string().optional(),
  valueInteger: z.number().optional(),
  valueUnsignedInt: z.number().optional(),
  valueCode: z.string().optional(),
  valueCanonical: z.string().optional(),
  valueReference: reference.optional(),
});
type Part = z.infer<typeof part>;
const parameters = z.looseObject({
  resourceType: z.literal('Parameters'),
  parameter: z.array(part.extend({ part: z.array(part).optional() })),
});
/** The same in R4B, which some R4 servers send as well. */
const subscriptionStatus = z.looseObject({
  resourceType: z.literal('SubscriptionStatus'),
  type: z.string(),
  status: z.string().optional(),
  eventsSinceSubscriptionStart: count.optional(),
  topic: z.string().optional(),
  notificationEvent: z.array(z.looseObject({ eventNumber: count.optional(), focus: reference.optional() })).optional(),
});
const bundle = z.looseObject({
  resourceType: z.literal('Bundle'),
  entry: z
    .array(
      z.looseObject({ resource: z.looseObject({ resourceType: z.string(), id: z.string().optional() }).optional() }),
    )
    .min(1),
});

export function readNotification(body: unknown): Notification {
  const parsed = bundle.safeParse(body);
  // `$status` may be answered with the status alone.
  if (!parsed.success) {
    if (parameters.safeParse(body).success || subscriptionStatus.safeParse(body).success)
      return { ...statusOf(body), brought: [] };
    throw malformed('not a notification Bundle');
  }
  const [first, ...others] = parsed.data.entry;
  const brought = others.flatMap(({ resource }): Focus[] =>
    resource?.id !== undefined && isFhirId(resource.id) ? [{ type: resource.resourceType, id: resource.id }] : [],
  );
  return { ...statusOf(first!.resource), brought };
}

function statusOf(resource: unknown): Omit<Notification, 'brought'> {
  const r4 = parameters.safeParse(resource);
  if (r4.success) return fromParameters(r4.data.parameter);
  const r4b = subscriptionStatus.safeParse(resource);
  if (!r4b.success) throw malformed('the first entry is not the subscription status');
  const { type, status, eventsSinceSubscriptionStart, topic, notificationEvent = [] } = r4b.data;
  return {
    type: typeOf(type),
    ...(status === undefined ? {} : { status }),
    ...(eventsSinceSubscriptionStart === undefined ? {} : { eventsSinceStart: eventsSinceSubscriptionStart }),
    ...(topic === undefined ? {} : { topic }),
    events: notificationEvent.map(({ eventNumber, focus }) => eventOf(eventNumber, focus?.reference)),
  };
}

function fromParameters(given: readonly (Part & { part?: Part[] | undefined })[]): Omit<Notification, 'brought'> {
  const named = (parts: readonly Part[], name: string) => parts.find((one) => one.name === name);
  const numberIn = (one: Part | undefined) => {
    const value = one?.valueString ?? one?.valueInteger ?? one?.valueUnsignedInt;
    if (value === undefined) return undefined;
    const number = count.safeParse(value);
    if (!number.success) throw malformed(`${one!.name} is not a number`);
    return number.data;
  };
  const type = named(given, 'type')?.valueCode;
  if (type === undefined) throw malformed('the subscription status has no type');
  const eventsSinceStart = numberIn(named(given, 'events-since-subscription-start'));
  const topic = named(given, 'topic')?.valueCanonical;
  const status = named(given, 'status')?.valueCode;
  return {
    type: typeOf(type),
    ...(status === undefined ? {} : { status }),
    ...(eventsSinceStart === undefined ? {} : { eventsSinceStart }),
    ...(topic === undefined ? {} : { topic }),
    events: given
      .filter(({ name }) => name === 'notification-event')
      .map(({ part: parts = [] }) =>
        eventOf(numberIn(named(parts, 'event-number')), named(parts, 'focus')?.valueReference?.reference),
      ),
  };
}

function eventOf(number: number | undefined, reference: string | undefined): NotifiedEvent {
  const focus = reference === undefined ? undefined : focusOf(reference);
  return { ...(number === undefined ? {} : { number }), ...(focus === undefined ? {} : { focus }) };
}

/** Type and id alone: the address in a notification is never called, the resource is read from the server that is configured. */
function focusOf(reference: string): Focus | undefined {
  const [, type, id] = /(?:^|\/)([A-Z][A-Za-z]+)\/([^/?#]+)(?:\/_history\/[^/]+)?$/.exec(reference) ?? [];
  return type !== undefined && id !== undefined && isFhirId(id) ? { type, id } : undefined;
}

const types: ReadonlySet<string> = new Set([
  'handshake',
  'heartbeat',
  'event-notification',
  'query-status',
  'query-event',
] satisfies Notification['type'][]);
const typeOf = (type: string): Notification['type'] => (types.has(type) ? (type as Notification['type']) : 'other');
const malformed = (why: string) => new WetreadError('request.malformed', why);
