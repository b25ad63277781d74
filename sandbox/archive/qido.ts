/** QIDO-RS (PS3.18, 8.3 and 10.6): which studies, series and instances match. */
import { tagOf, type JsonDataset, type JsonElement } from '../dicom/part10.ts';
import type { Instance } from './store.ts';

export type Level = 'studies' | 'series' | 'instances';

/** A query that cannot be answered; the text says which parameter. */
export class BadQuery extends Error {}

const tags = (...keywords: string[]): string[] => keywords.map((keyword) => tagOf(keyword)!);

/** PS3.18, tables 10.6.3-3 to 10.6.3-5. */
const returned: Record<Level, readonly string[]> = {
  studies: tags(
    'StudyDate',
    'StudyTime',
    'AccessionNumber',
    'ReferringPhysicianName',
    'PatientName',
    'PatientID',
    'PatientBirthDate',
    'PatientSex',
    'StudyInstanceUID',
    'StudyID',
    'StudyDescription',
  ),
  series: tags(
    'Modality',
    'SeriesDescription',
    'SeriesInstanceUID',
    'SeriesNumber',
    'StudyInstanceUID',
    'BodyPartExamined',
    'ViewPosition',
    'Laterality',
    'PerformedProcedureStepStartDate',
    'PerformedProcedureStepStartTime',
  ),
  instances: tags(
    'SOPClassUID',
    'SOPInstanceUID',
    'InstanceNumber',
    'Rows',
    'Columns',
    'BitsAllocated',
    'NumberOfFrames',
    'StudyInstanceUID',
    'SeriesInstanceUID',
  ),
};
const common = tags('SpecificCharacterSet', 'InstanceAvailability', 'RetrieveURL');
const controls = new Set(['limit', 'offset', 'includefield', 'fuzzymatching']);

export function answerQuery(
  level: Level,
  instances: readonly Instance[],
  query: URLSearchParams,
  root: string,
): JsonDataset[] {
  const rows = [...grouped(level, instances).values()].map((group) => rowOf(level, group, root));
  const filters = [...query]
    .filter(([name]) => !controls.has(name))
    .map(([name, value]) => [tagFor(name), value] as const);
  const matching = rows.filter((row) => filters.every(([tag, value]) => matches(row[tag], value)));
  const offset = numberIn(query, 'offset') ?? 0;
  const limit = numberIn(query, 'limit') ?? matching.length;
  const asked = query.getAll('includefield').flatMap((value) => value.split(','));
  return matching.slice(offset, offset + limit).map((row) => shown(level, row, asked));
}

/** In the order of arrival, so that pages do not shift when another film comes in. */
function grouped(level: Level, instances: readonly Instance[]): Map<string, Instance[]> {
  const key = { studies: 'studyUid', series: 'seriesUid', instances: 'sopUid' } as const;
  const groups = new Map<string, Instance[]>();
  for (const instance of instances) {
    const name = instance[key[level]];
    groups.set(name, [...(groups.get(name) ?? []), instance]);
  }
  return groups;
}

function rowOf(level: Level, group: readonly Instance[], root: string): JsonDataset {
  const [first] = group as [Instance, ...Instance[]];
  const study = `${root}/studies/${first.studyUid}`;
  const series = `${study}/series/${first.seriesUid}`;
  const url = { studies: study, series, instances: `${series}/instances/${first.sopUid}` }[level];
  const modalities = [
    ...new Set(group.map(({ dataset }) => String(dataset['00080060']?.Value?.[0] ?? '')).filter(Boolean)),
  ];
  const count = (of: 'seriesUid' | 'sopUid') => new Set(group.map((one) => one[of])).size;
  return {
    ...first.dataset,
    '00080056': { vr: 'CS', Value: ['ONLINE'] },
    '00081190': { vr: 'UR', Value: [url] },
    ...(level === 'studies'
      ? {
          '00080061': modalities.length === 0 ? { vr: 'CS' } : { vr: 'CS', Value: modalities },
          '00201206': { vr: 'IS', Value: [count('seriesUid')] },
          '00201208': { vr: 'IS', Value: [count('sopUid')] },
        }
      : {}),
    ...(level === 'series' ? { '00201209': { vr: 'IS', Value: [count('sopUid')] } } : {}),
  };
}

const computed: Record<Level, readonly string[]> = {
  studies: ['00080061', '00201206', '00201208'],
  series: ['00201209'],
  instances: ['00083002'],
};

function shown(level: Level, row: JsonDataset, asked: readonly string[]): JsonDataset {
  const all = asked.includes('all');
  const wanted = new Set([
    ...common,
    ...returned[level],
    ...computed[level],
    ...asked.filter((name) => name !== 'all').map(tagFor),
  ]);
  const entries = Object.entries(row).filter(([tag]) => all || wanted.has(tag));
  return Object.fromEntries(entries.toSorted(([one], [other]) => one.localeCompare(other)));
}

function tagFor(name: string): string {
  const tag = tagOf(name);
  if (tag === undefined) throw new BadQuery(`${name.slice(0, 60)} is not an attribute`);
  return tag;
}

function numberIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new BadQuery(`${name} is not a number`);
  return Number(text);
}

function matches(element: JsonElement | undefined, wanted: string): boolean {
  if (wanted === '') return true;
  const values = (element?.Value ?? []).map(textOf);
  const vr = element?.vr;
  if (vr === 'UI') return wanted.split(/[,\\]/).some((uid) => values.includes(uid));
  if (vr === 'DA' || vr === 'TM') return values.some((value) => inRange(value, wanted));
  const pattern = new RegExp(
    `^${wanted
      .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
    vr === 'PN' ? 'i' : '',
  );
  return values.some((value) => pattern.test(value));
}

const textOf = (value: unknown): string =>
  typeof value === 'object' && value !== null
    ? String((value as { Alphabetic?: unknown }).Alphabetic ?? '')
    : String(value);

/** PS3.4, C.2.2.2.5: `from-to`, either side may be open. */
function inRange(value: string, wanted: string): boolean {
  const [from, to] = wanted.includes('-') ? wanted.split('-') : [wanted, wanted];
  return (from === '' || value >= from!) && (to === '' || value.slice(0, to!.length) <= to!);
}
