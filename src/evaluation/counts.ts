/** Tables of right and wrong: the two-by-two table and the confusion matrix, with what is read from them. */
import { wilson, type Interval } from './intervals.ts';

export type TwoByTwo = {
  readonly truePositive: number;
  readonly falseNegative: number;
  readonly falsePositive: number;
  readonly trueNegative: number;
};

/** A share with its counts, so that nobody prints a percentage without its n. */
export type Share = { readonly value: number; readonly k: number; readonly n: number; readonly interval: Interval };

export const share = (k: number, n: number): Share => ({ value: n === 0 ? NaN : k / n, k, n, interval: wilson(k, n) });

export function twoByTwo(pairs: Iterable<{ readonly truth: boolean; readonly answer: boolean }>): TwoByTwo {
  let [truePositive, falseNegative, falsePositive, trueNegative] = [0, 0, 0, 0];
  for (const { truth, answer } of pairs) {
    if (truth && answer) truePositive += 1;
    else if (truth) falseNegative += 1;
    else if (answer) falsePositive += 1;
    else trueNegative += 1;
  }
  return { truePositive, falseNegative, falsePositive, trueNegative };
}

export function rates({ truePositive: tp, falseNegative: fn, falsePositive: fp, trueNegative: tn }: TwoByTwo) {
  return {
    sensitivity: share(tp, tp + fn),
    specificity: share(tn, tn + fp),
    precision: share(tp, tp + fp),
    negativePredictiveValue: share(tn, tn + fn),
    accuracy: share(tp + tn, tp + tn + fp + fn),
    f1: f1Of(tp, fp, fn),
  };
}

/** Undefined (NaN) when there is nothing to find and nothing was found. */
export const f1Of = (truePositive: number, falsePositive: number, falseNegative: number): number =>
  (2 * truePositive) / (2 * truePositive + falsePositive + falseNegative);

/** Rows are the truth, columns the answer. */
export type ConfusionMatrix = { readonly labels: readonly string[]; readonly counts: readonly (readonly number[])[] };

export function confusionMatrix(
  labels: readonly string[],
  pairs: Iterable<{ readonly truth: string; readonly answer: string }>,
): ConfusionMatrix {
  const place = new Map(labels.map((label, index) => [label, index]));
  const counts = labels.map(() => labels.map(() => 0));
  for (const { truth, answer } of pairs) {
    const [row, column] = [place.get(truth), place.get(answer)];
    if (row === undefined || column === undefined)
      throw new RangeError(`"${row === undefined ? truth : answer}" is not among the labels`);
    counts[row]![column]! += 1;
  }
  return { labels, counts };
}

export type ClassRates = {
  readonly label: string;
  readonly precision: Share;
  readonly recall: Share;
  readonly f1: number;
};

export function ratesByClass({ labels, counts }: ConfusionMatrix): ClassRates[] {
  return labels.map((label, index) => {
    const right = counts[index]![index]!;
    const truths = sum(counts[index]!);
    const answers = sum(counts.map((row) => row[index]!));
    return {
      label,
      precision: share(right, answers),
      recall: share(right, truths),
      f1: f1Of(right, answers - right, truths - right),
    };
  });
}

export function accuracy({ counts }: ConfusionMatrix): Share {
  return share(sum(counts.map((row, index) => row[index]!)), sum(counts.map(sum)));
}

/** The unweighted mean over classes that occur or were answered; scikit-learn counts a class never found as 0. */
export function macroF1(matrix: ConfusionMatrix): number {
  const found = ratesByClass(matrix).filter(({ precision, recall }) => precision.n + recall.n > 0);
  return sum(found.map(({ f1 }) => f1)) / found.length;
}

/** Share of cases whose truth is among the k labels with the highest scores; ties count against the answer. */
export function topK(
  cases: readonly { readonly truth: string; readonly scores: Readonly<Record<string, number>> }[],
  k: number,
): Share {
  const hits = cases.filter(({ truth, scores }) => {
    const own = scores[truth];
    if (own === undefined) return false;
    const ahead = Object.entries(scores).filter(([label, score]) => label !== truth && score >= own).length;
    return ahead < k;
  });
  return share(hits.length, cases.length);
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
