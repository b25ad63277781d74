/** An exam that an ordering system tells of, before its pictures are in the archive or without saying which study they are. */
import type { PatientId, StudyUid } from './ids.ts';
import type { BodyRegion } from './study.ts';
import type { Priority } from './event.ts';

/** What one message says of one exam. */
export type HeardExam = {
  readonly source: 'hl7' | 'fhir-subscription';
  /** What the systems call it, each number with its issuer; the same exam is recognised by any of them. */
  readonly numbers: readonly string[];
  readonly accession?: string;
  readonly studyUids: readonly StudyUid[];
  /** Medical record number as DICOM Patient ID would hold it. Never logged. */
  readonly recordNumber?: string;
  readonly patientId?: PatientId;
  /** `ServiceRequest/…` */
  readonly order?: string;
  readonly region: BodyRegion;
  /** Unless the message says nothing of it. */
  readonly priority?: Extract<Priority, 'stat' | 'routine'>;
  /** Done: there are pictures, or there soon will be. */
  readonly state: 'ordered' | 'done' | 'cancelled';
};

/** An exam as it is remembered, whoever told of it. */
export type ExpectedExam = Omit<HeardExam, 'priority'> & {
  readonly id: string;
  readonly priority: Extract<Priority, 'stat' | 'routine'>;
  /** Changes whenever something new is heard of the exam. */
  readonly revision: number;
  /** How often its study, or its patient, was looked for since then. */
  readonly looks: number;
  readonly heardAt: string;
};

/** The message that told, so that a repeated one is known again. */
export type HeardMessage = { readonly sender: string; readonly id: string; readonly content: Uint8Array };

export interface ExpectedExams {
  /** All of it in one transaction. `repeated`: this message was heard before, and nothing was done. */
  hear(exams: readonly HeardExam[], message?: HeardMessage): Promise<'new' | 'repeated'>;
  /** What this exam's order asks for; undefined when no order is known. */
  priorityOf(study: {
    readonly studyUid: StudyUid;
    readonly accession?: string;
  }): Promise<ExpectedExam['priority'] | undefined>;
  /** Exams somebody must look after now. Each is handed to one caller, and to another when that one does not come back. */
  due(most: number): Promise<ExpectedExam[]>;
  /** Nothing more to look for, until something new is heard. */
  settled(exam: ExpectedExam): Promise<void>;
  again(exam: ExpectedExam, afterSeconds: number): Promise<void>;
  /** Studies of this exam that were announced already and wait to be read. */
  waitingStudies(exam: ExpectedExam): Promise<StudyUid[]>;
  /** Forgets what is too old to matter. */
  prune(): Promise<void>;
}
