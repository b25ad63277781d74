/** Work that others schedule for Wetread on a worklist (DICOM Unified Procedure Step), and the claims Wetread holds on it. */
import type { Priority } from './event.ts';
import type { StudyUid } from './ids.ts';

export type WorkitemState = 'SCHEDULED' | 'IN PROGRESS' | 'COMPLETED' | 'CANCELED';

/** Code Value and Coding Scheme Designator, with Code Meaning for people. */
export type WorkitemCode = { readonly value: string; readonly scheme?: string; readonly meaning?: string };

export type Workitem = {
  readonly uid: string;
  readonly state: WorkitemState;
  readonly priority: Priority;
  readonly stations: readonly WorkitemCode[];
  readonly stationClasses: readonly WorkitemCode[];
  readonly codes: readonly WorkitemCode[];
  /** Input Readiness State (0040,4041) is READY, or is not told. */
  readonly ready: boolean;
  /** Of the Input Information Sequence. */
  readonly studies: readonly StudyUid[];
  readonly accession?: string;
};

/** What was done, for the Performed Procedure Sequence. */
export type Performed = {
  readonly station: WorkitemCode;
  readonly work: WorkitemCode;
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly says: string;
};

export type WorkitemEvent =
  | { readonly kind: 'changed'; readonly workitem: string; readonly state?: WorkitemState }
  | { readonly kind: 'cancel-requested'; readonly workitem: string; readonly reason?: string };

/** A worklist manager. Every method throws `archive.*` errors. */
export interface Worklist {
  /** Those that are scheduled; which of them are meant for whom is the caller's to see. */
  scheduled(filter: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<Workitem[]>;
  get(workitem: string, signal?: AbortSignal): Promise<Workitem | undefined>;
  /** False when somebody else holds it, or it is over. Claiming again with the same transaction is the same claim. */
  claim(workitem: string, transaction: string, signal?: AbortSignal): Promise<boolean>;
  /** False when this transaction does not hold the workitem any more. */
  progress(
    workitem: string,
    transaction: string,
    progress: { readonly percent: number; readonly says: string },
    signal?: AbortSignal,
  ): Promise<boolean>;
  /** Both are harmless when repeated. False when this transaction does not hold the workitem any more. */
  complete(workitem: string, transaction: string, performed: Performed, signal?: AbortSignal): Promise<boolean>;
  cancel(
    workitem: string,
    transaction: string,
    why: { readonly code: WorkitemCode; readonly says: string },
    signal?: AbortSignal,
  ): Promise<boolean>;
  /** Subscribes, and gives events until the channel is lost or the signal aborts; `onOpen` is called when it stands. */
  watch(
    subscription: { readonly subscriber: string; readonly filter: Readonly<Record<string, string>> },
    on: { open(): void; event(event: WorkitemEvent): void },
    signal: AbortSignal,
  ): Promise<void>;
}

/** A claim that Wetread has made or is about to make; kept, so that a crash leaves no workitem in progress for ever. */
export type WorkitemClaim = {
  readonly workitem: string;
  /** The key with which the claim is held; nobody else knows it. */
  readonly transaction: string;
  readonly studies: readonly StudyUid[];
  readonly priority: Priority;
  readonly accession?: string;
  /** `claiming`: the worklist may or may not have heard of it. */
  readonly state: 'claiming' | 'held';
  readonly announced: boolean;
  /** What was told last of its progress. */
  readonly progress?: string;
  /** Somebody asked for it to be given up, with this reason. */
  readonly cancelReason?: string;
  readonly beganAt: Date;
};

export interface WorkitemClaims {
  /** False when this workitem is claimed already, by whichever process. */
  intend(
    claim: Pick<WorkitemClaim, 'workitem' | 'transaction' | 'studies' | 'priority' | 'accession'>,
  ): Promise<boolean>;
  all(): Promise<WorkitemClaim[]>;
  mark(
    workitem: string,
    change: Partial<Pick<WorkitemClaim, 'state' | 'announced' | 'progress' | 'cancelReason'>>,
  ): Promise<void>;
  /** The workitem is over, or was never ours. */
  end(workitem: string): Promise<void>;
}
