/** How well clusters follow labels: purity and every variant of normalised mutual information, named apart. */

export type ClusterAgreement = {
  readonly purity: number;
  readonly mutualInformation: number;
  /** Mutual information over a mean, or an extreme, of the two entropies. Papers seldom say which. */
  readonly nmi: {
    readonly arithmetic: number;
    readonly geometric: number;
    readonly min: number;
    readonly max: number;
  };
};

export function clusterAgreement(
  pairs: readonly { readonly cluster: string; readonly label: string }[],
): ClusterAgreement {
  const n = pairs.length;
  const clusters = countsOf(pairs.map(({ cluster }) => cluster));
  const labels = countsOf(pairs.map(({ label }) => label));
  const joint = Map.groupBy(pairs, ({ cluster }) => cluster);
  let mutual = 0;
  let majority = 0;
  for (const [cluster, members] of joint) {
    const inside = countsOf(members.map(({ label }) => label));
    majority += Math.max(...inside.values());
    for (const [label, count] of inside) {
      mutual += (count / n) * Math.log((count * n) / (clusters.get(cluster)! * labels.get(label)!));
    }
  }
  const [a, b] = [entropy(clusters, n), entropy(labels, n)];
  // One cluster and one label: they agree perfectly, though there is no information to share.
  const over = (whole: number): number => (whole === 0 ? Number(a === b) : Math.max(0, mutual) / whole);
  return {
    purity: majority / n,
    mutualInformation: Math.max(0, mutual),
    nmi: {
      arithmetic: over((a + b) / 2),
      geometric: over(Math.sqrt(a * b)),
      min: over(Math.min(a, b)),
      max: over(Math.max(a, b)),
    },
  };
}

function countsOf(values: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

const entropy = (counts: ReadonlyMap<string, number>, n: number): number =>
  [...counts.values()].reduce((sum, count) => sum - (count / n) * Math.log(count / n), 0);
