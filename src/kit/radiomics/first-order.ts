/** Intensity statistics (IBSI 3.3) and the intensity histogram (IBSI 3.4). */
import { inside, type Features, type Levels, type Region } from './region.ts';

export function intensityStatistics(region: Region): Features {
  const values = inside(region);
  const { minimum, maximum, mean, variance, skewness, kurtosis, sorted } = moments(values);
  const energy = values.reduce((sum, value) => sum + value * value, 0);
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
  const { minimum, maximum, mean, variance, skewness, kurtosis, sorted } = moments(values);
  const frequencies = new Float64Array(count);
  for (const level of values) frequencies[level - 1]! += 1;
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

function moments(values: Float64Array) {
  const sorted = values.toSorted();
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const central = (power: number): number => values.reduce((sum, value) => sum + (value - mean) ** power, 0) / n;
  const variance = central(2);
  return {
    sorted,
    mean,
    // Population moments; a region of one value has no shape.
    variance,
    skewness: variance === 0 ? 0 : central(3) / variance ** 1.5,
    kurtosis: variance === 0 ? 0 : central(4) / variance ** 2 - 3,
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
  const absoluteDeviation = (from: number, values: Float64Array): number =>
    values.reduce((sum, value) => sum + Math.abs(value - from), 0) / values.length;
  const middle = sorted.filter((value) => value >= p10 && value <= p90);
  const middleMean = middle.reduce((sum, value) => sum + value, 0) / middle.length;
  return {
    median: n % 2 === 1 ? sorted[(n - 1) / 2]! : (sorted[n / 2 - 1]! + sorted[n / 2]!) / 2,
    percentile10: p10,
    percentile90: p90,
    interquartileRange: p75 - p25,
    meanAbsoluteDeviation: absoluteDeviation(mean, sorted),
    robustMeanAbsoluteDeviation: absoluteDeviation(middleMean, middle),
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
