/** One Wetread process per data folder: a lock file with the holder's pid and start time, so that a dead holder's lock is seen as such. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WetreadError } from '../domain/errors.ts';

export type DataFolderLock = { release(): void };

type Holder = { readonly pid: number; readonly startedAt: string };

/** When a process began, in whatever words the system has; undefined when there is no such process. Pids are used again, pairs of both are not. */
export function processStart(pid: number): string | undefined {
  if (!isRunning(pid)) return undefined;
  if (existsSync('/proc/self/stat')) {
    try {
      // The second field is the program's name in brackets and may hold spaces; field 22 is the start in clock ticks since boot.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      // A zombie has ended; only its parent has not yet looked.
      return fields[0] === 'Z' ? undefined : fields[19];
    } catch {
      return undefined;
    }
  }
  if (process.platform === 'win32') return 'running';
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined;
  } catch {
    return undefined;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function readHolder(file: string): Holder | undefined {
  try {
    const { pid, startedAt } = JSON.parse(readFileSync(file, 'utf8')) as Partial<Holder>;
    return typeof pid === 'number' && typeof startedAt === 'string' ? { pid, startedAt } : undefined;
  } catch {
    return undefined;
  }
}

const isAlive = (holder: Holder | undefined): holder is Holder =>
  holder !== undefined && processStart(holder.pid) === holder.startedAt;

/** The living process that holds the folder, if there is one. */
export function folderHolder(dataDir: string): number | undefined {
  const holder = readHolder(join(dataDir, 'wetread.lock'));
  return isAlive(holder) ? holder.pid : undefined;
}

/** Throws `store.data-folder-in-use` while the holder lives. */
export function lockDataFolder(dataDir: string): DataFolderLock {
  // Files with secrets are 0600 each; the folder lets the account of the built-in database pass through, when that is another.
  mkdirSync(dataDir, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
  const lockFile = join(dataDir, 'wetread.lock');
  const mine = join(dataDir, `wetread.lock.${process.pid}.${randomUUID()}`);
  const me: Holder = { pid: process.pid, startedAt: processStart(process.pid) ?? 'running' };
  writeFileSync(mine, JSON.stringify(me), { mode: 0o600 });
  try {
    for (;;) {
      try {
        // link() is the whole file or nothing, and fails when the name is taken: nobody ever reads half a lock.
        linkSync(mine, lockFile);
        return { release: () => release(lockFile, me) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = readHolder(lockFile);
      if (isAlive(holder)) throw new WetreadError('store.data-folder-in-use', `Its process id is ${holder.pid}.`);
      setAside(lockFile, holder);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Of several processes that find the same stale lock, the second may move the first one's new lock: it looks at what it moved and puts it back. */
function setAside(lockFile: string, stale: Holder | undefined): void {
  const aside = `${lockFile}.${process.pid}.${randomUUID()}`;
  try {
    renameSync(lockFile, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const moved = readHolder(aside);
  if (isAlive(moved) && (moved.pid !== stale?.pid || moved.startedAt !== stale.startedAt)) {
    try {
      linkSync(aside, lockFile);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  rmSync(aside, { force: true });
}

function release(lockFile: string, me: Holder): void {
  const holder = readHolder(lockFile);
  if (holder?.pid === me.pid && holder.startedAt === me.startedAt) rmSync(lockFile, { force: true });
}
