/**
 * `node bench/dicom-wg04.ts <folder>`: the DICOM compression test set of NEMA's working group 4, decoded and judged.
 * The set (REF, RLE, JPLL, JPLY, JLSL, JLSN, J2KR, J2KI) is not part of this repository. A lossless file must give exactly the
 * pixels of its REF; a lossy one is held against what dcmtk or gdcm make of it, where they are installed.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { readDataset } from '../src/dicom/dataset.ts';
import { decodePixels } from '../src/dicom/decode/index.ts';
import { hashOf } from '../src/dicom/describe.ts';
import type { StoredPixels } from '../src/domain/image.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined || folder === '--help') {
  process.stdout.write('Usage: node bench/dicom-wg04.ts <folder with REF, RLE, JPLL, …>\n');
  process.exit(folder === undefined ? 2 : 0);
}

/** What judges each kind, as a whole process: reading, decoding and writing a file. */
const kinds: Readonly<
  Record<
    string,
    { readonly lossless: boolean; readonly judge: (from: string, to: string) => readonly [string, ...string[]] }
  >
> = {
  REF: { lossless: true, judge: (from, to) => ['dcmconv', '+ti', from, to] },
  RLE: { lossless: true, judge: (from, to) => ['dcmdrle', from, to] },
  JPLL: { lossless: true, judge: (from, to) => ['dcmdjpeg', from, to] },
  JLSL: { lossless: true, judge: (from, to) => ['dcmdjpls', from, to] },
  J2KR: { lossless: true, judge: (from, to) => ['gdcmconv', '--raw', from, to] },
  JPLY: { lossless: false, judge: (from, to) => ['dcmdjpeg', from, to] },
  JLSN: { lossless: false, judge: (from, to) => ['dcmdjpls', from, to] },
  J2KI: { lossless: false, judge: (from, to) => ['gdcmconv', '--raw', from, to] },
};

const limit = 2 ** 31;
const decode = (path: string) => decodePixels(readDataset(readFileSync(path), { maxBytes: limit }), limit);
const scratch = mkdtempSync(join(tmpdir(), 'wetread-wg04-'));
const references = new Map<string, StoredPixels>();
let faults = 0;
const totals: string[] = [];

process.stdout.write(
  'file         pixels                                              ours     judge, whole process\n',
);
for (const [kind, { lossless, judge }] of Object.entries(kinds)) {
  let exact = 0;
  let files = 0;
  for (const file of readdirSync(join(folder, kind)).sort()) {
    files += 1;
    const path = join(folder, kind, file);
    const subject = file.split('_')[0] ?? file;
    try {
      await decode(path); // compiled and warm, as in a service
      const started = performance.now();
      const pixels = await decode(path);
      const ours = performance.now() - started;
      if (kind === 'REF') references.set(subject, pixels);
      const judged = await judgement(judge(path, join(scratch, 'judged.dcm')));
      const reference = lossless ? references.get(subject) : judged?.pixels;
      const verdict = verdictOf(pixels, reference, lossless);
      if (verdict.good) exact += 1;
      else faults += 1;
      row(file, verdict.says, ours, judged);
    } catch (error) {
      faults += 1;
      row(file, `REFUSED ${(error as Error).message}`, Number.NaN, undefined);
    }
  }
  totals.push(
    `${kind.padEnd(5)} ${exact}/${files} ${lossless ? 'exactly the pixels of REF' : 'within 60 dB of the judge'}`,
  );
}
rmSync(scratch, { recursive: true });
process.stdout.write(`\n${totals.join('\n')}\n`);
process.exitCode = faults === 0 ? 0 : 1;

type Judged = { readonly pixels: StoredPixels; readonly ms: number; readonly by: string };

async function judgement([program, ...args]: readonly [string, ...string[]]): Promise<Judged | undefined> {
  try {
    const started = performance.now();
    execFileSync(program, args, { stdio: 'ignore' });
    const ms = performance.now() - started;
    return { pixels: await withinBitsStored(args.at(-1) ?? ''), ms, by: program };
  } catch {
    return undefined;
  }
}

/**
 * dcmtk lets a lossy codec overshoot Bits Stored (RG3_JPLY: 1024 and more in 10 bits), where cutting off the upper bits, as is
 * right for an uncompressed file, would turn white into black. Wetread clamps such values; so the judge's are clamped too.
 */
async function withinBitsStored(path: string): Promise<StoredPixels> {
  const pixels = await decode(path);
  if (pixels.signed || pixels.bitsAllocated !== 16) return pixels;
  const { bytes, pixelData } = readDataset(readFileSync(path));
  const start = pixelData?.offset ?? 0;
  const words = new Uint16Array(bytes.slice(start, start + pixels.values.byteLength).buffer);
  return { ...pixels, values: words.map((word) => Math.min(word, 2 ** pixels.bitsStored - 1)) };
}

function verdictOf(
  pixels: StoredPixels,
  reference: StoredPixels | undefined,
  lossless: boolean,
): { good: boolean; says: string } {
  if (reference === undefined) return { good: !lossless, says: 'decoded; nothing to compare with' };
  if (hashOf(pixels) === hashOf(reference)) return { good: true, says: lossless ? 'exact' : 'exactly the judge’s' };
  if (lossless) return { good: false, says: 'NOT THE PIXELS OF REF' };
  let squares = 0;
  let most = 0;
  for (let index = 0; index < pixels.values.length; index++) {
    const difference = Math.abs((pixels.values[index] as number) - (reference.values[index] ?? Infinity));
    squares += difference ** 2;
    if (difference > most) most = difference;
  }
  const psnr = 10 * Math.log10((2 ** pixels.bitsStored - 1) ** 2 / (squares / pixels.values.length));
  return { good: psnr >= 60, says: `${psnr.toFixed(1)} dB from the judge, at most ${most} apart` };
}

function row(file: string, says: string, ours: number, judged: Judged | undefined): void {
  const judge = judged === undefined ? '' : `${judged.ms.toFixed(0).padStart(6)} ms ${judged.by}`;
  process.stdout.write(`${file.padEnd(12)} ${says.padEnd(46)} ${ours.toFixed(1).padStart(7)} ms ${judge}\n`);
}
