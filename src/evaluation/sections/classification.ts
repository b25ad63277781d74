/** One label a picture: two classes or many. */
import { brierScore, expectedCalibrationError, multiclassBrier, reliability } from '../calibration.ts';
import { accuracy, confusionMatrix, macroF1, rates, ratesByClass, topK, twoByTwo } from '../counts.ts';
import { averagePrecision, macro, oneAgainstRest, prCurve, rocAuc, rocCurve } from '../curves.ts';
import { aucWithError } from '../delong.ts';
import { cohenKappa } from '../agreement.ts';
import type { BootstrapOptions } from '../intervals.ts';
import { chooseThreshold, type OperatingRule } from '../operating-point.ts';
import { answered, withIntervals, type Pair } from '../pair.ts';
import { figureOf, type DataKind, type Figure, type Plot, type Section, type Table } from '../report.ts';

export type Classified = {
  readonly truth: string;
  readonly scores: Readonly<Record<string, number>>;
  readonly patient: string;
};

export type ClassificationOptions = BootstrapOptions & {
  readonly rule?: OperatingRule;
  /** The label that two-class figures speak of. */
  readonly positive?: string;
  /** For two classes, when there are no validation pictures to choose it on: the pack's own. */
  readonly threshold?: number;
};

export function classified(pairs: readonly Pair[]): Classified[] {
  return answered(pairs).flatMap(({ row, answer }) =>
    row.label === undefined || answer.scores === undefined
      ? []
      : [{ truth: row.label, scores: answer.scores, patient: row.patient }],
  );
}

export function labelsOf(cases: readonly Classified[]): string[] {
  return [...new Set(cases.flatMap(({ truth, scores }) => [truth, ...Object.keys(scores)]))].sort();
}

/** The one that says something is there: not "no-finding", "normal", "negative", "absent" or 0. */
export const positiveOf = (labels: readonly string[]): string =>
  labels.find((label) => !/^(no\b|no[-_ ]|non|none|normal|negative|absent|0|false)/i.test(label)) ?? labels.at(-1)!;

export const best = (scores: Readonly<Record<string, number>>): string =>
  Object.entries(scores).reduce((top, one) => (one[1] > top[1] ? one : top))[0];

export function classificationSection(
  kind: DataKind,
  test: readonly Pair[],
  validation: readonly Pair[],
  options: ClassificationOptions = {},
): Section | undefined {
  const cases = classified(test);
  if (cases.length === 0) return undefined;
  const labels = labelsOf(cases);
  const shared = { kind, images: cases.length, patients: new Set(cases.map(({ patient }) => patient)).size };
  const worthALook = surelyWrong(test);
  return labels.length === 2
    ? { ...shared, worthALook, ...twoClasses(test, cases, classified(validation), labels, options) }
    : { ...shared, worthALook, ...manyClasses(test, cases, labels, options) };
}

/** Where the model was surest of a wrong label. */
function surelyWrong(test: readonly Pair[]) {
  return test
    .flatMap((pair) => classified([pair]).map((one) => ({ ...one, file: pair.row.file, answer: best(one.scores) })))
    .filter(({ truth, answer }) => truth !== answer)
    .sort((a, b) => b.scores[b.answer]! - a.scores[a.answer]!)
    .map(({ file, truth, answer, scores }) => ({
      file,
      why: `${truth}, answered ${answer} (${scores[answer]!.toFixed(2)})`,
    }));
}

type Body = Omit<Section, 'kind' | 'images' | 'patients'>;

function twoClasses(
  test: readonly Pair[],
  cases: readonly Classified[],
  validation: readonly Classified[],
  labels: readonly string[],
  options: ClassificationOptions,
): Body {
  const positive = options.positive ?? positiveOf(labels);
  const negative = labels.find((label) => label !== positive)!;
  const rule = options.rule ?? { kind: 'youden' };
  const scoredOf = (some: readonly Classified[]) => oneAgainstRest(some, positive);
  const chosen = chooseThreshold(scoredOf(validation), rule);
  const threshold = chosen ?? options.threshold ?? 0.5;
  const whence =
    chosen !== undefined
      ? `chosen on ${validation.length} validation pictures (${rule.kind})`
      : options.threshold !== undefined
        ? "the model's own"
        : 'one half, as there are no validation pictures';
  const judged = cases.map(({ truth, scores }) => ({
    truth: truth === positive,
    answer: (scores[positive] ?? 0) >= threshold,
  }));
  const table = twoByTwo(judged);
  const { sensitivity, specificity, precision, accuracy: right } = rates(table);
  const scored = scoredOf(cases);
  const probable = cases.map(({ truth, scores }) => ({
    truth: truth === positive,
    probability: scores[positive] ?? 0,
  }));
  const areProbabilities = probable.every(({ probability }) => probability >= 0 && probability <= 1);
  const delong = aucWithError(
    scored.map(({ truth }) => truth),
    scored.map(({ score }) => score),
  );
  const bootstrapped = withIntervals(
    test,
    (sample) => {
      const some = classified(sample);
      const pairs = scoredOf(some);
      const { f1 } = rates(twoByTwo(pairs.map(({ truth, score }) => ({ truth, answer: score >= threshold }))));
      return {
        'ROC AUC, by patient': rocAuc(pairs),
        'average precision': averagePrecision(pairs),
        [`F1 of ${positive}`]: f1,
        ...(areProbabilities && {
          'Brier score': brierScore(pairs.map(({ truth, score }) => ({ truth, probability: score }))),
          'calibration error (10 bins)': expectedCalibrationError(
            pairs.map(({ truth, score }) => ({ truth, probability: score })),
          ),
        }),
      };
    },
    options,
  );
  const roc = rocCurve(scored);
  return {
    title: `${positive} or ${negative}`,
    says: `A picture counts as ${positive} from a score of ${threshold.toPrecision(4)} on: ${whence}.`,
    figures: [
      { name: 'ROC AUC', value: delong.auc, interval: delong.interval, by: 'DeLong', n: cases.length },
      ...bootstrapped,
      figureOf('sensitivity', sensitivity),
      figureOf('specificity', specificity),
      figureOf('precision', precision),
      figureOf('accuracy', right),
    ],
    tables: [
      twoByTwoTable(positive, negative, table),
      classTable(confusionOf(labels, judged, positive, negative)),
      ...perPatient(cases, labels, (scores) => ((scores[positive] ?? 0) >= threshold ? positive : negative)),
    ],
    plots: [
      {
        kind: 'curve',
        title: 'Receiver operating characteristic',
        x: '1 − specificity',
        y: 'sensitivity',
        diagonal: 'rising',
        series: [{ name: positive, points: roc.map((one) => [one.falsePositiveRate, one.sensitivity]) }],
        marked: { at: [1 - specificity.value, sensitivity.value], label: 'operating point' },
      },
      precisionRecall([{ name: positive, cases: scored }]),
      ...(areProbabilities ? [reliabilityPlot(probable)] : []),
    ],
  };
}

function manyClasses(
  test: readonly Pair[],
  cases: readonly Classified[],
  labels: readonly string[],
  options: ClassificationOptions,
): Body {
  const matrix = confusionMatrix(
    labels,
    cases.map(({ truth, scores }) => ({ truth, answer: best(scores) })),
  );
  const topAnswer = cases.map(({ truth, scores }) => ({
    truth: truth === best(scores),
    probability: Math.max(...Object.values(scores)),
  }));
  const areProbabilities = topAnswer.every(({ probability }) => probability >= 0 && probability <= 1);
  const bootstrapped = withIntervals(
    test,
    (sample) => {
      const some = classified(sample);
      const roc = macro(some, labels, rocAuc);
      const pr = macro(some, labels, averagePrecision);
      const inSample = confusionMatrix(
        labels,
        some.map(({ truth, scores }) => ({ truth, answer: best(scores) })),
      );
      return {
        'macro F1': macroF1(inSample),
        'Cohen kappa': cohenKappa(inSample.counts),
        'macro ROC AUC, one against the rest': roc.macro,
        'macro average precision, one against the rest': pr.macro,
        ...Object.fromEntries(Object.entries(roc.byClass).map(([label, auc]) => [`ROC AUC of ${label}`, auc])),
        ...Object.fromEntries(
          Object.entries(pr.byClass).map(([label, area]) => [`average precision of ${label}`, area]),
        ),
        ...(areProbabilities && {
          'Brier score (0 to 2)': multiclassBrier(some),
          'calibration error of the answer': expectedCalibrationError(
            some.map(({ truth, scores }) => ({
              truth: truth === best(scores),
              probability: Math.max(...Object.values(scores)),
            })),
          ),
        }),
      };
    },
    // Many classes make each replicate dear; 28 of them over 2,000 replicates would take minutes.
    { ...options, replicates: options.replicates ?? (labels.length > 10 ? 500 : 2000) },
  );
  return {
    title: `One of ${labels.length} labels`,
    says: 'The label with the highest score is the answer.',
    figures: [
      figureOf('top 1', accuracy(matrix)),
      ...(labels.length > 2 ? [figureOf('top 2', topK(cases, 2))] : []),
      ...bootstrapped,
    ],
    tables: [classTable(matrix), ...perPatient(cases, labels, best)],
    plots: [
      { kind: 'matrix', title: 'Truth (rows) and answer (columns)', labels, counts: matrix.counts },
      ...(labels.length <= 10
        ? [
            {
              kind: 'curve' as const,
              title: 'Receiver operating characteristic, one against the rest',
              x: '1 − specificity',
              y: 'sensitivity',
              diagonal: 'rising' as const,
              series: labels.map((label) => ({
                name: label,
                points: rocCurve(oneAgainstRest(cases, label)).map(
                  (one) => [one.falsePositiveRate, one.sensitivity] as const,
                ),
              })),
            },
            precisionRecall(labels.map((label) => ({ name: label, cases: oneAgainstRest(cases, label) }))),
          ]
        : []),
      ...(areProbabilities ? [reliabilityPlot(topAnswer)] : []),
    ],
  };
}

const confusionOf = (
  labels: readonly string[],
  judged: readonly { truth: boolean; answer: boolean }[],
  positive: string,
  negative: string,
) =>
  confusionMatrix(
    labels,
    judged.map(({ truth, answer }) => ({ truth: truth ? positive : negative, answer: answer ? positive : negative })),
  );

function twoByTwoTable(positive: string, negative: string, table: ReturnType<typeof twoByTwo>): Table {
  return {
    title: 'Two by two',
    columns: ['truth', `answer ${positive}`, `answer ${negative}`],
    rows: [
      [positive, table.truePositive, table.falseNegative],
      [negative, table.falsePositive, table.trueNegative],
    ],
  };
}

function classTable(matrix: Parameters<typeof ratesByClass>[0]): Table {
  return {
    title: 'By class',
    columns: ['class', 'precision', 'recall', 'F1'],
    rows: ratesByClass(matrix).map(({ label, precision, recall, f1 }) => [
      label,
      figureOf('precision', precision),
      figureOf('recall', recall),
      { name: 'F1', value: f1 } satisfies Figure,
    ]),
  };
}

/** The mean score over a patient's pictures, where patients have several and one truth: what a reader decides is a patient. */
function perPatient(
  cases: readonly Classified[],
  labels: readonly string[],
  decide: (scores: Readonly<Record<string, number>>) => string,
): Table[] {
  const patients = [...Map.groupBy(cases, ({ patient }) => patient).values()];
  if (patients.length === cases.length) return [];
  const agreed = patients.filter((films) => new Set(films.map(({ truth }) => truth)).size === 1);
  const pooled = agreed.map((films) => ({
    truth: films[0]!.truth,
    scores: Object.fromEntries(
      labels.map((label) => [label, films.reduce((sum, { scores }) => sum + (scores[label] ?? 0), 0) / films.length]),
    ),
  }));
  const matrix = confusionMatrix(
    labels,
    pooled.map(({ truth, scores }) => ({ truth, answer: decide(scores) })),
  );
  return [
    {
      title: 'By patient (mean of the pictures’ scores)',
      columns: ['patients', 'accuracy', 'macro F1', 'ROC AUC'],
      rows: [
        [
          agreed.length,
          figureOf('accuracy', accuracy(matrix)),
          { name: 'macro F1', value: macroF1(matrix) },
          { name: 'ROC AUC', value: macro(pooled, labels, rocAuc).macro },
        ],
      ],
    },
  ];
}

const precisionRecall = (series: readonly { name: string; cases: Parameters<typeof prCurve>[0] }[]): Plot => ({
  kind: 'curve',
  title: 'Precision and recall',
  x: 'recall',
  y: 'precision',
  series: series.map(({ name, cases }) => ({
    name,
    points: prCurve(cases).map(({ recall, precision }) => [recall, precision]),
  })),
});

const reliabilityPlot = (cases: Parameters<typeof reliability>[0]): Plot => ({
  kind: 'curve',
  title: 'Reliability: said and seen',
  x: 'mean probability said',
  y: 'share that was so',
  diagonal: 'rising',
  series: [
    {
      name: 'ten bins',
      points: reliability(cases).map(({ meanProbability, observed }) => [meanProbability, observed]),
    },
  ],
});

/** The figure that subgroups and comparisons use. */
export function classificationPrimary(labels: readonly string[], positive?: string) {
  return labels.length === 2
    ? {
        name: 'ROC AUC',
        of: (pairs: readonly Pair[]) => rocAuc(oneAgainstRest(classified(pairs), positive ?? positiveOf(labels))),
      }
    : {
        name: 'top 1',
        of: (pairs: readonly Pair[]) => {
          const cases = classified(pairs);
          return cases.filter(({ truth, scores }) => truth === best(scores)).length / cases.length;
        },
      };
}
