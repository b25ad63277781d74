/** When imaging orders are signed: they are remembered, so that the arriving study is linked to them, and earlier imaging is shown a last time. */
import type { ServiceRequest } from 'fhir/r4.d.ts';
import { defineHook, ifAvailable, isFhirId, type ImagingOrder, type PatientId } from '../src/kit/hook.ts';
import { accessionOf, regionOfOrder } from '../src/kit/imaging-order.ts';
import { earlierImagingCards, imagingOrdersIn } from './cards/earlier-imaging.ts';
import { demandSamePatient, isChildsFilm } from './cards/patient-age.ts';

export default defineHook(
  {
    hook: 'order-sign',
    title: 'Wetread: imaging order',
    description:
      'Remembers imaging orders, so that the arriving study can be linked to them, and shows recent films of the same region. Research use only.',
    prefetch: { patient: ifAvailable('Patient/{{context.patientId}}') },
  },
  async ({ context: { patientId, draftOrders }, prefetch, ...services }) => {
    demandSamePatient(prefetch.patient, patientId);
    const orders = imagingOrdersIn(draftOrders, patientId);
    // Kept before the answer: once the client has it, the order will not be mentioned again.
    await Promise.all(orders.map((order) => services.orders.remember(imagingOrder(order, patientId, services.now()))));
    return earlierImagingCards(patientId, orders, services, {
      isChilds: (study) => isChildsFilm(prefetch.patient, study),
    });
  },
);

/** R4 request-priority: "stat" is at once, "asap" as soon as possible, "urgent" before the routine. */
const urgency = { stat: 'stat', asap: 'stat', urgent: 'waiting', routine: 'routine' } as const;

function imagingOrder(order: ServiceRequest, patientId: PatientId, now: Date): ImagingOrder {
  const accession = accessionOf(order);
  return {
    ...(order.id !== undefined && isFhirId(order.id) ? { reference: `ServiceRequest/${order.id}` } : {}),
    patientId,
    region: regionOfOrder(order),
    ...(accession === undefined ? {} : { accession }),
    ...(order.priority === undefined ? {} : { priority: urgency[order.priority] }),
    seenAt: now.toISOString(),
  };
}
