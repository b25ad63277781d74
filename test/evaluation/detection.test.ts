/** Detection statistics against small examples worked out by hand. */
import { describe, expect, test } from 'vitest';
import {
  detectionAveragePrecision,
  detectionCurve,
  detectionRates,
  froc,
  intersectionOverUnion,
  judge,
  type Box,
  type DetectionCase,
} from '../../src/evaluation/detection.ts';

const at = (x: number): Box => [x, 0, x + 10, 10];

test('the overlap of two boxes: none, half, all', () => {
  expect(intersectionOverUnion(at(0), at(20))).toBe(0);
  // 5 × 10 shared, 150 together.
  expect(intersectionOverUnion(at(0), at(5))).toBeCloseTo(1 / 3, 12);
  expect(intersectionOverUnion(at(0), at(0))).toBe(1);
  expect(intersectionOverUnion(at(0), at(10))).toBe(0);
});

test('a second box on the same place is a false alarm, and the better score keeps the match', () => {
  const judged = judge({
    truth: [{ box: at(0), label: 'L4/L5' }],
    found: [
      { box: at(0), label: 'L4/L5', score: 0.6 },
      { box: at(1), label: 'L4/L5', score: 0.9 },
    ],
  });
  expect(judged).toEqual([
    { score: 0.9, right: true },
    { score: 0.6, right: false },
  ]);
});

test('the right place under the wrong level counts only where labels are left out', () => {
  const one = { truth: [{ box: at(0), label: 'L4/L5' }], found: [{ box: at(0), label: 'L3/L4', score: 1 }] };
  expect(judge(one)[0]!.right).toBe(false);
  expect(judge(one, { labels: false })[0]!.right).toBe(true);
});

test('an overlap of exactly the limit counts', () => {
  const one = { truth: [{ box: at(0), label: 'a' }], found: [{ box: at(5), label: 'a', score: 1 }] };
  expect(judge(one, { iou: 1 / 3 })[0]!.right).toBe(true);
  expect(judge(one, { iou: 0.34 })[0]!.right).toBe(false);
});

describe('four films with three true boxes', () => {
  const cases: DetectionCase[] = [
    { truth: [{ box: at(0), label: 'a' }], found: [{ box: at(0), label: 'a', score: 0.9 }] },
    {
      truth: [{ box: at(0), label: 'a' }],
      found: [
        { box: at(0), label: 'a', score: 0.6 },
        { box: at(50), label: 'a', score: 0.8 },
      ],
    },
    { truth: [{ box: at(0), label: 'a' }], found: [] },
    { truth: [], found: [{ box: at(0), label: 'a', score: 0.3 }] },
  ];
  test('precision, recall and F1 at a threshold', () => {
    const { precision, recall, f1 } = detectionRates(cases, 0.5);
    expect([precision.k, precision.n, recall.k, recall.n]).toEqual([2, 3, 2, 3]);
    expect(f1).toBeCloseTo(2 / 3, 12);
    expect(detectionRates(cases, 0.85).recall.value).toBeCloseTo(1 / 3, 12);
  });
  test('the curve, from strict to lax', () => {
    expect(
      detectionCurve(cases).map(({ recall, precision, falseAlarmsPerCase }) => [recall, precision, falseAlarmsPerCase]),
    ).toEqual([
      [1 / 3, 1, 0],
      [1 / 3, 1 / 2, 1 / 4],
      [2 / 3, 2 / 3, 1 / 4],
      [2 / 3, 1 / 2, 2 / 4],
    ]);
  });
  test('average precision fills the dip: 1/3 × 1 + 1/3 × 2/3', () => {
    expect(detectionAveragePrecision(cases)).toBeCloseTo(1 / 3 + 2 / 9, 12);
  });
  test('FROC: recall at each rate of false alarms', () => {
    const { points, mean } = froc(cases, [0, 0.25, 1]);
    expect(points.map(({ recall }) => recall)).toEqual([1 / 3, 2 / 3, 2 / 3]);
    expect(mean).toBeCloseTo(5 / 9, 12);
  });
});

test('with nothing to find and nothing found, F1 is not a number rather than perfect', () => {
  expect(detectionRates([{ truth: [], found: [] }], 0.5).f1).toBeNaN();
});
