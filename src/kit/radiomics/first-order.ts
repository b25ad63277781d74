/** Intensity statistics (IBSI 3.3) and the intensity histogram (IBSI 3.4). */
import { inside, type Features, type Levels, type Region } from './region.ts';

export function intensityStatistics(region: Region): Features {
  const values = inside(region);
  const sorted = values.toSorted();
  const { minimum, maximum, mean, variance, skewness, kurtosis } = moments(values, sorted);
  let energy = 0;
  for (const value of values) energy += value * value;
  return {
    mean,
    variance,
    skewness,
    excessKurtosis: kurtosis,
    ...spread(sorted, mean, variance),
    minimum,
    maximum,
    range: maximum - minimum,
    energy,
    rootMeanSquare: Math.sqrt(energy / values.length),
  };
}

export function intensityHistogram({ framed, inside: places, count }: Levels): Features {
  const values = Float64Array.from(places, (place) => framed[place]!);
  const frequencies = new Float64Array(count);
  for (const level of values) frequencies[level - 1]! += 1;
  const sorted = inOrder(frequencies, values.length);
  const { minimum, maximum, mean, variance, skewness, kurtosis } = moments(values, sorted);
  const mode = modeOf(frequencies, mean);
  const shares = frequencies.map((frequency) => frequency / values.length);
  const gradient = gradientOf(frequencies);
  const steepest = indexOfExtreme(gradient, (a, b) => a > b);
  const falling = indexOfExtreme(gradient, (a, b) => a < b);
  return {
    mean,
    variance,
    skewness,
    excessKurtosis: kurtosis,
    ...spread(sorted, mean, variance),
    minimum,
    maximum,
    mode,
    range: maximum - minimum,
    entropy: entropyOf(shares),
    uniformity: shares.reduce((sum, share) => sum + share * share, 0),
    maximumGradient: gradient[steepest] ?? 0,
    maximumGradientLevel: steepest + 1,
    minimumGradient: gradient[falling] ?? 0,
    minimumGradientLevel: falling + 1,
  };
}

/** In bits, as everywhere in IBSI. */
export const entropyOf = (shares: Iterable<number>): number => {
  let sum = 0;
  for (const share of shares) if (share > 0) sum -= share * Math.log2(share);
  return sum;
};

/** Every level as often as it occurs, from the lowest. */
function inOrder(frequencies: Float64Array, length: number): Float64Array {
  const levels = new Float64Array(length);
  let to = 0;
  for (const [index, frequency] of frequencies.entries()) levels.fill(index + 1, to, (to += frequency));
  return levels;
}

function meanOf(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

function moments(values: Float64Array, sorted: Float64Array) {
  const n = values.length;
  const mean = meanOf(values);
  let [squares, cubes, fourths] = [0, 0, 0];
  for (const value of values) {
    const away = value - mean;
    const square = away * away;
    squares += square;
    cubes += square * away;
    fourths += square * square;
  }
  const variance = squares / n;
  return {
    mean,
    // Population moments; a region of one value has no shape.
    variance,
    skewness: variance === 0 ? 0 : cubes / n / variance ** 1.5,
    kurtosis: variance === 0 ? 0 : fourths / n / variance ** 2 - 3,
    minimum: sorted[0]!,
    maximum: sorted[n - 1]!,
  };
}

function spread(sorted: Float64Array, mean: number, variance: number): Features {
  const n = sorted.length;
  const [p10, p25, p50, p75, p90] = [0.1, 0.25, 0.5, 0.75, 0.9].map((share) => percentile(sorted, share)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const absoluteDeviation = (from: number, values: Float64Array): number => {
    let sum = 0;
    for (const value of values) sum += Math.abs(value - from);
    return sum / values.length;
  };
  const middle = sorted.subarray(
    sorted.findIndex((value) => value >= p10),
    sorted.findLastIndex((value) => value <= p90) + 1,
  );
  return {
    median: n % 2 === 1 ? sorted[(n - 1) / 2]! : (sorted[n / 2 - 1]! + sorted[n / 2]!) / 2,
    percentile10: p10,
    percentile90: p90,
    interquartileRange: p75 - p25,
    meanAbsoluteDeviation: absoluteDeviation(mean, sorted),
    robustMeanAbsoluteDeviation: absoluteDeviation(meanOf(middle), middle),
    medianAbsoluteDeviation: absoluteDeviation(p50, sorted),
    coefficientOfVariation: Math.sqrt(variance) / mean,
    quartileCoefficientOfDispersion: (p75 - p25) / (p75 + p25),
  };
}

/** Between neighbours in a straight line. */
function percentile(sorted: Float64Array, share: number): number {
  const place = (sorted.length - 1) * share;
  const below = Math.floor(place);
  const low = sorted[below]!;
  return low + ((sorted[below + 1] ?? low) - low) * (place - below);
}

/** Of levels that are equally frequent the one nearest to the mean, and of those the lower (IBSI). */
function modeOf(frequencies: Float64Array, mean: number): number {
  const most = Math.max(...frequencies);
  let mode = 0;
  frequencies.forEach((frequency, index) => {
    const level = index + 1;
    if (frequency === most && (mode === 0 || Math.abs(level - mean) < Math.abs(mode - mean))) mode = level;
  });
  return mode;
}

/** Central differences, one-sided at the ends. */
function gradientOf(frequencies: Float64Array): Float64Array {
  const last = frequencies.length - 1;
  if (last === 0) return new Float64Array(1);
  return frequencies.map((_, index) => {
    if (index === 0) return frequencies[1]! - frequencies[0]!;
    if (index === last) return frequencies[last]! - frequencies[last - 1]!;
    return (frequencies[index + 1]! - frequencies[index - 1]!) / 2;
  });
}

function indexOfExtreme(values: Float64Array, better: (a: number, b: number) => boolean): number {
  let best = 0;
  values.forEach((value, index) => {
    if (better(value, values[best]!)) best = index;
  });
  return best;
}
