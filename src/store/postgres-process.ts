/** Finding out whether a postgres of an earlier start still runs on a database folder, and ending it in order. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import { processStart } from './data-folder-lock.ts';

/** The lines of postmaster.pid (PostgreSQL's miscadmin.h, LOCK_FILE_LINE_*): the process id first, `ready` or `starting` in the eighth. */
export function readPostmasterFile(folder: string): { readonly pid: number; readonly ready: boolean } | undefined {
  try {
    const lines = readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n');
    const pid = Number(lines[0]);
    return Number.isInteger(pid) && pid > 0 ? { pid, ready: lines[7]?.trim() === 'ready' } : undefined;
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

/** Children may outlive a killed postgres for a moment and still hold its memory. */
function processesIn(folder: string): number[] {
  if (!existsSync('/proc/self')) return [];
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && isPostgresOf(folder, pid));
}

/** Ends what a killed service left running. Only called by the holder of the folder's lock: nobody else's database is meant. */
export async function stopLeftoverPostgres(folder: string, logger: Logger): Promise<void> {
  const file = readPostmasterFile(folder);
  if (file !== undefined && isPostgresOf(folder, file.pid)) {
    logger.info('an earlier start left PostgreSQL running: stopping it', { pid: file.pid });
    await endPostgres(folder, file.pid);
  }
  const deadline = Date.now() + 5_000;
  while (processesIn(folder).length > 0 && Date.now() < deadline) await wait(20);
  const staying = processesIn(folder);
  if (staying.length > 0)
    throw new WetreadError('store.data-folder-in-use', `PostgreSQL process ${staying[0]} does not end.`);
  // PostgreSQL would take any living process with this id for itself and refuse to start.
  rmSync(join(folder, 'postmaster.pid'), { force: true });
}

/** SIGINT is PostgreSQL's fast shutdown: sessions are ended, everything committed is on disk. SIGQUIT, when that hangs, recovers at the next start. */
async function endPostgres(folder: string, pid: number): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    const deadline = Date.now() + 5_000;
    while (isPostgresOf(folder, pid) && Date.now() < deadline) await wait(20);
    if (!isPostgresOf(folder, pid)) return;
  }
}
