/** What the matrices of runs and of zones have in common: grey level one way, size the other (IBSI 3.7, 3.8). */
import { entropyOf } from './first-order.ts';
import type { Features } from './region.ts';

export type SizeCell = { readonly level: number; readonly size: number; readonly count: number };

/** Counts by level (1 …) and size (1 …). */
export class SizeMatrix {
  private readonly counts = new Map<number, number>();
  /** More than a level can be. Sizes are the larger part of a key: most are small, and so is the key, which is fast. */
  private static readonly stride = 2 ** 16;

  add(level: number, size: number, count = 1): void {
    this.addTo(size * SizeMatrix.stride + level, count);
  }

  merge(other: SizeMatrix): this {
    for (const [key, count] of other.counts) this.addTo(key, count);
    return this;
  }

  cells(): readonly SizeCell[] {
    const { stride } = SizeMatrix;
    return Array.from(this.counts, ([key, count]) => ({ level: key % stride, size: Math.floor(key / stride), count }));
  }

  private addTo(key: number, count: number): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + count);
  }
}

/** How many there are of each level, or of each size, squared and added up. */
export function sumOfSquares(cells: readonly SizeCell[], by: 'level' | 'size'): number {
  const counts = new Map<number, number>();
  for (const cell of cells) counts.set(cell[by], (counts.get(cell[by]) ?? 0) + cell.count);
  let sum = 0;
  for (const count of counts.values()) sum += count * count;
  return sum;
}

/** Names of the sixteen features; runs and zones call them alike but for one word. */
export function sizeFeatures(
  matrix: SizeMatrix,
  voxels: number,
  words: { small: string; large: string; size: string; plural: string },
): Features {
  const cells = matrix.cells();
  const total = cells.reduce((sum, { count }) => sum + count, 0);
  const [levelSquares, sizeSquares] = [sumOfSquares(cells, 'level'), sumOfSquares(cells, 'size')];
  const mean = (term: (level: number, size: number) => number): number => {
    let sum = 0;
    for (const { level, size, count } of cells) sum += count * term(level, size);
    return sum / total;
  };
  const meanLevel = mean((level) => level);
  const meanSize = mean((_, size) => size);
  const { small, large, size: sizeWord, plural } = words;
  return {
    [`${small}Emphasis`]: mean((_, size) => 1 / size ** 2),
    [`${large}Emphasis`]: mean((_, size) => size ** 2),
    lowGreyLevelEmphasis: mean((level) => 1 / level ** 2),
    highGreyLevelEmphasis: mean((level) => level ** 2),
    [`${small}LowGreyLevelEmphasis`]: mean((level, size) => 1 / (level * size) ** 2),
    [`${small}HighGreyLevelEmphasis`]: mean((level, size) => (level / size) ** 2),
    [`${large}LowGreyLevelEmphasis`]: mean((level, size) => (size / level) ** 2),
    [`${large}HighGreyLevelEmphasis`]: mean((level, size) => (level * size) ** 2),
    greyLevelNonUniformity: levelSquares / total,
    normalisedGreyLevelNonUniformity: levelSquares / total ** 2,
    [`${sizeWord}NonUniformity`]: sizeSquares / total,
    [`normalised${sizeWord[0]!.toUpperCase()}${sizeWord.slice(1)}NonUniformity`]: sizeSquares / total ** 2,
    [`${plural}Percentage`]: total / voxels,
    greyLevelVariance: mean((level) => (level - meanLevel) ** 2),
    [`${sizeWord}Variance`]: mean((_, size) => (size - meanSize) ** 2),
    [`${sizeWord}Entropy`]: entropyOf(cells.map(({ count }) => count / total)),
  };
}
