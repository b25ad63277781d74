/** Asks the archive for new studies (QIDO-RS) for sites whose chart does not tell; the register makes one job of whatever is heard twice. */
import { asWetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { Archive, StudyRegister } from '../domain/ports.ts';
import type { StudyUid } from '../domain/ids.ts';
import type { Cursors } from './cursors.ts';

export type DicomwebPollOptions = {
  readonly archive: Pick<Archive, 'findStudies'>;
  /** 0 never asks. */
  readonly everySeconds: number;
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
/** QIDO-RS searches by StudyDate, which has no time of day and no zone: a day back is always asked for again. */
const overlapMs = 24 * 3600 * 1000;
const pageSize = 200;
const mostPages = 500;
const longestBackoffSeconds = 300;

export function dicomwebPoll(options: DicomwebPollOptions): DicomwebPoll {
  const { archive, everySeconds, cursors, announce, logger, now = () => new Date() } = options;
  /** Announced in the asked-for days already: saves the database a question per study and round. */
  let announced = new Set<StudyUid>();
  let state: PollState = { kind: 'off' };
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let stopping: AbortController | undefined;
  let round: Promise<void> = Promise.resolve();

  async function pollOnce(signal?: AbortSignal): Promise<number> {
    const began = now();
    const cursor = await cursors.get(cursorName);
    const from = cursor === undefined || Number.isNaN(Date.parse(cursor)) ? began : new Date(cursor);
    const since = new Date(Math.min(from.getTime(), began.getTime()) - overlapMs);

    const seen = new Set<StudyUid>();
    let fresh = 0;
    for (let page = 0; page < mostPages; page += 1) {
      const studies = await archive.findStudies({ since, limit: pageSize, offset: page * pageSize }, signal);
      let unseen = 0;
      for (const { studyUid, accession } of studies) {
        if (seen.has(studyUid)) continue;
        seen.add(studyUid);
        unseen += 1;
        if (announced.has(studyUid)) continue;
        const event = { source: 'dicomweb-poll', studyUid, reason: 'study-arrived', priority: 'routine' } as const;
        if ((await announce(accession === undefined ? event : { ...event, accession })) === 'queued') fresh += 1;
        announced.add(studyUid);
      }
      // Archives that ignore offset give the first page for ever.
      if (studies.length < pageSize || unseen === 0) break;
    }
    // Only now: a round that broke off is asked for again in full.
    await cursors.set(cursorName, began.toISOString());
    announced = seen;
    return fresh;
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
