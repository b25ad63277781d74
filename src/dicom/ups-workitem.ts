/** Workitems as DICOM JSON: what is read of them, and the datasets that change them (PS3.4 table CC.2.5-3). */
import type { Priority } from '../domain/event.ts';
import { isUid, studyUid } from '../domain/ids.ts';
import type { Performed, Workitem, WorkitemCode, WorkitemEvent, WorkitemState } from '../domain/workitem.ts';
import { itemsOf, present, textOf, type DicomJsonRow } from './dicom-json.ts';

/** Scheduled Procedure Step Priority (0074,1200). STAT is no value of the standard, but it is met. */
const priorities: Readonly<Record<string, Priority>> = {
  STAT: 'stat',
  HIGH: 'stat',
  MEDIUM: 'routine',
  LOW: 'backfill',
};
const states: readonly string[] = ['SCHEDULED', 'IN PROGRESS', 'COMPLETED', 'CANCELED'] satisfies WorkitemState[];

/** Undefined for what has no UID or no state: nobody could work on it. */
export function workitemOf(row: DicomJsonRow): Workitem | undefined {
  const uid = textOf(row, 'SOPInstanceUID');
  const state = stateOf(row);
  if (uid === undefined || !isUid(uid) || state === undefined) return undefined;
  const readiness = textOf(row, 'InputReadinessState');
  const inputs = itemsOf(row, 'InputInformationSequence').map((item) => textOf(item, 'StudyInstanceUID'));
  return present({
    uid,
    state,
    priority: priorities[textOf(row, 'ScheduledProcedureStepPriority')?.toUpperCase() ?? ''] ?? 'routine',
    stations: codesOf(row, 'ScheduledStationNameCodeSequence'),
    stationClasses: codesOf(row, 'ScheduledStationClassCodeSequence'),
    codes: codesOf(row, 'ScheduledWorkitemCodeSequence'),
    ready: readiness === undefined || readiness === 'READY',
    studies: [...new Set(inputs.filter((input) => input !== undefined && isUid(input)))].map((input) =>
      studyUid(input as string),
    ),
    accession: itemsOf(row, 'ReferencedRequestSequence')
      .map((item) => textOf(item, 'AccessionNumber'))
      .find((accession) => accession !== undefined),
  });
}

function stateOf(row: DicomJsonRow): WorkitemState | undefined {
  const state = textOf(row, 'ProcedureStepState') ?? '';
  return states.includes(state) ? (state as WorkitemState) : undefined;
}

const codesOf = (row: DicomJsonRow, sequence: Parameters<typeof itemsOf>[1]): WorkitemCode[] =>
  itemsOf(row, sequence).flatMap((item) => {
    const value = textOf(item, 'CodeValue');
    if (value === undefined) return [];
    return [present({ value, scheme: textOf(item, 'CodingSchemeDesignator'), meaning: textOf(item, 'CodeMeaning') })];
  });

/** An N-EVENT-REPORT out of the event channel (PS3.18 11.14); undefined for those that mean nothing here. */
export function eventOf(row: DicomJsonRow): WorkitemEvent | undefined {
  const workitem = textOf(row, 'AffectedSOPInstanceUID');
  if (workitem === undefined || !isUid(workitem)) return undefined;
  switch (textOf(row, 'EventTypeID')) {
    case '1':
      return present({ kind: 'changed' as const, workitem, state: stateOf(row) });
    case '2':
      return present({ kind: 'cancel-requested' as const, workitem, reason: textOf(row, 'ReasonForCancellation') });
    case '5':
      return { kind: 'changed', workitem };
    default:
      return undefined;
  }
}

type Element = { readonly vr: string; readonly Value?: readonly unknown[] };
type Dataset = Readonly<Record<string, Element>>;

const one = (vr: string, value: unknown): Element => ({ vr, Value: [value] });
const sequence = (...items: readonly Dataset[]): Element =>
  items.length === 0 ? { vr: 'SQ' } : { vr: 'SQ', Value: items };
/** LO and SH end after 64 and 16 characters. */
const code = ({ value, scheme = '99WETREAD', meaning = value }: WorkitemCode): Dataset => ({
  '00080100': one('SH', value.slice(0, 16)),
  '00080102': one('SH', scheme.slice(0, 16)),
  '00080104': one('LO', meaning.slice(0, 64)),
});
/** VR DT with the zone: the two systems need not live in the same one. */
const dateTime = (moment: Date): string =>
  `${moment
    .toISOString()
    .replaceAll(/[-:TZ]/g, '')
    .slice(0, 18)}+0000`;

export const stateChange = (state: WorkitemState, transaction: string): Dataset => ({
  '00081195': one('UI', transaction),
  '00741000': one('CS', state),
});

const held = (transaction: string): Dataset => ({ '00081195': one('UI', transaction) });

export const progressUpdate = (transaction: string, { percent, says }: { percent: number; says: string }): Dataset => ({
  ...held(transaction),
  '00741002': sequence({ '00741004': one('DS', percent), '00741006': one('ST', says.slice(0, 1024)) }),
});

/**
 * What must be there before a workitem may be COMPLETED. The results are in the chart as FHIR, which no Output
 * Information item could name: the sequence is there and empty, and the comment says what was made.
 */
export const performedUpdate = (transaction: string, performed: Performed): Dataset => ({
  ...held(transaction),
  '00741002': sequence({ '00741004': one('DS', 100), '00741006': one('ST', performed.says.slice(0, 1024)) }),
  '00741216': sequence({
    '00400254': one('LO', (performed.work.meaning ?? performed.work.value).slice(0, 64)),
    '00400280': one('ST', performed.says.slice(0, 1024)),
    '00404019': sequence(code(performed.work)),
    '00404028': sequence(code(performed.station)),
    '00404033': sequence(),
    '00404050': one('DT', dateTime(performed.startedAt)),
    '00404051': one('DT', dateTime(performed.endedAt)),
  }),
});

export const discontinuedUpdate = (
  transaction: string,
  why: { code: WorkitemCode; says: string },
  now = new Date(),
): Dataset => ({
  ...held(transaction),
  '00741002': sequence({
    '00404052': one('DT', dateTime(now)),
    '00741006': one('ST', why.says.slice(0, 1024)),
    '0074100E': sequence(code(why.code)),
    '00741238': one('LT', why.says.slice(0, 1024)),
  }),
});
