/** Runs the jobs of a queue, and sees to it that none is lost with the process that ran it. */
import type { JobWithMetadata } from 'pg-boss';
import type { Logger } from '../domain/log.ts';
import type { Database } from './database.ts';
import { jobSchema, type Jobs, type QueueName } from './jobs.ts';
import type { Presence } from './presence.ts';

export type RunningJob = {
  readonly id: string;
  readonly data: unknown;
  /** 1 for the first try. */
  readonly attempt: number;
  readonly lastAttempt: boolean;
  readonly signal: AbortSignal;
};

export type Workers = {
  /**
   * What `handle` throws is retried by the queue's rules; what must not be retried is settled in there.
   * `spared`: jobs of this priority and below never take the last place, so that one above them finds it free.
   */
  work(
    queue: QueueName,
    options: { readonly concurrency: number; readonly spared?: number },
    handle: (job: RunningJob) => Promise<void>,
  ): Promise<void>;
  /** Asks handlers to stop; what is not finished goes back to the queue as if it had not been begun. */
  close(): Promise<void>;
};

const workOptions = {
  includeMetadata: true,
  heartbeatRefreshSeconds: 10,
  // New jobs wake the workers; asking finds those whose retry is due.
  pollingIntervalSeconds: 1,
  notifyPollingIntervalSeconds: 1,
} as const;

/** How long a handler may take to notice that the process is stopping. */
const patienceMs = 5_000;

export function workers(parts: { database: Database; jobs: Jobs; presence: Presence; logger: Logger }): Workers {
  const { database, jobs, presence, logger } = parts;
  const closing = new AbortController();
  const running = new Map<string, QueueName>();
  const working = new Set<QueueName>();

  async function run(
    queue: QueueName,
    job: JobWithMetadata<unknown>,
    handle: (job: RunningJob) => Promise<void>,
  ): Promise<void> {
    running.set(job.id, queue);
    try {
      if (closing.signal.aborted) return await putBack(database, [job.id]);
      await database.query(
        `insert into wetread.claim (job_id, queue, worker) values ($1, $2, $3)
         on conflict (job_id) do update set worker = excluded.worker`,
        [job.id, queue, presence.worker],
      );
      await handle({
        id: job.id,
        data: job.data,
        attempt: job.retryCount + 1,
        lastAttempt: job.retryCount >= job.retryLimit,
        signal: AbortSignal.any([job.signal, closing.signal]),
      });
    } catch (error) {
      if (!closing.signal.aborted) throw error;
      await putBack(database, [job.id]);
    } finally {
      running.delete(job.id);
      await database.query('delete from wetread.claim where job_id = $1', [job.id]).catch((error: unknown) => {
        logger.warn('a finished job could not be unclaimed', { cause: error });
      });
    }
  }

  return {
    async work(queue, { concurrency, spared }, handle) {
      working.add(queue);
      for (let index = 0; index < concurrency; index += 1) {
        const keepsFree = spared !== undefined && concurrency > 1 && index === 0;
        const own = keepsFree ? { ...workOptions, minPriority: spared + 1 } : workOptions;
        const worker = await jobs.boss.work<unknown, void, typeof own>(queue, own, async ([job]) => {
          if (job !== undefined) await run(queue, job, handle);
          // Without this pg-boss sleeps out its polling interval after each job, however many are waiting.
          jobs.boss.notifyWorker(worker);
        });
      }
    },
    async close() {
      closing.abort(new Error('the service is stopping'));
      const ended = Promise.all([...working].map((queue) => jobs.boss.offWork(queue, { wait: true })));
      let patience: NodeJS.Timeout | undefined;
      await Promise.race([ended, new Promise((resolve) => (patience = setTimeout(resolve, patienceMs)))]);
      clearTimeout(patience);
      await jobs.stop();
      if (running.size > 0) {
        logger.warn('jobs did not stop in time and go back to the queue', { jobs: running.size });
        await putBack(database, [...running.keys()]);
      }
    },
  };
}

/**
 * A job whose handling was broken off through no fault of its own: it may run again at once, and the try does not count.
 * pg-boss counts a try whenever a job starts that has a `started_on`.
 */
export async function putBack(database: Database, ids: readonly string[], delaySeconds = 0): Promise<void> {
  await database.query(
    `with back as (
       update ${jobSchema}.job set state = 'retry', started_on = null, heartbeat_on = null, completed_on = null,
         start_after = now() + make_interval(secs => $2)
       where id = any($1::uuid[]) and state in ('active', 'retry', 'failed') returning name, data
     )
     update wetread.study set state = 'pending'
     where state = 'reading' and study_uid in (select data ->> 'studyUid' from back where name = 'read-study')`,
    [ids, delaySeconds],
  );
}
