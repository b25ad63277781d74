/** Keeps the inbox tidy: what a crash left behind is swept at the start, and pictures of studies long read are let go. */
import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { asWetreadError } from '../domain/errors.ts';
import type { ReceivedObjects } from '../domain/inbox.ts';
import type { Logger } from '../domain/log.ts';
import { incomingFolder, objectsFolder } from './inbox.ts';

export type InboxUpkeepOptions = {
  readonly folder: string;
  readonly objects: Pick<ReceivedObjects, 'known' | 'forgetSettled'>;
  /** Pictures of settled studies are kept so long; 0 keeps them for ever. */
  readonly keepDays: number;
  readonly logger: Logger;
  readonly now?: () => Date;
};

const everyMs = 3600_000;
/** Younger files may belong to another machine that is receiving them now. */
const leftBehindMs = 3600_000;
const dayMs = 24 * 3600_000;
const atOnce = 500;

export function inboxUpkeep({ folder, objects, keepDays, logger, now = () => new Date() }: InboxUpkeepOptions) {
  let timer: NodeJS.Timeout | undefined;
  let work: Promise<void> = Promise.resolve();
  let stopped = false;

  /** How many files a crash had left: half received ones, and whole ones whose row was never written. */
  async function sweep(): Promise<number> {
    let swept = 0;
    for (const name of await namesIn(join(folder, incomingFolder)))
      if (await removeLeftBehind(join(folder, incomingFolder, name))) swept += 1;
    for (const study of await namesIn(join(folder, objectsFolder))) {
      const files = (await namesIn(join(folder, objectsFolder, study))).map(
        (name) => `${objectsFolder}/${study}/${name}`,
      );
      const known = await objects.known(files);
      for (const file of files) if (!known.has(file) && (await removeLeftBehind(join(folder, file)))) swept += 1;
      if (known.size === 0) await rmdir(join(folder, objectsFolder, study)).catch(() => {});
      if (stopped) break;
    }
    if (swept > 0) logger.info('files that a crash had left in the inbox were removed', { files: swept });
    return swept;
  }

  async function removeLeftBehind(path: string): Promise<boolean> {
    const found = await stat(path).catch(() => undefined);
    if (found === undefined || found.mtimeMs > now().getTime() - leftBehindMs) return false;
    await rm(path, { force: true });
    return true;
  }

  /** How many studies were let go. */
  async function letGo(): Promise<number> {
    if (keepDays === 0) return 0;
    const before = new Date(now().getTime() - keepDays * dayMs);
    for (let studies = 0; ;) {
      const gone = await objects.forgetSettled(before, atOnce);
      // The rows are gone first: a file without a row is nothing, a row without a file would be a broken promise.
      for (const file of gone.flatMap(({ files }) => files)) await rm(join(folder, file), { force: true });
      for (const file of gone.flatMap(({ files }) => files.slice(0, 1)))
        await rmdir(dirname(join(folder, file))).catch(() => {});
      studies += gone.length;
      if (gone.length < atOnce || stopped) {
        if (studies > 0) logger.info('pictures of studies long read were let go', { studies });
        return studies;
      }
    }
  }

  async function round(): Promise<void> {
    try {
      await sweep();
      await letGo();
    } catch (error) {
      logger.error('the inbox could not be tidied', { code: asWetreadError(error).code, cause: error });
    }
  }

  return {
    sweep,
    letGo,
    start() {
      work = round();
      timer = setInterval(() => (work = work.then(round)), everyMs);
      timer.unref();
    },
    async stop() {
      stopped = true;
      clearInterval(timer);
      await work;
    },
  };
}

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
