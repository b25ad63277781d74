/** What the matrices of runs and of zones have in common: grey level one way, size the other (IBSI 3.7, 3.8). */
import { entropyOf } from './first-order.ts';
import type { Features } from './region.ts';

/** Counts by level (1 …) and size (1 …). */
export class SizeMatrix {
  readonly counts = new Map<number, number>();
  private static readonly stride = 2 ** 24;

  add(level: number, size: number, count = 1): void {
    const key = level * SizeMatrix.stride + size;
    this.counts.set(key, (this.counts.get(key) ?? 0) + count);
  }

  merge(other: SizeMatrix): this {
    for (const [key, count] of other.counts) this.counts.set(key, (this.counts.get(key) ?? 0) + count);
    return this;
  }

  *entries(): Generator<readonly [level: number, size: number, count: number]> {
    for (const [key, count] of this.counts) yield [Math.floor(key / SizeMatrix.stride), key % SizeMatrix.stride, count];
  }
}

/** Names of the sixteen features; runs and zones call them alike but for one word. */
export function sizeFeatures(
  matrix: SizeMatrix,
  voxels: number,
  words: { small: string; large: string; size: string; plural: string },
): Features {
  let total = 0;
  const byLevel = new Map<number, number>();
  const bySize = new Map<number, number>();
  for (const [level, size, count] of matrix.entries()) {
    total += count;
    byLevel.set(level, (byLevel.get(level) ?? 0) + count);
    bySize.set(size, (bySize.get(size) ?? 0) + count);
  }
  const mean = (term: (level: number, size: number) => number): number => {
    let sum = 0;
    for (const [level, size, count] of matrix.entries()) sum += count * term(level, size);
    return sum / total;
  };
  const squares = (counts: ReadonlyMap<number, number>): number =>
    [...counts.values()].reduce((sum, count) => sum + count * count, 0);
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
    greyLevelNonUniformity: squares(byLevel) / total,
    normalisedGreyLevelNonUniformity: squares(byLevel) / total ** 2,
    [`${sizeWord}NonUniformity`]: squares(bySize) / total,
    [`normalised${sizeWord[0]!.toUpperCase()}${sizeWord.slice(1)}NonUniformity`]: squares(bySize) / total ** 2,
    [`${plural}Percentage`]: total / voxels,
    greyLevelVariance: mean((level) => (level - meanLevel) ** 2),
    [`${sizeWord}Variance`]: mean((_, size) => (size - meanSize) ** 2),
    [`${sizeWord}Entropy`]: entropyOf([...matrix.counts.values()].map((count) => count / total)),
  };
}
