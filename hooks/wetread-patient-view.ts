/**
 * When a chart opens: what AI suspects on this patient's films and nobody has reviewed, and which films were not read.
 *
 * No card means: no film came, or each was read without suspicion, or a person has decided on what was suspected.
 * A film without suspicion gets no card on purpose: "nothing found" by an unreviewed model reassures more than it may,
 * and a card at every opening teaches people not to look.
 */
import { defineHook, ifAvailable } from '../src/kit/hook.ts';
import { chartStateOf } from './cards/chart-state.ts';
import { nextSteps, onRecord, recordQueries } from './cards/next-steps.ts';
import { childsFilm, demandSamePatient, isChildsFilm } from './cards/patient-age.ts';
import { studyStateCards } from './cards/study-state.ts';
import { suspicionCards } from './cards/suspicion.ts';

export default defineHook(
  {
    hook: 'patient-view',
    title: 'Wetread: unreviewed AI findings',
    description:
      'Shows what imaging AI suspects on the films of this patient and nobody has reviewed, and says which films were not read. Research use only.',
    // For the caveat on children's films, and so that nothing is suggested that was ordered or done already; the findings are ours.
    prefetch: { patient: ifAvailable('Patient/{{context.patientId}}'), ...recordQueries },
  },
  async ({ context, prefetch, ...services }) => {
    const { patient } = prefetch;
    demandSamePatient(patient, context.patientId);
    const state = await chartStateOf(context.patientId, services);
    const about = {
      patient: context.patientId,
      studies: state.studies,
      onRecord: onRecord(prefetch),
      now: services.now(),
    };
    return [
      ...suspicionCards(state, services, {
        caveat: (study) => (isChildsFilm(patient, study) ? childsFilm : undefined),
        // What follows from a child's film is no matter for a model made for adults.
        nextSteps: (findings, study) =>
          study !== undefined && isChildsFilm(patient, study) ? [] : nextSteps(findings, about),
      }),
      ...studyStateCards(state, services),
    ];
  },
);
