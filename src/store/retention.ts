/** Old rows go: what was served and answered after a while, the audit trail after years, and that last act is itself audited. */
import type { Logger } from '../domain/log.ts';
import type { Database, Sql } from './database.ts';

export type RetentionRules = {
  /** Entries of the audit trail; the database itself refuses to delete what is younger than a year. */
  readonly auditDays: number;
  /** Cards that were served, the answers to them, and orders that were seen. */
  readonly cardDays: number;
};
export const defaultRetention: RetentionRules = { auditDays: 3650, cardDays: 730 };

const cursorName = 'retention';
/** So many rows in one transaction: nobody waits long for a lock, and a first run over years of rows ends. */
const batch = 5_000;

/** Prunes when nobody has for a day; of several processes one does. Safe to call at any time. */
export async function pruneWhenDue(
  parts: { database: Database; logger: Logger },
  rules: RetentionRules,
): Promise<void> {
  const { database, logger } = parts;
  const due = await database.query(
    `insert into wetread.cursor (name, value) values ($1, now()::text)
     on conflict (name) do update set value = excluded.value, changed_at = now()
       where cursor.changed_at < now() - interval '1 day' returning name`,
    [cursorName],
  );
  if (due.length === 0) return;
  const pruned = await prune(database, rules);
  if (Object.values(pruned).some((count) => count > 0)) logger.info('old rows were deleted', pruned);
}

export async function prune(database: Database, rules: RetentionRules): Promise<Readonly<Record<string, number>>> {
  const cards = await inBatches(async () => {
    const rows = await database.query<{ uuid: string }>(
      `with old as (select uuid from wetread.card where served_at < now() - make_interval(days => $1) limit ${batch}),
         answers as (delete from wetread.feedback where card_uuid in (select uuid from old))
       select uuid from old`,
      [rules.cardDays],
    );
    // In a statement of its own: a foreign key sees only what was there when its statement began.
    await database.query(
      'delete from wetread.card c where uuid = any($1) and not exists (select from wetread.feedback f where f.card_uuid = c.uuid)',
      [rows.map(({ uuid }) => uuid)],
    );
    return rows.length;
  });
  const orders = await inBatches(() =>
    deleted(
      database,
      `delete from wetread.imaging_order where id in (
         select id from wetread.imaging_order where seen_at < now() - make_interval(days => $1) limit ${batch}) returning id`,
      [rules.cardDays],
    ),
  );
  const sessions = await deleted(
    database,
    'delete from wetread.app_session where expires_at < now() returning token_hash',
  );
  const launches = await deleted(database, 'delete from wetread.app_launch where expires_at < now() returning state');
  const audit = await inBatches(() => pruneAudit(database, rules.auditDays));
  return { cards, orders, sessions, launches, audit };
}

/** The one way around the trigger that keeps the trail (002-keys-and-superseding.sql): said aloud for one transaction, which leaves an entry of its own. */
function pruneAudit(database: Database, days: number): Promise<number> {
  return database.transaction(async (sql) => {
    await sql.query(`select set_config('wetread.retention', 'on', true)`);
    const count = await deleted(
      sql,
      `delete from wetread.audit where id in (
         select id from wetread.audit where at < now() - make_interval(days => $1) order by at limit ${batch}) returning id`,
      [Math.max(days, 365)],
    );
    if (count > 0)
      await sql.query(`insert into wetread.audit (action, actor, subject) values ('pruned', 'wetread', $1)`, [
        `${count} entries older than ${days} days`,
      ]);
    return count;
  });
}

const deleted = async (sql: Sql, text: string, values?: readonly unknown[]): Promise<number> =>
  (await sql.query(text, values)).length;

async function inBatches(step: () => Promise<number>): Promise<number> {
  for (let total = 0; ;) {
    const count = await step();
    total += count;
    if (count < batch) return total;
  }
}
