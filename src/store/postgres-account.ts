/** PostgreSQL refuses to run as root: started by root, Wetread gives the built-in database to the account `postgres`. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';

export type PostgresAccount = {
  readonly uid: number;
  readonly gid: number;
  /** What must stand before a command of this account; empty unless folders on the way are closed to it. */
  readonly prefix: readonly string[];
};

/** Undefined for ordinary users: the database then runs as whoever started Wetread. */
export function postgresAccount(paths: readonly string[], logger: Logger): PostgresAccount | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const { uid, gid } = lookUp() ?? create(logger);
  const closed = paths.map((path) => closedFolder(path, uid, gid)).find((folder) => folder !== undefined);
  return { uid, gid, prefix: closed === undefined ? [] : passThroughClosedFolders(uid, gid, closed) };
}

function idOf(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
}

function lookUp(): { uid: number; gid: number } | undefined {
  try {
    return { uid: idOf('-u'), gid: idOf('-g') };
  } catch {
    return undefined;
  }
}

function create(logger: Logger): { uid: number; gid: number } {
  try {
    execFileSync(
      'useradd',
      ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres'],
      {
        stdio: 'ignore',
      },
    );
    logger.info('made the system account postgres: PostgreSQL does not run as root');
    return { uid: idOf('-u'), gid: idOf('-g') };
  } catch (cause) {
    throw new WetreadError(
      'config.invalid',
      'PostgreSQL does not run as root and no account for it could be made. Start Wetread as an ordinary user, or set DATABASE_URL.',
      { cause },
    );
  }
}

/** The first folder on the way that this account may not pass, as under /root. */
function closedFolder(path: string, uid: number, gid: number): string | undefined {
  const existing = nearestExisting(path);
  for (let folder = existing; folder !== dirname(folder); folder = dirname(folder)) {
    const { mode, uid: owner, gid: group } = statSync(folder);
    const mayPass = owner === uid ? mode & 0o100 : group === gid ? mode & 0o010 : mode & 0o001;
    if (mayPass === 0) return folder;
  }
  return undefined;
}

function nearestExisting(path: string): string {
  let existing = path;
  while (!existsSync(existing)) existing = dirname(existing);
  return realpathSync(existing);
}

const searchOnly = { name: 'dac_read_search', bit: 2 };
const override = { name: 'dac_override', bit: 1 };

/**
 * A root shell usually stands in /root, which only root may enter. Linux can lend the right to pass through to one
 * process (an ambient capability); containers often have only the broader of the two.
 */
function passThroughClosedFolders(uid: number, gid: number, closed: string): readonly string[] {
  const held = heldCapabilities();
  const capability = [searchOnly, override].find(({ bit }) => (held >> BigInt(bit)) & 1n);
  const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => isExecutable(path));
  if (capability === undefined || setpriv === undefined) {
    throw new WetreadError(
      'config.invalid',
      `The account postgres may not enter ${closed}. Start Wetread as an ordinary user, put it and WETREAD_DATA_DIR elsewhere, or set DATABASE_URL.`,
    );
  }
  return [
    setpriv,
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--clear-groups',
    `--inh-caps=+${capability.name}`,
    `--ambient-caps=+${capability.name}`,
    `--bounding-set=-all,+${capability.name}`,
  ];
}

function heldCapabilities(): bigint {
  try {
    const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    return BigInt(`0x${line?.[1] ?? '0'}`);
  } catch {
    return 0n;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
