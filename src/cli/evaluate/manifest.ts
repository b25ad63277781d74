/** The data manifest on the disk: its rows, and the landmark files beside it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, resolve, sep } from 'node:path';
import { WetreadError } from '../../domain/errors.ts';
import type { Landmarks } from '../../evaluation/landmarks.ts';
import type { DataKind } from '../../evaluation/report.ts';
import { readTruth, type TruthRow } from '../../evaluation/truth.ts';
import { UsageError } from '../command.ts';

export type Manifest = {
  /** As it is named in messages. */
  readonly name: string;
  readonly folder: string;
  readonly rows: readonly TruthRow[];
  readonly sha256: string;
};

/** `films.csv: line 3: …`: what is wrong with a row, for whoever wrote it. */
export const badRow = (
  { name }: Pick<Manifest, 'name'>,
  { line }: Pick<TruthRow, 'line'>,
  what: string,
): WetreadError => new WetreadError('cli.bad-file', `${name}: ${line === undefined ? '' : `line ${line}: `}${what}`);

export async function readManifest(file: string, kind: string | undefined): Promise<Manifest> {
  if (kind !== undefined && kind !== 'real' && kind !== 'synthetic')
    throw new UsageError(`--kind "${kind}": say real or synthetic`);
  const folder = dirname(resolve(file));
  const text = await contentsOf(file);
  try {
    const rows = readTruth(text, {
      ...(kind !== undefined && { kind: kind as DataKind }),
      landmarksOf: (name) => {
        // Only files beside the manifest: a manifest from somebody else must not read this machine's other files.
        const path = resolve(folder, name);
        if (!name.endsWith('.json') || !path.startsWith(folder + sep))
          throw new SyntaxError('is not a .json file beside the manifest');
        return landmarksIn(path);
      },
    });
    return { name: basename(file), folder, rows, sha256: createHash('sha256').update(text).digest('hex') };
  } catch (error) {
    if (error instanceof SyntaxError) throw new WetreadError('cli.bad-file', `${basename(file)}: ${error.message}`);
    throw error;
  }
}

export async function contentsOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
}

/** Where the picture of a row lies, or the folder of its slices: below the manifest's own folder. */
export function fileOf(manifest: Manifest, row: TruthRow): string {
  const path = resolve(manifest.folder, row.file);
  if (!path.startsWith(manifest.folder + sep))
    throw badRow(manifest, row, `${row.file}: files lie in the manifest's folder or below`);
  return path;
}

/** Before anything is run: a name that is wrong in the last line should not cost the hours of those before. */
export async function demandFiles(manifest: Manifest): Promise<void> {
  const missing: { readonly row: TruthRow; readonly why: string }[] = [];
  for (const row of manifest.rows)
    await stat(fileOf(manifest, row)).catch((error: NodeJS.ErrnoException) =>
      missing.push({ row, why: error.code ?? 'unknown' }),
    );
  const [first, ...others] = missing;
  if (first === undefined) return;
  const more =
    others.length === 0
      ? ''
      : `, nor ${others.length === 1 ? 'the file of 1 other line' : `the files of ${others.length} other lines`}`;
  throw badRow(
    manifest,
    first.row,
    `file ${first.row.file} cannot be read (${first.why})${more}; files are named from the folder of the manifest, ${manifest.folder}`,
  );
}

/** `{ "L3.anteriorSuperior": [812.5, 403], … }` in pixels of the picture. Throws SyntaxError. */
function landmarksIn(path: string): Landmarks {
  let written: unknown;
  try {
    written = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new SyntaxError(code === undefined ? 'is not JSON' : `cannot be read (${code})`, { cause: error });
  }
  if (typeof written !== 'object' || written === null || Array.isArray(written))
    throw new SyntaxError('is not an object of names');
  for (const [name, at] of Object.entries(written)) {
    if (!Array.isArray(at) || at.length !== 2 || !at.every((value) => Number.isFinite(value)))
      throw new SyntaxError(`says of ${name} something else than [x, y]`);
  }
  return written as Landmarks;
}
