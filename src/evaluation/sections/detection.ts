/** Boxes: found at the right place, under the right name, and how often a normal picture is called ill. */
import { share } from '../counts.ts';
import {
  detectionAveragePrecision,
  detectionCurve,
  detectionRates,
  froc,
  judge,
  type DetectionCase,
} from '../detection.ts';
import type { BootstrapOptions } from '../intervals.ts';
import { answered, withIntervals, type Pair } from '../pair.ts';
import { figureOf, type DataKind, type Section } from '../report.ts';

export type DetectionOptions = BootstrapOptions & { readonly iou?: number; readonly threshold?: number };

/** What the model refused to read it did not find: refused pictures stay in, with nothing found. */
export const detections = (pairs: readonly Pair[]): DetectionCase[] =>
  pairs.flatMap(({ row, answer }) =>
    row.boxes === undefined ? [] : [{ truth: row.boxes, found: answer.boxes ?? [] }],
  );

export function detectionSection(
  kind: DataKind,
  test: readonly Pair[],
  options: DetectionOptions = {},
): Section | undefined {
  const withBoxes = test.filter(({ row }) => row.boxes !== undefined);
  if (withBoxes.length === 0) return undefined;
  const { iou = 0.5, threshold = -Infinity } = options;
  const match = { iou };
  const read = answered(withBoxes);
  const all = detections(withBoxes);
  const { precision, recall } = detectionRates(detections(read), threshold, match);
  const overAll = detectionRates(all, threshold, match);
  const normals = read.filter(({ row }) => row.boxes!.length === 0);
  const alarms = normals.map(({ answer }) => (answer.boxes ?? []).filter(({ score }) => score >= threshold).length);
  const labels = [
    ...new Set(read.flatMap(({ row, answer }) => [...row.boxes!, ...(answer.boxes ?? [])].map(({ label }) => label))),
  ].sort();
  const curve = detectionCurve(detections(read), match);
  const atThreshold = curve.findLast((point) => point.threshold >= threshold);
  return {
    title: `Boxes at an overlap (IoU) of ${iou}`,
    kind,
    images: withBoxes.length,
    patients: new Set(withBoxes.map(({ row }) => row.patient)).size,
    says:
      'A box is right when it covers a true box of the same name that no better box has taken. ' +
      (read.length < withBoxes.length
        ? `${withBoxes.length - read.length} pictures were not read; the last recall counts their boxes as missed.`
        : 'Every picture was read.'),
    figures: [
      figureOf('precision', precision),
      figureOf('recall', recall),
      ...withIntervals(
        read,
        (sample) => {
          const cases = detections(sample);
          return {
            F1: detectionRates(cases, threshold, match).f1,
            'average precision': detectionAveragePrecision(cases, match),
            'F1, names left out': detectionRates(cases, threshold, { ...match, labels: false }).f1,
          };
        },
        options,
      ),
      figureOf('recall, pictures not read counted as missed', overAll.recall),
      ...(normals.length === 0
        ? []
        : [
            {
              name: 'false alarms per normal picture',
              value: alarms.reduce((sum, count) => sum + count, 0) / normals.length,
              n: normals.length,
            },
            figureOf(
              'normal pictures with an alarm',
              share(alarms.filter((count) => count > 0).length, normals.length),
            ),
          ]),
    ],
    tables: [
      {
        title: 'By name',
        columns: ['name', 'precision', 'recall', 'F1'],
        rows: labels.map((label) => {
          const own = detections(read).map(({ truth, found }) => ({
            truth: truth.filter((box) => box.label === label),
            found: found.filter((box) => box.label === label),
          }));
          const byName = detectionRates(own, threshold, match);
          return [
            label,
            figureOf('precision', byName.precision),
            figureOf('recall', byName.recall),
            { name: 'F1', value: byName.f1 },
          ];
        }),
      },
      {
        title: 'Recall at false alarms per picture (FROC)',
        columns: ['false alarms per picture', 'recall'],
        rows: froc(detections(read), undefined, match).points.map(({ rate, recall: at }) => [
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
        ...(atThreshold && {
          marked: { at: [atThreshold.recall, atThreshold.precision] as const, label: 'operating point' },
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
      const [one] = detections([pair]);
      const judged = judge({ ...one!, found: one!.found.filter(({ score }) => score >= threshold) }, match);
      const missed = one!.truth.length - judged.filter(({ right }) => right).length;
      const alarms = judged.filter(({ right }) => !right).length;
      return missed + alarms === 0 ? [] : [{ file: pair.row.file, why: `${missed} missed, ${alarms} false` }];
    }),
  };
}

export const detectionPrimary = ({ iou = 0.5, threshold = -Infinity }: DetectionOptions = {}) => ({
  name: 'F1 of boxes',
  of: (pairs: readonly Pair[]) => detectionRates(detections(answered(pairs)), threshold, { iou }).f1,
});
