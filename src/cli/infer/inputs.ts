/** Files named on the command line as pictures a model can read: DICOM by its header, plain pictures by what is said of them. */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import type { DecoderPool } from '../../dicom/decoder-pool.ts';
import { WetreadError } from '../../domain/errors.ts';
import { seriesUid, sopUid, studyUid } from '../../domain/ids.ts';
import type { GreyImage, ImageTags, Spacing } from '../../domain/image.ts';
import { UsageError } from '../command.ts';
import { greyOfPlainPicture, kindOf } from './plain-picture.ts';

/** What is said of plain pictures; DICOM says it itself. */
export type Said = {
  readonly modality?: string;
  readonly view?: string;
  readonly region?: string;
  readonly spacingMm?: readonly [row: number, column: number];
};

/** `name`: without separators, different for every file of one call. */
export type NamedFile = { readonly file: string; readonly shown: string; readonly name: string };

/** Folders are searched to the bottom, in the order of names. */
export async function filesOf(named: readonly string[]): Promise<NamedFile[]> {
  const found: NamedFile[] = [];
  for (const name of named) {
    const what = await stat(name).catch((cause: NodeJS.ErrnoException) => {
      throw new UsageError(`cannot read ${name}: ${cause.code}`, { cause });
    });
    if (!what.isDirectory()) {
      found.push({ file: name, shown: name, name: basename(name) });
      continue;
    }
    const entries = await readdir(name, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    for (const file of files.sort()) {
      // In a folder lie other things too; only what was named by itself must be a picture.
      if (kindOf(await beginningOf(file)) !== undefined) {
        const inside = relative(name, file).replaceAll(/[\\/]/g, '_');
        found.push({ file, shown: relative(process.cwd(), file), name: inside });
      }
    }
  }
  const count = Map.groupBy(found, ({ name }) => name);
  return found.map((one) =>
    count.get(one.name)!.length === 1 ? one : { ...one, name: one.file.replaceAll(/[\\/:]/g, '_') },
  );
}

async function beginningOf(file: string): Promise<Uint8Array> {
  const { open } = await import('node:fs/promises');
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(new Uint8Array(132), 0, 132, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Each frame by itself. Throws `dicom.*` and `picture.*` errors. */
export async function picturesOf(
  file: string,
  said: Said,
  { decoder, maxBytes }: { readonly decoder: DecoderPool; readonly maxBytes: number },
): Promise<GreyImage[]> {
  const bytes = await readFile(file);
  const kind = kindOf(bytes);
  if (kind === undefined || kind === 'dicom') {
    // What is neither PNG nor JPEG may be a bare DICOM dataset; the decoder knows why it is not.
    const instance = await decoder.decode(bytes);
    return Array.from({ length: instance.pixels.frames }, (_, frame) => instance.grey(frame));
  }
  if (said.modality === undefined || said.view === undefined)
    throw new UsageError(`${file} is a plain picture: say --modality (such as DX) and --view (such as lateral)`);
  const pixels = await greyOfPlainPicture(bytes, kind, maxBytes / 4);
  // Names the picture in the evidence; the same file gets the same one.
  const uid = `2.25.${BigInt(`0x${createHash('sha256').update(bytes).digest('hex').slice(0, 30)}`)}`;
  const spacing: Spacing | undefined = said.spacingMm && {
    rowMm: said.spacingMm[0],
    columnMm: said.spacingMm[1],
    plane: 'patient',
  };
  return [
    {
      studyUid: studyUid(uid),
      seriesUid: seriesUid(uid),
      sopUid: sopUid(uid),
      sopClassUid: '',
      frame: 0,
      ...pixels,
      ...(spacing && { spacing }),
      tags: tagsOf(said),
    },
  ];
}

const viewPositions: Readonly<Record<string, string>> = {
  lateral: 'LL',
  frontal: 'AP',
  oblique: 'LPO',
  axial: 'AXIAL',
};
export const views = Object.keys(viewPositions);

function tagsOf({ modality, view, region }: Said): ImageTags {
  return {
    ...(modality !== undefined && { modality }),
    ...(view !== undefined && { viewPosition: viewPositions[view]! }),
    ...(region !== undefined && { bodyPartExamined: region }),
  };
}

export function saidOf(values: {
  readonly modality?: string | undefined;
  readonly view?: string | undefined;
  readonly region?: string | undefined;
  readonly spacing?: string | undefined;
}): Said {
  if (values.modality !== undefined && !/^[A-Z]{2,16}$/.test(values.modality))
    throw new UsageError(`--modality takes what DICOM writes, such as CR, DX or MR; not "${values.modality}"`);
  if (values.view !== undefined && !views.includes(values.view))
    throw new UsageError(`--view takes ${views.join(', ')}; not "${values.view}"`);
  return {
    ...(values.modality !== undefined && { modality: values.modality }),
    ...(values.view !== undefined && { view: values.view }),
    ...(values.region !== undefined && { region: values.region }),
    ...(values.spacing !== undefined && { spacingMm: spacingOf(values.spacing) }),
  };
}

/** "0.15" or "0.15,0.2": between rows, then between columns, in mm. */
function spacingOf(text: string): readonly [number, number] {
  const numbers = text.split(/[,x]/).map(Number);
  const [row, column = row] = numbers;
  if (numbers.length > 2 || !(row! > 0) || !(column! > 0) || !Number.isFinite(row! + column!))
    throw new UsageError(`--spacing takes millimetres such as 0.15, or rows,columns such as 0.15,0.2; not "${text}"`);
  return [row!, column!];
}

export const demandPictures = (files: readonly NamedFile[], named: readonly string[]): void => {
  if (files.length === 0)
    throw new WetreadError('picture.unreadable', `there is no DICOM file, PNG or JPEG in ${named.join(', ')}`);
};
