/** Curves over every threshold: receiver operating characteristic and precision against recall. */

/** A case with the truth and the score that a higher threshold would refuse. */
export type Scored = { readonly truth: boolean; readonly score: number };

export type RocPoint = { readonly threshold: number; readonly falsePositiveRate: number; readonly sensitivity: number };
export type PrPoint = { readonly threshold: number; readonly recall: number; readonly precision: number };

/** After each distinct score from high to low: how many positives and negatives lie at or above it. */
function* steps(cases: readonly Scored[]): Generator<{ threshold: number; positives: number; negatives: number }> {
  const sorted = cases.toSorted((a, b) => b.score - a.score);
  let [positives, negatives] = [0, 0];
  for (const [index, { truth, score }] of sorted.entries()) {
    if (truth) positives += 1;
    else negatives += 1;
    if (sorted[index + 1]?.score !== score) yield { threshold: score, positives, negatives };
  }
}

export function rocCurve(cases: readonly Scored[]): RocPoint[] {
  const { positives: p, negatives: n } = totals(cases);
  const points = [...steps(cases)].map(({ threshold, positives, negatives }) => ({
    threshold,
    falsePositiveRate: negatives / n,
    sensitivity: positives / p,
  }));
  return [{ threshold: Infinity, falsePositiveRate: 0, sensitivity: 0 }, ...points];
}

/** The chance that a positive scores above a negative, ties counting half (Mann and Whitney). NaN without both. */
export function rocAuc(cases: readonly Scored[]): number {
  let area = 0;
  let [lastPositives, lastNegatives] = [0, 0];
  for (const { positives, negatives } of steps(cases)) {
    area += ((negatives - lastNegatives) * (positives + lastPositives)) / 2;
    [lastPositives, lastNegatives] = [positives, negatives];
  }
  return area / (lastPositives * lastNegatives);
}

export function prCurve(cases: readonly Scored[]): PrPoint[] {
  const { positives: p } = totals(cases);
  return [...steps(cases)].map(({ threshold, positives, negatives }) => ({
    threshold,
    recall: positives / p,
    precision: positives / (positives + negatives),
  }));
}

/** The sum of precision over steps in recall, as scikit-learn's average_precision_score: no optimistic straight lines. */
export function averagePrecision(cases: readonly Scored[]): number {
  let [area, last] = [0, 0];
  for (const { recall, precision } of prCurve(cases)) {
    area += (recall - last) * precision;
    last = recall;
  }
  return area;
}

/** One against the rest, then the plain mean over classes for which the figure exists. */
export function macro(
  cases: readonly { readonly truth: string; readonly scores: Readonly<Record<string, number>> }[],
  labels: readonly string[],
  figure: (cases: readonly Scored[]) => number,
): { readonly macro: number; readonly byClass: Readonly<Record<string, number>> } {
  const byClass = Object.fromEntries(labels.map((label) => [label, figure(oneAgainstRest(cases, label))]));
  const known = Object.values(byClass).filter(Number.isFinite);
  return { macro: known.reduce((sum, value) => sum + value, 0) / known.length, byClass };
}

export const oneAgainstRest = (
  cases: readonly { readonly truth: string; readonly scores: Readonly<Record<string, number>> }[],
  label: string,
): Scored[] => cases.map(({ truth, scores }) => ({ truth: truth === label, score: scores[label] ?? 0 }));

function totals(cases: readonly Scored[]): { positives: number; negatives: number } {
  const positives = cases.filter(({ truth }) => truth).length;
  return { positives, negatives: cases.length - positives };
}
