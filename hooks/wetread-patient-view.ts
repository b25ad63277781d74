/**
 * When a chart opens: what AI suspects on this patient's films and nobody has reviewed, and which films were not read.
 *
 * No card means: no film came, or each was read without suspicion, or a person has decided on what was suspected.
 * A film without suspicion gets no card on purpose: "nothing found" by an unreviewed model reassures more than it may,
 * and a card at every opening teaches people not to look.
 */
import { defineHook, ifAvailable, WetreadError, type StudyRecord } from '../src/kit/hook.ts';
import { prose } from '../src/kit/markdown.ts';
import { chartStateOf } from './cards/chart-state.ts';
import { nextSteps, onRecord, ordersOnRecord } from './cards/next-steps.ts';
import { studyStateCards } from './cards/study-state.ts';
import { suspicionCards } from './cards/suspicion.ts';
import { dateOf } from './cards/words.ts';

export default defineHook(
  {
    hook: 'patient-view',
    title: 'Wetread: unreviewed AI findings',
    description:
      'Shows what imaging AI suspects on the films of this patient and nobody has reviewed, and says which films were not read. Research use only.',
    // For the caveat on children's films, and so that nothing is suggested that was ordered already; the findings are ours.
    prefetch: { patient: ifAvailable('Patient/{{context.patientId}}'), ...ordersOnRecord },
  },
  async ({ context, prefetch, ...services }) => {
    const { patient } = prefetch;
    // A prefetch of somebody else's chart is an error of the client that must not be answered.
    if (patient?.id !== undefined && patient.id !== context.patientId) {
      throw new WetreadError('request.malformed', 'prefetch.patient: is not the patient of the context');
    }
    const state = await chartStateOf(context.patientId, services);
    const caveat = (study: StudyRecord) =>
      isMinor(patient?.birthDate, dateOf(study))
        ? prose`**The patient was under 18 when the film was taken.** The model may not be meant for children: see its limits.`
        : undefined;
    const about = {
      patient: context.patientId,
      studies: state.studies,
      onRecord: onRecord(prefetch),
      now: services.now(),
    };
    return [
      ...suspicionCards(state, services, {
        caveat,
        // What follows from a child's film is no matter for a model made for adults.
        nextSteps: (findings, study) =>
          study !== undefined && isMinor(patient?.birthDate, dateOf(study)) ? [] : nextSteps(findings, about),
      }),
      ...studyStateCards(state, services),
    ];
  },
);

/** FHIR dates may be a year or a month only; a child counts as one until that is ruled out. */
function isMinor(birthDate: string | undefined, at: string): boolean {
  const [, year, month = '12', day = '31'] = /^(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?/.exec(birthDate ?? '') ?? [];
  return year !== undefined && at.slice(0, 10) < `${Number(year) + 18}-${month}-${day}`;
}
