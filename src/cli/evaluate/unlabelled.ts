/** Pictures nobody has labelled: the rows of a folder that has no manifest. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, relative, resolve, sep } from 'node:path';
import type { DataKind } from '../../evaluation/report.ts';
import type { TruthRow } from '../../evaluation/truth.ts';
import { UsageError } from '../command.ts';
import { demandPictures, filesOf, type Said } from '../infer/inputs.ts';
import { readManifest, type Manifest } from './manifest.ts';

export type UnlabelledOptions = {
  readonly kind: string | undefined;
  /** What is said of plain pictures in a folder; a manifest says it itself. */
  readonly said: Said;
  readonly expectAbstain: boolean;
};

/** A folder, or a data manifest whose pictures have no truth. */
export async function unlabelled(named: string, { kind = 'real', said, expectAbstain }: UnlabelledOptions) {
  const what = await stat(named).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${named} cannot be read (${error.code ?? 'unknown'})`);
  });
  const manifest = what.isDirectory() ? await rowsOf(named, kind, said) : await readManifest(named, kind);
  return expectAbstain
    ? { ...manifest, rows: manifest.rows.map((row) => ({ ...row, expect: 'abstain' as const })) }
    : manifest;
}

async function rowsOf(named: string, kind: string, { spacingMm, ...said }: Said): Promise<Manifest> {
  if (kind !== 'real' && kind !== 'synthetic') throw new UsageError(`--kind "${kind}": say real or synthetic`);
  if (spacingMm !== undefined && spacingMm[0] !== spacingMm[1])
    throw new UsageError('--spacing of pictures that are evaluated: one number, the same along rows and columns');
  const folder = resolve(named);
  const files = await filesOf([folder]);
  demandPictures(files, [named]);
  const hints = { ...said, ...(spacingMm && { spacing: spacingMm[0] }) };
  const rows = files.map(({ file }) => rowOf(relative(folder, file), kind, hints));
  const sha256 = createHash('sha256')
    .update(rows.map(({ file }) => file).join('\n'))
    .digest('hex');
  return { name: basename(folder), folder, rows, sha256 };
}

/** Folders inside are groups: that is how people sort films. */
function rowOf(file: string, kind: DataKind, hints: TruthRow['hints']): TruthRow {
  const [first] = file.split(sep);
  return {
    file,
    patient: file,
    kind,
    split: 'test',
    expect: 'read',
    values: {},
    grades: {},
    scatter: {},
    groups: first === file ? {} : { folder: first! },
    hints,
  };
}
