/** Brings the tables to the form this version expects; safe when several processes start at once. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WetreadError } from '../domain/errors.ts';
import type { Database, Sql } from './database.ts';

const folder = join(import.meta.dirname, 'migrations');

/** "wetread" in ASCII; any number would do that no other program on the same database uses. */
const startLock = 0x77657472;

type Migration = { readonly number: number; readonly name: string; readonly sql: string; readonly sha256: string };

export function migrations(): Migration[] {
  return readdirSync(folder)
    .filter((name) => /^\d{3}-.*\.sql$/.test(name))
    .sort()
    .map((name) => {
      const sql = readFileSync(join(folder, name), 'utf8');
      return { number: Number(name.slice(0, 3)), name, sql, sha256: createHash('sha256').update(sql).digest('hex') };
    });
}

/** All or nothing; whoever comes second waits and finds everything done. */
export async function migrate(database: Database): Promise<void> {
  await database.transaction(async (sql) => {
    await sql.query('select pg_advisory_xact_lock($1)', [startLock]);
    await sql.query('create schema if not exists wetread');
    await sql.query(
      `create table if not exists wetread.migration (
         number integer primary key, name text not null, sha256 text not null, applied_at timestamptz not null default now())`,
    );
    await applyMissing(sql, migrations());
  });
}

/** For those who join a database at work: its tables are looked at and left as they are. */
export async function expectMigrated(database: Database): Promise<void> {
  const [made] = await database.query<{ there: boolean }>(
    `select to_regclass('wetread.migration') is not null as there`,
  );
  const applied = made?.there === true ? await database.query('select from wetread.migration') : [];
  if (applied.length !== migrations().length)
    throw new WetreadError(
      'store.unreachable',
      'The service that holds the data folder is still starting, or is another version of Wetread.',
    );
}

async function applyMissing(sql: Sql, known: readonly Migration[]): Promise<void> {
  const applied = await sql.query<{ number: number; sha256: string }>(
    'select number, sha256 from wetread.migration order by number',
  );
  for (const { number, sha256 } of applied) {
    const migration = known.find((one) => one.number === number);
    if (migration === undefined)
      throw new WetreadError('config.invalid', 'The database was made by a newer version of Wetread.');
    if (migration.sha256 !== sha256)
      throw new WetreadError('config.invalid', `The database was made with another ${migration.name}.`);
  }
  for (const migration of known.slice(applied.length)) {
    await sql.query(migration.sql);
    await sql.query('insert into wetread.migration (number, name, sha256) values ($1, $2, $3)', [
      migration.number,
      migration.name,
      migration.sha256,
    ]);
  }
}
