/**
 * `npm run bench -- decoders`: one film of 3000 × 2500 pixels, sixteen bits, in every transfer syntax. Each decoder's time, from the
 * file on the disk to stored values, beside the whole process of dcmtk's or gdcm's tool on the same file, taken in turns so that other
 * work on the machine slows both. Lossless files must give exactly the film's pixels. No Debian tool reads HTJ2K: it stands alone.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import { readDataset } from '../src/dicom/dataset.ts';
import type { StripDecoder } from '../src/dicom/decode/frame.ts';
import { decodePixels } from '../src/dicom/decode/index.ts';
import { hashOf } from '../src/dicom/describe.ts';
import type { DecodeOrder } from '../src/dicom/decoder-worker.ts';
import { stripDecoderAt } from '../src/dicom/strip-port.ts';
import { fragmentsOf, part10 } from './part10.ts';
import type { BenchRow } from './row.ts';

const rows = 3000;
const columns = 2500;
const turns = 9;
const limit = 1.3;
const maxBytes = 2 ** 30;

type Tool = (from: string, to: string) => readonly [program: string, ...args: string[]];
type Case = {
  readonly name: string;
  /** Which film it is made of, and how. */
  readonly bits: 8 | 12 | 16;
  readonly encode: Tool | ((film: Film) => Promise<Uint8Array>);
  readonly judge: Tool | undefined;
  readonly lossless: boolean;
  /** With threads lent, as the decoder pool lends a film alone those that have nothing to do. Elsewhere one thread does it. */
  readonly lent?: true;
  /** For comparison only. */
  readonly aside?: true;
};
type Film = { readonly path: string; readonly values: Uint8Array | Uint16Array };

const raw: Tool = (from, to) => ['gdcmconv', '--raw', from, to];
const cases: readonly Case[] = [
  {
    name: 'explicit little endian',
    bits: 16,
    encode: (from, to) => ['dcmconv', '+te', from, to],
    judge: (from, to) => ['dcmconv', '+ti', from, to],
    lossless: true,
  },
  {
    name: 'explicit big endian',
    bits: 16,
    encode: (from, to) => ['dcmconv', '+tb', from, to],
    judge: (from, to) => ['dcmconv', '+te', from, to],
    lossless: true,
  },
  {
    name: 'deflated',
    bits: 16,
    encode: (from, to) => ['dcmconv', '+td', from, to],
    judge: (from, to) => ['dcmconv', '+te', from, to],
    lossless: true,
  },
  {
    name: 'RLE',
    bits: 16,
    encode: (from, to) => ['dcmcrle', from, to],
    judge: (from, to) => ['dcmdrle', from, to],
    lossless: true,
  },
  {
    name: 'JPEG baseline, 8 bits',
    bits: 8,
    encode: (from, to) => ['dcmcjpeg', '+eb', from, to],
    judge: (from, to) => ['dcmdjpeg', from, to],
    lossless: false,
  },
  {
    name: 'JPEG extended, 12 bits',
    bits: 12,
    encode: (from, to) => ['dcmcjpeg', '+ee', from, to],
    judge: (from, to) => ['dcmdjpeg', from, to],
    lossless: false,
  },
  {
    name: 'JPEG lossless, first-order',
    bits: 16,
    encode: (from, to) => ['dcmcjpeg', '+e1', from, to],
    judge: (from, to) => ['dcmdjpeg', from, to],
    lossless: true,
  },
  {
    name: 'JPEG lossless, predictor 6',
    bits: 16,
    encode: (from, to) => ['dcmcjpeg', '+el', '+sv', '6', from, to],
    judge: (from, to) => ['dcmdjpeg', from, to],
    lossless: true,
  },
  {
    name: 'JPEG-LS lossless',
    bits: 16,
    encode: (from, to) => ['dcmcjpls', '+el', from, to],
    judge: (from, to) => ['dcmdjpls', from, to],
    lossless: true,
  },
  {
    name: 'JPEG-LS near-lossless',
    bits: 16,
    encode: (from, to) => ['dcmcjpls', '+en', '+md', '2', from, to],
    judge: (from, to) => ['dcmdjpls', from, to],
    lossless: false,
  },
  {
    name: 'JPEG 2000 lossless, on as many threads as the service lends',
    bits: 16,
    encode: (from, to) => ['gdcmconv', '--j2k', from, to],
    judge: raw,
    lossless: true,
    lent: true,
  },
  {
    name: 'JPEG 2000 lossy',
    bits: 16,
    encode: (from, to) => ['gdcmconv', '--j2k', '--lossy', '--irreversible', '-r', '10', from, to],
    judge: raw,
    lossless: false,
  },
  {
    // Among many films each has one thread.
    name: 'JPEG 2000 lossless, one thread, gdcm on one core',
    bits: 16,
    encode: (from, to) => ['gdcmconv', '--j2k', from, to],
    judge: (from, to) => ['taskset', '-c', '0', ...raw(from, to)],
    lossless: true,
    aside: true,
  },
  { name: 'HTJ2K lossless', bits: 16, encode: (from: Film) => htj2k(from, true), judge: undefined, lossless: true },
  { name: 'HTJ2K lossy', bits: 16, encode: (from: Film) => htj2k(from, false), judge: undefined, lossless: false },
];

export async function benchDecoders(): Promise<BenchRow[]> {
  const folder = mkdtempSync(join(tmpdir(), 'wetread-decoders-'));
  try {
    const films = { 8: film(8, folder), 12: film(12, folder), 16: film(16, folder) };
    const found: BenchRow[] = [];
    for (const one of cases) found.push(await measured(one, films[one.bits], folder));
    return found;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measured(
  { name, encode, judge, lossless, aside, lent }: Case,
  from: Film,
  folder: string,
): Promise<BenchRow> {
  const path = join(folder, 'coded.dcm');
  const out = join(folder, 'judged.dcm');
  const made =
    encode.length === 2
      ? (encode as Tool)(from.path, path)
      : await (encode as (film: Film) => Promise<Uint8Array>)(from);
  if (made instanceof Uint8Array) writeFileSync(path, made);
  else run(made as readonly [string, ...string[]]);

  const threads = lent === undefined ? [] : lentThreads();
  const others = threads.map(({ decoder }) => decoder);
  const decode = () => decodePixels(readDataset(readFileSync(path), { maxBytes }), maxBytes, others);
  const first = await decode();
  const exact = hashOf(first) === hashOf({ values: from.values });
  if (lossless && !exact) throw new Error(`${name}: not the film's pixels`);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const started = performance.now();
    await decode();
    ours.push(performance.now() - started);
    if (judge === undefined) continue;
    const [program, ...args] = judge(path, out);
    const begun = performance.now();
    run([program, ...args]);
    theirs.push(performance.now() - begun);
  }
  await Promise.all(threads.map(({ end }) => end()));
  const value = median(ours);
  const label = `decode ${name}`;
  if (judge === undefined) return { name: `${label} (no Debian tool decodes it)`, value, unit: 'ms' };
  const [program] = judge(path, out);
  const ratio = value / median(theirs);
  return {
    name: label,
    value,
    unit: 'ms',
    limit: median(theirs),
    limitName: `${program}, whole process`,
    ratio,
    ...(aside === true ? {} : { target: `≤ × ${limit}`, pass: ratio <= limit }),
  };
}

/** The service's own decoding threads beside this one: four at most in all, one for each core (src/dicom/decoder-pool.ts). */
function lentThreads(): { decoder: StripDecoder; end: () => Promise<unknown> }[] {
  return Array.from({ length: Math.min(4, availableParallelism()) - 1 }, (_, loan) => {
    const worker = new Worker(new URL('../src/dicom/decoder-worker.ts', import.meta.url), {
      workerData: { maxInstanceBytes: maxBytes },
      stdout: true,
      stderr: true,
    });
    const { port1, port2 } = new MessageChannel();
    const help: DecodeOrder = { task: 'help', port: port2, loan };
    worker.postMessage(help, [port2]);
    return { decoder: stripDecoderAt(port1), end: () => worker.terminate() };
  });
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((one, other) => one - other)[numbers.length >> 1] as number;

function run([program, ...args]: readonly [string, ...string[]]): void {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
  } catch (cause) {
    throw new Error(`${program} is needed (Debian: dcmtk, libgdcm-tools): ${(cause as Error).message}`, { cause });
  }
}

/** A film by formula: soft shapes, edges, and the grain of a detector. */
function film(bits: 8 | 12 | 16, folder: string): Film {
  const white = 2 ** bits - 1;
  const values = bits === 8 ? new Uint8Array(rows * columns) : new Uint16Array(rows * columns);
  const grain = { 8: 1, 12: 6, 16: 12 }[bits];
  let state = 1561;
  const noise = () => {
    let sum = 0;
    for (let draw = 0; draw < 4; draw++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      sum += (state >>> 8) / 2 ** 24 - 0.5;
    }
    return sum * 1.73 * grain;
  };
  for (let y = 0, at = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, at++) {
      const soft = 0.5 + 0.2 * Math.sin(x / 310) * Math.cos(y / 270) + 0.15 * Math.sin((x + 2 * y) / 90);
      const edge = Math.sin(x / 200) * Math.sin(y / 140) > 0.6 ? 0.08 : 0;
      values[at] = Math.min(white, Math.max(0, Math.round((soft + edge) * white * 0.9 + noise())));
    }
  }
  const path = join(folder, `film-${bits}.dcm`);
  writeFileSync(path, part10('1.2.840.10008.1.2.1', { bits, rows, columns }, new Uint8Array(values.buffer), false));
  return { path, values };
}

async function htj2k({ values }: Film, lossless: boolean): Promise<Uint8Array> {
  const { default: openjph } = (await import('@cornerstonejs/codec-openjph/wasmjs')) as unknown as {
    default: (options: object) => Promise<{
      HTJ2KEncoder: new () => {
        getDecodedBuffer(frame: object): Uint8Array;
        setQuality(lossless: boolean, step: number): void;
        encode(): void;
        getEncodedBuffer(): Uint8Array;
      };
    }>;
  };
  const encoder = new (await openjph({ print: () => {}, printErr: () => {} })).HTJ2KEncoder();
  const frame = {
    width: columns,
    height: rows,
    bitsPerSample: 16,
    componentCount: 1,
    isSigned: false,
    isUsingColorTransform: false,
  };
  encoder.getDecodedBuffer(frame).set(new Uint8Array(values.buffer));
  encoder.setQuality(lossless, lossless ? 0 : 0.0005);
  encoder.encode();
  const code = encoder.getEncodedBuffer();
  return part10(
    lossless ? '1.2.840.10008.1.2.4.201' : '1.2.840.10008.1.2.4.203',
    { bits: 16, rows, columns },
    fragmentsOf(code),
    true,
  );
}
