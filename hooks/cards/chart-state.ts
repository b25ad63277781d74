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
  /** The latest reading of each study by each model; earlier ones are superseded. */
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
  const [allReadings, allStudies, overridden] = await Promise.all([
    readings.forPatient(patient),
    studies.forPatient(patient),
    dismissed(patient),
  ]);
  const decided = placesDecided(allReadings, overridden);
  const latest = latestOf(allReadings);
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

function latestOf(readings: readonly Reading[]): Reading[] {
  const latest = new Map<string, Reading>();
  for (const reading of readings) {
    const key = `${reading.studyUid} ${reading.pack.name}`;
    const known = latest.get(key);
    if (known === undefined || known.readAt < reading.readAt) latest.set(key, reading);
  }
  return [...latest.values()];
}

/**
 * Places on a film that somebody has decided on, in whichever reading: when late images or a new model version lead
 * to a second reading, its findings have new ids, and the same card would come back to a clinician who has answered it.
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

const placeOf = ({ concept, site }: Finding, { studyUid }: Reading): string =>
  `${studyUid} ${concept} ${site.kind === 'image' ? '' : site.level}`;
