/** While imaging is being ordered: what already exists of the same part of the body, before another film is taken. */
import { defineHook } from '../src/kit/hook.ts';
import { earlierImagingCards, imagingOrdersIn } from './cards/earlier-imaging.ts';
import { onRecord, ordersOnRecord } from './cards/next-steps.ts';

export default defineHook(
  {
    hook: 'order-select',
    title: 'Wetread: earlier imaging of the same region',
    description:
      'On an imaging order, shows recent films of the same region and what AI or a reader saw on them. Research use only.',
    prefetch: ordersOnRecord,
  },
  async ({ context: { patientId, draftOrders, selections }, prefetch, ...services }) => {
    const drafts = imagingOrdersIn(draftOrders, patientId);
    // Drafts that were selected earlier had their card then.
    const selected = new Set(selections);
    const orders = drafts.filter(({ id }) => selected.has(`ServiceRequest/${id}`));
    return earlierImagingCards(patientId, orders, services, onRecord(prefetch, drafts));
  },
);
