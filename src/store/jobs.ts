/** The two queues in the database: studies to read and outputs to write. Jobs are made in the transaction of the change that calls for them. */
import { PgBoss, type Db } from 'pg-boss';
import type { Priority } from '../domain/event.ts';
import { readingId, studyUid, type ReadingId, type StudyUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import { z } from 'zod';
import type { Sql } from './database.ts';

export const jobSchema = 'wetread_jobs';
/** In the order in which they are made. */
export const queues = ['read-study', 'write-output'] as const;
export type QueueName = (typeof queues)[number];

export type RetryRules = {
  /** Tries after the first. */
  readonly limit: number;
  readonly delaySeconds: number;
  /** Doubles the delay each time. */
  readonly backoff: boolean;
};
export const defaultRetry: RetryRules = { limit: 8, delaySeconds: 5, backoff: true };

export const priorityNumber: Readonly<Record<Priority, number>> = { stat: 30, waiting: 20, routine: 10, backfill: 0 };

export const studyJob = z.object({ studyUid: z.string().transform(studyUid) });
export const outputJob = z.object({ readingId: z.string().transform(readingId), output: z.string() });

/** A study's key is its UID: PostgreSQL itself refuses a second living job with the same. What it is to do stands in the study's row. */
export const outputKey = (reading: ReadingId, output: string): string => `${reading}/${output}`;

const hours = 3600;
const years = 365 * 24 * hours;

export type Jobs = {
  readonly boss: PgBoss;
  /** False when such a job is waiting or running already. */
  queueStudy(sql: Sql, study: StudyUid, priority: number, delaySeconds?: number): Promise<boolean>;
  /** A job that waits for its time may run at once. A retry keeps its delay. */
  hastenStudy(sql: Sql, study: StudyUid): Promise<void>;
  queueOutput(sql: Sql, reading: ReadingId, output: string): Promise<boolean>;
  raisePriority(sql: Sql, study: StudyUid, priority: number): Promise<void>;
  complete(sql: Sql, queue: QueueName, id: string): Promise<void>;
  stop(): Promise<void>;
};

export async function openJobs(options: {
  connectionString: string;
  retry: RetryRules;
  logger: Logger;
  /** Only adds jobs: the queues, their rules and their upkeep are another process's. */
  guest?: boolean;
}): Promise<Jobs> {
  const { retry, logger, guest = false } = options;
  const boss = new PgBoss({
    connectionString: options.connectionString,
    application_name: 'wetread jobs',
    schema: jobSchema,
    max: 4,
    schedule: false,
    useListenNotify: !guest,
    supervise: !guest,
    migrate: !guest,
    // A worker that stopped answering is noticed within heartbeatSeconds + these.
    superviseIntervalSeconds: 10,
    monitorIntervalSeconds: 10,
  });
  boss.on('error', (error) => logger.warn('the job queue had an error', { cause: error }));
  boss.on('warning', ({ message }) => logger.warn('the job queue warns', { warning: message }));
  await boss.start();

  const rules = {
    // One living job per key, whether it waits, waits for its retry, or runs.
    policy: 'exclusive' as const,
    notify: true,
    retryLimit: retry.limit,
    retryDelay: Math.max(1, Math.ceil(retry.delaySeconds)),
    retryBackoff: retry.backoff,
    ...(retry.backoff ? { retryDelayMax: hours } : {}),
    heartbeatSeconds: 30,
    expireInSeconds: 30 * 60,
    // pg-boss deletes jobs that wait too long; a study must not vanish because an archive was away for two weeks.
    retentionSeconds: 20 * years,
    deleteAfterSeconds: 24 * hours,
  };
  for (const name of guest ? [] : queues) {
    await boss.createQueue(name, rules);
    const { policy: _fixed, ...changeable } = rules;
    await boss.updateQueue(name, changeable);
  }

  return {
    boss,
    queueStudy: async (sql, study, priority, delaySeconds = 0) =>
      (await boss.send(
        'read-study',
        { studyUid: study },
        { singletonKey: study, priority, ...(delaySeconds > 0 && { startAfter: delaySeconds }), db: within(sql) },
      )) !== null,
    hastenStudy: async (sql, study) =>
      void (await sql.query(
        `update ${jobSchema}.job set start_after = now()
         where name = 'read-study' and singleton_key = $1 and state = 'created' and start_after > now()`,
        [study],
      )),
    queueOutput: async (sql, reading, output) =>
      (await boss.send(
        'write-output',
        { readingId: reading, output },
        { singletonKey: outputKey(reading, output), db: within(sql) },
      )) !== null,
    raisePriority: async (sql, study, priority) =>
      void (await boss.update('read-study', undefined, { singletonKey: study, priority, db: within(sql) })),
    complete: async (sql, queue, id) => void (await boss.complete(queue, id, null, { db: within(sql) })),
    stop: () => boss.stop({ graceful: false }),
  };
}

/** Lets pg-boss work inside our transaction. */
const within = (sql: Sql): Db => ({ executeSql: async (text, values) => ({ rows: await sql.query(text, values) }) });
