/** One slip from two measurements of it: where the corners stand, and what the slip branch sees of the whole segment. */

/** In percent of the lower end plate. */
export type Measured = { readonly percent: number; readonly deviation: number };

/**
 * Each counts by its variance. Where the two lie further apart than both variances allow, what is beyond is added to both
 * (random effects after DerSimonian and Laird, for two): they count more alike, and the answer is less sure.
 * `share` is what the first has in it.
 */
export function joined(one: Measured, other: Measured): Measured & { readonly share: number } {
  const variances = [one.deviation ** 2, other.deviation ** 2] as const;
  const beyond = Math.max(0, ((one.percent - other.percent) ** 2 - variances[0] - variances[1]) / 2);
  const [weight, otherWeight] = [1 / (variances[0] + beyond), 1 / (variances[1] + beyond)];
  const share = weight / (weight + otherWeight);
  return {
    percent: share * one.percent + (1 - share) * other.percent,
    deviation: Math.sqrt(1 / (weight + otherWeight)),
    share,
  };
}
