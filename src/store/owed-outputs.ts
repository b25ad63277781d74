/** The outbox: a change of a reading and the duty to write it are one transaction, so neither is ever there without the other. */
import { readingId } from '../domain/ids.ts';
import type { Sql } from './database.ts';
import type { Jobs } from './jobs.ts';

/**
 * Call after the reading's row was written or raised in this transaction: that row's lock is what orders this against a
 * job that is just finishing. Either the job sees the new revision and writes again, or it is gone and a new one is queued.
 */
export async function oweOutputs(sql: Sql, jobs: Jobs, reading: string, outputs: readonly string[]): Promise<void> {
  for (const output of outputs) {
    await sql.query(
      `insert into wetread.owed_output (reading_id, output) values ($1, $2)
       on conflict (reading_id, output) do update set dead_code = null`,
      [reading, output],
    );
    await jobs.queueOutput(sql, readingId(reading), output);
  }
}
