/** One study for people: where it stands, what was read, and of every series why it was or was not given to a model. */
import { errorTable } from '../domain/errors.ts';
import type { Reading } from '../domain/finding.ts';
import type { SelectionNote } from '../domain/outcome.ts';
import type { StudyRecord } from '../domain/study.ts';
import { trueMinus } from '../domain/true-minus.ts';

export function shownStudy(study: StudyRecord, readings: readonly Reading[], standing: string): string {
  const { studyUid, modalities, description, startedAt, announcedAt, settledAt, instanceCount, state } = study;
  const about = [
    modalities.join(', '),
    description ?? '',
    startedAt === undefined ? '' : `of ${startedAt}`,
    instanceCount === undefined ? '' : counted(instanceCount, 'object'),
  ].filter((text) => text !== '');
  const lines = [
    `study ${studyUid}`,
    ...(about.length === 0 ? [] : [`  ${about.join(' · ')}`]),
    `  ${standing}; announced ${announcedAt}${settledAt === undefined ? '' : `, settled ${settledAt}`}`,
  ];
  const outcome = 'outcome' in state ? state.outcome : undefined;
  if (outcome?.kind === 'failed') {
    const { says, next } = errorTable[outcome.code];
    lines.push(`  ${says}${outcome.detail === undefined ? '' : ` ${outcome.detail}`}`, `  ${next} (${outcome.code})`);
    return lines.join('\n');
  }
  for (const { pack, readAt, pictures, findings } of readings)
    lines.push(
      `  read by ${pack.name} ${pack.version} at ${readAt}${pictures === undefined ? '' : ` (${counted(pictures, 'object')})`}`,
      ...findings.map(({ summary }) => `    ${trueMinus(summary)}`),
    );
  if (outcome?.kind === 'analysed')
    for (const { pack, code } of outcome.packFailures)
      lines.push(`  ${pack} failed: ${errorTable[code].says} ${errorTable[code].next} (${code})`);
  if (outcome !== undefined) lines.push(...explained(outcome.selection));
  return lines.join('\n');
}

function explained(notes: readonly SelectionNote[]): string[] {
  const width = Math.max(0, ...notes.map(({ pack }) => pack.length));
  return [...Map.groupBy(notes, ({ seriesUid }) => seriesUid)].flatMap(([series, own]) => [
    `  series ${series}`,
    ...own.map(({ pack, taken, why }) => `    ${taken ? 'taken' : 'not  '}  ${pack.padEnd(width)}  ${why}`),
  ]);
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;
