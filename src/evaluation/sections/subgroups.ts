/** The main figure by sex, age, scanner, site: a good mean can hide a group for whom the model does not work. */
import { patientBootstrap, type BootstrapOptions } from '../intervals.ts';
import { answered, patientsOf, type Pair } from '../pair.ts';
import type { DataKind, Section } from '../report.ts';

export type Primary = { readonly name: string; readonly of: (pairs: readonly Pair[]) => number };

export function subgroupSection(
  kind: DataKind,
  pairs: readonly Pair[],
  primary: Primary,
  options: BootstrapOptions = {},
): Section | undefined {
  const names = [...new Set(pairs.flatMap(({ row }) => Object.keys(row.groups)))].sort();
  const tables = names.flatMap((group) => {
    const values = Map.groupBy(pairs, ({ row }) => row.groups[group] ?? '(not stated)');
    if (values.size < 2) return [];
    const rows = [...values]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([value, members]) => {
        // Many groups: fewer replicates keep the report within seconds, and the ends move in the third digit only.
        const { figure } = patientBootstrap(
          members,
          ({ row }) => row.patient,
          (sample) => ({ figure: primary.of(sample) }),
          { replicates: 500, ...options },
        );
        const read = answered(members).length;
        return [
          value,
          members.length,
          patientsOf(members),
          `${read} (${Math.round((100 * read) / members.length)} %)`,
          { name: primary.name, value: primary.of(members), interval: figure, by: 'bootstrap by patient' as const },
        ];
      });
    return [{ title: `By ${group}`, columns: [group, 'pictures', 'patients', 'read', primary.name], rows }];
  });
  if (tables.length === 0) return undefined;
  return {
    title: 'Subgroups',
    kind,
    images: pairs.length,
    patients: patientsOf(pairs),
    says: 'Wide intervals mean few patients, not equal results. No correction for looking at many groups is made.',
    figures: [],
    tables,
    plots: [],
  };
}
