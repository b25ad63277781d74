/** The way from a place of a tensor back to the picture it was made from, through every fit, crop and flip. */
import type { Point } from '../domain/finding.ts';

/**
 * picture = matrix · (place - from) + to, both counted from the corner of the first pixel.
 * Kept in this form so that a plain letterbox stays the one subtraction and one multiplication it is.
 */
export type PlaceMap = {
  readonly from: Point;
  /** Row by row: [xx, xy, yx, yy]. */
  readonly matrix: readonly [xx: number, xy: number, yx: number, yy: number];
  readonly to: Point;
};

export const identity: PlaceMap = { from: [0, 0], matrix: [1, 0, 0, 1], to: [0, 0] };

export function throughMap({ from, matrix, to }: PlaceMap, [x, y]: Point): Point {
  const [xx, xy, yx, yy] = matrix;
  const [dx, dy] = [x - from[0], y - from[1]];
  return [xx * dx + xy * dy + to[0], yx * dx + yy * dy + to[1]];
}

/** First `step` (from the newer canvas to the older one), then `before` (from the older one to the picture). */
export function after(before: PlaceMap, step: PlaceMap): PlaceMap {
  const [a, b, c, d] = before.matrix;
  const [e, f, g, h] = step.matrix;
  return {
    from: step.from,
    matrix: [a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h],
    to: throughMap(before, step.to),
  };
}

/** Picture pixels per pixel of the tensor along its two axes. */
export const magnificationOf = ({ matrix: [xx, xy, yx, yy] }: PlaceMap): [x: number, y: number] => [
  Math.hypot(xx, yx),
  Math.hypot(xy, yy),
];

export const scaling = (x: number, y: number): PlaceMap => ({ ...identity, matrix: [x, 0, 0, y] });
/** The older canvas begins `left`, `top` inside the newer one. */
export const shift = (left: number, top: number): PlaceMap => ({ ...identity, from: [left, top] });
export const mirror = (width: number): PlaceMap => ({ from: [0, 0], matrix: [-1, 0, 0, 1], to: [width, 0] });
