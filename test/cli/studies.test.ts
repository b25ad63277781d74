/** `wetread studies`, as a process of its own: beside a living service that holds the data folder, and without one. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WetreadError } from '../../src/domain/errors.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { processStart } from '../../src/store/data-folder-lock.ts';
import { openStore } from '../../src/store/open-store.ts';
import { readPostmasterFile, stopLeftoverPostgres } from '../../src/store/postgres-process.ts';
import { arrived, study } from '../store/samples.ts';
import { child, endChildren } from '../support/child.ts';
import { wetread } from '../support/wetread.ts';

const service = join(import.meta.dirname, '../store/worker-process.ts');
let folder: string;
let dataDir: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wetread-studies-'));
  dataDir = join(folder, 'data');
});
afterEach(async () => {
  await endChildren();
  await stopLeftoverPostgres(join(dataDir, 'postgres'), silentLogger);
  rmSync(folder, { recursive: true, force: true });
});

const studies = (...args: string[]) => wetread(['studies', ...args], { WETREAD_DATA_DIR: dataDir });
const open = (options: { join?: boolean } = {}) =>
  openStore({
    dataDir,
    outputs: ['fhir'],
    retry: { limit: 0, delaySeconds: 1, backoff: false },
    logger: silentLogger,
    ...options,
  });
const startService = (announce: readonly string[], readMs: number) =>
  child(service, [JSON.stringify({ dataDir, announce, readMs })]);
const postgresPid = () => readPostmasterFile(join(dataDir, 'postgres'))?.pid ?? 0;

/** A study that was given up, left in a database that nobody uses any more. */
async function leaveDead(uid: ReturnType<typeof study>): Promise<void> {
  const store = await open();
  await store.register.announce(arrived(uid));
  await store.workStudies(
    async ({ studyUid, attempt }) => {
      await store.register.begin(studyUid, attempt);
      throw new WetreadError('archive.unreachable');
    },
    { concurrency: 1 },
  );
  await expect.poll(async () => (await store.register.get(uid))?.state.kind).toBe('dead');
  await store.close();
}

describe('wetread studies beside a running service', () => {
  test('lists, and queues again what the service then reads, while the service goes on undisturbed', async () => {
    await leaveDead(study(1));
    const running = startService([study(2)], 4_000);
    await running.line(new RegExp(`^begin ${study(2)}`));
    const pid = postgresPid();

    const dead = await studies('dead', '--json');
    expect(dead).toMatchObject({ code: 1, err: '' });
    expect(JSON.parse(dead.out)).toMatchObject([
      { studyUid: study(1), state: { kind: 'dead', outcome: { code: 'archive.unreachable' } } },
    ]);
    const listed = await studies('--json');
    expect(listed.code).toBe(0);
    expect(JSON.parse(listed.out)).toMatchObject([
      { studyUid: study(2), state: { kind: expect.stringMatching(/reading|settled/) as string } },
      { studyUid: study(1), state: { kind: 'dead' } },
    ]);

    expect(await studies('requeue', study(1))).toEqual({ code: 0, out: '1 queued again\n', err: '' });
    await running.line(new RegExp(`^settled ${study(1)}`));
    await running.line(new RegExp(`^settled ${study(2)}`));
    // Nothing was taken from the living service: each study was begun once, and its database was never started anew.
    expect(running.lines.filter((line) => line.startsWith('begin')).toSorted()).toEqual([
      `begin ${study(1)} 1`,
      `begin ${study(2)} 1`,
    ]);
    expect(postgresPid()).toBe(pid);
    expect(await running.kill('SIGTERM')).toBe(0);
    expect(processStart(pid)).toBeUndefined();
  });

  test('waits for one that is just starting', async () => {
    const running = startService([study(3)], 60_000);
    // It has the folder, and its database is still being made.
    await expect.poll(() => existsSync(join(dataDir, 'wetread.lock')), { interval: 5 }).toBe(true);
    const listed = await studies('list');
    expect(listed).toMatchObject({ code: 0, err: '' });
    await running.line(/^open/);
    expect(await running.kill('SIGTERM')).toBe(0);
  });

  test('refuses what cannot be queued, by code', async () => {
    const running = startService([study(4)], 60_000);
    await running.line(/^begin/);
    const unknown = await studies('requeue', '2.25.9', '--json');
    expect(unknown.code).toBe(1);
    expect(JSON.parse(unknown.out)).toMatchObject({ error: { code: 'request.not-found' } });
    for (const action of ['show', 're-read'])
      expect(await studies(action, '2.25.9')).toMatchObject({
        code: 2,
        err: expect.stringContaining('2.25.9 was never announced here') as string,
      });
    expect(await studies('requeue', study(4))).toMatchObject({
      code: 1,
      err: expect.stringContaining('request.conflict') as string,
    });
  });
});

describe('wetread studies without a service', () => {
  test('starts the database for itself and leaves no process', async () => {
    await leaveDead(study(6));
    const { code, out } = await studies('dead');
    expect(code).toBe(1);
    expect(out).toContain(study(6));
    expect(out).toContain('(archive.unreachable)');
    expect(postgresPid()).toBe(0);
    expect(await studies('requeue', study(6))).toMatchObject({ code: 0 });
    const store = await open();
    expect((await store.register.get(study(6)))?.state).toEqual({ kind: 'pending' });
    await store.close();
  });

  test('says when there is nothing to list', async () => {
    expect(await studies()).toEqual({ code: 0, out: 'No study was announced yet.\n', err: '' });
    expect(await studies('dead')).toEqual({ code: 0, out: 'No study was given up.\n', err: '' });
  });

  test.each([[['requeue']], [['requeue', 'not-a-uid']], [['dead', '1.2']], [['bury']], [['--colour']]])(
    'called wrongly (%j) exits 2 and says how',
    async (args) => {
      expect(await studies(...args)).toMatchObject({
        code: 2,
        out: '',
        err: expect.stringContaining('wetread studies --help') as string,
      });
    },
  );
});
