/** Fresh real databases for tests: one PostgreSQL per test file, stopped and removed when the file is done. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll } from 'vitest';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/store/embedded.ts';
import { silentLogger } from '../../src/domain/log.ts';

let server: Promise<EmbeddedPostgres> | undefined;
let folder: string | undefined;
let made = 0;

/** Connection string of an empty database that no other test uses. Import this file only in test files: it tidies up with `afterAll`. */
export async function testDatabase(): Promise<string> {
  folder ??= mkdtempSync(join(tmpdir(), 'wetread-test-'));
  server ??= startEmbeddedPostgres({
    dataDir: join(folder, 'data'),
    database: 'wetread',
    settings: { fsync: 'off' },
    logger: silentLogger,
  });
  const running = await server;
  made += 1;
  const name = `test_${made}`;
  const admin = new Client({ connectionString: running.url('postgres') });
  await admin.connect();
  await admin.query(`create database ${name}`);
  await admin.end();
  return running.url(name);
}

afterAll(async () => {
  const running = await server;
  await running?.stop();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  server = undefined;
  folder = undefined;
});
