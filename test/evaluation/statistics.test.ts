/** The statistics against scikit-learn, scipy and statsmodels (scripts/evaluation-reference.py), and against counting by hand. */
import { describe, expect, test } from 'vitest';
import { cohenKappa, mcNemar } from '../../src/evaluation/agreement.ts';
import {
  brierScore,
  expectedCalibrationError,
  multiclassBrier,
  reliability,
} from '../../src/evaluation/calibration.ts';
import { clusterAgreement } from '../../src/evaluation/clusters.ts';
import { accuracy, confusionMatrix, macroF1, rates, ratesByClass, topK } from '../../src/evaluation/counts.ts';
import { averagePrecision, macro, rocAuc, rocCurve } from '../../src/evaluation/curves.ts';
import { aucWithError, compareAucs, midRanks } from '../../src/evaluation/delong.ts';
import { binomialCumulative, chiSquaredTail, normalQuantile, normalTail } from '../../src/evaluation/distributions.ts';
import { patientBootstrap, quantile, wilson } from '../../src/evaluation/intervals.ts';
import { chooseThreshold } from '../../src/evaluation/operating-point.ts';
import { seededRandom } from '../../src/evaluation/random.ts';
import reference from '../fixtures/evaluation/reference.json' with { type: 'json' };

const { binary, severalClasses, clusters } = reference;
const scored = binary.truth.map((truth, index) => ({ truth, score: binary.first[index]! }));
const probable = binary.truth.map((truth, index) => ({ truth, probability: binary.probability[index]! }));
const classified = severalClasses.truth.map((truth, index) => ({
  truth,
  scores: Object.fromEntries(severalClasses.labels.map((label, at) => [label, severalClasses.scores[index]![at]!])),
}));
const answered = classified.map(({ truth, scores }) => ({
  truth,
  answer: Object.entries(scores).toSorted((a, b) => b[1] - a[1])[0]![0],
}));
const relative = (value: number, expected: number): number => Math.abs(value / expected - 1);

describe('distributions agree with scipy', () => {
  test('the tail of the normal distribution, far out as well', () => {
    for (const [z, expected] of reference.normalTail) expect(relative(normalTail(z!), expected!)).toBeLessThan(1e-11);
  });
  test('its quantiles', () => {
    for (const [p, expected] of reference.normalQuantile)
      expect(Math.abs(normalQuantile(p!) - expected!)).toBeLessThan(1e-9);
  });
  test('the tail of chi squared', () => {
    for (const [x, degrees, expected] of reference.chiSquaredTail)
      expect(relative(chiSquaredTail(x!, degrees!), expected!)).toBeLessThan(1e-11);
  });
  test('the binomial distribution', () => {
    for (const [k, n, p, expected] of reference.binomial)
      expect(relative(binomialCumulative(k!, n!, p!), expected!)).toBeLessThan(1e-9);
  });
  test('quantiles of a sample', () => {
    const sorted = [3, 1, 4, 1, 5, 9, 2, 6].toSorted((a, b) => a - b);
    for (const [share, expected] of reference.quantile) expect(quantile(sorted, share!)).toBeCloseTo(expected!, 12);
  });
});

describe('one score, two classes', () => {
  test('ROC curve and its area agree with scikit-learn, ties included', () => {
    expect(rocAuc(scored)).toBeCloseTo(binary.auc, 12);
    const curve = rocCurve(scored);
    expect(curve).toHaveLength(binary.roc.length);
    curve.forEach(({ falsePositiveRate, sensitivity }, index) => {
      expect([falsePositiveRate, sensitivity]).toEqual(binary.roc[index]!.map((value) => expect.closeTo(value, 12)));
    });
  });
  test('average precision agrees with scikit-learn', () => {
    expect(averagePrecision(scored)).toBeCloseTo(binary.averagePrecision, 12);
  });
  test('the area without negatives is not a number, and no threshold is chosen', () => {
    const positives = scored.filter(({ truth }) => truth);
    expect(rocAuc(positives)).toBeNaN();
    expect(chooseThreshold(positives, { kind: 'youden' })).toBeUndefined();
  });
  test('Brier score and calibration error agree', () => {
    expect(brierScore(probable)).toBeCloseTo(binary.brier, 12);
    expect(expectedCalibrationError(probable)).toBeCloseTo(binary.ece10, 12);
    expect(reliability(probable, 10, 'equal-count').map(({ n }) => n)).toEqual(Array.from({ length: 10 }, () => 30));
  });
  test('DeLong by ranks equals DeLong by comparing every pair', () => {
    const result = compareAucs(binary.truth, binary.first, binary.second);
    expect(result.first.auc).toBeCloseTo(binary.delong.first, 12);
    expect(result.second.auc).toBeCloseTo(binary.delong.second, 12);
    expect(result.first.variance).toBeCloseTo(binary.delong.varianceFirst, 14);
    expect(result.second.variance).toBeCloseTo(binary.delong.varianceSecond, 14);
    expect(result.z).toBeCloseTo(binary.delong.z, 10);
    expect(result.p).toBeCloseTo(binary.delong.p, 12);
  });
  test('DeLong equals brute force on many small samples with ties', () => {
    const random = seededRandom(7);
    for (let round = 0; round < 200; round += 1) {
      const truth = Array.from({ length: 12 }, (_, index) => (index < 2 ? index === 0 : random.next() < 0.5));
      if (truth.filter(Boolean).length < 2 || truth.filter((one) => !one).length < 2) continue;
      const scores = truth.map(() => random.below(5));
      const pairs = scores.flatMap((positive, i) =>
        truth[i]
          ? scores.flatMap((negative, j) =>
              truth[j] ? [] : [positive > negative ? 1 : positive === negative ? 0.5 : 0],
            )
          : [],
      );
      const expected = pairs.reduce((sum, value) => sum + value, 0) / pairs.length;
      expect(aucWithError(truth, scores).auc).toBeCloseTo(expected, 12);
    }
  });
  test('a score compared with itself shows no difference', () => {
    const { z, p, difference } = compareAucs(binary.truth, binary.first, binary.first);
    expect({ z, p, difference }).toEqual({ z: 0, p: 1, difference: 0 });
  });
  test('equal values share their rank', () => {
    expect([...midRanks([5, 1, 5, 3])]).toEqual([3.5, 1, 3.5, 2]);
  });
  test('a threshold for a wanted sensitivity is the strictest that reaches it', () => {
    const threshold = chooseThreshold(scored, { kind: 'sensitivity', atLeast: 0.9 })!;
    const reached = (at: number) =>
      scored.filter(({ truth, score }) => truth && score >= at).length / scored.filter(({ truth }) => truth).length;
    expect(reached(threshold)).toBeGreaterThanOrEqual(0.9);
    const stricter = Math.min(...scored.map(({ score }) => score).filter((score) => score > threshold));
    expect(reached(stricter)).toBeLessThan(0.9);
  });
});

describe('several classes', () => {
  const matrix = confusionMatrix(severalClasses.labels, answered);
  test('the matrix and what is read from it agree with scikit-learn', () => {
    expect(matrix.counts).toEqual(severalClasses.matrix);
    expect(accuracy(matrix).value).toBeCloseTo(severalClasses.accuracy, 12);
    expect(macroF1(matrix)).toBeCloseTo(severalClasses.macroF1, 12);
    ratesByClass(matrix).forEach(({ precision, recall, f1 }, index) => {
      expect(precision.value).toBeCloseTo(severalClasses.precision[index]!, 12);
      expect(recall.value).toBeCloseTo(severalClasses.recall[index]!, 12);
      expect(f1).toBeCloseTo(severalClasses.f1[index]!, 12);
    });
  });
  test('macro AUC, top two, Brier', () => {
    expect(macro(classified, severalClasses.labels, rocAuc).macro).toBeCloseTo(severalClasses.macroAuc, 12);
    expect(macro(classified, severalClasses.labels, averagePrecision).macro).toBeCloseTo(
      severalClasses.macroAveragePrecision,
      12,
    );
    expect(topK(classified, 2).value).toBeCloseTo(severalClasses.top2, 12);
    expect(multiclassBrier(classified)).toBeCloseTo(severalClasses.brier, 12);
  });
  test('kappa, plain and weighted', () => {
    expect(cohenKappa(matrix.counts)).toBeCloseTo(severalClasses.kappa, 12);
    expect(cohenKappa(matrix.counts, 'linear')).toBeCloseTo(severalClasses.kappaLinear, 12);
    expect(cohenKappa(matrix.counts, 'quadratic')).toBeCloseTo(severalClasses.kappaQuadratic, 12);
  });
  test('a label nobody declared is an error, not a silent loss', () => {
    expect(() => confusionMatrix(['a'], [{ truth: 'a', answer: 'z' }])).toThrow('"z" is not among the labels');
  });
});

test('clusters: purity and each variant of NMI agree with scikit-learn', () => {
  const agreement = clusterAgreement(
    clusters.label.map((label, index) => ({ label, cluster: clusters.cluster[index]! })),
  );
  expect(agreement.purity).toBeCloseTo(clusters.purity, 12);
  expect(agreement.mutualInformation).toBeCloseTo(clusters.mutualInformation, 12);
  for (const [how, value] of Object.entries(clusters.nmi))
    expect(agreement.nmi[how as keyof typeof clusters.nmi]).toBeCloseTo(value, 12);
});

test('1,000 even, perfect clusters of 28 labels give an arithmetic NMI of 0.65: the published 0.93 is another variant', () => {
  const pairs = Array.from({ length: 28_000 }, (_, index) => ({
    label: String(index % 28),
    cluster: String((index % 28) + 28 * (Math.floor(index / 28) % 36)),
  }));
  const { purity, nmi } = clusterAgreement(pairs);
  expect(purity).toBe(1);
  expect(nmi.arithmetic).toBeCloseTo(0.65, 2);
});

test("McNemar's test agrees with statsmodels, exact and by chi squared", () => {
  for (const { onlyFirst, onlySecond, exact, chiSquared, p } of reference.mcNemar) {
    const pairs = [
      ...Array.from({ length: onlyFirst }, () => ({ first: true, second: false })),
      ...Array.from({ length: onlySecond }, () => ({ first: false, second: true })),
      ...Array.from({ length: 70 }, (_, index) => ({ first: index < 50, second: index < 50 })),
    ];
    const result = mcNemar(pairs);
    expect(result.p).toBeCloseTo(exact, 10);
    expect(result.chiSquared).toBeCloseTo(chiSquared, 10);
    expect(result.pOfChiSquared).toBeCloseTo(p, 10);
  }
});

describe('intervals', () => {
  test('Wilson agrees with statsmodels', () => {
    for (const [k, n, low, high] of reference.wilson)
      expect(wilson(k!, n!)).toEqual([expect.closeTo(low!, 10), expect.closeTo(high!, 10)]);
  });
  test('the bootstrap prints the same interval for the same seed', () => {
    const figures = (sample: readonly (typeof scored)[number][]) => ({ auc: rocAuc(sample) });
    const run = (seed: number) =>
      patientBootstrap(scored, (one) => String(scored.indexOf(one)), figures, { seed, replicates: 300 }).auc;
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
  });
  test('with one case a patient, it covers what DeLong says of the same AUC', () => {
    const cases = scored.map((one, index) => ({ ...one, patient: String(index) }));
    const { auc } = patientBootstrap(
      cases,
      ({ patient }) => patient,
      (sample) => ({ auc: rocAuc(sample) }),
    );
    const analytic = aucWithError(binary.truth, binary.first).interval;
    expect(auc[0]).toBeCloseTo(analytic[0], 1.5);
    expect(auc[1]).toBeCloseTo(analytic[1], 1.5);
  });
  test('ten copies of each film of a patient do not make the interval narrower', () => {
    const width = (copies: number): number => {
      const cases = scored.flatMap((one, index) =>
        Array.from({ length: copies }, () => ({ ...one, patient: String(index) })),
      );
      const { auc } = patientBootstrap(
        cases,
        ({ patient }) => patient,
        (sample) => ({ auc: rocAuc(sample) }),
        { replicates: 400 },
      );
      return auc[1] - auc[0];
    };
    expect(width(10)).toBeCloseTo(width(1), 6);
  });
});

test('the published two-by-two table of the chest study gives its published rates', () => {
  const table = { truePositive: 914, falseNegative: 104, falsePositive: 119, trueNegative: 876 };
  const positive = rates(table);
  expect(positive.precision.value).toBeCloseTo(0.885, 3);
  expect(positive.sensitivity.value).toBeCloseTo(0.898, 3);
  expect(positive.f1).toBeCloseTo(0.891, 3);
  const negative = rates({ truePositive: 876, falseNegative: 119, falsePositive: 104, trueNegative: 914 });
  expect(negative.precision.value).toBeCloseTo(0.894, 3);
  expect(negative.sensitivity.value).toBeCloseTo(0.88, 3);
  expect(negative.f1).toBeCloseTo(0.887, 3);
});
