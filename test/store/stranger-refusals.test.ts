/** Refusals of strangers in a real database: how many rows a flood makes, and that every refusal is counted in them. */
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { auditTrail } from '../../src/store/audit-trail.ts';
import { openDatabase, type Database } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import { strangerRefusals, type StrangerRules } from '../../src/store/stranger-refusals.ts';
import { testDatabase } from '../support/postgres.ts';

let database: Database;
let sql: Client;
let open: { close(): Promise<void> }[] = [];
/** Longer than any test: only closing ends it. */
const rules: StrangerRules = { windowMs: 3_600_000, oneByOne: 3, oneByOneInAll: 8, sources: 4 };

beforeAll(async () => {
  const url = await testDatabase();
  database = openDatabase(url, silentLogger);
  await migrate(database);
  sql = new Client({ connectionString: url });
  await sql.connect();
});
afterAll(async () => {
  await sql?.end();
  await database?.close();
});
beforeEach(async () => {
  // The trail refuses to be emptied; where each test begins is told by the last id.
  const { rows } = await sql.query<{ id: string }>('select coalesce(max(id), 0)::text as id from wetread.audit');
  since = rows[0]!.id;
});
let since = '0';
afterEach(async () => {
  for (const one of open) await one.close();
  open = [];
});

function refusals(more: Partial<StrangerRules> = {}) {
  const one = strangerRefusals({ audit: auditTrail(database), logger: silentLogger, rules: { ...rules, ...more } });
  open.push(one);
  return one;
}

type Row = { at: Date; actor: string; patient_id: string | null; subject: string | null; code: string };
const audited = async () =>
  (await sql.query<Row>('select * from wetread.audit where id > $1 order by id', [since])).rows;
const sums = (rows: readonly Row[]) => rows.flatMap(({ subject }) => (subject === null ? [] : [subject]));
/** Every refusal once, whether it has a row or is counted in one. */
const told = (rows: readonly Row[]) =>
  rows.reduce((sum, { subject }) => sum + (subject === null ? 1 : Number.parseInt(subject, 10)), 0);

describe('refusals of a stranger', () => {
  test('are written one by one at first, and the others as one row with their number and times', async () => {
    const strangers = refusals();
    const before = new Date().toISOString();
    for (let call = 0; call < 500; call++) await strangers.refused('10.0.0.1', 'request.unauthenticated');
    expect(await audited()).toHaveLength(3);
    await strangers.close();
    const rows = await audited();
    expect(rows).toHaveLength(4);
    expect(rows.every(({ actor, code }) => actor === 'anonymous' && code === 'request.unauthenticated')).toBe(true);
    const [, more, first = '', last = ''] = /^(\d+) more from (\S+) to (\S+)$/.exec(rows[3]!.subject ?? '') ?? [];
    expect(more).toBe('497');
    expect([before, first, last, rows[3]!.at.toISOString()].toSorted()).toEqual([
      before,
      first,
      last,
      rows[3]!.at.toISOString(),
    ]);
    expect(JSON.stringify(rows)).not.toContain('10.0.0.1');
  });

  test('make no counting row while they are few', async () => {
    const strangers = refusals();
    await strangers.refused('10.0.0.1', 'request.unauthenticated');
    await strangers.close();
    expect(sums(await audited())).toEqual([]);
    expect(await audited()).toHaveLength(1);
  });

  test('are counted for each source and reason by itself', async () => {
    const strangers = refusals();
    for (let call = 0; call < 5; call++) {
      await strangers.refused('10.0.0.1', 'request.unauthenticated');
      // The same machine on a port that speaks both protocols.
      await strangers.refused('::ffff:10.0.0.1', 'smart.launch-expired');
    }
    await strangers.refused('10.0.0.2', 'request.unauthenticated');
    expect(await audited()).toHaveLength(7);
    await strangers.close();
    const rows = await audited();
    expect(rows.flatMap(({ subject, code }) => (subject === null ? [] : [[subject[0], code]])).toSorted()).toEqual([
      ['2', 'request.unauthenticated'],
      ['2', 'smart.launch-expired'],
    ]);
  });

  test('from thousands of addresses make no more rows than from a few, and none is left out', async () => {
    const strangers = refusals();
    await Promise.all(
      Array.from({ length: 5_000 }, (_, call) =>
        strangers.refused(`10.1.${call >> 8}.${call & 255}`, 'request.unauthenticated'),
      ),
    );
    await strangers.close();
    const rows = await audited();
    expect(rows.length).toBeLessThanOrEqual(8 + 4 + 1);
    expect(told(rows)).toBe(5_000);
  });

  test('from one network of IPv6 are those of one source, however its addresses are written', async () => {
    const strangers = refusals();
    for (const address of ['2001:db8:0:7::1', '2001:db8:0:7:a:b:c:d', '2001:db8:0:7:ffff::9', '2001:db8:0:7::2'])
      await strangers.refused(address, 'request.unauthenticated');
    expect(await audited()).toHaveLength(3);
    await strangers.refused('2001:db8::7:0:0:1', 'request.unauthenticated');
    expect(await audited()).toHaveLength(4);
  });

  test('are written when the window ends by itself, and one by one again in the next', async () => {
    const strangers = refusals({ windowMs: 100 });
    await Promise.all(Array.from({ length: 10 }, () => strangers.refused('10.0.0.1', 'request.unauthenticated')));
    await expect.poll(async () => sums(await audited()).length).toBe(1);
    expect(told(await audited())).toBe(10);
    await strangers.refused('10.0.0.1', 'request.unauthenticated');
    expect((await audited()).at(-1)?.subject).toBeNull();
  });

  test('stand while the database cannot take them, and are counted until it can', async () => {
    const strangers = refusals({ windowMs: 50 });
    await sql.query('alter table wetread.audit rename to audit_away');
    try {
      for (let call = 0; call < 20; call++) await strangers.refused('10.0.0.1', 'request.unauthenticated');
      // At least one window ends in vain.
      await new Promise((resolve) => void setTimeout(resolve, 200));
    } finally {
      await sql.query('alter table wetread.audit_away rename to audit');
    }
    await strangers.close();
    expect(told(await audited())).toBe(20);
  });
});
