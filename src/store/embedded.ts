/** The built-in database: a real PostgreSQL in the data folder, reachable through a socket that only its owner can open. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import { lockDataFolder } from './data-folder-lock.ts';
import { postgresAccount, type PostgresAccount } from './postgres-account.ts';
import { postgresBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { readPostmasterFile, stopLeftoverPostgres, type PostgresAddress } from './postgres-process.ts';

export type EmbeddedPostgres = {
  /** Connection string of a database in it. */
  url(database: string): string;
  /** Process id of the server; changes when it had to be started again. */
  readonly pid: number;
  stop(): Promise<void>;
};

const user = 'wetread';
const socketPort = 5432;
/** sun_path holds 108 bytes on Linux, 104 elsewhere; the socket's own name takes 15. */
const longestSocketFolder = 88;

export async function startEmbeddedPostgres(options: {
  dataDir: string;
  logger: Logger;
  database: string;
  /** More of PostgreSQL's own settings; tests that throw their data away do without `fsync`. */
  settings?: Readonly<Record<string, string>>;
}): Promise<EmbeddedPostgres> {
  const { logger } = options;
  const dataDir = resolve(options.dataDir);
  const folder = join(dataDir, 'postgres');
  const lock = lockDataFolder(dataDir);
  try {
    const binaries = await postgresBinaries();
    const account = postgresAccount([dataDir, binaries.postgres], logger);
    const password = ownPassword(dataDir);
    const isNew = !existsSync(folder);
    if (!isNew) await stopLeftoverPostgres(folder, logger);
    else await initialise(binaries, account, dataDir, folder, password);

    const address = await chooseAddress(folder, account);
    const server = superviseServer({
      binaries,
      account,
      dataDir,
      folder,
      address,
      settings: { ...ownSettings, ...options.settings },
      logger,
    });
    try {
      await server.start();
      const url = (database: string) => connectionString(address, password, database);
      await createDatabase(url('postgres'), options.database);
      const flush = isNew ? flushToDisk(binaries, account, folder) : undefined;
      return {
        url,
        get pid() {
          return server.pid();
        },
        stop: async () => {
          flush?.cancel();
          await server.stop();
          address.forget();
          lock.release();
        },
      };
    } catch (error) {
      await server.stop();
      address.forget();
      throw error;
    }
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Made once; whoever can read this file can read the database files beside it as well. */
export function ownPassword(dataDir: string): string {
  const file = join(dataDir, 'postgres-password');
  if (!existsSync(file)) {
    const unfinished = `${file}.${process.pid}`;
    writeFileSync(unfinished, randomBytes(24).toString('hex'), { mode: 0o600 });
    renameSync(unfinished, file);
  }
  return readFileSync(file, 'utf8').trim();
}

/** Built beside its place and then renamed, so that a start that is killed half-way leaves no half database. */
async function initialise(
  binaries: PostgresBinaries,
  account: PostgresAccount | undefined,
  dataDir: string,
  folder: string,
  password: string,
) {
  const unfinished = `${folder}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { mode: 0o700 });
  const passwordFile = join(dataDir, 'postgres-password.new');
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (account !== undefined) for (const path of [unfinished, passwordFile]) chownSync(path, account.uid, account.gid);
  try {
    // prettier-ignore
    const options = ['--username', user, '--pwfile', passwordFile, '--auth', 'scram-sha-256', '--encoding', 'UTF8', '--locale', 'C'];
    // Flushing a thousand small files takes longer than all the rest of the first start: `flushToDisk` does it while work goes on.
    const initdb = spawnAs(account, binaries.initdb, [
      '--pgdata',
      unfinished,
      '--no-sync',
      '--no-instructions',
      ...options,
    ]);
    let said = '';
    initdb.stderr?.on('data', (chunk) => (said += String(chunk)));
    initdb.stdout?.resume();
    const code = await new Promise((done, failed) => initdb.once('close', done).once('error', failed));
    if (code !== 0)
      throw new WetreadError('store.unreachable', 'The built-in database could not be made.', {
        cause: new Error(said.trim()),
      });
  } finally {
    rmSync(passwordFile, { force: true });
  }
  renameSync(unfinished, folder);
}

/** Until this is done a power cut could spoil the new, still empty database. */
function flushToDisk(
  binaries: PostgresBinaries,
  account: PostgresAccount | undefined,
  folder: string,
): { cancel(): void } {
  const flush = spawnAs(account, binaries.initdb, ['--pgdata', folder, '--sync-only']);
  flush.on('error', () => {});
  flush.stdout?.resume();
  flush.stderr?.resume();
  flush.unref();
  return { cancel: () => void flush.kill() };
}

function spawnAs(
  account: PostgresAccount | undefined,
  command: string,
  args: readonly string[],
  log?: number,
): ChildProcess {
  const [program = command, ...rest] = [...(account?.prefix ?? []), command, ...args];
  return spawn(program, rest, {
    // With a prefix the change of account happens in there: only root may keep a capability across it.
    ...(account !== undefined && account.prefix.length === 0 ? { uid: account.uid, gid: account.gid } : {}),
    stdio: ['ignore', log ?? 'pipe', log ?? 'pipe'],
    // An own session: Ctrl-C in the terminal must reach the service alone, which then stops the database last.
    detached: log !== undefined,
    // LC_ALL and PG* of the surroundings must not change what the server does.
    env: {
      PATH: process.env['PATH'],
      TZ: 'UTC',
      LC_ALL: 'C',
      ...(process.env['SystemRoot'] ? { SystemRoot: process.env['SystemRoot'] } : {}),
    },
    cwd: '/',
  });
}

type Address = PostgresAddress & { readonly flags: readonly string[]; forget(): void };

/** A socket in the database's own folder (0700); one in a private temporary folder where the path would be too long; Windows has only TCP. */
async function chooseAddress(folder: string, account: PostgresAccount | undefined): Promise<Address> {
  if (process.platform === 'win32') {
    const port = await freePort();
    return { host: '127.0.0.1', port, flags: ['-p', String(port), '-c', 'listen_addresses=127.0.0.1'], forget() {} };
  }
  const tooLong = Buffer.byteLength(folder) > longestSocketFolder;
  const host = tooLong ? mkdtempSync(join(tmpdir(), 'wetread-')) : folder;
  if (tooLong && account !== undefined) chownSync(host, account.uid, account.gid);
  return {
    host,
    port: socketPort,
    flags: ['-p', String(socketPort), '-c', 'listen_addresses=', '-k', host],
    forget: () => void (tooLong && rmSync(host, { recursive: true, force: true })),
  };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((ready) => probe.listen(0, '127.0.0.1', ready));
  const { port } = probe.address() as AddressInfo;
  await new Promise((closed) => probe.close(closed));
  return port;
}

export function connectionString(address: PostgresAddress, password: string, database: string): string {
  const query = address.host.startsWith('/') ? `?host=${encodeURIComponent(address.host)}` : '';
  const host = query === '' ? address.host : 'localhost';
  return `postgres://${user}:${password}@${host}:${address.port}/${database}${query}`;
}

const ownSettings: Readonly<Record<string, string>> = {
  max_connections: '60',
  shared_buffers: '64MB',
  log_min_messages: 'warning',
  logging_collector: 'off',
  log_destination: 'stderr',
  log_checkpoints: 'off',
  timezone: 'UTC',
};

const lastLines = (file: string): string => readFileSync(file, 'utf8').trim().split('\n').slice(-3).join('\n');

/** Keeps one server running until `stop`: when it dies by itself (out of memory, somebody's kill) it is started again. */
function superviseServer(parts: {
  binaries: PostgresBinaries;
  account: PostgresAccount | undefined;
  dataDir: string;
  folder: string;
  address: Address;
  settings: Readonly<Record<string, string>>;
  logger: Logger;
}) {
  const { folder, logger } = parts;
  const settings = Object.entries(parts.settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  let child: ChildProcess | undefined;
  let stopping = false;
  let restarting: Promise<void> | undefined;

  // The last chance of an orderly end when the process ends without `stop`, as after an uncaught error.
  const atExit = () => void child?.kill('SIGINT');

  async function start(): Promise<void> {
    const logFile = join(parts.dataDir, 'postgres.log');
    // A file, not a pipe: the server may outlive this process, and must not break on its own messages then.
    if (existsSync(logFile) && statSync(logFile).size > 5_000_000) renameSync(logFile, `${logFile}.1`);
    const log = openSync(logFile, 'a', 0o600);
    const started = spawnAs(
      parts.account,
      parts.binaries.postgres,
      ['-D', folder, ...parts.address.flags, ...settings],
      log,
    );
    closeSync(log);
    child = started;
    started.on('error', (error) => logger.error('PostgreSQL could not be started', { cause: error }));
    const deadline = Date.now() + 60_000;
    for (;;) {
      const file = readPostmasterFile(folder);
      if (file?.pid === started.pid && file?.ready) return keepRunning(started);
      if (started.exitCode !== null || started.signalCode !== null || started.pid === undefined) {
        throw new WetreadError(
          'store.unreachable',
          'The built-in PostgreSQL did not start; see postgres.log in the data folder.',
          { cause: new Error(lastLines(logFile)) },
        );
      }
      if (Date.now() > deadline)
        throw new WetreadError('store.unreachable', 'The built-in PostgreSQL does not become ready.');
      await wait(10);
    }
  }

  function keepRunning(started: ChildProcess): void {
    started.once('exit', (code, signal) => {
      if (stopping) return;
      logger.error('PostgreSQL ended by itself', { exitCode: code, signal });
      restarting = again();
    });
  }

  async function again(): Promise<void> {
    for (let delayMs = 50; ; delayMs = Math.min(delayMs * 2, 10_000)) {
      if (stopping) return;
      try {
        await stopLeftoverPostgres(folder, logger);
        await start();
        logger.info('PostgreSQL runs again');
        return;
      } catch (error) {
        logger.error('PostgreSQL could not be started again', { cause: error });
        await wait(delayMs);
      }
    }
  }

  return {
    pid: () => child?.pid ?? 0,
    start: async () => {
      process.on('exit', atExit);
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await start();
        } catch (error) {
          if (attempt === 4) throw error;
          // A service that was killed while it started PostgreSQL again leaves one that shows itself only now.
          await wait(200);
          await stopLeftoverPostgres(folder, logger);
        }
      }
    },
    stop: async () => {
      stopping = true;
      await restarting;
      const running = child;
      if (running?.pid !== undefined && running.exitCode === null && running.signalCode === null) {
        const ended = new Promise<void>((done) => running.once('exit', () => done()));
        running.kill('SIGINT');
        const patience = setTimeout(() => running.kill('SIGQUIT'), 10_000);
        await ended;
        clearTimeout(patience);
      }
      process.off('exit', atExit);
    },
  };
}

async function createDatabase(adminUrl: string, name: string): Promise<void> {
  const client = new Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name]);
    if (rowCount === 0) await client.query(`create database ${client.escapeIdentifier(name)}`);
  } finally {
    await client.end();
  }
}
