/** A voxel and those around it: grey tone difference (NGTDM, IBSI 3.10) and level dependence (NGLDM, IBSI 3.11). */
import { entropyOf } from './first-order.ts';
import {
  averaged,
  bothWays,
  distances,
  isVolume,
  partsOf,
  stepsInSlice,
  stepsInVolume,
  type Aggregation,
  type Features,
  type Levels,
  type Step,
} from './region.ts';
import { SizeMatrix, sumOfSquares } from './size-features.ts';

const stepsFor = (aggregation: Aggregation): Step[] => bothWays(isVolume(aggregation) ? stepsInVolume : stepsInSlice);

export const ngtdm = (levels: Levels, aggregation: Aggregation): Features =>
  averaged(partsOf(levels, aggregation).map((part) => toneDifferences(part, stepsFor(aggregation))));

export const ngldm = (levels: Levels, aggregation: Aggregation): Features =>
  averaged(partsOf(levels, aggregation).map((part) => dependences(part, stepsFor(aggregation))));

function toneDifferences(part: Levels, steps: readonly Step[]): Features {
  const { count, framed } = part;
  const around = distances(part, steps);
  const s = new Float64Array(count + 1);
  const n = new Float64Array(count + 1);
  let total = 0;
  for (const place of part.inside) {
    const level = framed[place]!;
    let [sum, beside] = [0, 0];
    for (const distance of around) {
      const other = framed[place + distance]!;
      if (other === 0) continue;
      sum += other;
      beside += 1;
    }
    // A voxel alone has no neighbourhood.
    if (beside === 0) continue;
    s[level]! += Math.abs(level - sum / beside);
    n[level]! += 1;
    total += 1;
  }
  const p = n.map((one) => one / total);
  const present = [...p.keys()].filter((level) => p[level]! > 0);
  let [coarse, differences] = [0, 0];
  for (const level of present) {
    coarse += p[level]! * s[level]!;
    differences += s[level]!;
  }
  let [contrast, busy, complexity, strength] = [0, 0, 0, 0];
  for (const i of present)
    for (const j of present) {
      const [pi, pj] = [p[i]!, p[j]!];
      contrast += pi * pj * (i - j) ** 2;
      busy += Math.abs(i * pi - j * pj);
      complexity += (Math.abs(i - j) * (pi * s[i]! + pj * s[j]!)) / (pi + pj);
      strength += (pi + pj) * (i - j) ** 2;
    }
  const levels = present.length;
  return {
    // IBSI's stand-in for a region without any difference.
    coarseness: coarse === 0 ? 1e6 : 1 / coarse,
    contrast: levels < 2 ? 0 : (contrast / (levels * (levels - 1))) * (differences / total),
    busyness: busy === 0 ? 0 : coarse / busy,
    complexity: complexity / total,
    strength: differences === 0 ? 0 : strength / differences,
  };
}

/** How many neighbours have the very same level (coarseness 0), the voxel itself counted. */
function dependences(part: Levels, steps: readonly Step[]): Features {
  const { framed } = part;
  const around = distances(part, steps);
  const matrix = new SizeMatrix();
  const voxels = part.inside.length;
  for (const place of part.inside) {
    const level = framed[place]!;
    let alike = 1;
    for (const distance of around) if (framed[place + distance] === level) alike += 1;
    matrix.add(level, alike);
  }
  const cells = matrix.cells();
  const mean = (term: (level: number, alike: number) => number): number => {
    let sum = 0;
    for (const { level, size: alike, count } of cells) sum += count * term(level, alike);
    return sum / voxels;
  };
  const [levelSquares, countSquares] = [sumOfSquares(cells, 'level'), sumOfSquares(cells, 'size')];
  const shares = cells.map(({ count }) => count / voxels);
  const [meanLevel, meanCount] = [mean((level) => level), mean((_, alike) => alike)];
  return {
    lowDependenceEmphasis: mean((_, alike) => 1 / alike ** 2),
    highDependenceEmphasis: mean((_, alike) => alike ** 2),
    lowGreyLevelCountEmphasis: mean((level) => 1 / level ** 2),
    highGreyLevelCountEmphasis: mean((level) => level ** 2),
    lowDependenceLowGreyLevelEmphasis: mean((level, alike) => 1 / (level * alike) ** 2),
    lowDependenceHighGreyLevelEmphasis: mean((level, alike) => (level / alike) ** 2),
    highDependenceLowGreyLevelEmphasis: mean((level, alike) => (alike / level) ** 2),
    highDependenceHighGreyLevelEmphasis: mean((level, alike) => (level * alike) ** 2),
    greyLevelNonUniformity: levelSquares / voxels,
    normalisedGreyLevelNonUniformity: levelSquares / voxels ** 2,
    dependenceCountNonUniformity: countSquares / voxels,
    normalisedDependenceCountNonUniformity: countSquares / voxels ** 2,
    // Always 1 as every voxel has a dependence; kept so that the list is IBSI's.
    dependenceCountPercentage: 1,
    greyLevelVariance: mean((level) => (level - meanLevel) ** 2),
    dependenceCountVariance: mean((_, alike) => (alike - meanCount) ** 2),
    dependenceCountEntropy: entropyOf(shares),
    dependenceCountEnergy: shares.reduce((sum, share) => sum + share * share, 0),
  };
}
