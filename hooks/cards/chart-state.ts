/** What is known of a patient, sorted by what a clinician still has to be told. */
import {
  isSuspicion,
  type Finding,
  type FindingId,
  type HookServices,
  type PatientId,
  type Reading,
  type StudyRecord,
} from '../../src/kit/hook.ts';

export type OpenFinding = { readonly finding: Finding; readonly reading: Reading };

export type ChartState = {
  readonly studies: readonly StudyRecord[];
  /** The reading of each study by each model that stands; the superseded ones are kept, but not shown. */
  readonly readings: readonly Reading[];
  /** Suspicions nobody has decided on. */
  readonly suspicions: readonly OpenFinding[];
  /** What a model could not judge, in readings nobody has decided on. */
  readonly notAssessable: readonly OpenFinding[];
  readonly dismissed: ReadonlySet<FindingId>;
};

export async function chartStateOf(
  patient: PatientId,
  { readings, studies, dismissed }: Pick<HookServices, 'readings' | 'studies' | 'dismissed'>,
): Promise<ChartState> {
  const [latest, earlier, allStudies, overridden] = await Promise.all([
    readings.forPatient(patient),
    readings.supersededForPatient(patient),
    studies.forPatient(patient),
    dismissed(patient),
  ]);
  const decided = placesDecided([...latest, ...earlier], overridden);
  const open = latest
    .filter(({ review }) => review.kind === 'open')
    .flatMap((reading) => reading.findings.map((finding) => ({ finding, reading })))
    .filter(({ finding, reading }) => finding.verdict.kind === 'unreviewed' && !decided.has(placeOf(finding, reading)));
  return {
    studies: allStudies,
    readings: latest,
    suspicions: open.filter(({ finding }) => isSuspicion(finding)),
    notAssessable: open.filter(({ finding }) => finding.result.kind === 'not-assessable'),
    dismissed: overridden,
  };
}

/**
 * Places on a picture that somebody has decided on, in whichever reading. A finding that a second reading repeats keeps
 * its id and verdict; one that a new model version only states a little differently does not, and the clinician who has
 * answered would be asked the same again by a card. In the app it waits for its own verdict. A picture that came later
 * is another place: what is seen on it was answered by nobody.
 */
function placesDecided(readings: readonly Reading[], overridden: ReadonlySet<FindingId>): ReadonlySet<string> {
  const decided = new Set<string>();
  for (const reading of readings) {
    for (const finding of reading.findings) {
      if (finding.verdict.kind !== 'unreviewed' || overridden.has(finding.id)) decided.add(placeOf(finding, reading));
    }
  }
  return decided;
}

const placeOf = ({ concept, site, evidence }: Finding, { studyUid, contentHash }: Reading): string => {
  const picture = evidence === undefined ? contentHash : `${evidence.sopUid} ${evidence.frame}`;
  return `${studyUid} ${picture} ${concept} ${site.kind === 'image' ? '' : site.level}`;
};
