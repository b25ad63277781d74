/** The built-in database: started once per folder, found again after every kind of end, and never left behind. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { lockDataFolder, processStart } from '../../src/store/data-folder-lock.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { readPostmasterFile, stopLeftoverPostgres } from '../../src/store/postgres-process.ts';
import { child, endChildren } from '../support/child.ts';
import { arrived, study } from './samples.ts';

const script = join(import.meta.dirname, 'worker-process.ts');
let folder: string;
let dataDir: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wetread-embedded-'));
  dataDir = join(folder, 'data');
});
afterEach(async () => {
  await endChildren();
  await stopLeftoverPostgres(join(dataDir, 'postgres'), silentLogger);
  rmSync(folder, { recursive: true, force: true });
});

const open = (dir = dataDir): Promise<Store> => openStore({ dataDir: dir, outputs: ['fhir'], logger: silentLogger });
const start = (announce: readonly string[] = []) =>
  child(script, [JSON.stringify({ dataDir, announce, readMs: 60_000 })]);
const postgresPid = () => readPostmasterFile(join(dataDir, 'postgres'))?.pid ?? 0;

/** Listening TCP sockets of a process; Linux only. */
function tcpPortsOf(pid: number): string[] {
  if (!existsSync('/proc/net/tcp')) return [];
  const files = execFileSync('ls', ['-l', `/proc/${pid}/fd`], { encoding: 'utf8' });
  const own = new Set([...files.matchAll(/socket:\[(\d+)\]/g)].map(([, inode]) => inode));
  const sockets = ['tcp', 'tcp6'].flatMap((name) => readFileSync(`/proc/net/${name}`, 'utf8').split('\n').slice(1));
  return sockets.filter((line) => {
    const [, , , state, , , , , , inode] = line.trim().split(/\s+/);
    return state === '0A' && own.has(inode);
  });
}

describe('the built-in database', () => {
  test('is a real PostgreSQL that keeps what it was given, and leaves no process', async () => {
    const first = await open();
    expect(await first.probe()).toEqual({ version: expect.stringMatching(/^\d+\.\d+/), kind: 'embedded' });
    await first.register.announce(arrived(study(1)));
    await first.cursors.set('poll', '2026-01-01');
    const pid = postgresPid();
    expect(processStart(pid)).toBeDefined();
    await first.close();
    expect(processStart(pid)).toBeUndefined();
    expect(existsSync(join(dataDir, 'wetread.lock'))).toBe(false);

    const second = await open();
    expect((await second.register.get(study(1)))?.state).toEqual({ kind: 'pending' });
    expect(await second.cursors.get('poll')).toBe('2026-01-01');
    await second.close();
  });

  test('listens on no port, and its files are closed to other users', async () => {
    const store = await open();
    const pid = postgresPid();
    expect(tcpPortsOf(pid)).toEqual([]);
    expect(statSync(join(dataDir, 'postgres')).mode & 0o077).toBe(0);
    expect(statSync(join(dataDir, 'postgres-password')).mode & 0o077).toBe(0);
    await store.close();
  });

  test('is refused to a second process while the first lives, and to nobody afterwards', async () => {
    const first = start();
    await first.line(/^open/);
    const second = start();
    expect(await second.line(/^refused/)).toContain('store.data-folder-in-use');
    expect(await second.ended).toBe(1);
    await expect(open()).rejects.toMatchObject({ code: 'store.data-folder-in-use' });
    const pid = postgresPid();
    expect(await first.kill('SIGTERM')).toBe(0);
    expect(processStart(pid)).toBeUndefined();
    await (await open()).close();
  });

  test('takes over from a killed process whose PostgreSQL still runs, with nothing lost', async () => {
    const killed = start([study(5)]);
    await killed.line(/^begin/);
    const orphan = postgresPid();
    expect(await killed.kill('SIGKILL')).toBe('SIGKILL');
    expect(processStart(orphan)).toBeDefined();

    const store = await open();
    expect(processStart(orphan)).toBeUndefined();
    expect(postgresPid()).not.toBe(orphan);
    // What the dead process was reading waits again.
    expect((await store.register.get(study(5)))?.state).toEqual({ kind: 'pending' });
    await store.close();
  });

  test('starts although everything, PostgreSQL too, was killed at once', async () => {
    const killed = start([study(6)]);
    await killed.line(/^begin/);
    const orphan = postgresPid();
    process.kill(orphan, 'SIGKILL');
    await killed.kill('SIGKILL');
    const store = await open();
    expect((await store.register.get(study(6)))?.state).toEqual({ kind: 'pending' });
    await store.close();
  });

  test('does not touch another program that has got the old process id', async () => {
    await (await open()).close();
    // As after a restart of the machine: the file names a living process, which is this one.
    writeFileSync(
      join(dataDir, 'postgres', 'postmaster.pid'),
      `${process.pid}\n${join(dataDir, 'postgres')}\n1\n5432\n`,
    );
    const store = await open();
    expect(await store.probe()).toMatchObject({ kind: 'embedded' });
    await store.close();
  });

  test('comes back by itself when PostgreSQL dies, and so does the store', async () => {
    const store = await open();
    await store.register.announce(arrived(study(7)));
    const first = postgresPid();
    process.kill(first, 'SIGKILL');
    await expect.poll(postgresPid, { interval: 10 }).not.toBe(first);
    await expect
      .poll(() => store.register.get(study(7)).catch((error: { code: string }) => error.code), { interval: 10 })
      .toMatchObject({ studyUid: study(7) });
    // Listening again as well: a job announced now reaches a worker.
    const read: string[] = [];
    await store.workStudies(async (job) => void read.push(job.studyUid), { concurrency: 1 });
    await store.register.announce(arrived(study(8)));
    await expect.poll(() => read).toEqual([study(7), study(8)]);
    await store.close();
  });

  test('is joined by a guest that sees and queues, but does not work and stops nothing', async () => {
    const host = await open();
    const pid = postgresPid();
    await host.register.announce(arrived(study(9)));
    const guest = await openStore({ dataDir, outputs: ['fhir'], logger: silentLogger, join: true });
    expect(await guest.recentStudies(5)).toMatchObject([{ studyUid: study(9), state: { kind: 'pending' } }]);
    await expect(guest.workStudies(async () => {}, { concurrency: 1 })).rejects.toThrow('must not work');
    const read: string[] = [];
    await host.workStudies(async (job) => void read.push(job.studyUid), { concurrency: 1 });
    // Wakes the host's worker, as an announcement of its own does.
    await guest.register.announce(arrived(study(10)));
    await expect.poll(() => read).toEqual([study(9), study(10)]);
    await guest.close();
    expect(postgresPid()).toBe(pid);
    expect(await host.probe()).toMatchObject({ kind: 'embedded' });
    await host.close();
    expect(processStart(pid)).toBeUndefined();
  });

  test('works in a folder whose path is too long for a socket, for guests too', async () => {
    const deep = join(folder, 'a'.repeat(60), 'b'.repeat(60));
    const store = await open(deep);
    expect(await store.probe()).toMatchObject({ kind: 'embedded' });
    const guest = await openStore({ dataDir: deep, outputs: ['fhir'], logger: silentLogger, join: true });
    expect(await guest.recentStudies(5)).toEqual([]);
    await guest.close();
    await store.close();
  });

  const root = process.getuid?.() === 0;
  if (!root) console.warn('not root: starting the built-in database as root is not tested here');
  test.skipIf(!root)('runs as another account when started by root, even in a folder only root may enter', async () => {
    const closed = join(folder, 'root-only');
    mkdirSync(closed);
    chmodSync(closed, 0o700);
    const store = await open(join(closed, 'data'));
    const pid = readPostmasterFile(join(closed, 'data', 'postgres'))?.pid;
    expect(statSync(`/proc/${pid}`).uid).not.toBe(0);
    await store.close();
    expect(processStart(pid ?? 0)).toBeUndefined();
  });
});

describe('the lock on a data folder', () => {
  test('of a process that is gone is taken over, also when its id is in use again', () => {
    mkdirSync(dataDir);
    for (const stale of [
      { pid: 2 ** 22 - 1, startedAt: '1' },
      { pid: process.pid, startedAt: 'another time' },
    ]) {
      writeFileSync(join(dataDir, 'wetread.lock'), JSON.stringify(stale));
      lockDataFolder(dataDir).release();
    }
    writeFileSync(join(dataDir, 'wetread.lock'), 'half a lo');
    const lock = lockDataFolder(dataDir);
    expect(() => lockDataFolder(dataDir)).toThrow(expect.objectContaining({ code: 'store.data-folder-in-use' }));
    lock.release();
    expect(existsSync(join(dataDir, 'wetread.lock'))).toBe(false);
  });

  test('is got by one of many processes that want it at once', async () => {
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, 'wetread.lock'), JSON.stringify({ pid: 2 ** 22 - 1, startedAt: '1' }));
    const racers = Array.from({ length: 4 }, () => start());
    const outcomes = await Promise.all(racers.map((racer) => racer.line(/^(open|refused)/)));
    expect(outcomes.filter((line) => line === 'open')).toHaveLength(1);
    expect(outcomes.filter((line) => line.includes('store.data-folder-in-use'))).toHaveLength(3);
  });
});
