/** Distances in a stack: the usual one, what is missing, what is irregular, and a tilted gantry. */
import type { Gap, Vector } from '../../domain/slice.ts';
import { degreesBetween, dot, length, minus, times, unit } from './vector.ts';

export type Measures = {
  readonly spacingMm?: number;
  readonly irregularityMm?: number;
  readonly gaps: readonly Gap[];
  readonly tiltDegrees?: number;
  /** How far a corner lies beside the line from the first to the last. */
  readonly sidewaysMm?: number;
};

/** From here on a distance is a hole, and below it a slice that was not where it should have been. */
const gapFrom = 1.5;

/** Places along the normal, ascending. */
export function measurePlaces(places: readonly number[]): Measures {
  if (places.length < 2) return { gaps: [] };
  const distances = places.slice(1).map((place, at) => place - places[at]!);
  const spacingMm = usual(distances);
  const gaps = distances.flatMap((distanceMm, afterIndex) => {
    const missing = Math.round(distanceMm / spacingMm) - 1;
    return distanceMm >= gapFrom * spacingMm ? [{ afterIndex, distanceMm, missing: Math.max(1, missing) }] : [];
  });
  const even = distances.filter((distance) => distance < gapFrom * spacingMm);
  const irregularityMm = largest(even.map((distance) => Math.abs(distance - spacingMm)));
  return { spacingMm, irregularityMm, gaps };
}

/** Below half a degree it is how positions were rounded. */
const tiltFromDegrees = 0.5;

export function measureCorners(
  corners: readonly Vector[],
  normal: Vector,
): Pick<Measures, 'tiltDegrees' | 'sidewaysMm'> {
  const [first, last] = [corners[0], corners.at(-1)];
  const way = first && last && unit(minus(last, first));
  if (first === undefined || way === undefined) return {};
  const tiltDegrees = degreesBetween(way, normal);
  const sidewaysMm = largest(
    corners.map((corner) => {
      const step = minus(corner, first);
      return length(minus(step, times(way, dot(step, way))));
    }),
  );
  return { ...(tiltDegrees >= tiltFromDegrees && { tiltDegrees }), sidewaysMm };
}

/** The median, of an even number the lower: of two distances one may be a gap. */
function usual(distances: readonly number[]): number {
  const sorted = distances.toSorted((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1]!;
}

/** Math.max takes its numbers as arguments, of which a hundred thousand are too many. */
export const largest = (values: readonly number[]): number =>
  values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
export const smallest = (values: readonly number[]): number =>
  values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
