/** The same thing on several films of one patient is one card: the newest film speaks, and says what the others showed. */
import {
  isSuspicion,
  samePlace,
  type Finding,
  type FindingId,
  type Reading,
  type StudyRecord,
} from '../../src/kit/hook.ts';
import type { ChartState, OpenFinding } from './chart-state.ts';
import { dateOf, dayOf, extentOf } from './words.ts';

type Seen = { readonly finding: Finding; readonly reading: Reading; readonly day: string };

/**
 * By the newest film's finding, the open suspicions of earlier films that its card speaks for. A later suspicion that
 * was put away or confirmed speaks for them too: whoever answered about today is not asked about last year. One that
 * was rejected does not: what is wrong with one film need not be wrong with another.
 */
export function spokenFor(state: ChartState): ReadonlyMap<FindingId, readonly OpenFinding[]> {
  const all = everySeen(state).filter(({ finding }) => isSuspicion(finding) && finding.verdict.kind !== 'rejected');
  const spoken = new Map<FindingId, OpenFinding[]>();
  for (const open of state.suspicions) {
    const newest = newestOf(laterThan(open, state, all));
    if (newest !== undefined) spoken.set(newest.finding.id, [...(spoken.get(newest.finding.id) ?? []), open]);
  }
  return spoken;
}

/** Of a suspicion that stands although a later film of the same place was read: what that one says. */
export function laterInWords(open: OpenFinding, state: ChartState): string | undefined {
  const judged = everySeen(state).filter(({ finding: { result } }) =>
    ['detected', 'not-detected'].includes(result.kind),
  );
  const later = newestOf(laterThan(open, state, judged));
  if (later === undefined) return undefined;
  const { finding, day } = later;
  const extent = extentOf(finding);
  if (finding.verdict.kind === 'rejected')
    return `On the later film of ${dayOf(day)} a reader rejected the same suggestion: ${finding.verdict.reason}.`;
  return finding.result.kind === 'not-detected'
    ? `Not suspected on the later film of ${dayOf(day)}${extent === undefined ? '' : ` (${extent})`}.`
    : undefined;
}

/** What the card says of an earlier film that it speaks for and is not compared with. */
export function alsoInWords({ finding, reading }: OpenFinding, { studies }: ChartState): string {
  const study = studies.find(({ studyUid }) => studyUid === reading.studyUid);
  const extent = extentOf(finding);
  return `Also suspected on the film of ${dayOf(study === undefined ? reading.readAt : dateOf(study))}${extent === undefined ? '' : ` (${extent})`}; nobody has reviewed that either.`;
}

function everySeen({ readings, studies }: ChartState): Seen[] {
  const taken = new Map(studies.map((study): [string, StudyRecord] => [study.studyUid, study]));
  return readings.flatMap((reading) => {
    const study = taken.get(reading.studyUid);
    return study === undefined ? [] : reading.findings.map((finding) => ({ finding, reading, day: dateOf(study) }));
  });
}

/** Two films of one day, as in flexion and extension, are no course: each keeps its card. */
function laterThan({ finding, reading }: OpenFinding, { studies }: ChartState, among: readonly Seen[]): Seen[] {
  const study = studies.find(({ studyUid }) => studyUid === reading.studyUid);
  if (study === undefined) return [];
  const own = dateOf(study).slice(0, 10);
  return among.filter(({ finding: other, day }) => day.slice(0, 10) > own && samePlace(other, finding));
}

const newestOf = (seen: readonly Seen[]): Seen | undefined =>
  seen.toSorted((one, other) => other.day.localeCompare(one.day))[0];
