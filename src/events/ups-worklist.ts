/** Takes workitems from a worklist (DICOM UPS): claims those meant for Wetread, has their studies read, and tells the worklist how it went. */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { asWetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { StudyRegister } from '../domain/ports.ts';
import type { StudyState } from '../domain/study.ts';
import type {
  Workitem,
  WorkitemClaim,
  WorkitemClaims,
  WorkitemCode,
  WorkitemEvent,
  Worklist,
} from '../domain/workitem.ts';

/** Which workitems are Wetread's: every code given must be among the workitem's own. */
export type MeantFor = {
  readonly station?: WorkitemCode | undefined;
  readonly stationClass?: WorkitemCode | undefined;
  readonly code?: WorkitemCode | undefined;
};

export type UpsWorklistOptions = {
  readonly worklist: Worklist;
  readonly claims: WorkitemClaims;
  readonly register: Pick<StudyRegister, 'announce' | 'get'>;
  readonly meantFor: MeantFor;
  /** AE title under which Wetread subscribes. */
  readonly subscriber: string;
  /** How often the worklist is searched while its event channel does not stand, and claims are looked after. */
  readonly everySeconds: number;
  /** How often it is searched although events come: one may have been lost. */
  readonly evenSoSeconds?: number;
  readonly logger: Logger;
};

export type UpsState = {
  readonly channel: 'off' | 'open' | 'lost';
  readonly error?: string;
};

export interface UpsWorklist {
  start(): void;
  stop(): Promise<void>;
  /** One round: searches, claims and looks after every claim. Throws what the worklist or the database throws. */
  once(signal?: AbortSignal): Promise<void>;
  /** How many workitems are scheduled for Wetread now; throws unless the worklist answers. */
  probe(signal?: AbortSignal): Promise<number>;
  state(): UpsState;
}

/** Scheduled Station Name, Station Class and Workitem Code Sequences, by their Code Value. */
const keyOf = { station: '00404025', stationClass: '00404026', code: '00404018' } as const;
/** DICOM context group 9300, Procedure Discontinuation Reasons. */
const discontinued: WorkitemCode = { value: '110513', scheme: 'DCM', meaning: 'Discontinued for unspecified reason' };
const equipmentFailure: WorkitemCode = { value: '110501', scheme: 'DCM', meaning: 'Equipment failure' };
/** What was done when the workitem does not name it (context group 9231). */
const computerAided: WorkitemCode = { value: '110004', scheme: 'DCM', meaning: 'Computer Aided Diagnosis' };

const longestBackoffMs = 60_000;
const gatherMs = 50;

export function upsWorklist(options: UpsWorklistOptions): UpsWorklist {
  const { worklist, claims, register, meantFor, subscriber, everySeconds, evenSoSeconds = 60, logger } = options;
  const filter = Object.fromEntries(
    Object.entries(keyOf).flatMap(([name, tag]) => {
      const value = meantFor[name as keyof MeantFor]?.value;
      return value === undefined ? [] : [[`${tag}.00080100`, value]];
    }),
  );
  /** Workitems of the last search that cannot be done, so that each is complained of once for as long as it is listed. */
  let passedOver: ReadonlySet<string> = new Set();
  let state: UpsState = { channel: 'off' };
  let stopping: AbortController | undefined;
  let working: Promise<unknown> = Promise.resolve();
  const hearing = new Set<Promise<void>>();
  let wake: (() => void) | undefined;
  /** Set by events, which may come in the middle of a round. */
  let searchSoon = true;
  let lookSoon = false;
  let searchedAt = 0;

  async function searchAndClaim(signal: AbortSignal | undefined): Promise<void> {
    const withoutStudy = new Set<string>();
    for (const workitem of await worklist.scheduled(filter, signal)) {
      if (!isMeant(workitem, meantFor) || !workitem.ready) continue;
      if (workitem.studies.length === 0) {
        if (!passedOver.has(workitem.uid)) logger.warn('a workitem names no study to read', { workitem: workitem.uid });
        withoutStudy.add(workitem.uid);
        continue;
      }
      const { studies, priority, accession } = workitem;
      // First remembered and then claimed: a crash between the two is found at the next start.
      await claims.intend({
        workitem: workitem.uid,
        transaction: newUid(),
        studies,
        priority,
        ...(accession === undefined ? {} : { accession }),
      });
    }
    passedOver = withoutStudy;
  }

  async function lookAfter(claim: WorkitemClaim, signal: AbortSignal | undefined): Promise<void> {
    const { workitem, transaction } = claim;
    if (claim.state === 'claiming') {
      if (!(await worklist.claim(workitem, transaction, signal))) {
        logger.info('a workitem went to somebody else', { workitem });
        return claims.end(workitem);
      }
      await claims.mark(workitem, { state: 'held' });
      logger.info('workitem claimed', { workitem, studies: claim.studies.length, priority: claim.priority });
    }
    if (claim.cancelReason !== undefined) {
      await worklist.cancel(workitem, transaction, { code: discontinued, says: claim.cancelReason }, signal);
      logger.info('workitem given up as requested', { workitem });
      return claims.end(workitem);
    }
    if (!claim.announced) {
      const { studies, priority, accession } = claim;
      for (const studyUid of studies) {
        const event = { source: 'ups', studyUid, reason: 'study-arrived', priority } as const;
        // An accession number of several studies' request belongs to none of them for sure.
        await register.announce(accession === undefined || studies.length > 1 ? event : { ...event, accession });
      }
      await claims.mark(workitem, { announced: true });
    }
    await tellHowItGoes(claim, signal);
  }

  async function tellHowItGoes(claim: WorkitemClaim, signal: AbortSignal | undefined): Promise<void> {
    const { workitem, transaction } = claim;
    const records = await Promise.all(claim.studies.map((study) => register.get(study)));
    const states = records.map((record): StudyState => record?.state ?? { kind: 'pending' });
    const over = states.filter((one) => one.kind === 'settled' || one.kind === 'dead');
    if (over.length < states.length) {
      const progress = progressOf(states);
      if (progress.says === claim.progress) return;
      if (!(await worklist.progress(workitem, transaction, progress, signal))) return lost(workitem);
      return claims.mark(workitem, { progress: progress.says });
    }
    const ending = endingOf(over.map((one) => one.outcome));
    const told =
      ending.kind === 'done'
        ? await worklist.complete(
            workitem,
            transaction,
            {
              station: meantFor.station ?? { value: 'WETREAD', scheme: '99WETREAD', meaning: 'Wetread' },
              work: meantFor.code ?? computerAided,
              startedAt: claim.beganAt,
              endedAt: new Date(),
              says: ending.says,
            },
            signal,
          )
        : await worklist.cancel(workitem, transaction, ending, signal);
    if (!told) return lost(workitem);
    await claims.end(workitem);
    logger.info(ending.kind === 'done' ? 'workitem completed' : 'workitem given up', { workitem, why: ending.says });
  }

  /** Somebody with more rights has ended it; the study is read all the same, for whoever else waits for it. */
  async function lost(workitem: string): Promise<void> {
    logger.warn('the worklist does not know a claim of ours any more', { workitem });
    await claims.end(workitem);
  }

  async function once(signal?: AbortSignal): Promise<void> {
    searchedAt = Date.now();
    searchSoon = false;
    await searchAndClaim(signal);
    await lookAfterAll(signal);
  }

  /** One workitem's trouble does not keep the others waiting. */
  async function lookAfterAll(signal: AbortSignal | undefined): Promise<void> {
    let fault: unknown;
    for (const claim of await claims.all()) {
      try {
        await lookAfter(claim, signal);
      } catch (thrown) {
        signal?.throwIfAborted();
        fault ??= thrown;
      }
    }
    if (fault !== undefined) throw fault;
  }

  async function rounds(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const quietMs = (state.channel === 'open' ? evenSoSeconds : everySeconds) * 1000;
      lookSoon = false;
      try {
        if (searchSoon || Date.now() - searchedAt >= quietMs) await once(signal);
        else await lookAfterAll(signal);
        if (state.error !== undefined) logger.info('the worklist answers again');
        const { error: _, ...well } = state;
        state = well;
      } catch (thrown) {
        if (signal.aborted) return;
        const error = asWetreadError(thrown);
        // One line when it begins to fail and one when the reason changes.
        if (state.error !== error.code)
          logger.error('the worklist cannot be worked on', { code: error.code, cause: error });
        state = { ...state, error: error.code };
      }
      // A burst of events is one search.
      await sleep(searchSoon || lookSoon ? gatherMs : everySeconds * 1000, signal);
    }
  }

  async function listening(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        const on = {
          open() {
            failures = 0;
            state = { ...state, channel: 'open' };
            // What happened while nobody listened is found by searching.
            soon();
          },
          event(event: WorkitemEvent) {
            const told: Promise<void> = heard(event).finally(() => hearing.delete(told));
            hearing.add(told);
          },
        };
        await worklist.watch({ subscriber, filter }, on, signal);
      } catch (thrown) {
        if (signal.aborted) return;
        if (state.channel !== 'lost')
          logger.warn('no events from the worklist; it is searched instead', { code: asWetreadError(thrown).code });
      }
      state = { ...state, channel: 'lost' };
      failures += 1;
      const backoff = Math.min(longestBackoffMs, 1000 * 2 ** Math.min(failures, 6)) * (0.5 + Math.random() / 2);
      await pause(backoff, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  async function heard(event: WorkitemEvent): Promise<void> {
    if (event.kind === 'cancel-requested') {
      // Written down first: the worklist asks once, and a restart must not forget it.
      const cancelReason = event.reason ?? 'cancellation was requested';
      await claims
        .mark(event.workitem, { cancelReason })
        .catch((cause: unknown) => logger.error('a cancellation request could not be kept', { cause }));
    }
    // Also our own claims are told to us; only what may be new is worth a search.
    if (event.kind === 'changed' && (event.state === undefined || event.state === 'SCHEDULED')) soon();
    else lookSoon = true;
    wake?.();
  }

  function soon(): void {
    searchSoon = true;
    wake?.();
  }

  async function sleep(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    wake = () => woken.abort();
    await pause(ms, undefined, { signal: AbortSignal.any([signal, woken.signal]), ref: false }).catch(() => {});
    wake = undefined;
  }

  return {
    once,
    probe: async (signal) =>
      (await worklist.scheduled(filter, signal)).filter((workitem) => isMeant(workitem, meantFor)).length,
    state: () => state,
    start() {
      if (stopping !== undefined) return;
      stopping = new AbortController();
      const { signal } = stopping;
      state = { channel: 'lost' };
      working = Promise.all([rounds(signal), listening(signal)]);
    },
    async stop() {
      stopping?.abort();
      await working;
      await Promise.all(hearing);
      stopping = undefined;
      state = { channel: 'off' };
    },
  };
}

function isMeant(workitem: Workitem, { station, stationClass, code }: MeantFor): boolean {
  const among = (wanted: WorkitemCode | undefined, codes: readonly WorkitemCode[]) =>
    wanted === undefined ||
    codes.some(
      ({ value, scheme }) => value === wanted.value && (wanted.scheme === undefined || scheme === wanted.scheme),
    );
  return (
    among(station, workitem.stations) && among(stationClass, workitem.stationClasses) && among(code, workitem.codes)
  );
}

function progressOf(states: readonly StudyState[]): { percent: number; says: string } {
  const over = states.filter(({ kind }) => kind === 'settled' || kind === 'dead').length;
  const reading = states.some(({ kind }) => kind === 'reading');
  const percent = Math.round((100 * (over + (reading ? 0.5 : 0))) / states.length);
  return {
    percent,
    says: reading ? 'being read' : over > 0 ? `${over} of ${states.length} studies read` : 'waiting to be read',
  };
}

type Ended = Extract<StudyState, { kind: 'settled' | 'dead' }>['outcome'];
type Ending =
  | { readonly kind: 'done'; readonly says: string }
  | { readonly kind: 'given-up'; readonly code: WorkitemCode; readonly says: string };

/** Done when anything was read; what was not read is said beside it. */
function endingOf(outcomes: readonly Ended[]): Ending {
  const readings = outcomes.flatMap((outcome) => (outcome.kind === 'analysed' ? outcome.readings : []));
  const rest = outcomes.flatMap((outcome) =>
    outcome.kind === 'failed'
      ? [`not read: ${outcome.code}`]
      : outcome.kind === 'skipped'
        ? [`not read: ${outcome.reason}`]
        : [],
  );
  if (rest.length < outcomes.length)
    return { kind: 'done', says: [`readings: ${readings.join(', ')}`, ...rest].join('; ') };
  const failed = outcomes.some(({ kind }) => kind === 'failed');
  return { kind: 'given-up', code: failed ? equipmentFailure : discontinued, says: rest.join('; ') };
}

/** PS3.5 B.2: a UID made of a UUID. */
const newUid = (): string => `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`)}`;
