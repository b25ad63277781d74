/** Writing what is owed: repeated until what was written is what is stored now, so that no verdict gets lost behind a slow write. */
import { asWetreadError } from '../domain/errors.ts';
import type { ReadingId } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { Database } from './database.ts';
import { outputJob, type Jobs } from './jobs.ts';
import type { RunningJob, Workers } from './running-jobs.ts';

export type OutputJob = {
  readonly readingId: ReadingId;
  readonly output: string;
  readonly lastAttempt: boolean;
  readonly signal: AbortSignal;
};

export async function workOutputs(
  parts: { database: Database; jobs: Jobs; workers: Workers; logger: Logger },
  handler: (job: OutputJob) => Promise<void>,
  options: { concurrency: number },
): Promise<void> {
  const { database, jobs, logger } = parts;

  await parts.workers.work('write-output', options, async (job) => {
    const { readingId, output } = outputJob.parse(job.data);
    const { lastAttempt, signal } = job;
    try {
      let writing = await revisionOf(readingId);
      for (;;) {
        await handler({ readingId, output, lastAttempt, signal });
        const current = await paidOff(job, readingId, output, writing);
        if (current === writing) return;
        writing = current;
      }
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      const error = asWetreadError(thrown);
      const log = logger.with({ outputName: output, code: error.code });
      if (error.row.retry && !lastAttempt) {
        log.warn('output will be tried again', { cause: error });
        throw error;
      }
      log.error('output given up', { cause: error });
      await giveUp(job, readingId, output, error.code);
    }
  });

  async function revisionOf(reading: ReadingId): Promise<number> {
    const [row] = await database.query<{ revision: number }>(
      'select revision from wetread.reading where reading_id = $1',
      [reading],
    );
    return row?.revision ?? 0;
  }

  /**
   * Debt and job end together, under the lock of the reading's row that every change takes first. A change before this
   * shows as another revision, which is returned and written next; a change after this finds no job and queues one.
   */
  function paidOff(job: RunningJob, reading: ReadingId, output: string, written: number): Promise<number> {
    return database.transaction(async (sql) => {
      const [row] = await sql.query<{ revision: number }>(
        'select revision from wetread.reading where reading_id = $1 for update',
        [reading],
      );
      if (row !== undefined && row.revision !== written) return row.revision;
      await sql.query('delete from wetread.owed_output where reading_id = $1 and output = $2', [reading, output]);
      await jobs.complete(sql, 'write-output', job.id);
      return written;
    });
  }

  /** Stays owed and is shown so, until a verdict or an operator asks for it again. */
  async function giveUp(job: RunningJob, reading: ReadingId, output: string, code: string): Promise<void> {
    await database.transaction(async (sql) => {
      await sql.query('select from wetread.reading where reading_id = $1 for update', [reading]);
      await sql.query('update wetread.owed_output set dead_code = $3 where reading_id = $1 and output = $2', [
        reading,
        output,
        code,
      ]);
      await jobs.complete(sql, 'write-output', job.id);
    });
  }
}
