/** What an earlier film of the same patient showed at the same place, and whether the difference is more than measuring spreads. */
import type { Concept, Direction, Finding, Grade, Measurement, PackIdentity, Reading } from './finding.ts';
import type { FindingId, StudyUid } from './ids.ts';
import type { KnownQuantity } from './quantities.ts';
import type { StudyRecord } from './study.ts';

/**
 * `new` and `gone`: suspected on one film only. `progressed`, `regressed`, `unchanged`: what the 95 % interval of the
 * difference says. `uncertain`: on both, and there is no interval that could say it.
 */
export type Change = 'new' | 'gone' | 'progressed' | 'regressed' | 'unchanged' | 'uncertain';

export type Posture = 'flexion' | 'extension' | 'standing' | 'lying';

/** What a reader must know before believing the difference. */
export type Caution =
  | { readonly kind: 'other-version'; readonly before: string; readonly now: string }
  | { readonly kind: 'other-model'; readonly before: string; readonly now: string }
  | { readonly kind: 'other-posture'; readonly before: Posture; readonly now: Posture }
  /** Posture moves a vertebra; whether it did is not known when the films do not say how they were taken. */
  | { readonly kind: 'posture-unknown' }
  /** The same end plate, measured in mm on both films: lengths are not comparable, percentages are. */
  | { readonly kind: 'other-magnification'; readonly beforeMm: number; readonly nowMm: number }
  | { readonly kind: 'other-direction'; readonly before: Direction };

export type Difference = {
  readonly quantity: KnownQuantity;
  readonly unit: Measurement['unit'];
  readonly before: number;
  readonly now: number;
  /** 95 % interval of how much further it is now; above 0 is worse. Absent when one of the two numbers has none. */
  readonly interval?: readonly [low: number, high: number];
};

export type Comparison = {
  readonly change: Change;
  readonly prior: {
    readonly finding: FindingId;
    readonly study: StudyUid;
    /** As the study says it, ISO 8601; without zone when it is the archive's. */
    readonly takenAt: string;
    readonly verdict: Exclude<Finding['verdict'], { kind: 'rejected' }>;
    /** Said of an earlier film without a suspicion too. */
    readonly reviewed: boolean;
  };
  readonly difference?: Difference;
  /** Where both films have one of the same scale. */
  readonly stages?: { readonly scale: Grade['scale']; readonly before: string; readonly now: string };
  readonly cautions: readonly Caution[];
};

type Chart = { readonly readings: readonly Reading[]; readonly studies: readonly StudyRecord[] };
type Seen = { readonly finding: Finding; readonly reading: Reading; readonly study: StudyRecord };

/**
 * Against the newest earlier film on which the same was looked for at the same place. A finding that a reader rejected
 * is no prior, nor is a film of the same day: flexion and extension of one visit are no course.
 */
export function comparisonOf(finding: Finding, reading: Reading, chart: Chart): Comparison | undefined {
  const study = chart.studies.find(({ studyUid }) => studyUid === reading.studyUid);
  if (study === undefined || finding.site.kind === 'image') return undefined;
  const now = { finding, reading, study };
  const before = priorOf(now, chart);
  if (before === undefined) return undefined;
  const [isSuspected, wasSuspected] = [suspected(finding), suspected(before.finding)];
  if (!isSuspected && !wasSuspected) return undefined;

  const difference = differenceOf(before.finding, finding);
  const stages = stagesOf(before.finding, finding);
  const turned = otherDirection(before.finding, finding);
  const change = ((): Change => {
    if (!wasSuspected) return 'new';
    if (!isSuspected) return 'gone';
    if (turned !== undefined || difference?.interval === undefined) return 'uncertain';
    const [low, high] = difference.interval;
    return low > 0 ? 'progressed' : high < 0 ? 'regressed' : 'unchanged';
  })();
  const { verdict } = before.finding;
  return {
    change,
    prior: {
      finding: before.finding.id,
      study: before.study.studyUid,
      takenAt: takenAt(before.study),
      verdict: verdict as Comparison['prior']['verdict'],
      reviewed: verdict.kind === 'confirmed' || before.reading.review.kind === 'final',
    },
    ...(difference === undefined ? {} : { difference }),
    ...(stages === undefined ? {} : { stages }),
    cautions: [
      ...(turned === undefined ? [] : [{ kind: 'other-direction', before: turned } as const]),
      ...modelCautions(before.reading.pack, reading.pack),
      ...postureCautions(before.study, study, change),
      ...magnificationCautions(before.finding, finding),
    ],
  };
}

/** The difference lies outside the spread of measuring: what a number alone does not say. */
export const isBeyondSpread = ({ difference }: Comparison): boolean =>
  difference?.interval !== undefined && (difference.interval[0] > 0 || difference.interval[1] < 0);

/** When the picture was taken; a study that is not described yet has only the time we heard of it. */
export const takenAt = ({ startedAt, announcedAt }: Pick<StudyRecord, 'startedAt' | 'announcedAt'>): string =>
  startedAt ?? announcedAt;

const dayOf = (study: StudyRecord): string => takenAt(study).slice(0, 10);

function priorOf({ finding, reading, study }: Seen, { readings, studies }: Chart): Seen | undefined {
  const earlier = readings.flatMap((one): Seen[] => {
    const of = studies.find(({ studyUid }) => studyUid === one.studyUid);
    if (of === undefined || one.patientId !== reading.patientId || dayOf(of) >= dayOf(study)) return [];
    return one.findings
      .filter((candidate) => samePlace(candidate, finding) && assessed(candidate))
      .filter(({ verdict }) => verdict.kind !== 'rejected')
      .map((candidate) => ({ finding: candidate, reading: one, study: of }));
  });
  // Two models may have read one film: the one that reads now is compared with itself.
  const likeness = ({ reading: { pack } }: Seen): number =>
    pack.name !== reading.pack.name ? 0 : pack.sha256 === reading.pack.sha256 ? 2 : 1;
  return earlier.toSorted((a, b) => takenAt(b.study).localeCompare(takenAt(a.study)) || likeness(b) - likeness(a))[0];
}

const suspected = ({ result }: Finding): boolean => result.kind === 'detected';
const assessed = ({ result }: Finding): boolean => result.kind === 'detected' || result.kind === 'not-detected';
/** Of the whole picture nothing can be said to be the same place. */
export const samePlace = (one: Finding, other: Finding): boolean =>
  one.concept === other.concept &&
  one.site.kind === other.site.kind &&
  one.site.kind !== 'image' &&
  other.site.kind !== 'image' &&
  one.site.level === other.site.level;

/** The number by which a course is judged, and which way is worse. */
const courses: Partial<
  Record<Concept, { readonly quantity: KnownQuantity; readonly worse: (now: Finding, before: Finding) => 1 | -1 }>
> = {
  // A slip to the back is negative: further is more negative.
  spondylolisthesis: {
    quantity: 'slip-percent',
    worse: (now, before) => ((directionOf(now) ?? directionOf(before)) === 'posterior' ? -1 : 1),
  },
  'vertebral-fracture': { quantity: 'height-loss', worse: () => 1 },
};

function differenceOf(before: Finding, now: Finding): Difference | undefined {
  const course = courses[now.concept];
  if (course === undefined) return undefined;
  const [then, today] = [numberOf(before, course.quantity), numberOf(now, course.quantity)];
  if (then === undefined || today === undefined || then.unit !== today.unit) return undefined;
  const numbers = { quantity: course.quantity, unit: today.unit, before: then.value, now: today.value };
  if (then.interval === undefined || today.interval === undefined) return numbers;
  const further = course.worse(now, before) * (today.value - then.value);
  // Two films, two independent measurements: their half intervals add like standard deviations.
  const half = Math.hypot(halfOf(then.interval), halfOf(today.interval));
  return { ...numbers, interval: [further - half, further + half] };
}

const numberOf = ({ measurements }: Finding, quantity: KnownQuantity): Measurement | undefined =>
  measurements.find((one) => one.quantity === quantity);
const halfOf = ([low, high]: readonly [number, number]): number => (high - low) / 2;

const gradesOf = ({ result }: Finding): readonly Grade[] =>
  result.kind === 'not-assessable' ? [] : (result.grades ?? []);

/** By the scale that leads on the later film. Classes of two definitions are two scales. */
function stagesOf(before: Finding, now: Finding): Comparison['stages'] {
  for (const today of gradesOf(now)) {
    const then = gradesOf(before).find((one) => one.scale === today.scale);
    if (then === undefined || definitionOf(then) !== definitionOf(today)) continue;
    return { scale: today.scale, before: then.value, now: today.value };
  }
  return undefined;
}

const definitionOf = (grade: Grade): string => (grade.scale === 'OVF class' ? grade.definition : '');

const directionOf = ({ result }: Finding): Direction | undefined =>
  result.kind === 'detected' ? result.direction : undefined;

function otherDirection(before: Finding, now: Finding): Direction | undefined {
  const [then, today] = [directionOf(before), directionOf(now)];
  return then !== undefined && today !== undefined && then !== today ? then : undefined;
}

function modelCautions(before: PackIdentity, now: PackIdentity): Caution[] {
  if (before.name !== now.name) return [{ kind: 'other-model', before: before.title, now: now.title }];
  return before.sha256 === now.sha256 && before.version === now.version
    ? []
    : [{ kind: 'other-version', before: before.version, now: now.version }];
}

/** In the order they are tried: a film in flexion is taken standing. */
const postures: readonly (readonly [Posture, RegExp])[] = [
  ['flexion', /\b(flex\w*|inklination)\b/i],
  ['extension', /\b(ext(en[sz]ion)?|hyperext\w*|reklination)\b/i],
  ['standing', /\b(standing|upright|erect|weight[ -]?bearing|im stehen|stehend)\b/i],
  ['lying', /\b(lying|supine|prone|recumbent|cross[ -]?table|im liegen|liegend)\b/i],
];

/** Of words that name one of them; "flexion and extension" names a whole examination. */
export function postureOf(description: string | undefined): Posture | undefined {
  const [flexion, extension] = postures.slice(0, 2).map(([, words]) => words.test(description ?? ''));
  if (flexion && extension) return undefined;
  return postures.find(([, words]) => words.test(description ?? ''))?.[0];
}

function postureCautions(before: StudyRecord, now: StudyRecord, change: Change): Caution[] {
  const [then, today] = [postureOf(before.description), postureOf(now.description)];
  if (then !== undefined && today !== undefined)
    return then === today ? [] : [{ kind: 'other-posture', before: then, now: today }];
  return change === 'unchanged' ? [] : [{ kind: 'posture-unknown' }];
}

/** The lower end plate in mm, from what both intervals span: their widths are the same length in two units. */
function endPlateMm(finding: Finding): number | undefined {
  const [length, part] = [numberOf(finding, 'slip')?.interval, numberOf(finding, 'slip-percent')?.interval];
  if (length === undefined || part === undefined || !(halfOf(part) > 0)) return undefined;
  return (100 * halfOf(length)) / halfOf(part);
}

/** A grown vertebra keeps its depth; two corners measured twice differ by some percent of it. */
const sameSize = 1.2;

function magnificationCautions(before: Finding, now: Finding): Caution[] {
  const [beforeMm, nowMm] = [endPlateMm(before), endPlateMm(now)];
  if (beforeMm === undefined || nowMm === undefined || beforeMm <= 0 || nowMm <= 0) return [];
  return Math.max(beforeMm / nowMm, nowMm / beforeMm) <= sameSize
    ? []
    : [{ kind: 'other-magnification', beforeMm, nowMm }];
}
