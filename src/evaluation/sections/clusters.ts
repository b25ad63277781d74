/** Pictures sorted into clusters that nobody named yet: how well the clusters follow the labels. */
import { clusterAgreement } from '../clusters.ts';
import type { BootstrapOptions } from '../intervals.ts';
import { answered, patientsOf, withIntervals, type Pair } from '../pair.ts';
import type { DataKind, Section } from '../report.ts';

const clustered = (pairs: readonly Pair[]) =>
  answered(pairs).flatMap(({ row, answer }) =>
    row.label === undefined || answer.cluster === undefined ? [] : [{ label: row.label, cluster: answer.cluster }],
  );

export function clusterSection(
  kind: DataKind,
  test: readonly Pair[],
  options: BootstrapOptions = {},
): Section | undefined {
  const cases = clustered(test);
  if (cases.length === 0) return undefined;
  const sorted = test.filter(({ answer }) => answer.cluster !== undefined);
  const clusters = [...Map.groupBy(cases, ({ cluster }) => cluster)];
  return {
    title: 'Clusters',
    kind,
    images: cases.length,
    patients: patientsOf(sorted),
    says: `${clusters.length} clusters, ${new Set(cases.map(({ label }) => label)).size} labels. Purity rises with the number of clusters; normalised mutual information has several definitions, so each is named.`,
    figures: withIntervals(
      sorted,
      (sample) => {
        const { purity, nmi } = clusterAgreement(clustered(sample));
        return {
          purity,
          'NMI, arithmetic mean of entropies': nmi.arithmetic,
          'NMI, geometric mean': nmi.geometric,
          'NMI, smaller entropy': nmi.min,
          'NMI, larger entropy': nmi.max,
        };
      },
      { replicates: 500, ...options },
    ),
    tables: [
      {
        title: 'The twenty largest clusters',
        columns: ['cluster', 'pictures', 'most frequent label', 'its share'],
        rows: clusters
          .toSorted((a, b) => b[1].length - a[1].length)
          .slice(0, 20)
          .map(([cluster, members]) => {
            const [label, own] = [...Map.groupBy(members, (one) => one.label)].toSorted(
              (a, b) => b[1].length - a[1].length,
            )[0]!;
            return [cluster, members.length, label, `${Math.round((100 * own.length) / members.length)} %`];
          }),
      },
    ],
    plots: [],
  };
}
