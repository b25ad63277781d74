/** What is deleted when it is old, what never is, and that nobody else can delete from the audit trail. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { openDatabase, type Database } from '../../src/store/database.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { prune, pruneWhenDue } from '../../src/store/retention.ts';
import { testDatabase } from '../support/postgres.ts';
import { arrived, patient, reading, study } from './samples.ts';

let url: string;
let store: Store;
let database: Database;
let sql: Client;

beforeAll(async () => {
  url = await testDatabase();
  // Joined: a service would prune by its own rules meanwhile.
  store = await openStore({ databaseUrl: url, dataDir: '', outputs: [], logger: silentLogger, join: true });
  database = openDatabase(url, silentLogger);
  sql = new Client({ connectionString: url });
  await sql.connect();
});
afterAll(async () => {
  await sql.end();
  await database.close();
  await store.close();
});

const count = async (text: string): Promise<number> =>
  (await sql.query(`select count(*)::int as n from ${text}`)).rows[0].n;
const insertAudit = (days: number, subject: string) =>
  sql.query(
    `insert into wetread.audit (at, action, actor, subject) values (now() - make_interval(days => $1), 'verdict', 'a', $2)`,
    [days, subject],
  );
const rules = { auditDays: 1000, cardDays: 100 };

describe('retention', () => {
  test('deletes old cards with their answers and old orders, and keeps what people decided', async () => {
    const uid = study(1);
    await store.register.announce(arrived(uid));
    const { findings } = await store.readings.save(reading(uid));
    for (const [card, age] of [
      ['old', 101],
      ['young', 99],
    ] as const) {
      await store.feedback.cardServed({ uuid: card, service: 's', patientId: patient, findings: [findings[0]!.id] });
      await store.feedback.record({
        service: 's',
        card,
        outcome: 'overridden',
        at: '2026-01-01T00:00:00.000Z',
        acceptedSuggestions: [],
      });
      await sql.query('update wetread.card set served_at = now() - make_interval(days => $2) where uuid = $1', [
        card,
        age,
      ]);
      const seenAt = new Date(Date.now() - age * 86_400_000).toISOString();
      await store.orders.remember({ reference: `ServiceRequest/${card}`, patientId: patient, region: 'chest', seenAt });
    }
    expect(await prune(database, rules)).toMatchObject({ cards: 1, orders: 1, audit: 0 });
    const left = await sql.query('select uuid, card_uuid from wetread.card join wetread.feedback on card_uuid = uuid');
    expect(left.rows).toEqual([{ uuid: 'young', card_uuid: 'young' }]);
    expect(await store.feedback.dismissed(patient, 's')).toEqual(new Set([findings[0]!.id]));
    expect(await store.readings.forStudy(uid)).toHaveLength(1);
    expect(await prune(database, rules)).toEqual({ cards: 0, orders: 0, sessions: 0, launches: 0, audit: 0 });
  });

  test('deletes audit entries older than configured, and says so in the trail', async () => {
    await insertAudit(1001, 'old');
    await insertAudit(999, 'young');
    expect(await prune(database, rules)).toMatchObject({ audit: 1 });
    const { rows } = await sql.query('select action, subject from wetread.audit order by id');
    expect(rows).toEqual([
      { action: 'verdict', subject: 'young' },
      { action: 'pruned', subject: '1 entries older than 1000 days' },
    ]);
  });

  test('never deletes audit entries of the last year, however it is asked, and nobody else deletes any', async () => {
    await insertAudit(364, 'this year');
    await insertAudit(800, 'older');
    await expect(sql.query(`delete from wetread.audit where subject = 'older'`)).rejects.toThrow('only ever added to');
    await sql.query('begin');
    await sql.query(`select set_config('wetread.retention', 'on', true)`);
    await expect(sql.query(`delete from wetread.audit where subject = 'this year'`)).rejects.toThrow('only ever added');
    await sql.query('rollback');
    await sql.query('begin');
    await sql.query(`select set_config('wetread.retention', 'on', true)`);
    for (const change of [`update wetread.audit set actor = 'x'`, 'truncate wetread.audit']) {
      await sql.query('savepoint s');
      await expect(sql.query(change)).rejects.toThrow('only ever added to');
      await sql.query('rollback to s');
    }
    await sql.query('commit');
    // The permission ends with its transaction.
    await expect(sql.query(`delete from wetread.audit where subject = 'older'`)).rejects.toThrow('only ever added to');
    expect(await prune(database, { ...rules, auditDays: 1 })).toMatchObject({ audit: 2 });
    expect(await count(`wetread.audit where subject = 'this year'`)).toBe(1);
  });

  test('goes through years of rows in pieces', async () => {
    await sql.query(
      `insert into wetread.card (uuid, service, patient_id, findings, served_at)
       select 'bulk-' || n, 's', 'p', '{}', now() - interval '2 years' from generate_series(1, 12000) n`,
    );
    expect(await prune(database, rules)).toMatchObject({ cards: 12_000 });
  });

  test('is done once a day by one of many processes', async () => {
    await sql.query(`delete from wetread.cursor where name = 'retention'`);
    await insertAudit(2000, 'due');
    await Promise.all(Array.from({ length: 5 }, () => pruneWhenDue({ database, logger: silentLogger }, rules)));
    expect(await count(`wetread.audit where subject = 'due'`)).toBe(0);
    await insertAudit(2000, 'not due');
    await pruneWhenDue({ database, logger: silentLogger }, rules);
    expect(await count(`wetread.audit where subject = 'not due'`)).toBe(1);
    await sql.query(`update wetread.cursor set changed_at = now() - interval '25 hours' where name = 'retention'`);
    await pruneWhenDue({ database, logger: silentLogger }, rules);
    expect(await count(`wetread.audit where subject = 'not due'`)).toBe(0);
  });
});
