/** Whether one score separates better than another on the same cases: DeLong, DeLong and Clarke-Pearson 1988. */
import { normalQuantile, twoSidedNormal } from './distributions.ts';
import type { Interval } from './intervals.ts';

export type AucWithError = { readonly auc: number; readonly variance: number; readonly interval: Interval };

export type AucComparison = {
  readonly first: AucWithError;
  readonly second: AucWithError;
  readonly difference: number;
  readonly interval: Interval;
  readonly z: number;
  readonly p: number;
};

/** What each case adds to the AUC, by the ranks of Sun and Xu 2014: n log n instead of every positive with every negative. */
export function placements(truth: readonly boolean[], scores: readonly number[]) {
  const positives = scores.filter((_, index) => truth[index]);
  const negatives = scores.filter((_, index) => !truth[index]);
  const all = midRanks([...positives, ...negatives]);
  const ofPositives = midRanks(positives);
  const ofNegatives = midRanks(negatives);
  const [m, n] = [positives.length, negatives.length];
  return {
    positives: positives.map((_, index) => (all[index]! - ofPositives[index]!) / n),
    negatives: negatives.map((_, index) => 1 - (all[m + index]! - ofNegatives[index]!) / m),
  };
}

export function aucWithError(truth: readonly boolean[], scores: readonly number[], level = 0.95): AucWithError {
  const { positives, negatives } = placements(truth, scores);
  const auc = meanOf(positives);
  const variance =
    covariance(positives, positives) / positives.length + covariance(negatives, negatives) / negatives.length;
  return { auc, variance, interval: logitInterval(auc, variance, level) };
}

export function compareAucs(
  truth: readonly boolean[],
  first: readonly number[],
  second: readonly number[],
  level = 0.95,
): AucComparison {
  const [a, b] = [placements(truth, first), placements(truth, second)];
  const [one, two] = [aucWithError(truth, first, level), aucWithError(truth, second, level)];
  const shared =
    covariance(a.positives, b.positives) / a.positives.length +
    covariance(a.negatives, b.negatives) / a.negatives.length;
  const difference = one.auc - two.auc;
  const error = Math.sqrt(Math.max(0, one.variance + two.variance - 2 * shared));
  // Two scores that rank alike have no error and no difference: nothing speaks against them being equal.
  const z = difference === 0 ? 0 : difference / error;
  const reach = normalQuantile(0.5 + level / 2) * error;
  return {
    first: one,
    second: two,
    difference,
    interval: [difference - reach, difference + reach],
    z,
    p: twoSidedNormal(z),
  };
}

/** On the logit scale the interval stays inside 0 to 1; an AUC of exactly 0 or 1 has no error to speak of. */
function logitInterval(auc: number, variance: number, level: number): Interval {
  if (auc <= 0 || auc >= 1) return [auc, auc];
  const reach = (normalQuantile(0.5 + level / 2) * Math.sqrt(variance)) / (auc * (1 - auc));
  const logit = Math.log(auc / (1 - auc));
  const back = (value: number): number => 1 / (1 + Math.exp(-value));
  return [back(logit - reach), back(logit + reach)];
}

/** Ranks from 1; equal values share the mean of theirs. */
export function midRanks(values: readonly number[]): Float64Array {
  const order = values.map((_, index) => index).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Float64Array(values.length);
  for (let from = 0; from < order.length;) {
    let to = from + 1;
    while (to < order.length && values[order[to]!] === values[order[from]!]) to += 1;
    for (let place = from; place < to; place += 1) ranks[order[place]!] = (from + to + 1) / 2;
    from = to;
  }
  return ranks;
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function covariance(first: readonly number[], second: readonly number[]): number {
  const [a, b] = [meanOf(first), meanOf(second)];
  const sum = first.reduce((total, value, index) => total + (value - a) * (second[index]! - b), 0);
  return sum / (first.length - 1);
}
