/** For one task of the command line: the built-in database of the process that holds the data folder, or an own start of it when nobody does. */
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import { folderHolder } from './data-folder-lock.ts';
import { connectionString, ownPassword, startEmbeddedPostgres, type EmbeddedPostgres } from './embedded.ts';
import { jobSchema, queues } from './jobs.ts';
import { readPostmasterFile } from './postgres-process.ts';

/** How long a service that is just starting or stopping is waited for. */
const patienceMs = 20_000;

type Options = { readonly dataDir: string; readonly database: string; readonly logger: Logger };

/** `joined` means that the database is another process's: nothing here may stop it or change how it works. */
export async function joinOrStartPostgres(options: Options): Promise<EmbeddedPostgres & { readonly joined: boolean }> {
  const dataDir = resolve(options.dataDir);
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const holder = folderHolder(dataDir);
    const late = Date.now() > deadline;
    if (holder === undefined) {
      try {
        return Object.assign(await startEmbeddedPostgres(options), { joined: false });
      } catch (error) {
        // Somebody was faster since we looked: that is the one to join.
        if (late || !(error instanceof WetreadError && error.code === 'store.data-folder-in-use')) throw error;
      }
    } else {
      const running = await runningPostgres(dataDir, options.database);
      if (running !== undefined) return { ...running, joined: true, stop: () => Promise.resolve() };
      if (late) {
        throw new WetreadError(
          'store.unreachable',
          `Process ${holder} holds the data folder, but its database is not ready.`,
        );
      }
    }
    await wait(100);
  }
}

/** Undefined until it answers and holds the queues, which are made last of all at a start. */
async function runningPostgres(
  dataDir: string,
  database: string,
): Promise<Pick<EmbeddedPostgres, 'url' | 'pid'> | undefined> {
  const file = readPostmasterFile(join(dataDir, 'postgres'));
  if (file === undefined || !file.ready) return undefined;
  const { pid, address } = file;
  const password = ownPassword(dataDir);
  const url = (name: string) => connectionString(address, password, name);
  const client = new Client({ connectionString: url(database), connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    const { rowCount } = await client.query(`select from ${jobSchema}.queue where name = $1`, [queues.at(-1)]);
    return rowCount === 1 ? { url, pid } : undefined;
  } catch {
    return undefined;
  } finally {
    await client.end().catch(() => {});
  }
}
