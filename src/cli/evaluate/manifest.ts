/** The data manifest on the disk: its rows, and the landmark files beside it. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { WetreadError } from '../../domain/errors.ts';
import type { Landmarks } from '../../evaluation/landmarks.ts';
import type { DataKind } from '../../evaluation/report.ts';
import { readTruth, type TruthRow } from '../../evaluation/truth.ts';
import { UsageError } from '../command.ts';

export type Manifest = { readonly folder: string; readonly rows: readonly TruthRow[]; readonly sha256: string };

export async function readManifest(file: string, kind: string | undefined): Promise<Manifest> {
  if (kind !== undefined && kind !== 'real' && kind !== 'synthetic')
    throw new UsageError(`--kind "${kind}": say real or synthetic`);
  const folder = dirname(resolve(file));
  const text = await contentsOf(file);
  const named = [...text.matchAll(/[^",;\r\n]+\.json/g)].map(([name]) => name.trim());
  const landmarkFiles = new Map<string, Landmarks>();
  for (const name of new Set(named)) {
    // Only files beside the manifest: a manifest from somebody else must not read this machine's other files.
    const path = resolve(folder, name);
    if (path.startsWith(`${folder}/`)) landmarkFiles.set(name, landmarksIn(await contentsOf(path), name));
  }
  try {
    const rows = readTruth(text, {
      ...(kind !== undefined && { kind: kind as DataKind }),
      landmarksOf: (name) => {
        const landmarks = landmarkFiles.get(name);
        if (landmarks === undefined)
          throw new SyntaxError(`landmarks "${name}" is not a .json file beside the manifest`);
        return landmarks;
      },
    });
    return { folder, rows, sha256: createHash('sha256').update(text).digest('hex') };
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new WetreadError('request.malformed', `${basename(file)}: ${error.message}`);
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

/** `{ "L3.anteriorSuperior": [812.5, 403], … }` in pixels of the picture. */
function landmarksIn(text: string, file: string): Landmarks {
  const fault = (what: string): WetreadError => new WetreadError('request.malformed', `${file}: ${what}`);
  let written: unknown;
  try {
    written = JSON.parse(text);
  } catch {
    throw fault('is not JSON');
  }
  if (typeof written !== 'object' || written === null || Array.isArray(written))
    throw fault('is not an object of names');
  for (const [name, at] of Object.entries(written)) {
    if (!Array.isArray(at) || at.length !== 2 || !at.every((value) => Number.isFinite(value)))
      throw fault(`${name} is not [x, y]`);
  }
  return written as Landmarks;
}
