/** A database that an earlier version has used: what it holds is brought to the form of this one, jobs that wait included. */
import { Client } from 'pg';
import { expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { openDatabase } from '../../src/store/database.ts';
import { defaultRetry, openJobs } from '../../src/store/jobs.ts';
import { migrations } from '../../src/store/migrate.ts';
import { openStore } from '../../src/store/open-store.ts';
import { testDatabase } from '../support/postgres.ts';
import { reading, study } from './samples.ts';

test('readings of one study and model that stood side by side become one that stands, and every waiting study keeps one job', async () => {
  const url = await testDatabase();
  const sql = new Client({ connectionString: url });
  await sql.connect();
  const [first] = migrations();
  await sql.query('create schema wetread');
  await sql.query(
    `create table wetread.migration (number integer primary key, name text not null, sha256 text not null, applied_at timestamptz not null default now())`,
  );
  await sql.query(first!.sql);
  await sql.query('insert into wetread.migration (number, name, sha256) values ($1, $2, $3)', [
    first!.number,
    first!.name,
    first!.sha256,
  ]);
  await (await openJobs({ connectionString: url, retry: defaultRetry, logger: silentLogger })).stop();

  const [read, waiting, twice] = [study(1), study(2), study(3)];
  const made = [1, 2, 3].map((day) =>
    reading(read, undefined, {
      readAt: `2026-03-0${day}T00:00:00.000Z`,
      pack: { ...reading(read).pack, version: `1.0.${day}` },
    }),
  );
  await sql.query(
    `insert into wetread.study (study_uid, patient_id, priority, state, outcome) values ($1, 'p', 10, 'settled', '{"kind":"skipped","reason":"no-image","selection":[]}')`,
    [read],
  );
  for (const uid of [waiting, twice])
    await sql.query(`insert into wetread.study (study_uid, priority) values ($1, 10)`, [uid]);
  for (const { id, pack, contentHash, readAt, findings } of made) {
    await sql.query(
      `insert into wetread.reading (reading_id, study_uid, pack, content_hash, read_at, execution_provider) values ($1, $2, $3, $4, $5, 'cpu')`,
      [id, read, pack, contentHash, readAt],
    );
    for (const [position, { id: finding, verdict: _, ...draft }] of findings.entries())
      await sql.query(
        `insert into wetread.finding (finding_id, reading_id, position, concept, result_kind, payload) values ($1, $2, $3, $4, $5, $6)`,
        [finding, id, position, draft.concept, draft.result.kind, draft],
      );
  }
  for (const [uid, reason] of [
    [waiting, 'study-arrived'],
    [twice, 'study-arrived'],
    [twice, 're-read'],
  ] as const)
    await sql.query(
      `insert into wetread_jobs.job (name, data, singleton_key, policy) values ('read-study', $1, $2, 'exclusive')`,
      [{ studyUid: uid, reason }, `${uid}/${reason}`],
    );

  const store = await openStore({ databaseUrl: url, dataDir: '', outputs: [], logger: silentLogger });
  try {
    expect((await store.readings.forStudy(read)).map(({ id }) => id)).toEqual([made[2]!.id]);
    expect(await store.readings.forStudy(read, 'all')).toMatchObject([
      { id: made[2]!.id, replaces: { reading: made[1]!.id, version: '1.0.2' } },
      { id: made[1]!.id, replaces: { reading: made[0]!.id }, superseded: { by: made[2]!.id } },
      { id: made[0]!.id, superseded: { by: made[2]!.id, sameReport: false } },
    ]);
    const { rows } = await sql.query(
      `select singleton_key as key from wetread_jobs.job where name = 'read-study' and state = 'created' order by 1`,
    );
    expect(rows).toEqual([{ key: waiting }, { key: twice }]);
    const seen: string[] = [];
    await store.workStudies(
      async ({ studyUid }) => {
        seen.push(studyUid);
        await store.register.settle(studyUid, { kind: 'skipped', reason: 'no-image', selection: [] });
      },
      { concurrency: 1 },
    );
    await expect.poll(() => seen.toSorted()).toEqual([waiting, twice]);
  } finally {
    await store.close();
    await sql.end();
  }
  const database = openDatabase(url, silentLogger);
  expect(await database.query('select number from wetread.migration order by 1')).toHaveLength(migrations().length);
  await database.close();
});
