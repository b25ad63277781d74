/**
 * `npm run bench -- decoders`: one film of 3000 × 2500 pixels, sixteen bits, in every transfer syntax. Each decoder's time, from the
 * file on the disk to stored values, beside the whole process of dcmtk's or gdcm's tool on the same file, taken in turns so that other
 * work on the machine slows both. Lossless files must give exactly the film's pixels. No Debian tool reads HTJ2K: it stands alone.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readDataset } from '../src/dicom/dataset.ts';
import { decodePixels } from '../src/dicom/decode/index.ts';
import { hashOf } from '../src/dicom/describe.ts';
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
    name: 'JPEG 2000 lossless',
    bits: 16,
    encode: (from, to) => ['gdcmconv', '--j2k', from, to],
    judge: raw,
    lossless: true,
  },
  {
    name: 'JPEG 2000 lossy',
    bits: 16,
    encode: (from, to) => ['gdcmconv', '--j2k', '--lossy', '--irreversible', '-r', '10', from, to],
    judge: raw,
    lossless: false,
  },
  {
    // OpenJPEG under gdcm decodes on every core, in WebAssembly on one: a service decodes another film on the others meanwhile.
    name: 'JPEG 2000 lossless, gdcm on one core',
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

async function measured({ name, encode, judge, lossless, aside }: Case, from: Film, folder: string): Promise<BenchRow> {
  const path = join(folder, 'coded.dcm');
  const out = join(folder, 'judged.dcm');
  const made =
    encode.length === 2
      ? (encode as Tool)(from.path, path)
      : await (encode as (film: Film) => Promise<Uint8Array>)(from);
  if (made instanceof Uint8Array) writeFileSync(path, made);
  else run(made as readonly [string, ...string[]]);

  const decode = () => decodePixels(readDataset(readFileSync(path), { maxBytes }), maxBytes);
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
  writeFileSync(path, part10('1.2.840.10008.1.2.1', bits, new Uint8Array(values.buffer), false));
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
  const item = (bytes: Uint8Array) =>
    Buffer.concat([
      Buffer.from(new Uint32Array([0xe000_fffe, bytes.length + (bytes.length & 1)]).buffer),
      bytes,
      Buffer.alloc(bytes.length & 1),
    ]);
  const fragments = Buffer.concat([
    item(new Uint8Array()),
    item(code),
    Buffer.from(new Uint32Array([0xe0dd_fffe, 0]).buffer),
  ]);
  return part10(lossless ? '1.2.840.10008.1.2.4.201' : '1.2.840.10008.1.2.4.203', 16, fragments, true);
}

/** The least that the tools accept as a digital radiograph. */
function part10(syntax: string, bits: number, pixels: Uint8Array, encapsulated: boolean): Buffer {
  const allocated = bits > 8 ? 16 : 8;
  const uid = (text: string) => Buffer.from(text.length % 2 === 0 ? text : `${text}\0`, 'latin1');
  const text = (value: string) => Buffer.from(value.length % 2 === 0 ? value : `${value} `, 'latin1');
  const number = (value: number) => Buffer.from(new Uint16Array([value]).buffer);
  const element = (group: number, tag: number, vr: string, value: Uint8Array, length = value.length) => {
    const long = vr === 'OB' || vr === 'OW';
    const header = Buffer.alloc(long ? 12 : 8);
    header.writeUInt16LE(group, 0);
    header.writeUInt16LE(tag, 2);
    header.write(vr, 4, 'latin1');
    if (long) header.writeUInt32LE(length, 8);
    else header.writeUInt16LE(length, 6);
    return Buffer.concat([header, value]);
  };
  const [sopClass, sop] = [uid('1.2.840.10008.5.1.4.1.1.1.1'), uid('2.25.1561')];
  const meta = Buffer.concat([
    element(2, 1, 'OB', Buffer.from([0, 1])),
    element(2, 2, 'UI', sopClass),
    element(2, 3, 'UI', sop),
    element(2, 0x10, 'UI', uid(syntax)),
    element(2, 0x12, 'UI', uid('2.25.1')),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  return Buffer.concat([
    Buffer.alloc(128),
    Buffer.from('DICM'),
    element(2, 0, 'UL', length),
    meta,
    element(8, 0x16, 'UI', sopClass),
    element(8, 0x18, 'UI', sop),
    element(8, 0x60, 'CS', text('DX')),
    element(0x10, 0x10, 'PN', text('Phantom^Bench')),
    element(0x20, 0xd, 'UI', uid('2.25.2')),
    element(0x20, 0xe, 'UI', uid('2.25.3')),
    element(0x28, 2, 'US', number(1)),
    element(0x28, 4, 'CS', text('MONOCHROME2')),
    element(0x28, 0x10, 'US', number(rows)),
    element(0x28, 0x11, 'US', number(columns)),
    element(0x28, 0x100, 'US', number(allocated)),
    element(0x28, 0x101, 'US', number(bits)),
    element(0x28, 0x102, 'US', number(bits - 1)),
    element(0x28, 0x103, 'US', number(0)),
    element(0x7fe0, 0x10, encapsulated || bits === 8 ? 'OB' : 'OW', pixels, encapsulated ? 0xffff_ffff : pixels.length),
  ]);
}
