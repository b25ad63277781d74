/** `wetread dicom --stack`: how the slices of series lie behind each other, and what a series of MR weighs. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { arrangeSeries } from '../dicom/volume/arrange.ts';
import { wayOf } from '../dicom/volume/plane.ts';
import { asWetreadError, type ErrorCode } from '../domain/errors.ts';
import type { SeriesUid } from '../domain/ids.ts';
import type { Arrangement, Stack } from '../domain/slice.ts';
import { trueMinus } from '../domain/true-minus.ts';
import { UsageError, type Io } from './command.ts';
import { headerOf, type FileHeader } from './file-header.ts';

type SeriesReport = {
  readonly seriesUid: SeriesUid;
  readonly modality?: string;
  readonly description?: string;
  readonly objects: number;
  readonly stacks: readonly (Omit<Stack, 'seriesUid' | 'slices'> & {
    /** What a pack that reads T2 sagittals would make of it; `unknown` excludes nothing. */
    readonly t2Sagittal: 'yes' | 'no' | 'unknown';
    readonly slices: readonly (Stack['slices'][number] & { readonly file: string | undefined })[];
  })[];
  readonly leftOut: readonly (Arrangement['dropped'][number] & { readonly file: string | undefined })[];
  readonly remarks: readonly string[];
};
type Unreadable = { readonly file: string; readonly error: { readonly code: ErrorCode; readonly message: string } };

/** Returns 1 when a file cannot be read. */
export async function printStacks(paths: readonly string[], asJson: boolean, io: Io): Promise<number> {
  const found: FileHeader[] = [];
  const unreadable: Unreadable[] = [];
  for (const file of await filesIn(paths)) {
    try {
      found.push(await headerOf(file));
    } catch (thrown) {
      const { code, message } = asWetreadError(thrown);
      unreadable.push({ file, error: { code, message } });
    }
  }
  const series = [...Map.groupBy(found, (one) => one.series.seriesUid)].map(([uid, own]) => reportOf(uid, own));
  if (asJson) io.stdout.write(`${JSON.stringify({ series, unreadable })}\n`);
  else {
    const faults = unreadable.map(({ file, error }) => `${file}\n  ${error.code}: ${error.message}`);
    io.stdout.write(`${[...series.map(plain), ...faults].join('\n')}\n`);
  }
  return unreadable.length > 0 ? 1 : 0;
}

async function filesIn(paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    try {
      if (!(await stat(path)).isDirectory()) files.push(path);
      else
        for (const entry of await readdir(path, { recursive: true, withFileTypes: true }))
          // The index of a CD is DICOM too, and no picture.
          if (entry.isFile() && entry.name !== 'DICOMDIR' && !entry.name.startsWith('.'))
            files.push(join(entry.parentPath, entry.name));
    } catch (cause) {
      throw new UsageError(`cannot read ${path}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
    }
  }
  return files.toSorted();
}

function reportOf(uid: SeriesUid, own: readonly FileHeader[]): SeriesReport {
  const { stacks, dropped, remarks } = arrangeSeries(
    uid,
    own.map(({ object }) => object),
  );
  const files = new Map(own.map(({ file, object }) => [object.sopUid, file]));
  const { modality, seriesDescription } = own[0]!.object;
  return {
    seriesUid: uid,
    ...(modality !== undefined && { modality }),
    ...(seriesDescription !== undefined && { description: seriesDescription }),
    objects: own.length,
    stacks: stacks.map((stack) => {
      const { seriesUid: _, slices, ...rest } = stack;
      return {
        ...rest,
        t2Sagittal: isT2Sagittal(rest),
        slices: slices.map((slice) => ({ ...slice, file: files.get(slice.sopUid) })),
      };
    }),
    leftOut: dropped.map((one) => ({ ...one, file: files.get(one.sopUid) })),
    remarks,
  };
}

function isT2Sagittal({ plane, sequence }: Pick<Stack, 'plane' | 'sequence'>): 'yes' | 'no' | 'unknown' {
  const { weighting } = sequence;
  if ((plane !== undefined && plane !== 'sagittal') || (weighting !== undefined && weighting !== 'T2')) return 'no';
  return plane === undefined || weighting === undefined ? 'unknown' : 'yes';
}

function plain({ seriesUid: uid, modality, description, objects, stacks, leftOut, remarks }: SeriesReport): string {
  const named = description === undefined ? '' : ` "${description}"`;
  const lines = [
    `series ${uid}`,
    `  ${modality ?? 'modality unknown'}${named}, ${objects} object${objects === 1 ? '' : 's'}`,
  ];
  for (const stack of stacks) {
    const { slices, plane, spacingMm, orderedBy, apartBy, sequence, obliqueDegrees = 0 } = stack;
    const lie = plane === undefined ? 'direction unknown' : `${plane}, ${wayOf[plane]}`;
    const off = obliqueDegrees < 0.5 ? '' : `, ${obliqueDegrees.toFixed(1)}° off`;
    const every = spacingMm === undefined ? '' : ` every ${Number(spacingMm.toFixed(3))} mm`;
    lines.push(
      `  stack of ${slices.length}${every}: ${lie}${off}${apartBy === '' ? '' : ` (${apartBy})`}`,
      ...(orderedBy === 'position' ? [] : [`    ordered by ${orderedBy.replace('-', ' ')}`]),
      `    T2 sagittal: ${stack.t2Sagittal} (${sequence.why})${extras(sequence)}`,
      ...slices.map(
        ({ file, frame, positionMm }, index) =>
          `    ${String(index + 1).padStart(4)}  ${positionMm === undefined ? '' : `${trueMinus(positionMm.toFixed(2)).padStart(9)} mm`}  ${file ?? ''}${frame === 0 ? '' : `  frame ${frame + 1}`}`,
      ),
    );
  }
  lines.push(...remarks.map((text) => `  note: ${text}`));
  lines.push(
    ...leftOut.map(
      ({ file, frame, why }) => `  left out: ${file ?? ''}${frame === 0 ? '' : ` frame ${frame + 1}`}: ${why}`,
    ),
  );
  return lines.join('\n');
}

const extras = ({ contrast, fatSuppressed }: Stack['sequence']): string =>
  [
    contrast === undefined ? '' : contrast ? ', contrast agent given' : ', no contrast agent',
    fatSuppressed === true ? ', fat suppressed' : '',
  ].join('');
