/** Looks after exams that were ordered or done: finds their studies in the archive and announces them, with the order's priority. */
import { asWetreadError } from '../domain/errors.ts';
import type { StudyEvent } from '../domain/event.ts';
import type { ExpectedExam, ExpectedExams } from '../domain/expected-exam.ts';
import type { Logger } from '../domain/log.ts';
import type { Archive, OrderBook, StudyRegister } from '../domain/ports.ts';
import type { PatientId } from '../domain/ids.ts';

export type ExamWatchOptions = {
  readonly exams: ExpectedExams;
  readonly archive: Pick<Archive, 'findStudies'>;
  readonly announce: StudyRegister['announce'];
  readonly orders: Pick<OrderBook, 'remember'>;
  /** Whose exam it is and which order asks for it, as the chart knows. Throws `chart.*`. */
  readonly inChart?: (
    exam: ExpectedExam,
    signal: AbortSignal,
  ) => Promise<{ patientId: PatientId; order?: string } | undefined>;
  readonly everySeconds?: number;
  readonly logger: Logger;
};

export interface ExamWatch {
  start(): void;
  stop(): Promise<void>;
  /** Something was heard. */
  soon(): void;
  /** One round: how many studies were announced. */
  lookOnce(signal?: AbortSignal): Promise<number>;
}

const atOnce = 20;
const firstWaitSeconds = 5;
const longestWaitSeconds = 600;
/** Ten days of looking every ten minutes; by then somebody has to. */
const mostLooks = 1_450;
/** Some charts never show orders: after five minutes theirs is linked by number when its study comes, and not asked for again. */
const mostChartLooks = 6;
const pruneEveryMs = 3_600_000;

export function examWatch(options: ExamWatchOptions): ExamWatch {
  const { exams, archive, announce, orders, inChart, everySeconds = 5, logger } = options;
  let stopping: AbortController | undefined;
  let timer: NodeJS.Timeout | undefined;
  let round: Promise<unknown> = Promise.resolve();
  let again = false;
  let running = false;
  let lastError: string | undefined;
  let prunedAt = 0;

  async function lookOnce(signal: AbortSignal = new AbortController().signal): Promise<number> {
    let announced = 0;
    for (;;) {
      const due = await exams.due(atOnce);
      for (const exam of due) {
        if (signal.aborted) return announced;
        announced += await lookAfter(exam, signal);
      }
      if (due.length < atOnce) return announced;
    }
  }

  async function lookAfter(exam: ExpectedExam, signal: AbortSignal): Promise<number> {
    try {
      return exam.state === 'done' ? await findStudies(exam, signal) : await remember(exam, signal);
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      const { code } = asWetreadError(thrown);
      if (lastError !== code) logger.warn('an exam could not be looked after', { code, cause: thrown });
      lastError = code;
      await exams.again(exam, waitAfter(exam.looks));
      return 0;
    }
  }

  /** The exam was made: its studies are announced, those that are named and those that carry its accession number. */
  async function findStudies(exam: ExpectedExam, signal: AbortSignal): Promise<number> {
    const found = await studiesOf(exam, signal);
    for (const event of found) await announce(event);
    lastError = undefined;
    if (found.length > 0) {
      logger.info('studies announced', { source: exam.source, count: found.length, priority: exam.priority });
      await exams.settled(exam);
    } else if (exam.looks >= mostLooks || (exam.accession === undefined && exam.studyUids.length === 0)) {
      logger.warn('the studies of an exam were not found', { source: exam.source, looks: exam.looks });
      await exams.settled(exam);
    } else {
      await exams.again(exam, waitAfter(exam.looks));
    }
    return found.length;
  }

  async function studiesOf(exam: ExpectedExam, signal: AbortSignal): Promise<StudyEvent[]> {
    const { source, accession, priority, recordNumber } = exam;
    const event = { source, reason: 'study-arrived', priority } as const;
    if (exam.studyUids.length > 0) {
      return exam.studyUids.map((studyUid) => ({
        ...event,
        studyUid,
        ...(accession === undefined ? {} : { accession }),
      }));
    }
    if (accession === undefined) return [];
    const studies = await archive.findStudies({ accession, limit: 50 }, signal);
    return (
      studies
        // Archives exist that match prefixes, or that leave out what they do not index.
        .filter((study) => study.accession === accession)
        .map((study) => ({
          ...event,
          studyUid: study.studyUid,
          accession,
          // The same number on somebody else's picture: it is read, but it is not the one that is in a hurry.
          priority: isOf(recordNumber, study.dicomPatientId) ? priority : 'routine',
          ...(study.instanceCount === undefined ? {} : { instanceCount: study.instanceCount }),
        }))
    );
  }

  /** The exam is ordered: studies that were faster than their order get its priority, and the order is put in the book. */
  async function remember(exam: ExpectedExam, signal: AbortSignal): Promise<number> {
    const { source, priority, accession, region } = exam;
    const waiting = priority === 'stat' ? await exams.waitingStudies(exam) : [];
    for (const studyUid of waiting) await announce({ source, studyUid, reason: 'study-arrived', priority });
    const known = exam.patientId === undefined ? await inChart?.(exam, signal) : { patientId: exam.patientId };
    const order = exam.order ?? (known as { order?: string } | undefined)?.order;
    if (known !== undefined && order !== undefined) {
      await orders.remember({
        reference: order,
        patientId: known.patientId,
        region,
        ...(accession === undefined ? {} : { accession }),
        seenAt: exam.heardAt,
      });
      await exams.settled(exam);
    } else if (inChart === undefined || exam.looks >= mostChartLooks) {
      await exams.settled(exam);
    } else {
      await exams.again(exam, waitAfter(exam.looks));
    }
    lastError = undefined;
    return waiting.length;
  }

  function wake(signal: AbortSignal, seconds: number): void {
    clearTimeout(timer);
    timer = setTimeout(() => void (round = oneRound(signal)), seconds * 1000);
    timer.unref();
  }

  async function oneRound(signal: AbortSignal): Promise<void> {
    running = true;
    again = false;
    try {
      await lookOnce(signal);
      if (Date.now() - prunedAt > pruneEveryMs) {
        await exams.prune();
        prunedAt = Date.now();
      }
    } catch (thrown) {
      const { code } = asWetreadError(thrown);
      if (!signal.aborted && lastError !== code)
        logger.error('expected exams cannot be looked after', { code, cause: thrown });
      lastError = code;
    } finally {
      running = false;
    }
    if (!signal.aborted) wake(signal, again ? 0 : everySeconds);
  }

  return {
    lookOnce,
    start() {
      if (stopping !== undefined) return;
      stopping = new AbortController();
      wake(stopping.signal, 0);
    },
    soon() {
      if (stopping === undefined) return;
      if (running) again = true;
      else wake(stopping.signal, 0);
    },
    async stop() {
      stopping?.abort();
      stopping = undefined;
      clearTimeout(timer);
      await round.catch(() => undefined);
    },
  };
}

const isOf = (recordNumber: string | undefined, dicomPatientId: string | undefined): boolean =>
  recordNumber === undefined || dicomPatientId === undefined || recordNumber === dicomPatientId;

function waitAfter(looks: number): number {
  return Math.min(firstWaitSeconds * 2 ** Math.min(looks - 1, 12), longestWaitSeconds);
}

/** Announces with the priority that the exam's order has, whoever says that its study is there. */
export function withOrderedPriority(
  announce: StudyRegister['announce'],
  exams: Pick<ExpectedExams, 'priorityOf'>,
): StudyRegister['announce'] {
  return async (event) => {
    // Old studies are not in a hurry any more.
    if (event.priority === 'stat' || event.priority === 'backfill') return announce(event);
    const ordered = await exams.priorityOf(event);
    return announce(ordered === 'stat' ? { ...event, priority: ordered } : event);
  };
}
