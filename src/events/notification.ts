/** Notifications of topic-based subscriptions (R5 backport, 1.1): a history Bundle whose first entry is the subscription's status. */
import type { ImagingStudy } from 'fhir/r4.js';
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import { isFhirId } from '../domain/ids.ts';

export type NotifiedEvent = {
  readonly number?: number;
  /** Logical id of the ImagingStudy that the event is about; none with `empty` payloads. */
  readonly imagingStudy?: string;
};

export type Notification = {
  readonly type: 'handshake' | 'heartbeat' | 'event-notification' | 'other';
  /** As the server counts them; a number above what was heard means that something was missed. */
  readonly eventsSinceStart?: number;
  readonly topic?: string;
  readonly events: readonly NotifiedEvent[];
  /** Full-resource payloads bring the studies along. */
  readonly studies: ReadonlyMap<string, ImagingStudy>;
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
  if (!parsed.success) throw malformed('not a notification Bundle');
  const [first, ...others] = parsed.data.entry;
  const status = statusOf(first!.resource);
  const studies = new Map<string, ImagingStudy>();
  for (const { resource } of others) {
    if (resource?.resourceType === 'ImagingStudy' && resource.id !== undefined)
      studies.set(resource.id, resource as unknown as ImagingStudy);
  }
  return { ...status, studies };
}

function statusOf(resource: unknown): Omit<Notification, 'studies'> {
  const r4 = parameters.safeParse(resource);
  if (r4.success) return fromParameters(r4.data.parameter);
  const r4b = subscriptionStatus.safeParse(resource);
  if (!r4b.success) throw malformed('the first entry is not the subscription status');
  const { type, eventsSinceSubscriptionStart, topic, notificationEvent = [] } = r4b.data;
  return {
    type: typeOf(type),
    ...(eventsSinceSubscriptionStart === undefined ? {} : { eventsSinceStart: eventsSinceSubscriptionStart }),
    ...(topic === undefined ? {} : { topic }),
    events: notificationEvent.map(({ eventNumber, focus }) => eventOf(eventNumber, focus?.reference)),
  };
}

function fromParameters(given: readonly (Part & { part?: Part[] | undefined })[]): Omit<Notification, 'studies'> {
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
  return {
    type: typeOf(type),
    ...(eventsSinceStart === undefined ? {} : { eventsSinceStart }),
    ...(topic === undefined ? {} : { topic }),
    events: given
      .filter(({ name }) => name === 'notification-event')
      .map(({ part: parts = [] }) =>
        eventOf(numberIn(named(parts, 'event-number')), named(parts, 'focus')?.valueReference?.reference),
      ),
  };
}

function eventOf(number: number | undefined, focus: string | undefined): NotifiedEvent {
  const imagingStudy = focus === undefined ? undefined : imagingStudyId(focus);
  return { ...(number === undefined ? {} : { number }), ...(imagingStudy === undefined ? {} : { imagingStudy }) };
}

/** The id alone: the address in a notification is never called, the study is read from the server that is configured. */
function imagingStudyId(focus: string): string | undefined {
  const [, id] = /(?:^|\/)ImagingStudy\/([^/?#]+)(?:\/_history\/[^/]+)?$/.exec(focus) ?? [];
  return id !== undefined && isFhirId(id) ? id : undefined;
}

const typeOf = (type: string): Notification['type'] =>
  type === 'handshake' || type === 'heartbeat' || type === 'event-notification' ? type : 'other';
const malformed = (why: string) => new WetreadError('request.malformed', why);
