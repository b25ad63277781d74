/** Notification bundles of the Subscriptions R4 Backport guide (1.1): a `history` Bundle whose first entry is the status. */
import { randomUUID } from 'node:crypto';
import type { WithId } from '@medplum/core';
import type { Bundle, BundleEntry, Parameters, ParametersParameter, Resource, Subscription } from '@medplum/fhirtypes';

export type Payload = 'empty' | 'id-only' | 'full-resource';
export type NotificationType = 'handshake' | 'heartbeat' | 'event-notification' | 'query-status' | 'query-event';

/** Something that happened to a topic, as one subscription counts it. */
export type SubscriptionEvent = {
  readonly number: number;
  readonly at: string;
  readonly interaction: 'create' | 'update' | 'delete';
  readonly resource: WithId<Resource>;
};

const guide = 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition';

/** The settings of a subscription that R4 has no elements for. */
export function settingsOf(subscription: Subscription): {
  readonly payload: Payload;
  readonly heartbeatSeconds: number;
  readonly timeoutSeconds: number;
  readonly filters: readonly string[];
} {
  const channel = subscription.channel.extension ?? [];
  const primitive = subscription as unknown as Record<string, { extension?: { url: string; valueString?: string }[] }>;
  const content = (
    subscription.channel as unknown as Record<string, { extension?: { url: string; valueCode?: string }[] }>
  )['_payload']?.extension?.find(({ url }) => url === `${guide}/backport-payload-content`)?.valueCode;
  const unsigned = (name: string) => channel.find(({ url }) => url === `${guide}/${name}`)?.valueUnsignedInt;
  return {
    payload: content === 'full-resource' || content === 'id-only' ? content : 'empty',
    heartbeatSeconds: unsigned('backport-heartbeat-period') ?? 0,
    timeoutSeconds: unsigned('backport-timeout') ?? 10,
    filters: (primitive['_criteria']?.extension ?? [])
      .filter(({ url }) => url === `${guide}/backport-filter-criteria`)
      .flatMap(({ valueString }) => valueString ?? []),
  };
}

export function statusOf(
  subscription: WithId<Subscription>,
  type: NotificationType,
  counted: number,
  events: readonly SubscriptionEvent[],
  fhirUrl: string,
): Parameters {
  const { payload } = settingsOf(subscription);
  const parameter: ParametersParameter[] = [
    { name: 'subscription', valueReference: { reference: `${fhirUrl}/Subscription/${subscription.id}` } },
    { name: 'topic', valueCanonical: subscription.criteria },
    { name: 'status', valueCode: subscription.status },
    { name: 'type', valueCode: type },
    // integer64 does not exist in R4, so the guide writes the number as a string.
    { name: 'events-since-subscription-start', valueString: String(counted) },
    ...events.map(({ number, at, resource }): ParametersParameter => ({
      name: 'notification-event',
      part: [
        { name: 'event-number', valueString: String(number) },
        { name: 'timestamp', valueInstant: at },
        ...(payload === 'empty'
          ? []
          : [{ name: 'focus', valueReference: { reference: `${fhirUrl}/${resource.resourceType}/${resource.id}` } }]),
      ],
    })),
    ...(subscription.error === undefined
      ? []
      : [{ name: 'error', valueCodeableConcept: { text: subscription.error } }]),
  ];
  return {
    resourceType: 'Parameters',
    id: randomUUID(),
    meta: { profile: [`${guide}/backport-subscription-status-r4`] },
    parameter,
  };
}

export function notification(
  subscription: WithId<Subscription>,
  type: NotificationType,
  counted: number,
  events: readonly SubscriptionEvent[],
  fhirUrl: string,
): Bundle {
  const { payload } = settingsOf(subscription);
  const status = statusOf(subscription, type, counted, events, fhirUrl);
  return {
    resourceType: 'Bundle',
    id: randomUUID(),
    meta: { profile: [`${guide}/backport-subscription-notification-r4`] },
    type: 'history',
    timestamp: new Date().toISOString(),
    entry: [
      {
        fullUrl: `urn:uuid:${status.id}`,
        resource: status,
        request: { method: 'GET', url: `${fhirUrl}/Subscription/${subscription.id}/$status` },
        response: { status: '200' },
      },
      ...(payload === 'empty' ? [] : events.map((event) => entryOf(event, payload, fhirUrl))),
    ],
  };
}

function entryOf({ interaction, resource, at }: SubscriptionEvent, payload: Payload, fhirUrl: string): BundleEntry {
  const url = `${fhirUrl}/${resource.resourceType}/${resource.id}`;
  return {
    fullUrl: url,
    ...(payload === 'full-resource' && interaction !== 'delete' ? { resource } : {}),
    request:
      interaction === 'create'
        ? { method: 'POST', url: resource.resourceType }
        : { method: interaction === 'update' ? 'PUT' : 'DELETE', url: `${resource.resourceType}/${resource.id}` },
    response: { status: interaction === 'create' ? '201' : '200', lastModified: at },
  };
}
