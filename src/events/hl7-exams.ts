/** What orders (ORM^O01, OMI^O23, OMG^O19) and results (ORU^R01) say of imaging exams; docs/conformance.md lists every field that is read. */
import { WetreadError } from '../domain/errors.ts';
import type { HeardExam } from '../domain/expected-exam.ts';
import { isUid, studyUid, type StudyUid } from '../domain/ids.ts';
import { regionOfCode, regionOfText } from '../domain/region.ts';
import type { BodyRegion } from '../domain/study.ts';
import type { Hl7Message, Segment } from '../hl7/message.ts';

export type ExamReading = {
  /** Where this site writes the accession number, the surest place first: `IPC-1`, `OBR-18`. */
  readonly accessionFields: readonly string[];
  /** Priority codes that mean "before all others", in capitals. */
  readonly statCodes: ReadonlySet<string>;
};

export const usualReading: ExamReading = {
  // IHE: the accession number is OBR-18 up to version 2.4 and IPC-1 from 2.5; elsewhere it is the filler's own number.
  accessionFields: ['IPC-1', 'OBR-18', 'OBR-3', 'ORC-3'],
  // Table 0485: stat, as soon as possible.
  statCodes: new Set(['S', 'STAT', 'A', 'ASAP']),
};

/** Messages that are understood; without an event the type alone says enough. */
const orderTypes: ReadonlySet<string> = new Set(['ORM^O01', 'ORM^', 'OMI^O23', 'OMI^', 'OMG^O19', 'OMG^']);
const resultTypes: ReadonlySet<string> = new Set(['ORU^R01', 'ORU^']);

export type MessageKind = 'order' | 'result' | 'unknown-event' | 'unknown-type';

export function kindOf({ header }: Hl7Message): MessageKind {
  const [type, event] = [header.text(9, 1).toUpperCase(), header.text(9, 2).toUpperCase()];
  if (orderTypes.has(`${type}^${event}`)) return 'order';
  if (resultTypes.has(`${type}^${event}`)) return 'result';
  return [...orderTypes, ...resultTypes].includes(`${type}^`) ? 'unknown-event' : 'unknown-type';
}

/** One order with everything that belongs to it. */
type Group = { patient?: Segment; order?: Segment; request?: Segment; others: Segment[] };

/** More orders than any message of one patient has; each costs the database a question. */
export const mostOrders = 200;

/** Throws `request.too-large` for more than {@link mostOrders}. */
export function heardExams(message: Hl7Message, reading: ExamReading = usualReading): HeardExam[] {
  const kind = kindOf(message);
  const groups = groupsOf(message);
  if (groups.length > mostOrders) throw new WetreadError('request.too-large', `more than ${mostOrders} orders`);
  const uids = uidsOf(message.segments);
  return groups
    .filter(({ request }) => !isOtherService(request?.text(24) ?? ''))
    .map((group) => {
      const own = uidsOf(group.others);
      // IHE's ORM has one ZDS at its end, for all steps of the one procedure it is about.
      return exam(group, own.length > 0 ? own : sharedUids(message, uids), kind, reading);
    });
}

/** ORC begins an order; OBR does when there is no ORC, and a second OBR under one ORC is another exam of the same order. */
function groupsOf({ segments }: Hl7Message): Group[] {
  const groups: Group[] = [];
  let patient: Segment | undefined;
  let current: Group | undefined;
  const begin = (order?: Segment): Group => {
    const group: Group = { others: [], ...(patient && { patient }), ...(order && { order }) };
    groups.push(group);
    return group;
  };
  for (const segment of segments) {
    switch (segment.name) {
      case 'MSH':
        break;
      case 'PID':
        patient = segment;
        current = undefined;
        break;
      case 'ORC':
        current = begin(segment);
        break;
      case 'OBR':
        if (current === undefined) current = begin();
        else if (current.request !== undefined) current = begin(current.order);
        current.request = segment;
        break;
      default:
        current?.others.push(segment);
    }
  }
  return groups;
}

function exam(
  { patient, order, request, others }: Group,
  studyUids: readonly StudyUid[],
  kind: MessageKind,
  reading: ExamReading,
): HeardExam {
  const field = (place: string): Segment | undefined => {
    const name = place.slice(0, 3);
    return name === 'ORC' ? order : name === 'OBR' ? request : others.find((one) => one.name === name);
  };
  const accession = reading.accessionFields
    .map(
      (place) =>
        field(place)
          ?.text(Number(place.slice(4)))
          .trim() ?? '',
    )
    .find(isAccession);
  const recordNumber = recordNumberOf(patient);
  const priority = priorityOf(order, request, others, reading.statCodes);
  return {
    source: 'hl7',
    numbers: [
      ...numbered('placer', order?.raw(2) ? order : request, 2),
      ...numbered('filler', order?.raw(3) ? order : request, 3),
    ],
    ...(accession === undefined ? {} : { accession }),
    studyUids,
    ...(recordNumber === undefined ? {} : { recordNumber }),
    region: regionOf(request),
    ...(priority === undefined ? {} : { priority }),
    state: stateOf(kind, order, request, studyUids.length > 0 && others.some(isStudyObservation)),
  };
}

/** DICOM's Accession Number is a short string; a longer number in that place is something else of the site's. */
const isAccession = (text: string): boolean => text !== '' && text.length <= 16 && !/[\\\p{Cc}]/u.test(text);

/** Entity identifiers: the number, and who gave it. */
function numbered(what: string, segment: Segment | undefined, field: number): string[] {
  const number = segment?.text(field, 1).trim() ?? '';
  if (number === '') return [];
  const issuer = (segment!.text(field, 3) || segment!.text(field, 2)).trim();
  return [`${what}:${number}^${issuer}`].filter(isNumber);
}

/** Entity identifiers have 199 characters at most; what is longer, or holds control characters, is no number. */
const isNumber = (text: string): boolean => text.length <= 400 && !/\p{Cc}/u.test(text);

/** The medical record number among the patient's numbers (table 0203: MR, then PI), otherwise the first one. */
function recordNumberOf(patient: Segment | undefined): string | undefined {
  const numbers = patient?.repetitions(3) ?? [];
  const ofType = (type: string) => numbers.find((one) => one.text(5).toUpperCase() === type && one.text(1) !== '');
  const number = (ofType('MR') ?? ofType('PI') ?? numbers[0])?.text(1).trim() ?? '';
  return number === '' || !isNumber(number) ? undefined : number;
}

/** TQ1-9 since version 2.5; before that the priority stood in the sixth component of ORC-7 or OBR-27, or in OBR-5. */
function priorityOf(
  order: Segment | undefined,
  request: Segment | undefined,
  others: readonly Segment[],
  statCodes: ReadonlySet<string>,
): 'stat' | 'routine' | undefined {
  const codes = [
    ...others.filter(({ name }) => name === 'TQ1').flatMap((one) => one.repetitions(9).map((code) => code.text(1))),
    ...(request?.repetitions(27) ?? []).map((timing) => timing.text(6)),
    ...(order?.repetitions(7) ?? []).map((timing) => timing.text(6)),
    request?.text(5) ?? '',
  ]
    .map((code) => code.trim().toUpperCase())
    .filter((code) => code !== '');
  if (codes.length === 0) return undefined;
  return codes.some((code) => statCodes.has(code)) ? 'stat' : 'routine';
}

/** Universal service, its alternate, the body site and the procedure code: codes that are known first, then words. */
function regionOf(request: Segment | undefined): BodyRegion {
  const concepts = [4, 44, 15].flatMap((field) => request?.repetitions(field) ?? []);
  for (const concept of concepts)
    for (const first of [1, 4]) {
      const region = regionOfCode(concept.text(first + 2), concept.text(first));
      if (region !== undefined) return region;
    }
  const words = concepts.flatMap((concept) => [concept.text(2), concept.text(5), concept.text(1), concept.text(4)]);
  return words.map(regionOfText).find((region) => region !== 'other') ?? 'other';
}

/** Order control (table 0119): cancelled, discontinued, could not be done, replaced by another. */
const cancelling: ReadonlySet<string> = new Set(['CA', 'DC', 'CR', 'DR', 'OC', 'OD', 'UA', 'RP', 'RQ', 'RU']);
/** Order status (table 0038): in process, some results, complete. */
const underWay: ReadonlySet<string> = new Set(['IP', 'A', 'CM']);
/** Result status (table 0123): received, scheduled; nothing was made yet. */
const nothingYet: ReadonlySet<string> = new Set(['O', 'S', 'I']);

function stateOf(
  kind: MessageKind,
  order: Segment | undefined,
  request: Segment | undefined,
  namesStudy: boolean,
): HeardExam['state'] {
  const control = order?.text(1).toUpperCase() ?? '';
  const status = order?.text(5).toUpperCase() ?? '';
  const result = request?.text(25).toUpperCase() ?? '';
  // IHE's "imaging results are available" carries the study beside a result status of "received".
  if (kind === 'result' && namesStudy) return 'done';
  if (cancelling.has(control) || status === 'CA' || status === 'DC' || status === 'RP') return 'cancelled';
  if (kind === 'result') return result === 'X' ? 'cancelled' : nothingYet.has(result) ? 'ordered' : 'done';
  return underWay.has(status) ? 'done' : 'ordered';
}

/** Diagnostic services (table 0074) that make no pictures for an archive; an interface may carry everything a hospital orders. */
const otherServices: ReadonlySet<string> = new Set(
  'AU BG BLB CG CH CP EC EN GE HM ICU IMM LAB MB MCB MYC NRS OSL OT PAR PF PHR PHY PT RC RT SP SR TX VR'.split(' '),
);
const isOtherService = (section: string): boolean => otherServices.has(section.trim().toUpperCase());

/** DICOM's codes for a study in OBX-3: IHE's "DICOM Study", and "Study Instance UID". */
const studyCodes: ReadonlySet<string> = new Set(['113014', '110180']);

function isStudyObservation(segment: Segment): boolean {
  if (segment.name !== 'OBX') return false;
  const dicom = studyCodes.has(segment.text(3, 1)) && segment.text(3, 3).toUpperCase() === 'DCM';
  return dicom || /^(study ?instance ?uid|dicom study)$/i.test(segment.text(3, 2) || segment.text(3, 1));
}

/** ZDS-1 (IHE, before 2.5), IPC-3 (since), and observations that name a study. */
function uidsOf(segments: readonly Segment[]): StudyUid[] {
  const given = segments.flatMap((segment) => {
    if (segment.name === 'ZDS') return segment.repetitions(1).map((one) => one.text(1));
    if (segment.name === 'IPC') return segment.repetitions(3).map((one) => one.text(1));
    return isStudyObservation(segment) ? segment.repetitions(5).map((one) => one.text(1)) : [];
  });
  return [...new Set(given.map((uid) => uid.trim()).filter((uid) => uid !== '' && isUid(uid)))].map((uid) =>
    studyUid(uid),
  );
}

function sharedUids({ segments }: Hl7Message, uids: readonly StudyUid[]): readonly StudyUid[] {
  const procedures = segments.filter(({ name }) => name === 'ZDS').length;
  return procedures === 1 && uids.length === 1 ? uids : [];
}
