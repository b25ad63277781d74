/** What an ImagingStudy in the chart says to us: a study to read, or a reason to leave it. */
import type { ImagingStudy, Reference } from 'fhir/r4.js';
import type { StudyEvent } from '../domain/event.ts';
import { isFhirId, isUid, patientId, studyUid, type PatientId } from '../domain/ids.ts';

export type HeardStudy =
  | { readonly event: StudyEvent }
  | { readonly left: 'no-study-uid' | 'not-available-yet' | 'withdrawn' };

/** DICOM's code for an accession number as an identifier type, in HL7 v2 table 0203. */
const accessionType = { system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' };

export function heardStudy(study: ImagingStudy, baseUrl: string): HeardStudy {
  if (study.status === 'entered-in-error' || study.status === 'cancelled') return { left: 'withdrawn' };
  // R4: "registered … nothing is yet available". The change to `available` is an event of its own.
  if (study.status === 'registered') return { left: 'not-available-yet' };
  const uid = study.identifier?.find(({ system }) => system === 'urn:dicom:uid')?.value?.replace(/^urn:oid:/, '');
  if (uid === undefined || !isUid(uid)) return { left: 'no-study-uid' };
  const patient = patientOf(study.subject, baseUrl);
  const accession = study.identifier?.find(({ type }) =>
    type?.coding?.some(({ system, code }) => system === accessionType.system && code === accessionType.code),
  )?.value;
  return {
    event: {
      source: 'fhir-subscription',
      studyUid: studyUid(uid),
      reason: 'study-arrived',
      priority: 'routine',
      ...(patient === undefined ? {} : { patientId: patient }),
      ...(accession === undefined || accession === '' ? {} : { accession }),
    },
  };
}

/** Only a patient of this server: `Patient/7` of another one is somebody else. */
function patientOf({ reference = '' }: Reference, baseUrl: string): PatientId | undefined {
  const relative = reference.startsWith(`${baseUrl}/`) ? reference.slice(baseUrl.length + 1) : reference;
  const [, id] = /^Patient\/([^/]+)(?:\/_history\/.*)?$/.exec(relative) ?? [];
  return id !== undefined && isFhirId(id) ? patientId(id) : undefined;
}
