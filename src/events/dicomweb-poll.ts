/**
 * Asks the archive for new studies and late pictures (QIDO-RS) for sites whose chart does not tell.
 *
 * DICOMweb cannot be asked "what came since?": only by Study Date, which is when the pictures were taken. So two windows
 * are asked for: each round yesterday and today, and every hour, for what was archived late, the last `days`. How many
 * objects a study has now is told with it; the register makes one job of whatever is heard twice.
 */
import { asWetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { Archive, StudyRegister } from '../domain/ports.ts';
import type { StudyUid } from '../domain/ids.ts';
import type { Cursors } from './cursors.ts';

export type DicomwebPollOptions = {
  readonly archive: Pick<Archive, 'findStudies'>;
  /** 0 never asks. */
  readonly everySeconds: number;
  /** How far back pictures that were archived late are looked for. */
  readonly days: number;
  readonly cursors: Cursors;
  readonly announce: StudyRegister['announce'];
  readonly logger: Logger;
  readonly now?: () => Date;
};

export type PollState = {
  readonly kind: 'off' | 'waiting' | 'failing';
  readonly lastPolledAt?: string;
  readonly error?: string;
};

export interface DicomwebPoll {
  start(): void;
  stop(): Promise<void>;
  /** One round: how many studies were new. Throws what the archive or the register throws. */
  pollOnce(signal?: AbortSignal): Promise<number>;
  state(): PollState;
}

const cursorName = 'dicomweb-poll';
/** When polling first began: what was taken long before is left to `wetread backfill`, which somebody asks for. */
const beganName = 'dicomweb-poll/began';
const sweptName = 'dicomweb-poll/swept';
const dayMs = 24 * 3600 * 1000;
/** QIDO-RS searches by StudyDate, which has no time of day and no zone: a day back is always asked for again. */
const overlapMs = dayMs;
const sweepEveryMs = 3600 * 1000;
const pageSize = 200;
const mostPages = 500;
const longestBackoffSeconds = 300;

export function dicomwebPoll(options: DicomwebPollOptions): DicomwebPoll {
  const { archive, everySeconds, days, cursors, announce, logger, now = () => new Date() } = options;
  /** How many objects each study of the asked-for days was announced with: saves the database a question per study and round. */
  let announced = new Map<StudyUid, number | undefined>();
  let state: PollState = { kind: 'off' };
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let stopping: AbortController | undefined;
  let round: Promise<void> = Promise.resolve();

  async function pollOnce(signal?: AbortSignal): Promise<number> {
    const began = now();
    const first = (await instant(beganName)) ?? (await firstStart(began));
    const cursor = (await instant(cursorName)) ?? began;
    const swept = await instant(sweptName);
    const sweeps = swept === undefined || began.getTime() - swept.getTime() >= sweepEveryMs;
    const near = Math.min(cursor.getTime(), began.getTime()) - overlapMs;
    const far = Math.max(began.getTime() - days * dayMs, first.getTime() - overlapMs);

    const seen = new Map<StudyUid, number | undefined>();
    const fresh = await announceSince(new Date(sweeps ? Math.min(near, far) : near), seen, signal);
    // Only now: a round that broke off is asked for again in full.
    await cursors.set(cursorName, began.toISOString());
    if (sweeps) await cursors.set(sweptName, began.toISOString());
    // A sweep sees everything that may be asked for until the next one; what it did not see can be forgotten.
    announced = sweeps ? seen : new Map([...announced, ...seen]);
    return fresh;
  }

  async function announceSince(
    since: Date,
    seen: Map<StudyUid, number | undefined>,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    let fresh = 0;
    for (let page = 0; page < mostPages; page += 1) {
      const studies = await archive.findStudies({ since, limit: pageSize, offset: page * pageSize }, signal);
      let unseen = 0;
      for (const { studyUid, accession, instanceCount } of studies) {
        if (seen.has(studyUid)) continue;
        seen.set(studyUid, instanceCount);
        unseen += 1;
        if (announced.has(studyUid) && announced.get(studyUid) === instanceCount) continue;
        const answer = await announce({
          source: 'dicomweb-poll',
          studyUid,
          reason: 'study-arrived',
          priority: 'routine',
          ...(accession === undefined ? {} : { accession }),
          ...(instanceCount === undefined ? {} : { instanceCount }),
        });
        if (answer === 'queued') fresh += 1;
        announced.set(studyUid, instanceCount);
      }
      // Archives that ignore offset give the first page for ever.
      if (studies.length < pageSize || unseen === 0) break;
    }
    return fresh;
  }

  async function instant(name: string): Promise<Date | undefined> {
    const text = await cursors.get(name);
    return text === undefined || Number.isNaN(Date.parse(text)) ? undefined : new Date(text);
  }

  /** A site that has polled before this was remembered began when its cursor stood, or earlier. */
  async function firstStart(began: Date): Promise<Date> {
    const first = (await instant(cursorName)) ?? began;
    await cursors.set(beganName, first.toISOString());
    return first;
  }

  async function oneRound(signal: AbortSignal): Promise<void> {
    try {
      const fresh = await pollOnce(signal);
      if (failures > 0) logger.info('the archive answers again', { failures });
      failures = 0;
      state = { kind: 'waiting', lastPolledAt: now().toISOString() };
      if (fresh > 0) logger.info('new studies in the archive', { count: fresh });
    } catch (thrown) {
      if (signal.aborted) return;
      const error = asWetreadError(thrown);
      // One line when it begins to fail and one when the reason changes; a night without archive is not a thousand lines.
      if (state.error !== error.code)
        logger.error('the archive cannot be asked for new studies', { code: error.code, cause: error });
      failures += 1;
      state = { ...state, kind: 'failing', error: error.code };
    }
  }

  function schedule(signal: AbortSignal, seconds: number): void {
    timer = setTimeout(() => void (round = roundAndNext(signal)), seconds * 1000);
    timer.unref();
  }

  async function roundAndNext(signal: AbortSignal): Promise<void> {
    await oneRound(signal);
    if (!signal.aborted) schedule(signal, secondsUntilNext());
  }

  function secondsUntilNext(): number {
    const backoff = everySeconds * 2 ** Math.min(failures, 10);
    return Math.min(backoff, Math.max(longestBackoffSeconds, everySeconds));
  }

  return {
    pollOnce,
    state: () => state,
    start() {
      if (everySeconds <= 0 || stopping !== undefined) return;
      stopping = new AbortController();
      state = { kind: 'waiting' };
      schedule(stopping.signal, 0);
    },
    async stop() {
      stopping?.abort();
      stopping = undefined;
      clearTimeout(timer);
      await round;
      state = { kind: 'off' };
    },
  };
}
