/** Every picture, small, with what was said of it: figures without a look at the pictures have fooled many. */
import { patientsOf, type Pair } from '../pair.ts';
import type { DataKind, Section } from '../report.ts';

export function contactSheetSection(kind: DataKind, pairs: readonly Pair[]): Section | undefined {
  if (pairs.length === 0) return undefined;
  return {
    title: 'Contact sheet',
    kind,
    images: pairs.length,
    patients: patientsOf(pairs),
    says: 'Every picture with what the model saw. On pictures it refused, the faint outlines are only where it looked.',
    figures: [],
    tables: [],
    plots: [],
    worthALook: pairs.map((pair) => ({ file: pair.row.file, why: statusOf(pair) })),
    showsAll: true,
  };
}

function statusOf({ answer }: Pair): string {
  if (answer.failed !== undefined) return `failed, ${answer.failed}`;
  if (answer.abstained !== undefined) return `refused, ${answer.abstained}`;
  const suspected = Object.entries(answer.findings ?? {}).filter(([, said]) => said.startsWith('detected'));
  if (suspected.length > 0) return `read; ${suspected.map(([what, said]) => `${what} ${said}`).join(', ')}`;
  const [best] = Object.entries(answer.scores ?? {}).toSorted((a, b) => b[1] - a[1]);
  return best === undefined ? 'read' : `read; ${best[0]} ${best[1].toFixed(2)}`;
}
