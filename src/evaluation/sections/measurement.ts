/** Numbers and grades: how far off, in which direction, and whether the stated interval holds the truth. */
import { cohenKappa } from '../agreement.ts';
import { accuracy, confusionMatrix, share } from '../counts.ts';
import { mean, type BootstrapOptions } from '../intervals.ts';
import { answered, perPair, withIntervals, type Pair } from '../pair.ts';
import { figureOf, type Cell, type DataKind, type Figure, type Section } from '../report.ts';

type Measured = {
  readonly site: string;
  readonly truth: number;
  readonly value: number;
  readonly interval?: readonly [number, number];
  /** Whether a true box has the name of this place: there is something to find. */
  readonly ill: boolean;
};

/** `slip-percent@L4/L5`: what was measured, and where. */
const split = (key: string): { quantity: string; site: string } => {
  const at = key.indexOf('@');
  return at < 0 ? { quantity: key, site: '' } : { quantity: key.slice(0, at), site: key.slice(at + 1) };
};

const measured = (pairs: readonly Pair[], quantity: string): Measured[] =>
  answered(pairs).flatMap((pair) => measuredOn(pair).get(quantity) ?? []);

const measuredOn = perPair(({ row, answer }) =>
  Map.groupBy(
    Object.entries(row.values).flatMap(([key, truth]): (Measured & { readonly quantity: string })[] => {
      const found = answer.values?.[key];
      const { quantity, site } = split(key);
      const ill = row.boxes?.some(({ label }) => label === site) ?? false;
      return found === undefined ? [] : [{ quantity, site, truth, ...found, ill }];
    }),
    ({ quantity }) => quantity,
  ),
);

export function measurementSections(kind: DataKind, test: readonly Pair[], options: BootstrapOptions = {}): Section[] {
  const quantities = [
    ...new Set(test.flatMap(({ row }) => Object.keys(row.values).map((key) => split(key).quantity))),
  ].sort();
  return quantities.flatMap((quantity) => {
    const values = measured(test, quantity);
    if (values.length === 0) return [];
    const withTruth = test.filter(({ row }) => Object.keys(row.values).some((key) => split(key).quantity === quantity));
    const promised = withTruth
      .flatMap(({ row }) => Object.keys(row.values))
      .filter((key) => split(key).quantity === quantity).length;
    const covered = values.filter(({ interval }) => interval !== undefined);
    const sites = [...new Set(values.map(({ site }) => site))].sort();
    const scatter = scatterOf(withTruth, quantity);
    return [
      {
        title: `${quantity}, measured`,
        kind,
        images: withTruth.length,
        patients: new Set(withTruth.map(({ row }) => row.patient)).size,
        says: `Differences are model minus truth, in the unit of the truth; ${values.length} of ${promised} values were answered.`,
        figures: [
          ...withIntervals(test, (sample) => errorsOf(measured(sample, quantity)), options, ''),
          ...whereIll(test, quantity, options),
          figureOf('answered', share(values.length, promised)),
          ...(covered.length === 0
            ? []
            : [
                figureOf(
                  'truth inside the stated 95 % interval',
                  share(
                    covered.filter(({ truth, interval }) => truth >= interval![0] && truth <= interval![1]).length,
                    covered.length,
                  ),
                ),
              ]),
        ],
        tables:
          sites.length < 2
            ? []
            : [
                {
                  title: 'By place',
                  columns: [
                    'place',
                    'values',
                    'mean absolute error',
                    'bias',
                    'standard deviation',
                    ...(scatter.size > 0 ? ["the truth's own standard deviation"] : []),
                  ],
                  rows: sites.map((site): Cell[] => {
                    const own = values.filter((one) => one.site === site);
                    const errors = errorsOf(own);
                    return [
                      site,
                      own.length,
                      { name: 'mae', value: errors['mean absolute error'], unit: '' },
                      { name: 'bias', value: errors['bias'], unit: '' },
                      { name: 'sd', value: errors['standard deviation of the difference'], unit: '' },
                      ...(scatter.size > 0 ? [{ name: 'scatter', value: scatter.get(site) ?? NaN, unit: '' }] : []),
                    ];
                  }),
                },
              ],
        plots: [
          {
            kind: 'dots',
            title: `${quantity}: truth and model`,
            x: 'truth',
            y: 'model',
            equality: true,
            points: values.map(({ truth, value }) => [truth, value]),
          },
        ],
      },
    ];
  });
}

/** What the truth says of its own reliability; an error below it is no error that could be told. */
function scatterOf(pairs: readonly Pair[], quantity: string): Map<string, number> {
  const given = pairs.flatMap(({ row }) =>
    Object.entries(row.scatter).flatMap(([key, value]) => {
      const name = split(key);
      return name.quantity === quantity ? [{ site: name.site, value }] : [];
    }),
  );
  return new Map(
    [...Map.groupBy(given, ({ site }) => site)].map(([site, all]) => [site, mean(all.map(({ value }) => value))]),
  );
}

/** Most places are healthy, and a mean over all of them hides how well the ill ones are measured. */
function whereIll(test: readonly Pair[], quantity: string, options: BootstrapOptions): Figure[] {
  const ill = (pairs: readonly Pair[]) => measured(pairs, quantity).filter((one) => one.ill);
  const n = ill(test).length;
  if (n === 0) return [];
  return withIntervals(
    test,
    (sample) => {
      const errors = errorsOf(ill(sample));
      return {
        'mean absolute error where there is a finding': errors['mean absolute error'],
        'bias where there is a finding': errors.bias,
      };
    },
    options,
    '',
  ).map((figure) => ({ ...figure, n }));
}

function errorsOf(values: readonly Measured[]) {
  const differences = values.map(({ truth, value }) => value - truth);
  const bias = mean(differences);
  const spread = Math.sqrt(differences.reduce((sum, one) => sum + (one - bias) ** 2, 0) / (differences.length - 1));
  return {
    'mean absolute error': mean(differences.map(Math.abs)),
    bias,
    'standard deviation of the difference': spread,
    'limits of agreement, low': bias - 1.96 * spread,
    'limits of agreement, high': bias + 1.96 * spread,
  };
}

export function gradeSections(kind: DataKind, test: readonly Pair[], options: BootstrapOptions = {}): Section[] {
  const quantities = [
    ...new Set(test.flatMap(({ row }) => Object.keys(row.grades).map((key) => split(key).quantity))),
  ].sort();
  return quantities.flatMap((quantity) => {
    const graded = (pairs: readonly Pair[]) =>
      answered(pairs).flatMap(({ row, answer }) =>
        Object.entries(row.grades).flatMap(([key, truth]) => {
          const grade = answer.grades?.[key];
          return split(key).quantity !== quantity || grade === undefined ? [] : [{ truth, answer: grade }];
        }),
      );
    const cases = graded(test);
    if (cases.length === 0) return [];
    const labels = [...new Set(cases.flatMap(({ truth, answer }) => [truth, answer]))].sort(inOrder);
    const withTruth = test.filter(({ row }) => Object.keys(row.grades).some((key) => split(key).quantity === quantity));
    const matrix = confusionMatrix(labels, cases);
    return [
      {
        title: `${quantity}, graded`,
        kind,
        images: withTruth.length,
        patients: new Set(withTruth.map(({ row }) => row.patient)).size,
        says: 'Kappa with quadratic weights counts a grade that is two off four times as wrong as one that is one off.',
        figures: [
          figureOf('accuracy', accuracy(matrix)),
          ...withIntervals(
            test,
            (sample) => {
              const { counts } = confusionMatrix(labels, graded(sample));
              const found = confusionMatrix(labels, graded(sample).filter(isFound)).counts;
              return {
                'kappa, quadratic weights': cohenKappa(counts, 'quadratic'),
                'kappa, no weights': cohenKappa(counts),
                ...(labels.includes(none) && { 'kappa where both found something, no weights': cohenKappa(found) }),
              };
            },
            options,
          ),
        ],
        tables: [],
        plots: [{ kind: 'matrix' as const, title: 'Truth (rows) and answer (columns)', labels, counts: matrix.counts }],
      },
    ];
  });
}

/** The grade of a place without a finding. */
const none = '0';
const isFound = ({ truth, answer }: { readonly truth: string; readonly answer: string }): boolean =>
  truth !== none && answer !== none;

const roman = ['0', 'I', 'II', 'III', 'IV', 'V', 'VI'];

/** Words such as "none" first, then by what the numeral means; the alphabet would put V before I. */
function inOrder(a: string, b: string): number {
  const rank = (grade: string): number => {
    const numeral = roman.indexOf(grade);
    return numeral >= 0 ? numeral : Number.isNaN(Number(grade)) ? -1 : Number(grade);
  };
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

export const measurementPrimary = (quantity: string) => ({
  name: `mean absolute error of ${quantity}`,
  of: (pairs: readonly Pair[]) => errorsOf(measured(pairs, quantity))['mean absolute error'],
});
