/** Plane geometry for measurements on pictures, with the uncertainty of every point carried to the result. */
import type { OverlayShape, Point } from '../domain/finding.ts';
import type { Spacing } from '../domain/image.ts';

export type { Point } from '../domain/finding.ts';

/** Variances of a point along x and y, and their covariance. */
export type Covariance = { readonly xx: number; readonly yy: number; readonly xy: number };

export const minus = (a: Point, b: Point): Point => [a[0] - b[0], a[1] - b[1]];
export const dot = (a: Point, b: Point): number => a[0] * b[0] + a[1] * b[1];
/** Positive when b turns clockwise from a on the screen, where y grows downwards. */
export const cross = (a: Point, b: Point): number => a[0] * b[1] - a[1] * b[0];
export const distance = (a: Point, b: Point): number => Math.hypot(a[0] - b[0], a[1] - b[1]);

export function centroid(points: readonly Point[]): Point {
  const sum = points.reduce<Point>(([x, y], [px, py]) => [x + px, y + py], [0, 0]);
  return [sum[0] / points.length, sum[1] / points.length];
}

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Every corner turns the same way: no edge crosses another and no corner is pushed in. */
export function isConvex(corners: readonly Point[]): boolean {
  const turns = corners.map((corner, index) => {
    const next = corners[(index + 1) % corners.length]!;
    const afterNext = corners[(index + 2) % corners.length]!;
    return cross(minus(next, corner), minus(afterNext, next));
  });
  return turns.every((turn) => turn > 0) || turns.every((turn) => turn < 0);
}

/** From picture pixels to millimetres, so that pixels which are not square measure right; without a spacing, pixels. */
export const inMillimetres = ([x, y]: Point, spacing: Spacing | undefined): Point =>
  spacing === undefined ? [x, y] : [x * spacing.columnMm, y * spacing.rowMm];

/** How far `point` lies from `from` in the direction of `to`, as a part of the way to it. */
export function partAlong(point: Point, from: Point, to: Point): number {
  const way = minus(to, from);
  return dot(minus(point, from), way) / dot(way, way);
}

/** The foot of `point` on the line through `from` and `to`. */
export function footOn(point: Point, from: Point, to: Point): Point {
  const part = partAlong(point, from, to);
  return [from[0] + part * (to[0] - from[0]), from[1] + part * (to[1] - from[1])];
}

/**
 * Standard deviation of a number computed from uncertain points, by the delta method: the slope against each
 * coordinate, weighed with its covariance. Points are taken as independent of each other.
 */
export function standardDeviationOf(
  compute: (points: readonly Point[]) => number,
  points: readonly Point[],
  covariances: readonly Covariance[],
): number {
  const variance = points.reduce((sum, point, index) => {
    const { xx, yy, xy } = covariances[index]!;
    const slope = (axis: 0 | 1, spread: number): number => {
      // Small against the spread, so that the slope is that at the point; not so small that digits are lost.
      const step = Math.max(Math.sqrt(spread) * 0.01, 1e-6);
      const moved = (by: number) =>
        points.with(index, axis === 0 ? [point[0] + by, point[1]] : [point[0], point[1] + by]);
      return (compute(moved(step)) - compute(moved(-step))) / (2 * step);
    };
    const dx = slope(0, xx);
    const dy = slope(1, yy);
    return sum + dx * dx * xx + dy * dy * yy + 2 * dx * dy * xy;
  }, 0);
  return Math.sqrt(Math.max(variance, 0));
}

/** The two-sided 95 % interval of a normal distribution. */
export const interval95 = (value: number, standardDeviation: number): [low: number, high: number] => [
  value - 1.959964 * standardDeviation,
  value + 1.959964 * standardDeviation,
];

/** Chi-square with two degrees of freedom, 95 %. */
const ellipseScale = Math.sqrt(5.991465);

/** The ellipse that holds a normally distributed point with 95 %. */
export function ellipse95({
  xx,
  yy,
  xy,
}: Covariance): NonNullable<Extract<OverlayShape, { kind: 'point' }>['ellipse']> {
  const half = (xx + yy) / 2;
  const reach = Math.hypot((xx - yy) / 2, xy);
  return {
    rx: ellipseScale * Math.sqrt(Math.max(half + reach, 0)),
    ry: ellipseScale * Math.sqrt(Math.max(half - reach, 0)),
    angleRad: 0.5 * Math.atan2(2 * xy, xx - yy),
  };
}
