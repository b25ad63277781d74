/** What becomes of a study's job when its handler ends: the one place that decides between settled, another try, and dead. */
import { asWetreadError, type WetreadError } from '../domain/errors.ts';
import type { ReadReason } from '../domain/event.ts';
import { patientId, type PatientId, type StudyUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { Database } from './database.ts';
import { studyJob } from './jobs.ts';
import type { PatientCache } from './patient-cache.ts';
import type { Workers } from './running-jobs.ts';
import { settleStudy } from './study-register.ts';

export type StudyJob = {
  readonly studyUid: StudyUid;
  readonly reason: ReadReason;
  /** 1 for the first try. */
  readonly attempt: number;
  readonly lastAttempt: boolean;
  readonly patientId?: PatientId;
  readonly signal: AbortSignal;
};

/**
 * The handler settles the study itself when it succeeds or skips. When it throws:
 *
 * | error's row | tries left | the study becomes        | the job                   |
 * |-------------|------------|--------------------------|---------------------------|
 * | retry: no   | –          | settled, failed(code)    | completed                 |
 * | retry: yes  | yes        | pending                  | tried again after a delay |
 * | retry: yes  | no         | dead, failed(code)       | failed                    |
 *
 * When the process is stopping, whatever was thrown means nothing: the job goes back unharmed (`running-jobs.ts`).
 */
export async function workStudies(
  parts: { database: Database; cache: PatientCache; workers: Workers; logger: Logger },
  handler: (job: StudyJob) => Promise<void>,
  options: { concurrency: number },
): Promise<void> {
  const { database, cache, logger } = parts;

  await parts.workers.work('read-study', options.concurrency, async ({ data, attempt, lastAttempt, signal }) => {
    const { studyUid, reason } = studyJob.parse(data);
    const [study] = await database.query<{ patient_id: string | null }>(
      'select patient_id from wetread.study where study_uid = $1',
      [studyUid],
    );
    try {
      const patient = study?.patient_id == null ? {} : { patientId: patientId(study.patient_id) };
      await handler({ studyUid, reason, attempt, lastAttempt, signal, ...patient });
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      const error = asWetreadError(thrown);
      const log = logger.with({ studyUid, attempt, code: error.code });
      if (!error.row.retry) {
        log.error('study failed', { cause: error });
        tell(await settleStudy(database, studyUid, 'settled', failed(error)));
        return;
      }
      if (lastAttempt) {
        log.error('study given up: every retry is used up', { cause: error });
        tell(await settleStudy(database, studyUid, 'dead', failed(error)));
      } else {
        log.warn('study will be tried again', { cause: error });
        tell(
          await database.query(
            `update wetread.study set state = 'pending' where study_uid = $1 and state = 'reading' returning patient_id`,
            [studyUid],
          ),
        );
      }
      throw error;
    }
  });

  function tell(rows: readonly { patient_id?: string | null }[]): void {
    for (const { patient_id } of rows) if (patient_id != null) cache.forget(patient_id);
  }
}

const failed = (error: WetreadError): Outcome => ({
  kind: 'failed',
  code: error.code,
  ...(error.detail === undefined ? {} : { detail: error.detail }),
});
