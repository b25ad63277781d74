/** Finds work that a dead process left behind: jobs nobody runs any more, and duties without a job. */
import type { StudyUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { Database } from './database.ts';
import { jobSchema, type Jobs } from './jobs.ts';
import { oweOutputs } from './owed-outputs.ts';
import { workerLock } from './presence.ts';
import { putBack } from './running-jobs.ts';
import { settleStudy } from './study-register.ts';

/** A study in whose reading this many processes died is not read again by itself: it may be the cause. */
const mostInterruptions = 30;

type Parts = { database: Database; jobs: Jobs; logger: Logger; outputs: readonly string[] };

/**
 * Puts back what a dead process was working on. `alone` says that no other process can be using this database: then
 * everything marked as running is left over. Otherwise a claim counts until the lock of its worker is gone, which
 * PostgreSQL sees at once when a process dies; a machine that vanishes is found out by pg-boss's heartbeat.
 */
export async function takeOverLostJobs(
  { database, jobs, logger }: Parts,
  { alone }: { alone: boolean },
): Promise<void> {
  const lost = await database.query<{ id: string; study_uid: string | null }>(
    `select j.id, j.data ->> 'studyUid' as study_uid from ${jobSchema}.job j left join wetread.claim c on c.job_id = j.id
     where j.state = 'active' and j.name in ('read-study', 'write-output') and ($1 or (c.worker is not null and not exists (
       select from pg_locks l where l.locktype = 'advisory' and l.classid = $2 and l.objid = c.worker and l.objsubid = 2 and l.granted
         and l.database = (select oid from pg_database where datname = current_database()))))`,
    [alone, workerLock],
  );
  for (const { id, study_uid } of lost) {
    const interruptions = study_uid === null ? 0 : await countInterruption(database, study_uid);
    logger.warn('a job was left behind by a process that ended', { jobId: id, interruptions });
    if (interruptions > mostInterruptions) {
      await jobs.boss.cancel('read-study', id);
      await settleStudy(database, study_uid as StudyUid, 'dead', {
        kind: 'failed',
        code: 'internal.unexpected',
        detail: 'the process ended each time this study was read',
      });
    } else {
      // The first ones at once; a study that keeps bringing the service down lets others go first.
      await putBack(database, [id], Math.min(60, Math.max(0, interruptions - 5) * 2));
    }
  }
  await database.query(
    `delete from wetread.claim c where not exists (select from ${jobSchema}.job j where j.id = c.job_id and j.state = 'active')`,
  );
}

async function countInterruption(database: Database, study: string): Promise<number> {
  const [row] = await database.query<{ interruptions: number }>(
    'update wetread.study set interruptions = interruptions + 1 where study_uid = $1 returning interruptions',
    [study],
  );
  return row?.interruptions ?? 0;
}

/**
 * pg-boss gives a job up by itself when its worker stays silent too often or too long; then nobody has told the study.
 * A study under way without a living job is dead, an owed output without one gets a new one.
 */
export async function settleAbandoned(parts: Parts): Promise<void> {
  const { database, jobs, logger } = parts;
  const stranded = await database.query<{ study_uid: string }>(
    `update wetread.study s set state = 'dead', settled_at = now(), outcome = $1
     where s.state in ('pending', 'reading') and not exists (
       select from ${jobSchema}.job j
       where j.name = 'read-study' and j.state < 'completed' and j.singleton_key = s.study_uid)
     returning s.study_uid`,
    [
      JSON.stringify({
        kind: 'failed',
        code: 'internal.unexpected',
        detail: 'the worker that read this study fell silent',
      }),
    ],
  );
  for (const { study_uid } of stranded)
    logger.error('a study was given up: its worker fell silent', { studyUid: study_uid });

  const owing = await database.query<{ reading_id: string; output: string }>(
    `select o.reading_id, o.output from wetread.owed_output o
     where o.dead_code is null and o.output = any($1) and not exists (
       select from ${jobSchema}.job j where j.name = 'write-output' and j.state < 'completed'
         and j.singleton_key = o.reading_id || '/' || o.output)`,
    [parts.outputs],
  );
  for (const { reading_id, output } of owing) {
    await database.transaction((sql) => oweOutputs(sql, jobs, reading_id, [output]));
  }
}
