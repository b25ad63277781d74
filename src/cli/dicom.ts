/** `wetread dicom`: what a DICOM file holds, or why it cannot be read. */
import { readFile, writeFile } from 'node:fs/promises';
import { PNG } from 'pngjs';
import { decoderPool, type DecoderPool } from '../dicom/decoder-pool.ts';
import type { InstanceDescription } from '../dicom/describe.ts';
import { asWetreadError, type ErrorCode } from '../domain/errors.ts';
import { silentLogger } from '../domain/log.ts';
import { trueMinus } from '../domain/true-minus.ts';
import { readArgs, UsageError, type Command } from './command.ts';
import { printStacks } from './dicom-stack.ts';

/** Seconds for one file. */
const patience = 60;

type FileReport =
  | ({ readonly file: string } & InstanceDescription)
  | {
      readonly file: string;
      readonly error: { readonly code: ErrorCode; readonly message: string; readonly next: string };
    }
  /** Not a matter of DICOM: the path is wrong. */
  | { readonly file: string; readonly error: { readonly code: 'unreadable'; readonly message: string } };

export const command: Command = {
  name: 'dicom',
  summary: 'show what DICOM files hold, or why they cannot be read',
  usage: `
Usage: wetread dicom <file>… [--json] [--png <out.png>] [--seconds <n>]
       wetread dicom --stack <file or folder>… [--json]

Prints for each file the SOP class, transfer syntax, size, frames, photometric interpretation, least and greatest
stored value, and the SHA-256 of the stored values: each frame as little-endian integers of the allocated width,
colour interleaved, no look-up table applied. For a file that cannot be read: the error code and what is wrong.

  --json       the same as JSON: a list with one entry for each file
  --stack      instead: how the slices of each series lie behind each other, from their headers alone; order, distances,
               gaps, plane, whether it is a T2 sagittal, and what is left out and why
  --png FILE   writes the first frame as a reader would see it (one file only)
  --seconds N  longest time for one file; on some damaged files a decoder never ends (default: ${patience}, as in the service)

Exits 1 when a file was refused, 2 when a path could not be opened; the others are described all the same.

Examples:
  npm run wetread -- dicom sandbox/films/*.dcm
  npm run wetread -- dicom sandbox/films/normal.dcm --png normal.png
  npm run wetread -- dicom --stack sandbox/films`,
  async run(args, io) {
    const { values, positionals: files } = readArgs(
      args,
      { json: { type: 'boolean' }, png: { type: 'string' }, seconds: { type: 'string' }, stack: { type: 'boolean' } },
      true,
    );
    const seconds = values.seconds === undefined ? patience : Number(values.seconds);
    if (!(seconds > 0)) throw new UsageError('--seconds takes a number above 0');
    if (files.length === 0) throw new UsageError('name at least one file');
    if (values.stack) {
      if (values.png !== undefined) throw new UsageError('--png does not go with --stack');
      return printStacks(files, values.json === true, io);
    }
    if (values.png !== undefined && files.length > 1) throw new UsageError('--png takes one file');

    const reports: FileReport[] = [];
    // A thread of its own, as in the service: a file on which a decoder never ends costs its deadline and nothing else.
    const decoder = decoderPool({
      threads: 1,
      timeoutMs: seconds * 1000,
      maxInstanceBytes: 2 ** 31,
      logger: silentLogger,
    });
    try {
      for (const file of files) {
        const bytes = await contentsOf(file);
        const report =
          bytes instanceof Uint8Array ? await reportOf(decoder, file, bytes) : unreadable(file, bytes.reason);
        reports.push(report);
        if (!values.json) io.stdout.write(`${plain(report)}\n`);
        if (values.png !== undefined && bytes instanceof Uint8Array && !('error' in report))
          await writeFile(values.png, await pngOf(decoder, bytes));
      }
    } finally {
      await decoder.close();
    }
    if (values.json) io.stdout.write(`${JSON.stringify(reports)}\n`);
    const codes = reports.flatMap((report) => ('error' in report ? [report.error.code] : []));
    return codes.includes('unreadable') ? 2 : codes.length > 0 ? 1 : 0;
  },
};

async function contentsOf(file: string): Promise<Uint8Array | { readonly reason: string }> {
  try {
    return await readFile(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EISDIR') return { reason: 'it is a folder (name its files, or say --stack)' };
    return { reason: code ?? String(cause) };
  }
}

const unreadable = (file: string, reason: string): FileReport => ({
  file,
  error: { code: 'unreadable', message: `cannot be opened: ${reason}` },
});

async function reportOf(decoder: DecoderPool, file: string, bytes: Uint8Array): Promise<FileReport> {
  try {
    return { file, ...(await decoder.describe(bytes)) };
  } catch (thrown) {
    const { code, message, row } = asWetreadError(thrown);
    return { file, error: { code, message, next: row.next } };
  }
}

function plain(report: FileReport): string {
  if ('error' in report) {
    const next = 'next' in report.error ? `\n  ${report.error.next}` : '';
    return `${report.file}\n  ${report.error.code}: ${report.error.message}${next}`;
  }
  const { spacing, position, orientation } = report;
  const lines = [
    `SOP class        ${report.sopClassUid ?? '(none)'}`,
    `transfer syntax  ${report.transferSyntaxUid}`,
    `size             ${report.columns} × ${report.rows}, ${report.frames} frame${report.frames === 1 ? '' : 's'}, ${report.samplesPerPixel} sample${report.samplesPerPixel === 1 ? '' : 's'} per pixel`,
    `bits             ${report.bitsStored} of ${report.bitsAllocated}, ${report.signed ? 'signed' : 'unsigned'}`,
    `photometric      ${report.photometric}`,
    `spacing          ${spacing === undefined ? 'unknown' : `${spacing.rowMm} × ${spacing.columnMm} mm (${spacing.plane} plane)`}`,
    ...(position === undefined ? [] : [`position         ${trueMinus(position.join(', '))} mm`]),
    ...(orientation === undefined ? [] : [`orientation      ${trueMinus(orientation.join(', '))}`]),
    trueMinus(`stored values    ${report.minimum} to ${report.maximum}`),
    `SHA-256          ${report.sha256}`,
  ];
  return `${report.file}\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

async function pngOf(decoder: DecoderPool, bytes: Uint8Array): Promise<Buffer> {
  const { columns, rows, intensities } = (await decoder.decode(bytes)).grey(0);
  const png = new PNG({ width: columns, height: rows });
  intensities.forEach((intensity, index) => {
    png.data.fill(Math.round(intensity * 255), index * 4, index * 4 + 3);
    png.data[index * 4 + 3] = 255;
  });
  return PNG.sync.write(png, { colorType: 0 });
}
