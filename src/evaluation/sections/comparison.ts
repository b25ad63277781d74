/** Two models on the same pictures: by DeLong where there are scores, by McNemar where there is right and wrong, by the bootstrap always. */
import { mcNemar } from '../agreement.ts';
import { oneAgainstRest } from '../curves.ts';
import { compareAucs } from '../delong.ts';
import { judge } from '../detection.ts';
import { patientBootstrap, type BootstrapOptions } from '../intervals.ts';
import { answered, patientsOf, type Pair } from '../pair.ts';
import type { Cell, DataKind, Section, Table } from '../report.ts';
import { best, classified, labelsOf, positiveOf } from './classification.ts';
import type { Primary } from './subgroups.ts';

export type Compared = { readonly first: Pair; readonly second: Pair };

export function comparisonSection(
  kind: DataKind,
  names: readonly [first: string, second: string],
  compared: readonly Compared[],
  primaries: readonly Primary[],
  options: BootstrapOptions = {},
): Section {
  const figures = (sample: readonly Compared[]): Record<string, number> =>
    Object.fromEntries(
      primaries.flatMap(({ name, of }, index) => {
        const [first, second] = [of(sample.map((one) => one.first)), of(sample.map((one) => one.second))];
        return [
          [`${name} of ${names[0]}`, first],
          [`${name} of ${names[1]}`, second],
          [index === 0 ? 'difference' : `difference of ${name}`, first - second],
        ];
      }),
    );
  const intervals = patientBootstrap(compared, ({ first }) => first.row.patient, figures, options);
  const firsts = compared.map(({ first }) => first);
  return {
    title: `${names[0]} and ${names[1]} on the same pictures`,
    kind,
    images: compared.length,
    patients: patientsOf(firsts),
    says: 'Pairs of answers about the same picture are compared; a difference whose interval holds 0 has not been shown.',
    figures: Object.entries(figures(compared)).map(([name, value]) => ({
      name,
      value,
      interval: intervals[name]!,
      by: 'bootstrap by patient',
    })),
    tables: [...delongTable(names, compared), ...mcNemarTable(names, compared)],
    plots: [],
  };
}

/** Pictures that both models scored; a picture that one of them refused says nothing about its scores. */
const bothClassified = (compared: readonly Compared[]) =>
  compared.flatMap(({ first, second }) => {
    const [[one], [two]] = [classified([first]), classified([second])];
    return one && two ? [{ one, two }] : [];
  });

function delongTable(names: readonly [string, string], compared: readonly Compared[]): Table[] {
  const both = bothClassified(compared);
  if (both.length === 0) return [];
  const labels = labelsOf(both.flatMap(({ one, two }) => [one, two]));
  const asked = labels.length === 2 ? [positiveOf(labels)] : labels;
  const rows = asked.flatMap((label): Cell[][] => {
    const [first, second] = [both.map(({ one }) => one), both.map(({ two }) => two)].map((cases) =>
      oneAgainstRest(cases, label),
    );
    const truth = first!.map((one) => one.truth);
    const positives = truth.filter(Boolean).length;
    // With fewer than two on a side there is no variance to compare by.
    if (positives < 2 || truth.length - positives < 2) return [];
    const {
      first: a,
      second: b,
      z,
      p,
    } = compareAucs(
      truth,
      first!.map(({ score }) => score),
      second!.map(({ score }) => score),
    );
    return [
      [
        label,
        { name: 'AUC', value: a.auc, interval: a.interval, by: 'DeLong' },
        { name: 'AUC', value: b.auc, interval: b.interval, by: 'DeLong' },
        { name: 'z', value: z },
        pText(p),
      ],
    ];
  });
  return rows.length === 0
    ? []
    : [{ title: 'DeLong: areas under the ROC curve', columns: ['label', names[0], names[1], 'z', 'p'], rows }];
}

function mcNemarTable(names: readonly [string, string], compared: readonly Compared[]): Table[] {
  const pairs = [
    ...bothClassified(compared).map(({ one, two }) => ({
      first: best(one.scores) === one.truth,
      second: best(two.scores) === two.truth,
    })),
    ...compared.flatMap(({ first, second }) =>
      boxesFound(first).map((found, index) => ({ first: found, second: boxesFound(second)[index]! })),
    ),
  ];
  if (pairs.length === 0) return [];
  const { onlyFirst, onlySecond, p, chiSquared, pOfChiSquared } = mcNemar(pairs);
  return [
    {
      title: 'McNemar: who alone was right',
      columns: ['cases', `only ${names[0]}`, `only ${names[1]}`, 'p, exact', 'chi squared', 'p of chi squared'],
      rows: [
        [
          pairs.length,
          onlyFirst,
          onlySecond,
          pText(p),
          { name: 'chi squared', value: chiSquared },
          pText(pOfChiSquared),
        ],
      ],
    },
  ];
}

/** For each true box whether it was found, in the order of the manifest; what was refused was not. */
function boxesFound(pair: Pair): boolean[] {
  const found = answered([pair])
    .flatMap(({ answer }) => answer.boxes ?? [])
    .filter(({ called }) => called !== false);
  return (pair.row.boxes ?? []).map((box) => judge({ truth: [box], found }).some(({ right }) => right));
}

const pText = (p: number): string => (p < 0.0001 ? '< 0.0001' : p.toFixed(4));
