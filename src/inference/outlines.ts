/** The lines around what lies above a threshold in a grid: marching squares, with places between the grid's points. */
import type { Point } from '../domain/finding.ts';

type Grid = { readonly rows: number; readonly columns: number; readonly values: Float32Array };

/** Smaller islands than this many corners are noise of the threshold. */
const leastCorners = 4;

/** Closed outlines, in cells of the grid counted from its corner; the longest first. */
export function outlinesOf({ rows, columns, values }: Grid, threshold: number): Point[][] {
  // A margin of nothing around, so that every line closes.
  const at = (x: number, y: number): number =>
    x < 0 || y < 0 || x >= columns || y >= rows ? -Infinity : values[y * columns + x]!;
  const next = new Map<string, { readonly point: Point; readonly to: string }[]>();
  const crossing = (x1: number, y1: number, x2: number, y2: number): { key: string; point: Point } => {
    const [a, b] = [at(x1, y1), at(x2, y2)];
    const share = Number.isFinite(a) && Number.isFinite(b) ? (threshold - a) / (b - a) : 0.5;
    return {
      key: [x1 + x2, y1 + y2].join(),
      point: [x1 + (x2 - x1) * share + 0.5, y1 + (y2 - y1) * share + 0.5],
    };
  };
  for (let y = -1; y < rows; y += 1)
    for (let x = -1; x < columns; x += 1) {
      const corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)].map((value) => value >= threshold);
      const sides = [
        () => crossing(x, y, x + 1, y),
        () => crossing(x + 1, y, x + 1, y + 1),
        () => crossing(x, y + 1, x + 1, y + 1),
        () => crossing(x, y, x, y + 1),
      ];
      // Walking around the cell: where it goes in, a line begins; where it comes out, one ends. Inside stays on the right.
      const ins: number[] = [];
      const outs: number[] = [];
      for (let side = 0; side < 4; side += 1) {
        if (!corners[side]! && corners[(side + 1) % 4]!) ins.push(side);
        if (corners[side]! && !corners[(side + 1) % 4]!) outs.push(side);
      }
      for (const side of ins) {
        // Two corners across: each is an island of its own.
        const out = outs.length === 1 ? outs[0]! : (side + 1) % 4;
        const [from, to] = [sides[side]!(), sides[out]!()];
        const known = next.get(from.key) ?? [];
        known.push({ point: from.point, to: to.key });
        next.set(from.key, known);
      }
    }
  const lines: Point[][] = [];
  for (const start of next.keys()) {
    const line: Point[] = [];
    let key = start;
    for (let step = next.get(key)?.pop(); step !== undefined; step = next.get(key)?.pop()) {
      line.push(step.point);
      key = step.to;
    }
    if (line.length >= leastCorners) lines.push(line);
  }
  return lines.toSorted((a, b) => b.length - a.length);
}
