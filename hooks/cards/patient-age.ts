/** Whether a film is a child's: the models here were made for adults, and what follows from their answers too. */
import type { Patient } from 'fhir/r4.d.ts';
import { WetreadError, type StudyRecord } from '../../src/kit/hook.ts';
import { prose, type Markdown } from '../../src/kit/markdown.ts';
import { dateOf } from './words.ts';

/** A prefetch of somebody else's chart is an error of the client that must not be answered. */
export function demandSamePatient(patient: Patient | null | undefined, patientId: string): void {
  if (patient?.id !== undefined && patient.id !== patientId)
    throw new WetreadError('request.malformed', 'prefetch.patient: is not the patient of the context');
}

/** Of a patient whose date of birth is known; where it is not, nobody is taken for a child. */
export const isChildsFilm = (patient: Patient | null | undefined, study: StudyRecord): boolean =>
  isMinor(patient?.birthDate, dateOf(study));

export const childsFilm: Markdown = prose`**The patient was under 18 when the film was taken.** The model may not be meant for children: see its limits.`;

/** FHIR dates may be a year or a month only; a child counts as one until that is ruled out. */
function isMinor(birthDate: string | undefined, at: string): boolean {
  const [, year, month = '12', day = '31'] = /^(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?/.exec(birthDate ?? '') ?? [];
  return year !== undefined && at.slice(0, 10) < `${Number(year) + 18}-${month}-${day}`;
}
