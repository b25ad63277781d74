/** While imaging is being ordered: what already exists of the same part of the body, before another film is taken. */
import { defineHook, ifAvailable } from '../src/kit/hook.ts';
import { earlierImagingCards, imagingOrdersIn } from './cards/earlier-imaging.ts';
import { onRecord, recordQueries } from './cards/next-steps.ts';
import { demandSamePatient, isChildsFilm } from './cards/patient-age.ts';

export default defineHook(
  {
    hook: 'order-select',
    title: 'Wetread: earlier imaging of the same region',
    description:
      'On an imaging order, shows recent films of the same region and what AI or a reader saw on them. Research use only.',
    prefetch: { patient: ifAvailable('Patient/{{context.patientId}}'), ...recordQueries },
  },
  async ({ context: { patientId, draftOrders, selections }, prefetch, ...services }) => {
    demandSamePatient(prefetch.patient, patientId);
    const drafts = imagingOrdersIn(draftOrders, patientId);
    // Drafts that were selected earlier had their card then.
    const selected = new Set(selections);
    const orders = drafts.filter(({ id }) => selected.has(`ServiceRequest/${id}`));
    return earlierImagingCards(patientId, orders, services, {
      onRecord: onRecord(prefetch, drafts),
      isChilds: (study) => isChildsFilm(prefetch.patient, study),
    });
  },
);
