/** Whether two answers about the same cases agree: McNemar's test, Cohen's kappa. */
import { binomialCumulative, chiSquaredTail } from './distributions.ts';

export type McNemar = {
  /** Cases only the first, and only the second, had right. */
  readonly onlyFirst: number;
  readonly onlySecond: number;
  /** Exact, two-sided: the number to report. */
  readonly p: number;
  /** With continuity correction, for comparison with papers. */
  readonly chiSquared: number;
  readonly pOfChiSquared: number;
};

export function mcNemar(pairs: Iterable<{ readonly first: boolean; readonly second: boolean }>): McNemar {
  let [onlyFirst, onlySecond] = [0, 0];
  for (const { first, second } of pairs) {
    if (first && !second) onlyFirst += 1;
    if (second && !first) onlySecond += 1;
  }
  const discordant = onlyFirst + onlySecond;
  if (discordant === 0) return { onlyFirst, onlySecond, p: 1, chiSquared: 0, pOfChiSquared: 1 };
  const p = Math.min(1, 2 * binomialCumulative(Math.min(onlyFirst, onlySecond), discordant, 0.5));
  const chiSquared = Math.max(0, Math.abs(onlyFirst - onlySecond) - 1) ** 2 / discordant;
  return { onlyFirst, onlySecond, p, chiSquared, pOfChiSquared: chiSquaredTail(chiSquared, 1) };
}

/** `linear` and `quadratic` need labels in order: a grade II called III is less wrong than one called V. */
export type KappaWeights = 'none' | 'linear' | 'quadratic';

/** NaN when both always say the same one thing: agreement by chance is then complete, and kappa says nothing. */
export function cohenKappa(counts: readonly (readonly number[])[], weights: KappaWeights = 'none'): number {
  const total = counts.flat().reduce((sum, count) => sum + count, 0);
  const rows = counts.map((row) => row.reduce((sum, count) => sum + count, 0));
  const columns = counts.map((_, index) => counts.reduce((sum, row) => sum + row[index]!, 0));
  let [observed, expected] = [0, 0];
  counts.forEach((row, i) =>
    row.forEach((count, j) => {
      const apart = weights === 'none' ? Number(i !== j) : Math.abs(i - j) ** (weights === 'linear' ? 1 : 2);
      observed += apart * count;
      expected += (apart * rows[i]! * columns[j]!) / total;
    }),
  );
  return 1 - observed / expected;
}
