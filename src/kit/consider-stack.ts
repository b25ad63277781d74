/** Which stack of slices a pack reads: what contradicts its declaration excludes, and of those that fit one is the best. */
import type { SelectionRule } from '../domain/selection.ts';
import { planeOfText } from '../domain/series-words.ts';
import type { Stack } from '../domain/slice.ts';
import type { Consideration } from './consider-series.ts';

export type StackCandidate = {
  readonly stack: Stack;
  /** Of its series. */
  readonly description?: string;
  /** Whether a tag names a region that the pack reads. */
  readonly regionNamed: boolean;
};

export function considerStack(rule: SelectionRule, { stack, description }: StackCandidate): Consideration {
  const { sequence, slices, spacingMm } = stack;
  const fault = (why: string): Consideration => ({ taken: false, why });

  const plane = stack.plane ?? (description === undefined ? undefined : planeOfText(description));
  if (plane !== undefined && rule.planes !== undefined && !rule.planes.includes(plane))
    return fault(`${plane}, the model reads ${rule.planes.join(', ')}`);
  const { weighting, contrast, fatSuppressed } = sequence;
  if (weighting !== undefined && rule.sequences !== undefined && !rule.sequences.includes(weighting))
    return fault(`${weighting} (${sequence.why}), the model reads ${rule.sequences.join(', ')}`);
  if (rule.contrast === 'without' && contrast === true) return fault('a contrast agent was given');
  if (rule.contrast === 'with' && contrast === false) return fault('no contrast agent was given');
  if (rule.fatSuppression === 'without' && fatSuppressed === true) return fault('its fat is suppressed');
  if (rule.fatSuppression === 'with' && fatSuppressed === false) return fault('its fat is not suppressed');

  const least = rule.minimumSlices ?? 1;
  if (slices.length < least) return fault(`${counted(slices.length)}, the model needs ${least}`);
  if (rule.slices?.kind === 'all' && slices.length > rule.slices.most)
    return fault(`${counted(slices.length)}, the model reads at most ${rule.slices.most}`);
  const { fromMm = 0, toMm = Number.POSITIVE_INFINITY } = rule.sliceSpacing ?? {};
  if (spacingMm !== undefined && (spacingMm < fromMm - tolerance || spacingMm > toMm + tolerance))
    return fault(`slices every ${millimetres(spacingMm)}, the model reads ${spacingWanted(rule)}`);
  return { taken: true, why: described(stack, plane) };
}

/** Distances are rounded when they are written. */
const tolerance = 0.01;
const millimetres = (mm: number): string => `${Number(mm.toFixed(2))} mm`;
const counted = (count: number): string => (count === 1 ? 'one slice' : `${count} slices`);

function spacingWanted({ sliceSpacing: { fromMm, toMm } = {} }: SelectionRule): string {
  if (toMm === undefined) return `from ${fromMm} mm`;
  return fromMm === undefined ? `up to ${toMm} mm` : `${fromMm} to ${toMm} mm`;
}

function described(
  { slices, spacingMm, sequence, orderedBy, apartBy, gaps }: Stack,
  plane: string | undefined,
): string {
  const missing = gaps.reduce((sum, gap) => sum + gap.missing, 0);
  return [
    plane ?? 'direction unknown',
    `${sequence.weighting ?? 'weighting unknown'} (${sequence.why})`,
    sequence.contrast === true ? 'contrast agent given' : '',
    sequence.fatSuppressed === true && sequence.weighting !== 'STIR' ? 'fat suppressed' : '',
    `${counted(slices.length)}${spacingMm === undefined ? '' : ` every ${millimetres(spacingMm)}`}`,
    missing === 0 ? '' : `${missing} missing`,
    orderedBy === 'position' ? '' : `ordered by ${orderedBy.replace('-', ' ')}`,
    apartBy === '' ? '' : `the part with ${apartBy}`,
  ]
    .filter((text) => text !== '')
    .join(', ');
}

type Merit = {
  readonly of: (candidate: StackCandidate, rule: SelectionRule) => number;
  /** What the better one has. */
  readonly says: string;
};

/** In this order: what is known to be right, then what disturbs least, then what shows most. */
const merits: readonly Merit[] = [
  { of: ({ stack }) => Number(stack.sequence.weighting !== undefined), says: 'its weighting is known' },
  { of: ({ stack }) => Number(stack.plane !== undefined), says: 'its direction is known' },
  { of: ({ stack }) => Number(stack.orderedBy === 'position'), says: 'the places of its slices are known' },
  {
    of: ({ stack: { sequence } }, { sequences = [] }) =>
      sequence.weighting === undefined ? 0 : -sequences.indexOf(sequence.weighting),
    says: 'its weighting is named first by the model',
  },
  {
    of: ({ stack }, { contrast }) => Number((stack.sequence.contrast === true) === (contrast === 'with')),
    says: 'no contrast agent was given',
  },
  {
    of: ({ stack: { sequence } }, { fatSuppression }) =>
      Number(sequence.weighting === 'STIR' || (sequence.fatSuppressed === true) === (fatSuppression === 'with')),
    says: 'its fat is not suppressed',
  },
  { of: ({ regionNamed }) => Number(regionNamed), says: 'a tag names the region' },
  { of: ({ stack }) => Number(stack.apartBy === ''), says: 'it is a whole series' },
  { of: ({ stack }) => Number(stack.gaps.length === 0), says: 'no slice is missing' },
  { of: ({ stack }) => Number((stack.tiltDegrees ?? 0) === 0), says: 'it is not tilted' },
  { of: ({ stack }) => stack.slices.length, says: 'it has more slices' },
];

/** The first of equals. `against` says of each other one why it was not taken. */
export function bestStack<Candidate extends StackCandidate>(
  rule: SelectionRule,
  fitting: readonly Candidate[],
): { readonly best: Candidate; readonly against: ReadonlyMap<Candidate, string> } | undefined {
  const [first] = fitting;
  if (first === undefined) return undefined;
  const betterBy = (one: Candidate, other: Candidate) => merits.find(({ of }) => of(one, rule) !== of(other, rule));
  const best = fitting.reduce((leader, one) => {
    const merit = betterBy(one, leader);
    return merit !== undefined && merit.of(one, rule) > merit.of(leader, rule) ? one : leader;
  }, first);
  return {
    best,
    against: new Map(
      fitting
        .filter((one) => one !== best)
        .map((one) => [one, wordsFor(rule, betterBy(best, one)?.says) ?? 'it is as good and comes first']),
    ),
  };
}

const wordsFor = (rule: SelectionRule, says: string | undefined): string | undefined =>
  says === 'no contrast agent was given' && rule.contrast === 'with'
    ? 'a contrast agent was given'
    : says === 'its fat is not suppressed' && rule.fatSuppression === 'with'
      ? 'its fat is suppressed'
      : says;
