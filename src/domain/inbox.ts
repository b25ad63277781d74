/** Objects that are sent to Wetread instead of fetched by it: what a receiver hands over, and what is remembered of each. */
import type { SeriesUid, SopUid, StudyUid } from './ids.ts';
import type { EventSourceName } from './event.ts';

/** Who sent: the road, and the sender's name on it (an AE title, or how it signed in). */
export type Sender = {
  readonly road: Extract<EventSourceName, 'stow' | 'dimse'>;
  readonly name: string;
};

/** DICOM JSON (PS3.18 annex F), one element for each tag of eight hexadecimal digits. */
export type HeaderElements = Readonly<Record<string, { readonly vr: string; readonly Value?: readonly unknown[] }>>;

export type ReceivedObject = {
  readonly studyUid: StudyUid;
  readonly seriesUid: SeriesUid;
  readonly sopUid: SopUid;
  readonly sopClassUid: string;
  readonly transferSyntaxUid: string;
  /** Of the file. */
  readonly bytes: number;
  /** Of the dataset without its file meta information: the same object is the same, whichever road it came by. */
  readonly sha256: string;
  /** Below the inbox's folder. */
  readonly file: string;
  readonly sender: Sender;
  readonly header: HeaderElements;
};

/** What became of an object that is now durable: `again` when the same object was there before. */
export type Kept = { readonly object: Omit<ReceivedObject, 'sender'>; readonly state: 'new' | 'again' };

export type ObjectName = { readonly sopClassUid: string; readonly sopUid: string };

/** One object on its way in. Nothing of it is there until `keep` resolves; then it survives a power cut. */
export interface IncomingObject {
  /** Resolves when the next piece may come. */
  write(piece: Uint8Array): Promise<void>;
  /** Throws `inbox.*` or `dicom.*`, and keeps nothing then. */
  keep(): Promise<Kept>;
  discard(): Promise<void>;
  /** Which object this is, as far as it was understood when it was kept or refused. */
  name(): ObjectName | undefined;
}

/** For a sender that names the object before it comes and sends the dataset alone (C-STORE). */
export type AnnouncedObject = {
  readonly sopClassUid: string;
  readonly sopUid: string;
  readonly transferSyntaxUid: string;
};

/** Where receivers put what they are sent. */
export interface Inbox {
  /** Throws `inbox.full` when there is no room. `expectedStudy`: objects of another study are refused. */
  receive(
    sender: Sender,
    about?: { readonly dataset?: AnnouncedObject; readonly expectedStudy?: StudyUid },
  ): Promise<IncomingObject>;
  /** The sender of these studies is still sending: they are not complete yet. */
  stillComing(studies: Iterable<StudyUid>): Promise<void>;
}

/** A study whose senders have been quiet, and that was not announced with this many objects. */
export type QuietStudy = {
  readonly studyUid: StudyUid;
  readonly accession?: string;
  readonly road: Sender['road'];
  readonly instances: number;
};

export type ReceivedStudy = {
  readonly studyUid: StudyUid;
  readonly modalities: readonly string[];
  readonly series: number;
  readonly instances: number;
  /** Of the first object. */
  readonly header: HeaderElements;
};

export type ReceivedStudyQuery = {
  readonly studyUid?: string;
  readonly accession?: string;
  readonly patientId?: string;
  readonly modality?: string;
  /** YYYYMMDD */
  readonly from?: string;
  readonly to?: string;
  readonly limit?: number;
  readonly offset?: number;
};

/** The index of what was received; the files themselves lie in the inbox's folder. */
export interface ReceivedObjects {
  /**
   * Returns the one that was there before, if any: then nothing is added.
   * Throws `inbox.study-too-large` when the study would have more than `maxStudyBytes`.
   */
  add(object: ReceivedObject, limits: { readonly maxStudyBytes: number }): Promise<ReceivedObject | undefined>;
  stillComing(studies: readonly StudyUid[]): Promise<void>;
  /** Lends out studies that were quiet for so long; whoever is lent one must say `announced`, or others get it a minute later. */
  takeQuiet(quietSeconds: number): Promise<QuietStudy[]>;
  announced(study: StudyUid, instances: number): Promise<void>;
  /** Gives a lent study back. */
  notAnnounced(study: StudyUid): Promise<void>;

  holds(study: StudyUid): Promise<boolean>;
  findStudies(query: ReceivedStudyQuery): Promise<ReceivedStudy[]>;
  /** By instance number, where there is one. */
  find(where: { readonly study: string; readonly series?: string; readonly sop?: string }): Promise<ReceivedObject[]>;

  /** Which of these files belong to an object. */
  known(files: readonly string[]): Promise<ReadonlySet<string>>;
  /** Forgets up to `most` studies that were settled before, and received nothing since; returns their files. */
  forgetSettled(before: Date, most: number): Promise<{ readonly studyUid: StudyUid; readonly files: string[] }[]>;
}
