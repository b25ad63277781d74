/** The threshold a model is used at: chosen on validation cases, then only ever measured on the others. */
import { rocCurve, prCurve, type Scored } from './curves.ts';

export type OperatingRule =
  | { readonly kind: 'best-f1' }
  /** The largest sum of sensitivity and specificity. */
  | { readonly kind: 'youden' }
  | { readonly kind: 'sensitivity'; readonly atLeast: number }
  | { readonly kind: 'specificity'; readonly atLeast: number };

/** Answers are positive at this score and above. Undefined when the rule cannot be met or a class is missing. */
export function chooseThreshold(validation: readonly Scored[], rule: OperatingRule): number | undefined {
  if (!validation.some(({ truth }) => truth) || validation.every(({ truth }) => truth)) return undefined;
  switch (rule.kind) {
    case 'best-f1':
      return highest(prCurve(validation), ({ precision, recall }) => (2 * precision * recall) / (precision + recall));
    case 'youden':
      return highest(inside(validation), ({ sensitivity, falsePositiveRate }) => sensitivity - falsePositiveRate);
    case 'sensitivity':
      return highest(
        inside(validation).filter(({ sensitivity }) => sensitivity >= rule.atLeast),
        ({ falsePositiveRate }) => -falsePositiveRate,
      );
    case 'specificity':
      return highest(
        inside(validation).filter(({ falsePositiveRate }) => 1 - falsePositiveRate >= rule.atLeast),
        ({ sensitivity }) => sensitivity,
      );
  }
}

/** Without the first point, whose threshold nothing can reach. */
const inside = (cases: readonly Scored[]) => rocCurve(cases).slice(1);

function highest<Point extends { readonly threshold: number }>(
  points: readonly Point[],
  merit: (point: Point) => number,
): number | undefined {
  let best: { threshold: number; merit: number } | undefined;
  for (const point of points) {
    const value = merit(point);
    // Of equal ones the first: the strictest.
    if (Number.isFinite(value) && (best === undefined || value > best.merit))
      best = { threshold: point.threshold, merit: value };
  }
  return best?.threshold;
}
