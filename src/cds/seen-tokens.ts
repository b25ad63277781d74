/** Remembers which tokens were used while they live, so that a copied one opens nothing; forgets by the minute and is bounded. */

export type SeenTokens = {
  /** `full`: a token that cannot be remembered cannot be accepted. */
  use(issuer: string, jti: string, expiresAtSeconds: number): 'first' | 'repeated' | 'full';
};

const bucketSeconds = 60;

export function seenTokens({ atMost, now }: { readonly atMost: number; readonly now: () => number }): SeenTokens {
  /** Minute of expiry → tokens: whole minutes are forgotten at once, without looking at each token. */
  const buckets = new Map<number, Set<string>>();
  let remembered = 0;
  let sweptAt = -Infinity;

  const sweep = (nowSeconds: number): void => {
    if (nowSeconds - sweptAt < 1) return;
    sweptAt = nowSeconds;
    for (const [bucket, tokens] of buckets) {
      if ((bucket + 1) * bucketSeconds >= nowSeconds) continue;
      remembered -= tokens.size;
      buckets.delete(bucket);
    }
  };

  return {
    use(issuer, jti, expiresAtSeconds) {
      sweep(now() / 1000);
      const token = `${issuer}\n${jti}`;
      // The same jti with another expiry is still the same jti: all living minutes are looked at, and there are few.
      for (const tokens of buckets.values()) if (tokens.has(token)) return 'repeated';
      if (remembered >= atMost) return 'full';
      const bucket = Math.floor(expiresAtSeconds / bucketSeconds);
      const tokens = buckets.get(bucket);
      if (tokens === undefined) buckets.set(bucket, new Set([token]));
      else tokens.add(token);
      remembered += 1;
      return 'first';
    },
  };
}
