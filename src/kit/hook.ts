/** The door for CDS services: a file under `hooks/` declares what it answers, then handles it. */
import type { Bundle, FhirResource } from 'fhir/r4.d.ts';
import type { ErrorCode } from '../domain/errors.ts';
import { errorTable } from '../domain/errors.ts';
import type { PackIdentity } from '../domain/finding.ts';
import type { FindingId, PatientId, StudyUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { OrderBook, PackSummary, ReadingStore, StudyRegister } from '../domain/ports.ts';
import type { Card, CardDraft, Link } from './card.ts';
import type { HookContext, HookName } from './hook-context.ts';

export type { Card, CardDraft, Coding, Indicator, Link, OverrideReason, Suggestion } from './card.ts';
export type { HookContext, HookName } from './hook-context.ts';
export type {
  Finding,
  FindingResult,
  Grade,
  Measurement,
  MeyerdingGrade,
  NotAssessableReason,
  Reading,
  Site,
} from '../domain/finding.ts';
export { gradeOf, isSuspicion } from '../domain/finding.ts';
export { quantityWords } from '../domain/quantities.ts';
export { comparisonOf, samePlace, type Comparison } from '../domain/prior.ts';
export { dayInWords } from '../domain/day-in-words.ts';
export { changeInShort, changeInWords } from '../domain/prior-in-words.ts';
export { whyReadAgain } from '../domain/read-again.ts';
export type { FindingId, PatientId, StudyUid } from '../domain/ids.ts';
export { patientId, isFhirId } from '../domain/ids.ts';
export type { PackSummary } from '../domain/ports.ts';
export type { BodyRegion, ImagingOrder, StudyRecord } from '../domain/study.ts';
export { regionOfText } from '../domain/region.ts';
export { WetreadError, type ErrorCode } from '../domain/errors.ts';

/** What an error of the table means, in the words a clinician may read. */
export const explained = (code: ErrorCode): { readonly says: string; readonly next: string } => errorTable[code];

/**
 * One prefetch template. A plain text is needed: without the data the answer is 412.
 * `ifAvailable(…)` is used when the client sends it or lets us fetch it, and done without otherwise.
 */
export type PrefetchQuery = string | { readonly query: string; readonly needed: false };
export const ifAvailable = <const Query extends string>(query: Query) => ({ query, needed: false }) as const;

type Answer<Query extends string> = Query extends `${string}?${string}`
  ? Bundle
  : Query extends `${infer Type}/${string}`
    ? Extract<FhirResource, { resourceType: Type }>
    : FhirResource;

/** null: the client says that there is no such data. undefined: it could not be had, and was not needed. */
export type Prefetched<Queries extends Readonly<Record<string, PrefetchQuery>>> = {
  readonly [Key in keyof Queries]: Queries[Key] extends string
    ? Answer<Queries[Key]> | null
    : Queries[Key] extends { readonly query: infer Query extends string }
      ? Answer<Query> | null | undefined
      : never;
};

/** What a handler is given. It reads what is stored; no model runs inside an answer. */
export type HookServices = {
  readonly readings: Pick<ReadingStore, 'get' | 'findingById' | 'forPatient' | 'supersededForPatient' | 'forStudy'>;
  readonly studies: Pick<StudyRegister, 'get' | 'forPatient' | 'hurry'>;
  readonly orders: OrderBook;
  /** Findings whose card a clinician overrode for this patient in this service: do not show them again. */
  dismissed(patient: PatientId): Promise<ReadonlySet<FindingId>>;
  /** What a model says of itself; undefined for a version that is no longer installed. */
  model(pack: PackIdentity): PackSummary | undefined;
  card(draft: CardDraft): Card;
  /** A link that launches the app inside the EHR, on this finding or study. */
  appLink(label: string, opens: { readonly finding: FindingId } | { readonly study: StudyUid }): Link;
  /** Done after the answer is on its way, so that it costs the clinician nothing; a failure is logged. */
  afterAnswer(what: string, task: () => Promise<unknown>): void;
  now(): Date;
  readonly logger: Logger;
};

export type HookDeclaration<Hook extends HookName, Queries extends Readonly<Record<string, PrefetchQuery>>> = {
  readonly hook: Hook;
  readonly title: string;
  readonly description: string;
  readonly prefetch?: Queries;
  readonly usageRequirements?: string;
};

export type HookRequest<
  Hook extends HookName,
  Queries extends Readonly<Record<string, PrefetchQuery>>,
> = HookServices & {
  readonly context: HookContext<Hook>;
  readonly prefetch: Prefetched<Queries>;
};

/** A declared hook, whatever it answers. */
export type DefinedHook = HookDeclaration<HookName, Readonly<Record<string, PrefetchQuery>>> & {
  readonly kind: 'wetread-hook';
  // A method, so that a handler of one hook may stand among handlers of others; `src/cds` gives it what it declared.
  handle(request: HookRequest<HookName, Readonly<Record<string, PrefetchQuery>>>): Promise<readonly Card[]>;
};

export function defineHook<Hook extends HookName, const Queries extends Readonly<Record<string, PrefetchQuery>> = {}>(
  declaration: HookDeclaration<Hook, Queries>,
  handler: (request: HookRequest<Hook, Queries>) => Promise<readonly Card[]> | readonly Card[],
): DefinedHook {
  return {
    ...declaration,
    kind: 'wetread-hook',
    handle: async (request) => handler(request as HookRequest<Hook, Queries>),
  };
}
