/** A vertebra cut out of a film: upright, posterior on the left, head up, as wide as 1.7 body depths. */
import { dot, mean, minus, type Point } from './geometry.ts';

/** Grey values row by row. */
export type Plane = { readonly rows: number; readonly columns: number; readonly values: ArrayLike<number> };

/** The way round the body, as the corner finder names them. */
export type BodyCorners = readonly [
  posteriorInferior: Point,
  anteriorInferior: Point,
  anteriorSuperior: Point,
  posteriorSuperior: Point,
];

export type UprightFrame = {
  readonly centre: Point;
  /** Unit vectors: from back to front, and towards the head. */
  readonly along: Point;
  readonly up: Point;
  /** Width and height, in pixels of the film. */
  readonly size: number;
};

const widthInDepths = 1.7;
/** Less is no vertebra but a mistake; it must not become a division by nothing. */
const leastDepth = 4;
/** Samples further apart than this would skip what lies between them. */
const mostPixelsPerSample = 2;
export const cropSide = 128;

export function uprightFrame(corners: BodyCorners): UprightFrame {
  const [pi, ai, as, ps] = corners;
  const front: Point = [(ai[0] + as[0] - pi[0] - ps[0]) / 2, (ai[1] + as[1] - pi[1] - ps[1]) / 2];
  const head: Point = [(as[0] + ps[0] - pi[0] - ai[0]) / 2, (as[1] + ps[1] - pi[1] - ai[1]) / 2];
  const length = Math.max(Math.hypot(...front), leastDepth);
  const along: Point = [front[0] / length, front[1] / length];
  const across: Point = [along[1], -along[0]];
  return {
    centre: [mean(corners.map(([x]) => x)), mean(corners.map(([, y]) => y))],
    along,
    up: dot(across, head) < 0 ? [-across[0], -across[1]] : across,
    size: length * widthInDepths,
  };
}

/** Where a place of the film lies in the crop, counted from the centre of the crop's first sample. */
export function inCrop(point: Point, { centre, along, up, size }: UprightFrame, side = cropSide): Point {
  const offset = minus(point, centre);
  return [(dot(offset, along) / size + 0.5) * side - 0.5, (-dot(offset, up) / size + 0.5) * side - 0.5];
}

/** Where the crop's corners lie on the film; the fourth follows. */
export function cornersOfCrop({
  centre: [x, y],
  along,
  up,
  size,
}: UprightFrame): [topLeft: Point, topRight: Point, bottomLeft: Point] {
  const at = (right: number, high: number): Point => [
    x + (right * along[0] + high * up[0]) * (size / 2),
    y + (right * along[1] + high * up[1]) * (size / 2),
  ];
  return [at(-1, 1), at(1, 1), at(-1, -1)];
}

/**
 * Bilinear between the centres of pixels, zero outside the film (torch's grid_sample with align_corners=False). A film so
 * fine that samples would lie more than two pixels apart is first reduced by a whole-number area mean.
 */
export function uprightCrop(film: Plane, { centre, along, up, size }: UprightFrame, side = cropSide): Float32Array {
  const factor = Math.max(1, Math.ceil(size / side / mostPixelsPerSample));
  const greyAt = factor === 1 ? pixelsOf(film) : blocksOf(film, factor);
  const crop = new Float32Array(side * side);
  for (let row = 0; row < side; row += 1) {
    const down = ((row + 0.5) / side - 0.5) * size;
    for (let column = 0; column < side; column += 1) {
      const right = ((column + 0.5) / side - 0.5) * size;
      const x = (centre[0] + right * along[0] - down * up[0]) / factor - 0.5;
      const y = (centre[1] + right * along[1] - down * up[1]) / factor - 0.5;
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [fx, fy] = [x - left, y - top];
      crop[row * side + column] =
        (greyAt(left, top) * (1 - fx) + greyAt(left + 1, top) * fx) * (1 - fy) +
        (greyAt(left, top + 1) * (1 - fx) + greyAt(left + 1, top + 1) * fx) * fy;
    }
  }
  return crop;
}

type GreyAt = (column: number, row: number) => number;

const pixelsOf =
  ({ rows, columns, values }: Plane): GreyAt =>
  (column, row) =>
    column < 0 || row < 0 || column >= columns || row >= rows ? 0 : values[row * columns + column]!;

/** Means of whole blocks, each made when it is first asked for; pixels that fill no whole block at the edges are left out. */
function blocksOf({ rows, columns, values }: Plane, factor: number): GreyAt {
  const [blockRows, blockColumns] = [Math.floor(rows / factor), Math.floor(columns / factor)];
  const known = new Float64Array(blockRows * blockColumns).fill(Number.NaN);
  return (column, row) => {
    if (column < 0 || row < 0 || column >= blockColumns || row >= blockRows) return 0;
    const place = row * blockColumns + column;
    if (!Number.isNaN(known[place]!)) return known[place]!;
    let sum = 0;
    for (let y = row * factor; y < (row + 1) * factor; y += 1)
      for (let x = column * factor; x < (column + 1) * factor; x += 1) sum += values[y * columns + x]!;
    return (known[place] = sum / factor ** 2);
  };
}

/** 1 where a sample's centre lies inside the polygon (even-odd rule), 0 elsewhere. Places as {@link inCrop} gives them. */
export function polygonMask(corners: readonly Point[], side = cropSide): Uint8Array {
  const mask = new Uint8Array(side * side);
  for (const [index, [xa, ya]] of corners.entries()) {
    const [xb, yb] = corners[(index + 1) % corners.length]!;
    if (ya === yb) continue;
    for (let y = 0; y < side; y += 1) {
      if (ya > y === yb > y) continue;
      const edge = ((xb - xa) * (y - ya)) / (yb - ya) + xa;
      for (let x = 0; x < side && x < edge; x += 1) mask[y * side + x]! ^= 1;
    }
  }
  return mask;
}

/** By its own mean and spread, as the networks of crops were trained. */
export function normalisedCrop(crop: Float32Array): Float32Array {
  let sum = 0;
  for (let place = 0; place < crop.length; place += 1) sum += crop[place]!;
  const average = sum / crop.length;
  let squares = 0;
  for (let place = 0; place < crop.length; place += 1) squares += (crop[place]! - average) ** 2;
  const spread = Math.sqrt(squares / crop.length);
  const normalised = new Float32Array(crop.length);
  for (let place = 0; place < crop.length; place += 1) normalised[place] = (crop[place]! - average) / (spread + 1e-2);
  return normalised;
}
