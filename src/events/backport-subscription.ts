/** The Subscription that Wetread asks for: R4 with the elements of the R5 backport guide (1.1), whose profile some servers recognise it by. */
import type { Subscription } from 'fhir/r4.js';

const guide = 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition';

export type WantedSubscription = {
  readonly endpoint: string;
  readonly secret: string;
  readonly topic: string;
  readonly heartbeatSeconds: number;
  /** Default: ids only. Nothing of a patient then lies in a queue or in a proxy's log between the chart and us. */
  readonly payload?: Payload | undefined;
};

export type Payload = 'empty' | 'id-only' | 'full-resource';

export function backportSubscription(wanted: WantedSubscription): Subscription {
  const { endpoint, secret, topic, heartbeatSeconds, payload = 'id-only' } = wanted;
  return {
    resourceType: 'Subscription',
    meta: { profile: [`${guide}/backport-subscription`] },
    status: 'requested',
    reason: 'Imaging studies are read by Wetread when they arrive',
    criteria: topic,
    channel: {
      type: 'rest-hook',
      endpoint,
      payload: 'application/fhir+json',
      _payload: { extension: [{ url: `${guide}/backport-payload-content`, valueCode: payload }] },
      header: [`Authorization: Bearer ${secret}`],
      extension: [{ url: `${guide}/backport-heartbeat-period`, valueUnsignedInt: heartbeatSeconds }],
    },
  };
}

/** Whether the server's Subscription is still the one we want. Servers that hide headers or drop extensions are asked anew. */
export function sameSubscription(found: Subscription, wanted: Subscription): boolean {
  const told = ({ criteria, channel }: Subscription) =>
    JSON.stringify([
      criteria,
      channel.type,
      channel.endpoint,
      channel.payload,
      channel.header ?? [],
      (channel as { _payload?: unknown })._payload ?? null,
      channel.extension ?? [],
    ]);
  return told(found) === told(wanted);
}
