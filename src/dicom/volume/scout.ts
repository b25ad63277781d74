/** Tells series that only planned the others: few slices, in the directions of all. */
import type { Vector } from '../../domain/slice.ts';
import { saysScout } from '../../domain/series-words.ts';
import type { FrameHeader } from './frame-header.ts';
import { degreesBetween } from './vector.ts';

/** A scout has a handful of slices for each direction; nobody diagnoses a spine on fewer. */
const fewSlices = 7;
const mostInScout = 15;

export function scoutBy(
  stacks: readonly { readonly count: number; readonly normal: Vector | undefined }[],
  frames: readonly FrameHeader[],
): { readonly sure: boolean; readonly why: string } | undefined {
  const most = Math.max(0, ...stacks.map(({ count }) => count));
  if (
    directionsAcross(stacks.flatMap(({ normal }) => (normal === undefined ? [] : [normal]))) >= 3 &&
    most <= mostInScout
  )
    return { sure: true, why: 'three directions across each other in one series: a scout' };
  const text = frames
    .map(({ object }) => object.seriesDescription)
    .find((words) => words !== undefined && saysScout(words));
  if (text === undefined) return undefined;
  // Names are typed by people: twenty parallel slices are a series, whatever it was called.
  return most < fewSlices || stacks.length > 1
    ? { sure: true, why: `a scout by its description "${text}"` }
    : { sure: false, why: `called "${text}", but ${most} slices are more than a scout has` };
}

/** How many of the directions stand more than 45° from each other. */
function directionsAcross(normals: readonly Vector[]): number {
  const across: Vector[] = [];
  for (const normal of normals) {
    const apart = across.every((other) => {
      const angle = degreesBetween(normal, other);
      return Math.min(angle, 180 - angle) > 45;
    });
    if (apart) across.push(normal);
  }
  return across.length;
}
