/** Which boxes count: those the model stands by, or those above a score that was chosen beforehand. */
import type { Answer } from './answers.ts';
import { detectionCurve, judge, type DetectionCase } from './detection.ts';
import { answered, perPair, type Pair } from './pair.ts';

export type BoxRule =
  | { readonly kind: 'best-f1' }
  /** The highest recall at no more than so many alarms on each picture with nothing to find. */
  | { readonly kind: 'false-alarms'; readonly atMost: number };

export type BoxOperatingPoint = {
  /** Undefined: the boxes that the model itself calls. */
  readonly threshold?: number;
  readonly says: string;
};

type FoundBoxes = NonNullable<Answer['boxes']>;

/** What was refused was not found: such pictures stay in, with nothing found. */
export const detectionsOf = (pairs: readonly Pair[], which: 'all' | 'called' = 'all'): DetectionCase[] =>
  pairs.flatMap(casesOf[which]);

const isOf = (which: 'all' | 'called') => (box: FoundBoxes[number]) => which === 'all' || box.called !== false;
const caseOf = (which: 'all' | 'called') =>
  perPair(({ row, answer }): DetectionCase[] =>
    row.boxes === undefined ? [] : [{ truth: row.boxes, found: (answer.boxes ?? []).filter(isOf(which)) }],
  );
/** The same case each time it is asked for: what was judged of it is remembered. */
const casesOf = { all: caseOf('all'), called: caseOf('called') };

export function boxOperatingPoint(
  test: readonly Pair[],
  validation: readonly Pair[],
  { given, rule = { kind: 'best-f1' }, iou }: { given?: number; rule?: BoxRule; iou?: number } = {},
): BoxOperatingPoint {
  if (given !== undefined) return { threshold: given, says: `Boxes count from a score of ${given} on, as given.` };
  if (test.some(({ answer }) => answer.boxes?.some(({ called }) => called !== undefined)))
    return { says: "Boxes count where the model calls a finding: the model's own operating point." };
  const chosen = chooseBoxThreshold(answered(validation), rule, iou);
  if (chosen === undefined) return { says: 'Every box counts: there are no validation pictures to choose a score on.' };
  const by = rule.kind === 'best-f1' ? 'best F1' : `at most ${rule.atMost} false alarms per normal picture`;
  return {
    threshold: chosen,
    says: `Boxes count from a score of ${chosen.toFixed(4)} on, chosen on validation pictures (${by}).`,
  };
}

export function chooseBoxThreshold(pairs: readonly Pair[], rule: BoxRule, iou?: number): number | undefined {
  const cases = detectionsOf(pairs);
  if (!cases.some(({ truth }) => truth.length > 0)) return undefined;
  const alarms = cases
    .flatMap((one) => (one.truth.length === 0 ? judge(one) : []))
    .map(({ score }) => score)
    .sort((a, b) => b - a);
  const normals = cases.filter(({ truth }) => truth.length === 0).length;
  const merit = ({ threshold, recall, precision }: { threshold: number; recall: number; precision: number }) => {
    if (rule.kind === 'best-f1') return (2 * precision * recall) / (precision + recall);
    const above = alarms.filter((score) => score >= threshold).length;
    return above <= rule.atMost * normals ? recall : NaN;
  };
  let best: { threshold: number; merit: number } | undefined;
  for (const point of detectionCurve(cases, iou === undefined ? {} : { iou })) {
    const value = merit(point);
    if (Number.isFinite(value) && (best === undefined || value > best.merit))
      best = { threshold: point.threshold, merit: value };
  }
  return best?.threshold;
}

/** The same answers with every box marked as called or not, so that what follows needs no threshold. */
export function withCalls(pairs: readonly Pair[], { threshold }: BoxOperatingPoint): Pair[] {
  return pairs.map((pair) => {
    const { boxes } = pair.answer;
    if (boxes === undefined) return pair;
    const marked = boxes.map((box) => ({
      ...box,
      called: threshold === undefined ? box.called !== false : box.score >= threshold,
    }));
    return { ...pair, answer: { ...pair.answer, boxes: marked } };
  });
}
