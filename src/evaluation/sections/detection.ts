/** Boxes: found at the right place, under the right name, and how often a normal picture is called ill. */
import { detectionsOf } from '../box-threshold.ts';
import { share } from '../counts.ts';
import { detectionAveragePrecision, detectionCurve, detectionRates, froc, judge } from '../detection.ts';
import type { BootstrapOptions } from '../intervals.ts';
import { answered, perPair, withIntervals, type Pair } from '../pair.ts';
import { figureOf, type Cell, type DataKind, type Figure, type Section } from '../report.ts';
import type { Primary } from './subgroups.ts';

export type DetectionOptions = BootstrapOptions & {
  readonly iou?: number;
  /** How the boxes that count were chosen, in a sentence. */
  readonly says?: string;
};

/** `test` with its boxes marked as called or not (box-threshold.ts); curves take all of them, figures those called. */
export function detectionSection(
  kind: DataKind,
  test: readonly Pair[],
  options: DetectionOptions = {},
): Section | undefined {
  const withBoxes = test.filter(({ row }) => row.boxes !== undefined);
  if (withBoxes.length === 0) return undefined;
  const { iou = 0.5, says } = options;
  const match = { iou };
  const read = answered(withBoxes);
  const rates = (pairs: readonly Pair[], how: typeof match & { labels?: false } = match) =>
    detectionRates(detectionsOf(pairs, 'called'), -Infinity, how);
  const { precision, recall } = rates(read);
  const labels = [
    ...new Set(
      read.flatMap(({ row, answer }) => [
        ...row.boxes!.map(({ label }) => label),
        ...(answer.boxes ?? []).flatMap(({ label, called }) => (called === false ? [] : [label])),
      ]),
    ),
  ].sort();
  const curve = detectionCurve(detectionsOf(read), match);
  return {
    title: `Boxes at an overlap (IoU) of ${iou}`,
    kind,
    images: withBoxes.length,
    patients: new Set(withBoxes.map(({ row }) => row.patient)).size,
    says: [
      'A box is right when it covers a true box of the same name that no better box has taken.',
      ...(says === undefined ? [] : [says]),
      read.length < withBoxes.length
        ? `${withBoxes.length - read.length} pictures were not read; the last recall counts their boxes as missed.`
        : 'Every picture was read.',
    ].join(' '),
    figures: [
      figureOf('precision', precision),
      figureOf('recall', recall),
      ...withIntervals(
        read,
        (sample) => ({
          F1: rates(sample).f1,
          'average precision': detectionAveragePrecision(detectionsOf(sample), match),
          'F1, names left out': rates(sample, { ...match, labels: false }).f1,
        }),
        options,
      ),
      figureOf('recall, pictures not read counted as missed', rates(withBoxes).recall),
      ...alarmFigures(read, options),
    ],
    tables: [
      {
        title: 'By name',
        columns: ['name', 'precision', 'recall', 'F1', 'alarms on normal pictures'],
        rows: labels.map((label) => byName(read, label, match, options)),
      },
      {
        title: 'Recall at false alarms per picture (FROC)',
        columns: ['false alarms per picture', 'recall'],
        rows: froc(detectionsOf(read), undefined, match).points.map(({ rate, recall: at }) => [
          rate,
          { name: 'recall', value: at },
        ]),
      },
    ],
    plots: [
      {
        kind: 'curve',
        title: 'Precision and recall',
        x: 'recall',
        y: 'precision',
        series: [{ name: 'boxes', points: curve.map((point) => [point.recall, point.precision]) }],
        ...(precision.n > 0 && {
          marked: { at: [recall.value, precision.value] as const, label: 'operating point' },
        }),
      },
      {
        kind: 'curve',
        title: 'Free-response curve',
        x: 'false alarms per picture',
        y: 'recall',
        longestX: Math.max(0.5, curve.at(-1)?.falseAlarmsPerCase ?? 0),
        series: [{ name: 'boxes', points: curve.map((point) => [point.falseAlarmsPerCase, point.recall]) }],
      },
    ],
    worthALook: read.flatMap((pair) => {
      const [one] = detectionsOf([pair], 'called');
      const judged = judge(one!, match);
      const missed = one!.truth.length - judged.filter(({ right }) => right).length;
      const alarms = judged.filter(({ right }) => !right).length;
      return missed + alarms === 0 ? [] : [{ file: pair.row.file, why: `${missed} missed, ${alarms} false` }];
    }),
  };
}

const isNormal = ({ row }: Pair): boolean => row.boxes?.length === 0;
const alarmsOn = ({ answer }: Pair): number => (answer.boxes ?? []).filter(({ called }) => called !== false).length;

function alarmFigures(read: readonly Pair[], options: BootstrapOptions): Figure[] {
  const normals = read.filter(isNormal);
  if (normals.length === 0) return [];
  const [perPicture] = withIntervals(
    normals,
    (sample) => ({ 'false alarms per normal picture': falseAlarmsPerNormal(sample) }),
    options,
  );
  return [
    { ...perPicture!, n: normals.length },
    figureOf(
      'normal pictures with an alarm',
      share(normals.filter((pair) => alarmsOn(pair) > 0).length, normals.length),
    ),
  ];
}

function byName(read: readonly Pair[], label: string, match: { iou: number }, options: BootstrapOptions): Cell[] {
  const ownOf = perPair((pair) =>
    detectionsOf([pair], 'called').map(({ truth, found }) => ({
      truth: truth.filter((box) => box.label === label),
      found: found.filter((box) => box.label === label),
    })),
  );
  const own = (pairs: readonly Pair[]) => pairs.flatMap(ownOf);
  const { precision, recall } = detectionRates(own(read), -Infinity, match);
  // One row a name: fewer replicates keep the report within seconds, and the ends move in the third digit only.
  const [f1] = withIntervals(read, (sample) => ({ F1: detectionRates(own(sample), -Infinity, match).f1 }), {
    replicates: 500,
    ...options,
  });
  const normals = read.filter(isNormal);
  const alarms = normals.filter(({ answer }) =>
    answer.boxes?.some((box) => box.label === label && box.called !== false),
  );
  return [
    label,
    figureOf('precision', precision),
    figureOf('recall', recall),
    f1!,
    figureOf('alarms', share(alarms.length, normals.length)),
  ];
}

/** NaN without a normal picture that was read. */
const falseAlarmsPerNormal = (pairs: readonly Pair[]): number => {
  const normals = answered(pairs).filter(isNormal);
  return normals.reduce((sum, pair) => sum + alarmsOn(pair), 0) / normals.length;
};

export const detectionPrimary = ({ iou = 0.5 }: DetectionOptions = {}): Primary => ({
  name: 'F1 of boxes',
  of: (pairs) => detectionRates(detectionsOf(answered(pairs), 'called'), -Infinity, { iou }).f1,
});

/** What is compared beside F1: it weighs a false alarm on a normal picture no more than one beside a true slip. */
export const alarmPrimary: Primary = { name: 'false alarms per normal picture', of: falseAlarmsPerNormal };
