/** What becomes of a study's job when its handler ends: the one place that decides between settled, another try, another look, and dead. */
import { asWetreadError, type WetreadError } from '../domain/errors.ts';
import type { ReadReason } from '../domain/event.ts';
import { patientId, type PatientId, type StudyUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { StudyState } from '../domain/study.ts';
import type { Database } from './database.ts';
import { priorityNumber, studyJob, type Jobs } from './jobs.ts';
import type { PatientCache } from './patient-cache.ts';
import type { Workers } from './running-jobs.ts';
import { setPending, settleStudy, wishes } from './study-register.ts';

export type StudyJob = {
  readonly studyUid: StudyUid;
  /** `look-again`: only when the archive holds something else now is there anything to read. */
  readonly reason: ReadReason | 'look-again';
  /** The study was read before, and stays so for all who look until there is something to read. */
  readonly settled: boolean;
  /** Packs that are to read again what another version of them has read; `*` is all. */
  readonly packs: readonly string[];
  /** 1 for the first try. */
  readonly attempt: number;
  readonly lastAttempt: boolean;
  readonly patientId?: PatientId;
  readonly signal: AbortSignal;
};

/** When an announcement counted more objects than the archive had: they may be on their way. After the last look it is left to the next announcement. */
const shortLookSeconds = [30, 120, 600, 3600];

/**
 * The handler settles the study itself when it succeeds or skips. When it throws:
 *
 * | error's row | tries left | the study becomes        | the job                   |
 * |-------------|------------|--------------------------|---------------------------|
 * | retry: no   | –          | settled, failed(code)    | completed                 |
 * | retry: yes  | yes        | pending                  | tried again after a delay |
 * | retry: yes  | no         | dead, failed(code)       | completed                 |
 *
 * What fails before it found anything to read leaves a settled study as it was.
 * When the process is stopping, whatever was thrown means nothing: the job goes back unharmed (`running-jobs.ts`).
 */
export async function workStudies(
  parts: { database: Database; jobs: Jobs; cache: PatientCache; workers: Workers; logger: Logger },
  handler: (job: StudyJob) => Promise<void>,
  options: { concurrency: number },
): Promise<void> {
  const { database, jobs, cache, logger } = parts;
  const places = { concurrency: options.concurrency, spared: priorityNumber.backfill };

  await parts.workers.work('read-study', places, async ({ id, data, attempt, lastAttempt, signal }) => {
    const { studyUid } = studyJob.parse(data);
    const { state, packs, ...known } = await take(studyUid);
    const settled = state === 'settled' || state === 'dead';
    const reason = packs.length > 0 ? 're-read' : settled ? 'look-again' : 'study-arrived';
    try {
      await handler({ studyUid, reason, settled, packs, attempt, lastAttempt, signal, ...known });
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      const error = asWetreadError(thrown);
      const log = logger.with({ studyUid, attempt, code: error.code });
      const again = error.row.retry && !lastAttempt;
      if (settled && !(await begun(studyUid))) {
        log.warn('the archive could not be asked whether there is more to read', { cause: error });
      } else if (again) {
        log.warn('study will be tried again', { cause: error });
        tell(
          await database.query(
            `update wetread.study set state = 'pending', failed_code = $2, failed_attempt = $3, failed_at = now()
             where study_uid = $1 and state in ('pending', 'reading') returning patient_id`,
            [studyUid, error.code, attempt],
          ),
        );
      } else if (error.row.retry) {
        log.error('study given up: every retry is used up', { cause: error });
        tell(await settleStudy(database, studyUid, 'dead', failed(error)));
      } else {
        log.error('study failed', { cause: error });
        tell(await settleStudy(database, studyUid, 'settled', failed(error)));
      }
      if (again) throw error;
    }
    tell(await finish(id, studyUid));
  });

  /** What was asked for until now is what this job does; what is asked from now on is left for the next. */
  async function take(study: StudyUid) {
    const [row] = await database.query<{ patient_id: string | null; state: StudyState['kind']; packs: string[] }>(
      `update wetread.study set wish = 0, wish_packs = '{}',
         doing_packs = array(select distinct unnest(doing_packs || wish_packs))
       where study_uid = $1 returning patient_id, state, doing_packs as packs`,
      [study],
    );
    const patient = row?.patient_id == null ? {} : { patientId: patientId(row.patient_id) as PatientId };
    return { state: row?.state ?? 'pending', packs: row?.packs ?? [], ...patient };
  }

  async function begun(study: StudyUid): Promise<boolean> {
    const rows = await database.query(`select from wetread.study where study_uid = $1 and state = 'reading'`, [study]);
    return rows.length > 0;
  }

  /**
   * The end of the job and the beginning of the next are one transaction under the lock of the study's row, which every
   * announcement takes: one that came before is seen here, one that comes after finds no living job and queues its own.
   */
  function finish(job: string, study: StudyUid): Promise<{ patient_id: string | null }[]> {
    return database.transaction(async (sql) => {
      const [row] = await sql.query<{
        patient_id: string | null;
        state: StudyState['kind'];
        wish: number;
        priority: number;
        awaited: boolean;
        short_looks: number;
      }>(
        `select patient_id, state, wish, priority, coalesce(told_count > instance_count, false) as awaited, short_looks
         from wetread.study where study_uid = $1 for update`,
        [study],
      );
      await jobs.complete(sql, 'read-study', job);
      if (row === undefined) return [];
      await sql.query(`update wetread.study set doing_packs = '{}' where study_uid = $1`, [study]);
      if (row.wish === wishes.read) {
        if (row.state !== 'settled' || row.priority > priorityNumber.backfill) await setPending(sql, study);
        await jobs.queueStudy(sql, study, row.priority);
      } else if (row.wish === wishes.look) {
        await jobs.queueStudy(sql, study, row.priority);
      } else if (row.state === 'settled' && row.awaited && row.short_looks < shortLookSeconds.length) {
        await sql.query('update wetread.study set short_looks = short_looks + 1 where study_uid = $1', [study]);
        await jobs.queueStudy(sql, study, row.priority, shortLookSeconds[row.short_looks]);
      }
      return [row];
    });
  }

  function tell(rows: readonly { patient_id?: string | null }[]): void {
    for (const { patient_id } of rows) if (patient_id != null) cache.forget(patient_id);
  }
}

const failed = (error: WetreadError): Outcome => ({
  kind: 'failed',
  code: error.code,
  ...(error.detail === undefined ? {} : { detail: error.detail }),
});
