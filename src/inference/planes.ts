/** Resizing one plane of pixels, or a part of it, with the weights of the libraries that models are trained with. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { axisWeights, extendEdges, type AxisWeights, type Filter } from './resample.ts';

export type Plane = { readonly rows: number; readonly columns: number; readonly values: Float32Array };
/** In pixels from the plane's corner; may reach beyond it. */
export type Part = { readonly left: number; readonly right: number; readonly top: number; readonly bottom: number };

export type Resizing = {
  readonly height: number;
  readonly width: number;
  readonly filter: Filter;
  readonly part?: Part;
  readonly outside?: 'zero' | 'edge';
  /** A larger canvas of zeros that the result is put into. */
  readonly frame?: { readonly height: number; readonly width: number; readonly left: number; readonly top: number };
};

/**
 * About this many pixels are worked on before the event loop's other work gets its turn: under a millisecond.
 * Measured: 8 ms for a film of 1800 x 1200, 12 ms for 3000 x 2500 (processor time, once warm). Preparing it in the
 * model's process or in a thread would cost more on this very loop: 9 to 30 MB would have to be copied there.
 */
const pixelsPerSlice = 400_000;

/** Lets the event loop turn in between. */
export async function resizePlane(plane: Plane, to: Resizing): Promise<Float32Array> {
  const work = resizing(plane, to);
  let step = work.next();
  for (; step.done !== true; step = work.next()) await nextTurn();
  return step.value;
}

/** In one go: for small parts, and where nobody else waits. */
export function resizePlaneNow(plane: Plane, to: Resizing): Float32Array {
  const work = resizing(plane, to);
  let step = work.next();
  while (step.done !== true) step = work.next();
  return step.value;
}

/** Row by row of the result: the source rows it covers are added up, then that one row is reduced along x. */
function* resizing(plane: Plane, to: Resizing): Generator<void, Float32Array> {
  const { rows, columns, values } = plane;
  const { height, width, filter, part, outside = 'zero', frame = { height, width, left: 0, top: 0 } } = to;
  const along = axisWeights(columns, width, filter, part && { from: part.left, to: part.right });
  const down = axisWeights(rows, height, filter, part && { from: part.top, to: part.bottom });
  if (outside === 'edge') {
    extendEdges(along, columns);
    extendEdges(down, rows);
  }
  const [from, end] = reachOf(along, columns);
  const result = new Float32Array(frame.height * frame.width);
  // Zeros beyond the last column, for taps that are not there.
  const sum = new Float64Array(columns + along.taps);
  const row = new Float64Array(width);
  let untilPause = pixelsPerSlice;
  for (let y = 0; y < height; y += 1) {
    if (down.count[y] === 0) continue;
    addRows(values, columns, from, end, down, y, sum);
    reduceRow(sum, along, row);
    result.set(row, (y + frame.top) * frame.width + frame.left);
    untilPause -= down.count[y]! * (end - from);
    if (untilPause <= 0) {
      untilPause = pixelsPerSlice;
      yield;
    }
  }
  return result;
}

/** The part of a plane that a region names; regions are small. */
export function regionOf(
  plane: Plane,
  region: {
    readonly centre: readonly [number, number];
    readonly width: number;
    readonly height: number;
    readonly angleRad?: number;
  },
  to: Pick<Resizing, 'height' | 'width' | 'filter' | 'outside'>,
): Float32Array {
  const [x, y] = region.centre;
  const part = {
    left: x - region.width / 2,
    right: x + region.width / 2,
    top: y - region.height / 2,
    bottom: y + region.height / 2,
  };
  const angle = region.angleRad ?? 0;
  return angle === 0 ? resizePlaneNow(plane, { ...to, part }) : rotatedPart(plane, { ...to, part, angle });
}

/** A turned part: first its own pixels, one for one by the straight line between four neighbours, then the usual reduction. */
function rotatedPart(
  { rows, columns, values }: Plane,
  { part, angle, outside = 'zero', ...to }: Resizing & { readonly part: Part; readonly angle: number },
): Float32Array {
  // At least as fine as the picture, and never coarser than the result.
  const width = Math.max(to.width, Math.ceil(part.right - part.left));
  const height = Math.max(to.height, Math.ceil(part.bottom - part.top));
  const [sx, sy] = [(part.right - part.left) / width, (part.bottom - part.top) / height];
  const [cx, cy] = [(part.left + part.right) / 2, (part.top + part.bottom) / 2];
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const upright = new Float32Array(width * height);
  for (let y = 0; y < height; y += 1) {
    const v = (y + 0.5 - height / 2) * sy;
    for (let x = 0; x < width; x += 1) {
      const u = (x + 0.5 - width / 2) * sx;
      upright[y * width + x] = between(
        values,
        rows,
        columns,
        cx + cos * u - sin * v - 0.5,
        cy + sin * u + cos * v - 0.5,
        outside,
      );
    }
  }
  if (width === to.width && height === to.height) return upright;
  return resizePlaneNow({ rows: height, columns: width, values: upright }, to);
}

/** Counted from the centre of the first pixel. */
function between(
  values: Float32Array,
  rows: number,
  columns: number,
  x: number,
  y: number,
  outside: 'zero' | 'edge',
): number {
  if (outside === 'zero' && (x < -0.5 || y < -0.5 || x > columns - 0.5 || y > rows - 0.5)) return 0;
  const [px, py] = [Math.min(Math.max(x, 0), columns - 1), Math.min(Math.max(y, 0), rows - 1)];
  const [left, top] = [Math.floor(px), Math.floor(py)];
  const [right, below] = [Math.min(left + 1, columns - 1), Math.min(top + 1, rows - 1)];
  const [fx, fy] = [px - left, py - top];
  const upper = values[top * columns + left]! * (1 - fx) + values[top * columns + right]! * fx;
  const lower = values[below * columns + left]! * (1 - fx) + values[below * columns + right]! * fx;
  return upper * (1 - fy) + lower * fy;
}

/** The columns that any place of the result needs. */
function reachOf({ first, count }: AxisWeights, columns: number): [from: number, to: number] {
  let [from, to] = [columns, 0];
  for (let place = 0; place < first.length; place += 1) {
    if (count[place] === 0) continue;
    from = Math.min(from, first[place]!);
    to = Math.max(to, first[place]! + count[place]!);
  }
  return [from, Math.max(from, to)];
}

/** Three source rows at once begin the sum, absent ones without weight: each further pass over it costs as much as a row. */
function addRows(
  source: Float32Array,
  columns: number,
  from: number,
  to: number,
  { first, count, weights, taps }: AxisWeights,
  place: number,
  sum: Float64Array,
): void {
  const rows = count[place]!;
  const weightOf = (row: number): number => (row < rows ? weights[place * taps + row]! : 0);
  const startOf = (row: number): number => (first[place]! + Math.min(row, rows - 1)) * columns;
  const [wa, wb, wc] = [weightOf(0), weightOf(1), weightOf(2)];
  const [a, b, c] = [startOf(0), startOf(1), startOf(2)];
  for (let x = from; x < to; x += 1) sum[x] = wa * source[a + x]! + wb * source[b + x]! + wc * source[c + x]!;
  for (let row = 3; row < rows; row += 2) {
    const [upper, lower] = [weightOf(row), weightOf(row + 1)];
    const [above, below] = [startOf(row), startOf(row + 1)];
    for (let x = from; x < to; x += 1) sum[x]! += upper * source[above + x]! + lower * source[below + x]!;
  }
}

/** Four taps of every place at a time, absent ones without weight: asking each place for their number costs as much as the sum. */
function reduceRow(source: Float64Array, { first, weights, taps }: AxisWeights, into: Float64Array): void {
  into.fill(0);
  for (let four = 0; four < taps; four += 4)
    for (let place = 0; place < into.length; place += 1) {
      const at = first[place]! + four;
      const weight = place * taps + four;
      into[place] =
        into[place]! +
        source[at]! * weights[weight]! +
        source[at + 1]! * weights[weight + 1]! +
        source[at + 2]! * weights[weight + 2]! +
        source[at + 3]! * weights[weight + 3]!;
    }
}
