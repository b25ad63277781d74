/** What may start an analysis: somebody says that a study exists. */
import type { PatientId, StudyUid } from './ids.ts';

export type EventSourceName =
  | 'fhir-subscription'
  | 'dicomweb-poll'
  | 'rest'
  | 'hl7'
  | 'stow'
  | 'dimse'
  | 'ups'
  | 'backfill';

/** Why a study is read. A re-read also lets newer versions of packs read what older ones have read. */
export type ReadReason = 'study-arrived' | 're-read';

export type Priority = 'stat' | 'waiting' | 'routine' | 'backfill';

export type StudyEvent = {
  readonly source: EventSourceName;
  readonly studyUid: StudyUid;
  readonly reason: ReadReason;
  readonly priority: Priority;
  /** Known when the event came from the chart; a PACS only knows a medical record number. */
  readonly patientId?: PatientId;
  readonly accession?: string;
  /** Objects in the study as the sender counts them now; another number than was read means late pictures. */
  readonly instanceCount?: number;
  /** With `re-read`: only these packs read again what another version of them has read. Unset: all. */
  readonly packs?: readonly string[];
};
