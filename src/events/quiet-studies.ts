/**
 * Announces studies that were sent here when no more of them comes. DICOM has no word for "the study is complete": a study
 * is taken for complete when its senders have been quiet for a while, and announced again when something comes later.
 * What is still to be announced is a row in the database, so a crash forgets nothing.
 */
import { asWetreadError, type ErrorCode } from '../domain/errors.ts';
import type { StudyEvent } from '../domain/event.ts';
import type { QuietStudy, ReceivedObjects } from '../domain/inbox.ts';
import type { Logger } from '../domain/log.ts';
import type { StudyRegister } from '../domain/ports.ts';

export type QuietStudiesOptions = {
  readonly objects: Pick<ReceivedObjects, 'takeQuiet' | 'announced' | 'notAnnounced'>;
  readonly quietSeconds: number;
  readonly announce: StudyRegister['announce'];
  readonly logger: Logger;
};

export interface QuietStudies {
  start(): void;
  stop(): Promise<void>;
  /** One look: how many studies were announced. */
  announceQuiet(): Promise<number>;
}

export function quietStudies(options: QuietStudiesOptions): QuietStudies {
  const { objects, quietSeconds, announce, logger } = options;
  const everyMs = Math.min(2000, Math.max(200, quietSeconds * 250));
  let timer: NodeJS.Timeout | undefined;
  let stopped = true;
  let look: Promise<void> = Promise.resolve();
  let failing: ErrorCode | undefined;

  async function announceQuiet(): Promise<number> {
    const studies = await objects.takeQuiet(quietSeconds);
    let fault: unknown;
    for (const study of studies) {
      try {
        await announceOne(study);
      } catch (thrown) {
        // One that cannot be announced keeps no other waiting.
        fault ??= thrown;
        await objects.notAnnounced(study.studyUid).catch(() => {});
      }
    }
    if (fault !== undefined) throw fault;
    return studies.length;
  }

  async function announceOne({ studyUid, accession, road, instances }: QuietStudy): Promise<void> {
    const event: StudyEvent = {
      source: road,
      studyUid,
      reason: 'study-arrived',
      priority: 'routine',
      ...(accession === undefined ? {} : { accession }),
      instanceCount: instances,
    };
    const state = await announce(event);
    // Said afterwards: a crash in between announces the same once more, which the register knows already.
    await objects.announced(studyUid, instances);
    logger.info('study announced', { source: road, studyUid, instances, state });
  }

  async function round(): Promise<void> {
    try {
      await announceQuiet();
      if (failing !== undefined) logger.info('received studies can be announced again');
      failing = undefined;
    } catch (thrown) {
      const error = asWetreadError(thrown);
      if (failing !== error.code)
        logger.error('received studies cannot be announced', { code: error.code, cause: error });
      failing = error.code;
    }
    if (!stopped) schedule();
  }

  function schedule(): void {
    timer = setTimeout(() => void (look = round()), everyMs);
    timer.unref();
  }

  return {
    announceQuiet,
    start() {
      stopped = false;
      schedule();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await look;
    },
  };
}
