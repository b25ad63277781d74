/** A length of the picture itself to hold distances against, where nobody knows its pixel size. */
import { mean, median } from './intervals.ts';
import type { Landmarks } from './landmarks.ts';

export type OwnLength = { readonly pixels: number; readonly what: string };

const whats = { depth: 'the body depth', spread: "the landmarks' spread" } as const;

/**
 * The median depth of the vertebral bodies, from back to front along their end plates; of other landmarks how far they
 * lie from their middle. Undefined for fewer than two.
 */
export function ownLengthOf(landmarks: Landmarks): OwnLength | undefined {
  const depths = Object.entries(landmarks).flatMap(([name, [x, y]]) => {
    const front = name.includes('.posterior') ? landmarks[name.replace('.posterior', '.anterior')] : undefined;
    return front === undefined ? [] : [Math.hypot(front[0] - x, front[1] - y)];
  });
  if (depths.length > 0) return { pixels: median(depths), what: whats.depth };
  const points = Object.values(landmarks);
  if (points.length < 2) return undefined;
  const [cx, cy] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  return { pixels: Math.sqrt(mean(points.map(([x, y]) => (x - cx) ** 2 + (y - cy) ** 2))), what: whats.spread };
}
