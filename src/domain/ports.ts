/** What the pipeline and the hooks need from the world. Adapters implement these; `app.ts` chooses them. */
import type { ErrorCode } from './errors.ts';
import type { StudyEvent } from './event.ts';
import type { Finding, FindingDraft, Landmark, PackIdentity, Reading, Reviewer } from './finding.ts';
import type { FindingId, PatientId, ReadingId, SeriesUid, SopUid, StudyUid } from './ids.ts';
import type { GreyImage, Spacing, ImageTags, StoredPixels } from './image.ts';
import type { Outcome, SelectionNote } from './outcome.ts';
import type { SelectionRule } from './selection.ts';
import type {
  ChartLink,
  ImagingOrder,
  InstanceMetadata,
  InstanceSummary,
  SeriesSummary,
  StudyRecord,
  StudySummary,
} from './study.ts';

/** Every condition given must hold. Days are compared with Study Date, which has no zone: ask a day wider than needed. */
export type StudyQuery = {
  readonly studyUid?: StudyUid;
  readonly accession?: string;
  readonly modality?: string;
  readonly since?: Date;
  readonly until?: Date;
  readonly limit?: number;
  readonly offset?: number;
};

/** The image archive (PACS). Every method throws `archive.*` errors. */
export interface Archive {
  findStudies(query: StudyQuery, signal?: AbortSignal): Promise<StudySummary[]>;
  findSeries(study: StudyUid, signal?: AbortSignal): Promise<SeriesSummary[]>;
  findInstances(study: StudyUid, series: SeriesUid, signal?: AbortSignal): Promise<InstanceSummary[]>;
  /** DICOM Part 10 files, one by one. Ends only when every instance that QIDO-RS promised has come; otherwise throws `archive.incomplete`. */
  fetchSeries(study: StudyUid, series: SeriesUid, signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /** What the headers of a series say, object by object, without a pixel being sent. */
  fetchMetadata(study: StudyUid, series: SeriesUid, signal?: AbortSignal): Promise<InstanceMetadata[]>;
  /** These objects in this order, a few fetched ahead. Throws when one is missing. */
  fetchInstances(
    study: StudyUid,
    series: SeriesUid,
    sops: readonly SopUid[],
    signal?: AbortSignal,
  ): AsyncIterable<Uint8Array>;
  /** Throws unless the archive answers. */
  probe(signal?: AbortSignal): Promise<void>;
}

/** A DICOM file, understood: identity, geometry, display transform and stored pixels. */
export type DecodedInstance = {
  readonly studyUid: StudyUid;
  readonly seriesUid: SeriesUid;
  readonly sopUid: SopUid;
  readonly sopClassUid: string;
  readonly transferSyntaxUid: string;
  readonly pixels: StoredPixels;
  readonly spacing?: Spacing;
  readonly tags: ImageTags;
  /** Modality LUT, VOI and polarity applied: one frame as 0 (black) to 1 (white). */
  grey(frame: number): GreyImage;
};

/** Bytes to pixels, away from the main thread. Throws `dicom.*` errors. */
export interface ImageDecoder {
  decode(file: Uint8Array, signal?: AbortSignal): Promise<DecodedInstance>;
  /**
   * One picture after the other, or only these frames (from 0): an object of hundreds is never held decoded. The file is
   * the decoder's from then on.
   */
  frames(file: Uint8Array, only?: readonly number[], signal?: AbortSignal): AsyncIterable<GreyImage>;
}

/** What a pack wants to read, and the running of it. */
export interface ModelRunner {
  readonly packs: readonly PackSummary[];
  /** Several pictures for a pack that reads a series as a whole. Throws `model.*` errors. */
  run(pack: PackIdentity, image: GreyImage | readonly GreyImage[], signal?: AbortSignal): Promise<ModelAnswer>;
}

export type PackSummary = PackIdentity &
  SelectionRule & {
    readonly intendedUse: string;
    readonly trainedOn: string;
    readonly limitations: readonly string[];
    /** Under which terms the weights may be used, and whose pictures they come from. */
    readonly licence: { readonly weights: string; readonly data: string };
    readonly demonstration: boolean;
  };

export type ModelAnswer = {
  readonly findings: readonly FindingDraft[];
  /** By name, where the pack tells them; for evaluation and the command line, never stored. */
  readonly landmarks?: readonly Landmark[];
  /** By label, where the pack tells the numbers behind its decision; for evaluation, never stored. */
  readonly scores?: Readonly<Record<string, number>>;
  readonly executionProvider: string;
  readonly runMs: number;
};

/** The chart (FHIR server). Every method throws `chart.*` errors. */
export interface Chart {
  /** The patient, ImagingStudy and order of a study; by ImagingStudy identifier, then accession number, then medical record number. */
  locate(study: StudySummary, hint: { readonly patientId?: PatientId }, signal?: AbortSignal): Promise<ChartLink>;
  probe(signal?: AbortSignal): Promise<void>;
}

/** Something findings are written to. Writing the same reading twice leaves one result; one that is superseded leaves nothing that contradicts the reading that stands. */
export interface Output {
  readonly name: string;
  write(reading: Reading, study: StudyRecord, signal?: AbortSignal): Promise<void>;
}

/** The memory of studies. A study has one living job at most, however often and by whatever road it is announced. */
export interface StudyRegister {
  /**
   * Stores what is new and queues a job for it in one transaction. `queued`: the study will be read, or read again.
   * `known`: nothing to do, or the archive is asked whether it has become more (an announcement without a count).
   */
  announce(event: StudyEvent): Promise<'queued' | 'known'>;
  get(study: StudyUid): Promise<StudyRecord | undefined>;
  /** Newest first. */
  forPatient(patient: PatientId): Promise<StudyRecord[]>;
  describe(study: StudySummary, link: ChartLink): Promise<StudyRecord>;
  begin(study: StudyUid, attempt: number): Promise<void>;
  /** `instanceCount`: the archive's, from before the pictures were fetched. */
  settle(study: StudyUid, outcome: Outcome, instanceCount?: number): Promise<void>;
  /** Moves a study to the front: a clinician is waiting. */
  hurry(study: StudyUid): Promise<void>;
  /** Every retry used up. */
  dead(): Promise<StudyRecord[]>;
  /** Tries a dead study again. */
  requeue(study: StudyUid): Promise<void>;
}

export interface ReadingStore {
  /**
   * The reading stands from now on, and the one of the same study and pack that stood before is superseded; findings that
   * both make on the same picture keep their ids and verdicts. Saving the reading with the same id twice keeps the first,
   * with whatever review it has; the stored one is returned.
   */
  save(reading: Reading): Promise<Reading>;
  /** Lets this one stand again: the archive holds the pictures it was made of, and no others. */
  reinstate(id: ReadingId): Promise<void>;
  get(id: ReadingId): Promise<Reading | undefined>;
  findingById(id: FindingId): Promise<{ readonly finding: Finding; readonly reading: Reading } | undefined>;
  /** Those that stand, newest study first. */
  forPatient(patient: PatientId): Promise<Reading[]>;
  /** Those that were superseded, newest study first. */
  supersededForPatient(patient: PatientId): Promise<Reading[]>;
  /** Those that stand; with `all` the superseded ones too, newest first. */
  forStudy(study: StudyUid, which?: 'standing' | 'all'): Promise<Reading[]>;
  /** Throws `request.conflict` when somebody else's different verdict stands already. Returns the reading, final when no suspicion is open any more. */
  recordVerdict(
    id: FindingId,
    verdict: { readonly kind: 'confirmed' } | { readonly kind: 'rejected'; readonly reason: string },
    by: Reviewer,
  ): Promise<Reading>;
  /** For a reading without suspicion. */
  verify(id: ReadingId, by: Reviewer): Promise<Reading>;
  /** Outputs still owed: written in the same transaction as the save or verdict that caused them, so none is lost. */
  owedOutputs(): Promise<{ readonly readingId: ReadingId; readonly output: string }[]>;
}

export interface OrderBook {
  remember(order: ImagingOrder): Promise<void>;
  forPatient(patient: PatientId): Promise<ImagingOrder[]>;
}

export type CardFeedback = {
  readonly service: string;
  readonly card: string;
  readonly outcome: 'accepted' | 'overridden';
  readonly at: string;
  readonly acceptedSuggestions: readonly string[];
  readonly overrideReason?: { readonly code?: string; readonly comment?: string };
};

export interface FeedbackStore {
  /** A card that was served, so that feedback on its uuid finds its findings. */
  cardServed(card: {
    readonly uuid: string;
    readonly service: string;
    readonly patientId: PatientId;
    readonly findings: readonly FindingId[];
  }): Promise<void>;
  /** Repeats are expected and change nothing. Returns false for a card this service never served. */
  record(feedback: CardFeedback): Promise<boolean>;
  /** Findings whose card a clinician overrode for this patient: they are not shown again as a card of the same service. */
  dismissed(patient: PatientId, service: string): Promise<ReadonlySet<FindingId>>;
}

export type AuditEntry = {
  readonly action:
    | 'card-served'
    | 'image-viewed'
    | 'reading-viewed'
    | 'verdict'
    | 'launch'
    | 'feedback'
    | 'refused'
    /** Old entries were deleted by the configured retention. */
    | 'pruned';
  /** `Practitioner/…`, the CDS client's issuer, or `anonymous`. */
  readonly actor: string;
  readonly patientId?: PatientId;
  readonly subject?: string;
  readonly code?: ErrorCode;
};

export interface AuditTrail {
  record(entry: AuditEntry): Promise<void>;
}

/** The audit of refusals for which nobody had to prove anything: as many as anybody cares to send. */
export interface StrangerRefusals {
  /** `address` only tells callers apart while they are counted; it is not kept. Never throws. */
  refused(address: string | undefined, code: ErrorCode): Promise<void>;
}

/** What a session of the app may see: one patient, for one named user. */
export type AppSession = {
  readonly patientId: PatientId;
  readonly reviewer: Reviewer;
  /** What the card that led here pointed at. */
  readonly opens?: { readonly finding: FindingId } | { readonly study: StudyUid };
  readonly expiresAt: string;
};

/** An app launch between leaving for the EHR's login and coming back; whatever the launcher needs then (PKCE verifier, nonce, issuer). */
export type PendingLaunch = {
  readonly state: string;
  readonly expiresAt: string;
  readonly remembered: Readonly<Record<string, unknown>>;
};

/** Sessions of the app. Tokens arrive hashed: whoever reads the database cannot use what is there. */
export interface SessionStore {
  create(session: AppSession & { readonly tokenHash: string }): Promise<void>;
  /** Undefined when unknown, ended or expired. */
  byTokenHash(tokenHash: string): Promise<AppSession | undefined>;
  end(tokenHash: string): Promise<void>;
  /** Moves the expiry of a live session (idle time is counted by this); an ended or expired one stays so. */
  extend(tokenHash: string, expiresAt: string): Promise<void>;
  rememberLaunch(launch: PendingLaunch): Promise<void>;
  /** Each launch can be taken once, by one caller, before it expires. */
  takeLaunch(state: string): Promise<PendingLaunch | undefined>;
}

export type { SelectionNote };
