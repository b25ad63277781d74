/** Finding out whether a postgres of an earlier start still runs on a database folder, and ending it in order. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import { processStart } from './data-folder-lock.ts';

/** A socket's folder or a machine's name, and the port. */
export type PostgresAddress = { readonly host: string; readonly port: number };

/** The lines of postmaster.pid (PostgreSQL's miscadmin.h, LOCK_FILE_LINE_*): process id, folder, start, port, socket's folder, address, shared memory, `ready` or `starting`. */
export function readPostmasterFile(
  folder: string,
): { readonly pid: number; readonly ready: boolean; readonly address: PostgresAddress } | undefined {
  try {
    const lines = readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n');
    const pid = Number(lines[0]);
    if (!Number.isInteger(pid) || pid <= 0) return undefined;
    const address = { host: lines[4]?.trim() || lines[5]?.trim() || '127.0.0.1', port: Number(lines[3]) };
    return { pid, ready: lines[7]?.trim() === 'ready', address };
  } catch {
    return undefined;
  }
}

/** A process id alone proves nothing: after a restart of the machine another program may have it. */
function isPostgresOf(folder: string, pid: number): boolean {
  if (processStart(pid) === undefined) return false;
  try {
    // A postgres, and each of its children, stands in its database folder.
    if (existsSync('/proc/self')) {
      const program = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split(/[\0 ]/)[0] ?? '';
      return /postgres/.test(program) && readlinkSync(`/proc/${pid}/cwd`) === realpathSync(folder);
    }
    if (process.platform === 'win32') {
      return /postgres\.exe/i.test(execFileSync('tasklist', ['/FI', `PID eq ${pid}`], { encoding: 'utf8' }));
    }
    const command = execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
    return /postgres/.test(command) && command.includes(folder);
  } catch {
    return false;
  }
}

/**
 * Every postgres that stands in this folder, whatever postmaster.pid says: children outlive a killed postgres for a
 * moment, and a service that was killed while it started PostgreSQL again leaves one that has written no file yet.
 */
function processesIn(folder: string): number[] {
  const named = readPostmasterFile(folder)?.pid;
  const candidates = existsSync('/proc/self') ? readdirSync('/proc').map(Number) : [named ?? 0];
  return candidates.filter((pid) => pid > 0 && pid !== process.pid && isPostgresOf(folder, pid));
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return 0;
  }
}

/** How long an orderly shutdown may take, which writes everything to disk, before PostgreSQL is told to drop everything. */
const fastMs = 10_000;
const immediateMs = 5_000;

/** Ends what a killed service left running. Only called by the holder of the folder's lock: nobody else's database is meant. */
export async function stopLeftoverPostgres(folder: string, logger: Logger): Promise<void> {
  const stale = readPostmasterFile(folder)?.pid;
  // SIGINT is PostgreSQL's fast shutdown: sessions are ended, everything committed is on disk. After SIGQUIT it recovers at the next start.
  for (const [signal, patienceMs] of [
    ['SIGINT', fastMs],
    ['SIGQUIT', immediateMs],
  ] as const) {
    const told = new Set<number>();
    const deadline = Date.now() + patienceMs;
    for (let left = processesIn(folder); left.length > 0 && Date.now() < deadline; left = processesIn(folder)) {
      // Children end with their parent; to one of them alone the same signal would mean something else.
      for (const pid of left.filter((one) => !left.includes(parentOf(one)) && !told.has(one))) {
        told.add(pid);
        logger.info('an earlier start left PostgreSQL running: stopping it', { pid, signal });
        tell(pid, signal);
      }
      await wait(20);
    }
  }
  const [staying] = processesIn(folder);
  if (staying !== undefined) {
    throw new WetreadError('store.data-folder-in-use', `PostgreSQL process ${staying} does not end.`);
  }
  // PostgreSQL takes any process with the id in these files for itself and refuses to start, a zombie nobody reaped too.
  if (stale === undefined || readPostmasterFile(folder)?.pid !== stale) return;
  const lockFiles = readdirSync(folder).filter((name) => /^(postmaster\.pid|\.s\.PGSQL\.\d+(\.lock)?)$/.test(name));
  for (const name of lockFiles) rmSync(join(folder, name), { force: true });
}

function tell(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended in the meantime.
  }
}
