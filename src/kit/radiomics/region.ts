/** A region of interest for radiomics: values on a grid, which of them belong, and their grey levels. */

/** Row by row, slice by slice; a radiograph has one slice. */
export type Region = {
  readonly columns: number;
  readonly rows: number;
  readonly slices: number;
  readonly values: ArrayLike<number>;
  /** Not 0 where a voxel belongs to the region. */
  readonly mask: ArrayLike<number>;
};

/**
 * Grey levels 1 to `count`, 0 outside the region. A frame of zeros one voxel wide surrounds the grid, so that every
 * neighbour is a fixed distance away and none has to be asked whether it exists.
 */
export type Levels = {
  readonly count: number;
  readonly framed: Uint16Array;
  /** How far the next row, and the next slice, is. */
  readonly rowStride: number;
  readonly sliceStride: number;
  readonly slices: number;
  /** Places of the region's voxels in `framed`. */
  readonly inside: Int32Array;
};

export const voxels = (region: Region): number => region.columns * region.rows * region.slices;

/** The values inside, in order of place. */
export function inside(region: Region): Float64Array {
  const found = new Float64Array(countInside(region));
  for (let index = 0, to = 0; to < found.length; index += 1)
    if (region.mask[index] !== 0) found[to++] = region.values[index]!;
  return found;
}

function countInside(region: Region): number {
  let count = 0;
  for (let index = 0; index < voxels(region); index += 1) if (region.mask[index] !== 0) count += 1;
  return count;
}

/** IBSI's fixed bin number: the region's own range cut into equal parts, so that exposure and gain fall out. */
export function fixedBinNumber(region: Region, count = 32): Levels {
  const values = inside(region);
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const width = high - low;
  return levelsBy(region, count, (value) =>
    width === 0 ? 1 : Math.min(count, Math.floor((count * (value - low)) / width) + 1),
  );
}

/** Values that are grey levels already. */
export function asLevels(region: Region): Levels {
  let count = 0;
  for (const value of inside(region)) {
    if (!Number.isInteger(value) || value < 1) throw new RangeError(`${value} is not a grey level`);
    count = Math.max(count, value);
  }
  return levelsBy(region, count, (value) => value);
}

function levelsBy(region: Region, count: number, levelOf: (value: number) => number): Levels {
  const { columns, rows, slices } = region;
  const rowStride = columns + 2;
  const sliceStride = rowStride * (rows + 2);
  const framed = new Uint16Array(sliceStride * (slices + 2));
  const places = new Int32Array(countInside(region));
  for (let z = 0, from = 0, found = 0; z < slices; z += 1)
    for (let y = 0; y < rows; y += 1)
      for (let x = 0; x < columns; x += 1, from += 1) {
        if (region.mask[from] === 0) continue;
        const to = (z + 1) * sliceStride + (y + 1) * rowStride + x + 1;
        framed[to] = levelOf(region.values[from]!);
        places[found++] = to;
      }
  return { count, framed, rowStride, sliceStride, slices, inside: places };
}

export type Step = readonly [dx: number, dy: number, dz: number];

/** One of each pair of opposite neighbours: 4 within a slice, 13 in a volume. */
export const stepsInSlice: readonly Step[] = [
  [1, 0, 0],
  [0, 1, 0],
  [1, 1, 0],
  [-1, 1, 0],
];
export const stepsInVolume: readonly Step[] = [
  ...stepsInSlice,
  ...[-1, 0, 1].flatMap((dy) => [-1, 0, 1].map((dx): Step => [dx, dy, 1])),
];

/** All neighbours at Chebyshev distance 1. */
export const bothWays = (steps: readonly Step[]): Step[] =>
  steps.flatMap(([dx, dy, dz]): Step[] => [
    [dx, dy, dz],
    [-dx, -dy, -dz],
  ]);

/** How matrices of directions and slices become one set of features (IBSI 3.6.1). */
export type Aggregation =
  /** One slice at a time, features of each direction averaged. */
  | '2d-average'
  /** One slice at a time, directions merged. */
  | '2d-merged'
  | '3d-average'
  | '3d-merged';

export const isVolume = (aggregation: Aggregation): boolean => aggregation.startsWith('3d');

/** The slices that hold a part of the region, each as a region of its own. */
export function slicesOf(levels: Levels): Levels[] {
  const { sliceStride, inside: all } = levels;
  if (levels.slices === 1) return [levels];
  return [...Map.groupBy(all, (place) => Math.floor(place / sliceStride)).values()].map((places) => ({
    ...levels,
    slices: 1,
    inside: Int32Array.from(places),
  }));
}

/** The parts that matrices are made of, for one aggregation: whole volumes or single slices. */
export const partsOf = (levels: Levels, aggregation: Aggregation): Levels[] =>
  isVolume(aggregation) ? [levels] : slicesOf(levels);

export type Features = Readonly<Record<string, number>>;

export function averaged(all: readonly Features[]): Features {
  const names = Object.keys(all[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, all.reduce((sum, features) => sum + features[name]!, 0) / all.length]),
  );
}

/** How far away each step leads. */
export const distances = ({ rowStride, sliceStride }: Levels, steps: readonly Step[]): Int32Array =>
  Int32Array.from(steps, ([dx, dy, dz]) => dz * sliceStride + dy * rowStride + dx);
