/** How often nothing was said, and why: a model that refuses every hard picture can look perfect on the rest. */
import { share } from '../counts.ts';
import { answered, patientsOf, type Pair } from '../pair.ts';
import { figureOf, type Cell, type DataKind, type Section } from '../report.ts';

export function abstentionSection(kind: DataKind, pairs: readonly Pair[]): Section {
  const refused = pairs.filter(({ answer }) => answer.abstained !== undefined);
  const failed = pairs.filter(({ answer }) => answer.failed !== undefined);
  const reasons = Map.groupBy(refused, ({ answer }) => answer.abstained!);
  const codes = Map.groupBy(failed, ({ answer }) => answer.failed!);
  const timed = pairs.flatMap(({ answer }) => answer.milliseconds ?? []).sort((a, b) => a - b);
  return {
    title: 'Read and not read',
    kind,
    images: pairs.length,
    patients: patientsOf(pairs),
    says: 'A picture is refused when the model says that it should not answer; it fails when an error kept it from answering.',
    figures: [
      figureOf('read', share(pairs.length - refused.length - failed.length, pairs.length)),
      figureOf('refused', share(refused.length, pairs.length)),
      figureOf('failed', share(failed.length, pairs.length)),
      ...(timed.length === 0
        ? []
        : [
            {
              name: 'median time of a picture',
              value: timed[Math.floor(timed.length / 2)]!,
              unit: 'ms',
              n: timed.length,
            },
          ]),
    ],
    tables: [
      ...countTable('Why refused', reasons, refused.length),
      ...countTable('Why failed', codes, failed.length),
      ...byGroup(pairs),
    ],
    plots: [],
  };
}

function byGroup(pairs: readonly Pair[]) {
  const names = [...new Set(pairs.flatMap(({ row }) => Object.keys(row.groups)))].sort();
  return names.map((name) => ({
    title: `Read, by ${name}`,
    columns: [name, 'read'],
    rows: [...Map.groupBy(pairs, ({ row }) => row.groups[name] ?? '(not stated)')]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([value, members]): Cell[] => [value, figureOf('read', share(answered(members).length, members.length))]),
  }));
}

function countTable(title: string, groups: ReadonlyMap<string, readonly Pair[]>, of: number) {
  if (of === 0) return [];
  const rows = [...groups]
    .toSorted((a, b) => b[1].length - a[1].length)
    .map(([reason, members]) => [reason, members.length, `${Math.round((100 * members.length) / of)} %`]);
  return [{ title, columns: ['reason', 'pictures', 'share'], rows }];
}
