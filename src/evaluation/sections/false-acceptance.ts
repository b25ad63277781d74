/** Pictures of something else: a model that reads them makes findings of nothing. */
import { share } from '../counts.ts';
import { patientsOf, type Pair } from '../pair.ts';
import { figureOf, type Cell, type DataKind, type Section, type Table } from '../report.ts';

const refused = ({ answer }: Pair): boolean => answer.abstained !== undefined;
const failed = ({ answer }: Pair): boolean => answer.failed !== undefined;
/** What failed was neither accepted nor refused, and is told apart. */
const accepted = (pair: Pair): boolean => !refused(pair) && !failed(pair);

export function falseAcceptanceSection(kind: DataKind, foreign: readonly Pair[]): Section | undefined {
  if (foreign.length === 0) return undefined;
  const judged = foreign.filter((pair) => !failed(pair));
  const taken = judged.filter(accepted);
  return {
    title: 'Pictures that must be refused',
    kind,
    images: foreign.length,
    patients: patientsOf(foreign),
    says: 'These pictures show something else than the model is for. Each that it reads all the same is a false acceptance; every one of them is drawn below.',
    figures: [
      figureOf('wrongly accepted', share(taken.length, judged.length)),
      figureOf('refused, as it must be', share(judged.length - taken.length, judged.length)),
      ...(judged.length < foreign.length
        ? [figureOf('failed', share(foreign.length - judged.length, foreign.length))]
        : []),
    ],
    tables: [...byGroup(judged), ...byReason(judged)],
    plots: [],
    worthALook: taken.map((pair) => ({ file: pair.row.file, why: `accepted; ${conclusionsOf(pair)}` })),
    showsAll: true,
  };
}

function byGroup(judged: readonly Pair[]): Table[] {
  const names = [...new Set(judged.flatMap(({ row }) => Object.keys(row.groups)))].sort();
  return names.map((name) => ({
    title: `By ${name}`,
    columns: [name, 'wrongly accepted'],
    rows: [...Map.groupBy(judged, ({ row }) => row.groups[name] ?? '(not stated)')]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([value, members]): Cell[] => [
        value,
        figureOf('wrongly accepted', share(members.filter(accepted).length, members.length)),
      ]),
  }));
}

function byReason(judged: readonly Pair[]): Table[] {
  const reasons = Map.groupBy(judged.filter(refused), ({ answer }) => answer.abstained!);
  if (reasons.size === 0) return [];
  const rows = [...reasons]
    .toSorted((a, b) => b[1].length - a[1].length)
    .map(([reason, members]): Cell[] => [reason, members.length]);
  return [{ title: 'Why refused', columns: ['reason', 'pictures'], rows }];
}

/** What would have been told to somebody. */
function conclusionsOf({ answer }: Pair): string {
  const suspected = Object.entries(answer.findings ?? {}).filter(([, said]) => said.startsWith('detected'));
  return suspected.length === 0 ? 'nothing suspected' : suspected.map(([what, said]) => `${what} ${said}`).join(', ');
}
