/** Grey level co-occurrence (IBSI 3.6): how often levels stand beside each other. */
import { entropyOf } from './first-order.ts';
import {
  averaged,
  distances,
  isVolume,
  partsOf,
  stepsInSlice,
  stepsInVolume,
  type Aggregation,
  type Features,
  type Levels,
} from './region.ts';

export function glcm(levels: Levels, aggregation: Aggregation): Features {
  const steps = isVolume(aggregation) ? stepsInVolume : stepsInSlice;
  const perPart = partsOf(levels, aggregation).map((part) => {
    const matrices = Array.from(distances(part, steps), (distance) => coOccurrences(part, distance));
    return aggregation.endsWith('average')
      ? averaged(matrices.filter(holdsAny).map((matrix) => featuresOf(matrix, levels.count)))
      : featuresOf(merged(matrices), levels.count);
  });
  return averaged(perPart);
}

/** Symmetric: each pair counts both ways. */
function coOccurrences({ count, framed, inside }: Levels, distance: number): Float64Array {
  const matrix = new Float64Array(count * count);
  for (const place of inside) {
    const beside = framed[place + distance]!;
    if (beside === 0) continue;
    const level = framed[place]!;
    matrix[(level - 1) * count + beside - 1]! += 1;
    matrix[(beside - 1) * count + level - 1]! += 1;
  }
  return matrix;
}

const holdsAny = (matrix: Float64Array): boolean => matrix.some((entry) => entry > 0);

function merged(matrices: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(matrices[0]!.length);
  for (const matrix of matrices) matrix.forEach((entry, index) => (sum[index]! += entry));
  return sum;
}

function featuresOf(matrix: Float64Array, count: number): Features {
  const total = matrix.reduce((sum, entry) => sum + entry, 0);
  const p = matrix.map((entry) => entry / total);
  const cells = cellsOf(p, count);
  const margin = new Float64Array(count);
  const difference = new Float64Array(count);
  const sum = new Float64Array(2 * count - 1);
  for (const { i, j, share } of cells) {
    margin[i - 1]! += share;
    difference[Math.abs(i - j)]! += share;
    sum[i + j - 2]! += share;
  }
  const over = (term: (i: number, j: number) => number): number => {
    let result = 0;
    for (const { i, j, share } of cells) result += share * term(i, j);
    return result;
  };
  const mean = over((i) => i);
  const variance = over((i) => (i - mean) ** 2);
  const differenceMean = weighted(difference, 0, (k) => k);
  const sumMean = weighted(sum, 2, (k) => k);
  const jointEntropy = entropyOf(p);
  const autocorrelation = over((i, j) => i * j);
  return {
    jointMaximum: Math.max(...p),
    jointAverage: mean,
    jointVariance: variance,
    jointEntropy,
    differenceAverage: differenceMean,
    differenceVariance: weighted(difference, 0, (k) => (k - differenceMean) ** 2),
    differenceEntropy: entropyOf(difference),
    sumAverage: sumMean,
    sumVariance: weighted(sum, 2, (k) => (k - sumMean) ** 2),
    sumEntropy: entropyOf(sum),
    angularSecondMoment: p.reduce((total2, share) => total2 + share * share, 0),
    contrast: over((i, j) => (i - j) ** 2),
    dissimilarity: over((i, j) => Math.abs(i - j)),
    inverseDifference: over((i, j) => 1 / (1 + Math.abs(i - j))),
    normalisedInverseDifference: over((i, j) => 1 / (1 + Math.abs(i - j) / count)),
    inverseDifferenceMoment: over((i, j) => 1 / (1 + (i - j) ** 2)),
    normalisedInverseDifferenceMoment: over((i, j) => 1 / (1 + ((i - j) / count) ** 2)),
    inverseVariance: over((i, j) => (i === j ? 0 : 1 / (i - j) ** 2)),
    // One level only: everything is where the mean says.
    correlation: variance === 0 ? 1 : (autocorrelation - mean * mean) / variance,
    autocorrelation,
    clusterTendency: over((i, j) => (i + j - 2 * mean) ** 2),
    clusterShade: over((i, j) => (i + j - 2 * mean) ** 3),
    clusterProminence: over((i, j) => (i + j - 2 * mean) ** 4),
    ...informationCorrelations(p, margin, count, jointEntropy),
  };
}

function informationCorrelations(p: Float64Array, margin: Float64Array, count: number, jointEntropy: number): Features {
  const marginEntropy = entropyOf(margin);
  let [first, second] = [0, 0];
  for (let i = 0; i < count; i += 1)
    for (let j = 0; j < count; j += 1) {
      const product = margin[i]! * margin[j]!;
      if (product === 0) continue;
      first -= p[i * count + j]! * Math.log2(product);
      second -= product * Math.log2(product);
    }
  return {
    firstInformationCorrelation: marginEntropy === 0 ? 0 : (jointEntropy - first) / marginEntropy,
    secondInformationCorrelation: second > jointEntropy ? Math.sqrt(1 - Math.exp(-2 * (second - jointEntropy))) : 0,
  };
}

/** Only where something stands: most of 32 × 32 entries are empty. */
function cellsOf(p: Float64Array, count: number): readonly { i: number; j: number; share: number }[] {
  const cells: { i: number; j: number; share: number }[] = [];
  for (const [index, share] of p.entries())
    if (share > 0) cells.push({ i: Math.floor(index / count) + 1, j: (index % count) + 1, share });
  return cells;
}

const weighted = (shares: Float64Array, from: number, term: (k: number) => number): number =>
  shares.reduce((sum, share, index) => sum + share * term(index + from), 0);
