/** The Subscription that Wetread asks for: R4 with the elements of the R5 backport guide (1.1), whose profile some servers recognise it by. */
import type { Subscription } from 'fhir/r4.js';

const guide = 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition';

export type WantedSubscription = {
  readonly endpoint: string;
  readonly secret: string;
  readonly topic: string;
  readonly heartbeatSeconds: number;
};

export function backportSubscription({ endpoint, secret, topic, heartbeatSeconds }: WantedSubscription): Subscription {
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
      // Ids only: nothing of a patient lies in a queue or in a proxy's log between the chart and us.
      _payload: { extension: [{ url: `${guide}/backport-payload-content`, valueCode: 'id-only' }] },
      header: [`Authorization: Bearer ${secret}`],
      extension: [{ url: `${guide}/backport-heartbeat-period`, valueUnsignedInt: heartbeatSeconds }],
    },
  };
}
