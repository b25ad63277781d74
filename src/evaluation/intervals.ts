/** 95 % intervals: Wilson for a share of independent cases, the bootstrap by patient for everything else. */
import { normalQuantile } from './distributions.ts';
import { seededRandom } from './random.ts';

export type Interval = readonly [low: number, high: number];

/** Wilson 1927: honest also near 0 and 1, where k/n ± 2 standard errors is not. */
export function wilson(successes: number, of: number, level = 0.95): Interval {
  if (of === 0) return [0, 1];
  const z = normalQuantile(0.5 + level / 2);
  const share = successes / of;
  const centre = share + (z * z) / (2 * of);
  const half = z * Math.sqrt((share * (1 - share)) / of + (z * z) / (4 * of * of));
  const scale = 1 + (z * z) / of;
  return [Math.max(0, (centre - half) / scale), Math.min(1, (centre + half) / scale)];
}

export type BootstrapOptions = {
  readonly replicates?: number;
  readonly seed?: number;
  readonly level?: number;
};

/**
 * Percentile intervals over resamples of whole patients: two films of one patient say less than films of two, and
 * drawing films one by one would make the interval too narrow. Replicates in which a figure is undefined (a class
 * is missing) are left out for that figure.
 */
export function patientBootstrap<Case, Figures extends Readonly<Record<string, number>>>(
  cases: readonly Case[],
  patientOf: (one: Case) => string,
  figuresOf: (sample: readonly Case[]) => Figures,
  { replicates = 2000, seed = 20_231_121, level = 0.95 }: BootstrapOptions = {},
): { readonly [Name in keyof Figures]: Interval } {
  const patients = [...Map.groupBy(cases, patientOf).values()];
  const random = seededRandom(seed);
  const drawn = new Map<string, number[]>();
  for (let replicate = 0; replicate < replicates; replicate += 1) {
    const sample: Case[] = [];
    for (let draw = 0; draw < patients.length; draw += 1) {
      for (const one of patients[random.below(patients.length)]!) sample.push(one);
    }
    for (const [name, value] of Object.entries(figuresOf(sample))) {
      if (!Number.isFinite(value)) continue;
      const values = drawn.get(name);
      if (values === undefined) drawn.set(name, [value]);
      else values.push(value);
    }
  }
  const names = Object.keys(figuresOf(cases));
  return Object.fromEntries(names.map((name) => [name, percentileInterval(drawn.get(name) ?? [], level)])) as {
    [Name in keyof Figures]: Interval;
  };
}

export function percentileInterval(values: readonly number[], level = 0.95): Interval {
  const sorted = inOrder(values);
  return [quantile(sorted, (1 - level) / 2), quantile(sorted, (1 + level) / 2)];
}

/** Of values in order, between neighbours in a straight line (type 7 of Hyndman and Fan, as numpy and R). */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return NaN;
  const place = (sorted.length - 1) * share;
  const below = Math.floor(place);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return low + (high - low) * (place - below);
}

/** As numbers, smallest first; arrays of doubles are sorted several times faster than others. */
export const inOrder = (values: readonly number[]): Float64Array => Float64Array.from(values).sort();

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

export const median = (values: readonly number[]): number => quantile(inOrder(values), 0.5);
