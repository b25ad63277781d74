/** What an ImagingStudy in the chart says to us: a study to read, or a reason to leave it. */
import type { Identifier, ImagingStudy, Reference } from 'fhir/r4.js';
import type { StudyEvent } from '../domain/event.ts';
import { isFhirId, isUid, patientId, studyUid, type PatientId, type StudyUid } from '../domain/ids.ts';

export type HeardStudy =
  | { readonly event: StudyEvent }
  | { readonly left: 'no-study-uid' | 'not-available-yet' | 'withdrawn' };

/** DICOM's code for an accession number as an identifier type, in HL7 v2 table 0203. */
const accessionType = { system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' };

export function heardStudy(study: ImagingStudy, baseUrl: string, accessionSystem?: string): HeardStudy {
  if (study.status === 'entered-in-error' || study.status === 'cancelled') return { left: 'withdrawn' };
  // R4: "registered … nothing is yet available". The change to `available` is an event of its own.
  if (study.status === 'registered') return { left: 'not-available-yet' };
  const uid = studyUidIn(study.identifier);
  if (uid === undefined) return { left: 'no-study-uid' };
  const patient = patientOf(study.subject, baseUrl);
  const accession = accessionIn(study.identifier, accessionSystem);
  return {
    event: {
      source: 'fhir-subscription',
      studyUid: uid,
      reason: 'study-arrived',
      priority: 'routine',
      ...(patient === undefined ? {} : { patientId: patient }),
      ...(accession === undefined ? {} : { accession }),
      // Another number than was read means that pictures came after the reading.
      ...(study.numberOfInstances === undefined || study.numberOfInstances < 1
        ? {}
        : { instanceCount: study.numberOfInstances }),
    },
  };
}

export function studyUidIn(identifiers: readonly Identifier[] | undefined): StudyUid | undefined {
  const uid = identifiers?.find(({ system }) => system === 'urn:dicom:uid')?.value?.replace(/^urn:oid:/, '');
  return uid !== undefined && isUid(uid) ? studyUid(uid) : undefined;
}

/** By its type, or by the system that the site configured for accession numbers. */
export function accessionIn(identifiers: readonly Identifier[] | undefined, system?: string): string | undefined {
  const typed = identifiers?.find(({ type }) =>
    type?.coding?.some((coding) => coding.system === accessionType.system && coding.code === accessionType.code),
  );
  const found = typed ?? (system === undefined ? undefined : identifiers?.find((one) => one.system === system));
  return found?.value === '' ? undefined : found?.value;
}

/** Only a patient of this server: `Patient/7` of another one is somebody else. */
export function patientOf({ reference = '' }: Reference, baseUrl: string): PatientId | undefined {
  const relative = reference.startsWith(`${baseUrl}/`) ? reference.slice(baseUrl.length + 1) : reference;
  const [, id] = /^Patient\/([^/]+)(?:\/_history\/.*)?$/.exec(relative) ?? [];
  return id !== undefined && isFhirId(id) ? patientId(id) : undefined;
}
