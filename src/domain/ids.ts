/** Identifiers of the field, branded so that a study UID cannot be passed where a patient id is meant. */

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** DICOM Study Instance UID (0020,000D). */
export type StudyUid = Branded<'StudyUid'>;
/** DICOM Series Instance UID (0020,000E). */
export type SeriesUid = Branded<'SeriesUid'>;
/** DICOM SOP Instance UID (0008,0018). */
export type SopUid = Branded<'SopUid'>;
/** Logical id of the FHIR Patient in the connected chart: `Patient/{PatientId}`. */
export type PatientId = Branded<'PatientId'>;
/** One reading of one study by one pack version. A UUID derived from its content, so a repeated reading has the same id. */
export type ReadingId = Branded<'ReadingId'>;
/** One finding of one reading; derived like {@link ReadingId}. */
export type FindingId = Branded<'FindingId'>;

/** PS3.5 section 9.1: digits and dots, no leading zero in a component, at most 64 characters. */
const uidPattern = /^(0|[1-9]\d*)(\.(0|[1-9]\d*))*$/;
/** FHIR R4 `id`: letters, digits, hyphen and dot, at most 64 characters. */
const fhirIdPattern = /^[A-Za-z0-9.-]{1,64}$/;
const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export const isUid = (text: string): boolean => text.length <= 64 && uidPattern.test(text);
export const isFhirId = (text: string): boolean => fhirIdPattern.test(text);
export const isUuid = (text: string): boolean => uuidPattern.test(text);

function checked<Id extends string>(what: string, accepts: (text: string) => boolean) {
  return (text: string): Id => {
    if (!accepts(text)) throw new TypeError(`not a valid ${what}: ${JSON.stringify(text.slice(0, 80))}`);
    return text as Id;
  };
}

export const studyUid = checked<StudyUid>('Study Instance UID', isUid);
export const seriesUid = checked<SeriesUid>('Series Instance UID', isUid);
export const sopUid = checked<SopUid>('SOP Instance UID', isUid);
export const patientId = checked<PatientId>('FHIR patient id', isFhirId);
export const readingId = checked<ReadingId>('reading id', isUuid);
export const findingId = checked<FindingId>('finding id', isUuid);
