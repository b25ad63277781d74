/** Boxes found against boxes drawn by readers: matching, precision and recall, average precision, FROC. */
import { f1Of, share, type Share } from './counts.ts';

/** Pixels: left, top, right, bottom. */
export type Box = readonly [x1: number, y1: number, x2: number, y2: number];
export type TrueBox = { readonly box: Box; readonly label: string };
export type FoundBox = TrueBox & { readonly score: number };
export type DetectionCase = { readonly truth: readonly TrueBox[]; readonly found: readonly FoundBox[] };

export function intersectionOverUnion([ax1, ay1, ax2, ay2]: Box, [bx1, by1, bx2, by2]: Box): number {
  const width = Math.min(ax2, bx2) - Math.max(ax1, bx1);
  const height = Math.min(ay2, by2) - Math.max(ay1, by1);
  if (width <= 0 || height <= 0) return 0;
  const shared = width * height;
  return shared / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared);
}

export type MatchOptions = {
  readonly iou?: number;
  /** `false` counts a box at the right place under the wrong label as found. Default: labels must agree. */
  readonly labels?: boolean;
};

type Judged = { readonly score: number; readonly right: boolean };

const judgedBefore = new WeakMap<DetectionCase, Map<string, readonly Judged[]>>();

/** A bootstrap asks for the same cases thousands of times. */
export function judge(one: DetectionCase, { iou = 0.5, labels = true }: MatchOptions = {}): readonly Judged[] {
  const known = judgedBefore.get(one) ?? new Map<string, readonly Judged[]>();
  judgedBefore.set(one, known);
  const key = `${iou} ${labels}`;
  const judged = known.get(key) ?? matched(one, iou, labels);
  known.set(key, judged);
  return judged;
}

/**
 * Best score first, each found box takes the free true box it covers best (as PASCAL VOC and COCO do): a second box
 * on the same place is a false alarm.
 */
function matched({ truth, found }: DetectionCase, iou: number, labels: boolean): Judged[] {
  const free = new Set(truth);
  return found
    .toSorted((a, b) => b.score - a.score)
    .map(({ box, label, score }) => {
      let best: TrueBox | undefined;
      let bestCover = iou;
      for (const candidate of free) {
        const cover = intersectionOverUnion(box, candidate.box);
        if (cover < bestCover || (labels && candidate.label !== label)) continue;
        // At equal cover the first stays, as it came.
        if (best === undefined || cover > bestCover) [best, bestCover] = [candidate, cover];
      }
      if (best !== undefined) free.delete(best);
      return { score, right: best !== undefined };
    });
}

export type DetectionRates = { readonly precision: Share; readonly recall: Share; readonly f1: number };

/** At one threshold, over all cases together. */
export function detectionRates(
  cases: readonly DetectionCase[],
  threshold: number,
  options: MatchOptions = {},
): DetectionRates {
  // Best scores choose first, so what lies below a threshold changes nothing above it.
  const judged = cases.flatMap((one) => judge(one, options).filter(({ score }) => score >= threshold));
  const right = judged.filter((one) => one.right).length;
  const truths = cases.reduce((sum, { truth }) => sum + truth.length, 0);
  return {
    precision: share(right, judged.length),
    recall: share(right, truths),
    f1: f1Of(right, judged.length - right, truths - right),
  };
}

export type DetectionPoint = {
  readonly threshold: number;
  readonly recall: number;
  readonly precision: number;
  /** Over all cases; FROC plots recall against it. */
  readonly falseAlarmsPerCase: number;
};

/** At every threshold that occurs, from strict to lax. */
export function detectionCurve(cases: readonly DetectionCase[], options: MatchOptions = {}): DetectionPoint[] {
  const truths = cases.reduce((sum, { truth }) => sum + truth.length, 0);
  const judged = cases.flatMap((one) => judge(one, options)).sort((a, b) => b.score - a.score);
  const points: DetectionPoint[] = [];
  let right = 0;
  judged.forEach((one, index) => {
    right += Number(one.right);
    if (judged[index + 1]?.score === one.score) return;
    points.push({
      threshold: one.score,
      recall: right / truths,
      precision: right / (index + 1),
      falseAlarmsPerCase: (index + 1 - right) / cases.length,
    });
  });
  return points;
}

/** The area under precision made non-increasing (PASCAL VOC 2010 and later: every point, no 11-point sampling). */
export function detectionAveragePrecision(cases: readonly DetectionCase[], options: MatchOptions = {}): number {
  const points = detectionCurve(cases, options);
  let [area, best] = [0, 0];
  for (let index = points.length - 1; index >= 0; index -= 1) {
    best = Math.max(best, points[index]!.precision);
    area += best * (points[index]!.recall - (points[index - 1]?.recall ?? 0));
  }
  return area;
}

/** Recall at fixed false alarms per case, and their mean (the LUNA16 score when all seven rates are given). */
export function froc(
  cases: readonly DetectionCase[],
  rates: readonly number[] = [0.125, 0.25, 0.5, 1, 2, 4, 8],
  options: MatchOptions = {},
): { readonly points: readonly { readonly rate: number; readonly recall: number }[]; readonly mean: number } {
  const curve = detectionCurve(cases, options);
  const points = rates.map((rate) => ({
    rate,
    recall: curve.reduce((best, point) => (point.falseAlarmsPerCase <= rate ? Math.max(best, point.recall) : best), 0),
  }));
  return { points, mean: points.reduce((sum, { recall }) => sum + recall, 0) / points.length };
}
