/** Several processes on one database, and the death of any of them at any moment. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { migrations } from '../../src/store/migrate.ts';
import { openStore } from '../../src/store/open-store.ts';
import { child, endChildren } from '../support/child.ts';
import { testDatabase } from '../support/postgres.ts';
import { arrived, reading, study } from './samples.ts';

const script = join(import.meta.dirname, 'worker-process.ts');
const worker = (options: { databaseUrl?: string; dataDir?: string; announce?: readonly string[]; readMs: number }) =>
  child(script, [JSON.stringify({ announce: [], ...options })]);

afterEach(endChildren);

async function rows(databaseUrl: string, text: string): Promise<Record<string, unknown>[]> {
  const sql = new Client({ connectionString: databaseUrl });
  await sql.connect();
  const result = await sql.query(text);
  await sql.end();
  return result.rows;
}

describe('processes that share a database', () => {
  test('can be started at the same moment on an empty one', async () => {
    const databaseUrl = await testDatabase();
    const stores = await Promise.all(
      Array.from({ length: 4 }, () => openStore({ databaseUrl, dataDir: '', outputs: [], logger: silentLogger })),
    );
    expect(await rows(databaseUrl, 'select number from wetread.migration order by 1')).toEqual(
      migrations().map(({ number }) => ({ number })),
    );
    expect((await rows(databaseUrl, 'select name from wetread_jobs.queue order by 1')).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['read-study', 'write-output']),
    );
    await Promise.all(stores.map((store) => store.close()));
  });

  test('finish what a killed one was reading, as one reading and without using up a try', async () => {
    const databaseUrl = await testDatabase();
    const uid = study(10);
    const doomed = worker({ databaseUrl, announce: [uid], readMs: 60_000 });
    await doomed.line(/^begin/);
    const survivor = worker({ databaseUrl, readMs: 10 });
    await survivor.line(/^open/);
    await doomed.kill('SIGKILL');
    expect(await survivor.line(/^begin/)).toBe(`begin ${uid} 1`);
    await survivor.line(/^written/);
    await survivor.line(/^settled/);
    expect(await rows(databaseUrl, 'select study_uid, interruptions from wetread.study')).toEqual([
      { study_uid: uid, interruptions: 1 },
    ]);
    expect(await rows(databaseUrl, 'select reading_id from wetread.reading')).toEqual([
      { reading_id: reading(uid).id },
    ]);
    expect(survivor.lines.filter((line) => line.startsWith('begin'))).toHaveLength(1);
  });

  test('do not read a study that keeps killing them for ever', async () => {
    const databaseUrl = await testDatabase();
    const store = await openStore({ databaseUrl, dataDir: '', outputs: [], logger: silentLogger });
    await store.register.announce(arrived(study(11)));
    await rows(databaseUrl, 'update wetread.study set interruptions = 30');
    const doomed = worker({ databaseUrl, readMs: 60_000 });
    await doomed.line(/^begin/);
    await doomed.kill('SIGKILL');
    await expect.poll(async () => (await store.register.dead()).length).toBe(1);
    await store.close();
  });
});

describe('a service with the built-in database that is killed at random moments', () => {
  test('ends with one reading and one paid output for each study', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wetread-killed-'));
    const dataDir = join(folder, 'data');
    const announce = Array.from({ length: 6 }, (_, index) => study(20 + index));
    try {
      for (let kill = 0; kill < 6; kill += 1) {
        const service = worker({ dataDir, announce, readMs: 60 });
        await service.line(/^open/);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 400));
        await service.kill('SIGKILL');
      }
      const last = worker({ dataDir, announce, readMs: 60 });
      await last.line(/^counts 0 6$/);
      await last.kill('SIGTERM');

      const store = await openStore({ dataDir, outputs: ['fhir'], logger: silentLogger });
      for (const uid of announce) {
        expect((await store.register.get(uid))?.state).toMatchObject({
          kind: 'settled',
          outcome: { kind: 'analysed' },
        });
        expect((await store.readings.forStudy(uid)).map(({ id }) => id)).toEqual([reading(uid).id]);
      }
      expect(await store.readings.owedOutputs()).toEqual([]);
      await store.close();
    } finally {
      await endChildren();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
