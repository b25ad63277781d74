/** How a slice lies in the patient, by its normal. */
import type { Plane, Vector } from '../../domain/slice.ts';
import { cross, degreesBetween, dot, times, unit } from './vector.ts';

const axes: readonly (readonly [Exclude<Plane, 'oblique'>, Vector])[] = [
  ['sagittal', [1, 0, 0]],
  ['coronal', [0, 1, 0]],
  ['axial', [0, 0, 1]],
];

/**
 * Slices follow a bent spine, and radiologists go on calling them sagittal or axial. Beyond 36.9° (a cosine of 0.8, the
 * threshold that dicom3tools and PixelMed use) a slice is as much the one as the other.
 */
const obliqueFrom = (Math.acos(0.8) * 180) / Math.PI;

export type Lie = {
  readonly plane: Plane;
  /** Towards the patient's left, back or head, whichever way the file counts. */
  readonly normal: Vector;
  readonly obliqueDegrees: number;
};

export function lieOf([alongRow, alongColumn]: readonly [Vector, Vector]): Lie | undefined {
  const normal = unit(cross(alongRow, alongColumn));
  if (normal === undefined) return undefined;
  const nearest = axes
    .map(([plane, axis]) => ({ plane, forwards: dot(normal, axis) >= 0, axis }))
    .map(({ plane, forwards, axis }) => ({
      plane,
      normal: forwards ? normal : times(normal, -1),
      obliqueDegrees: degreesBetween(forwards ? normal : times(normal, -1), axis),
    }))
    .reduce((best, one) => (one.obliqueDegrees < best.obliqueDegrees ? one : best));
  return nearest.obliqueDegrees > obliqueFrom ? { ...nearest, plane: 'oblique' } : nearest;
}

/** The way a stack is counted, for people: the slices of a sagittal one go from the patient's right to the left. */
export const wayOf: Readonly<Record<Plane, string>> = {
  sagittal: 'right to left',
  coronal: 'front to back',
  axial: 'feet to head',
  oblique: 'along the normal',
};

/**
 * Rows and columns as unit vectors. Writers round, so a slight skew is straightened; directions that are not at right
 * angles at all (PS3.3 C.7.6.2.1.1 demands it) say nothing that could be trusted.
 */
export function straightened(cosines: readonly number[]): readonly [Vector, Vector] | undefined {
  const [a, b, c, d, e, f] = cosines as readonly [number, number, number, number, number, number];
  if (cosines.length !== 6 || !cosines.every(Number.isFinite)) return undefined;
  const alongRow = unit([a, b, c]);
  const written = unit([d, e, f]);
  if (alongRow === undefined || written === undefined) return undefined;
  const skew = dot(alongRow, written);
  if (Math.abs(skew) > 0.02) return undefined;
  const alongColumn = unit([
    written[0] - skew * alongRow[0],
    written[1] - skew * alongRow[1],
    written[2] - skew * alongRow[2],
  ]);
  return alongColumn && [alongRow, alongColumn];
}
