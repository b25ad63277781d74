/**
 * DICOM files of every codec, damaged. Whatever is read must have the shape that an independent parser (dicom-parser) finds in the
 * damaged header; and its values must be the original's where neither the shape nor the pixel bytes were hit, those of a plain
 * reference reader where the pixels are not compressed, and inside their stored bits everywhere.
 */
import dicomParser, { type DataSet } from 'dicom-parser';
import * as fc from 'fast-check';
import { readdirSync, readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import { readDataset, type DicomDataset } from '../../src/dicom/dataset.ts';
import { decodePixels } from '../../src/dicom/decode/index.ts';
import { hashOf } from '../../src/dicom/describe.ts';
import { displayOf, greyOf } from '../../src/dicom/display.ts';
import { frameSpacings, spacingOf } from '../../src/dicom/spacing.ts';
import type { StoredPixels } from '../../src/domain/image.ts';
import { damage, damaged, drawn, joined, type Damage } from './damage.ts';
import { fault, refusal, type Fuzzer, type Verdict } from './fuzzer.ts';

/** dicom-parser does not know OV, the representation of Extended Offset Tables. */
const unknownToJudge = 'frames3-rle-extended-offsets';
const unfit = new RegExp(`^(damaged|float|fuzz|${unknownToJudge})`);

const folder = new URL('../../test/fixtures/dicom/', import.meta.url);
/** What a reader needs of a file of a few kilobytes; a limit this low shows whoever takes memory before asking. */
const maxBytes = 16 * 1024 * 1024;

type Film = {
  readonly name: string;
  readonly file: Uint8Array;
  readonly seen: Seen;
  readonly sha256: string;
};

let films: Promise<readonly Film[]> | undefined;
const allFilms = () => (films ??= loadFilms());

async function loadFilms(): Promise<Film[]> {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.dcm') && !unfit.test(name))
    .sort();
  return Promise.all(
    names.map(async (name) => {
      const file = new Uint8Array(readFileSync(new URL(name, folder)));
      const seen = independently(file);
      if (seen === undefined) throw new Error(`dicom-parser does not read ${name}`);
      return { name, file, seen, sha256: hashOf(await decodePixels(readDataset(file), maxBytes)) };
    }),
  );
}

/** What an independent reader makes of a file: the attributes that shape pixels, and the pixels' bytes. */
type Seen = {
  readonly syntax: string;
  readonly shape: Readonly<Record<(typeof shaping)[number][0] | 'frames', number | undefined>>;
  readonly photometric: string | undefined;
  readonly pixels: Uint8Array;
  readonly vr: string | undefined;
};

const shaping = [
  ['samples', 'x00280002'],
  ['planar', 'x00280006'],
  ['rows', 'x00280010'],
  ['columns', 'x00280011'],
  ['allocated', 'x00280100'],
  ['stored', 'x00280101'],
  ['high', 'x00280102'],
  ['signed', 'x00280103'],
] as const;

function independently(file: Uint8Array): Seen | undefined {
  try {
    const bare = file.length > 132 && Buffer.from(file.subarray(128, 132)).toString('latin1') !== 'DICM';
    const dataset = dicomParser.parseDicom(file, {
      // What follows the pixels is nobody's concern.
      untilTag: 'x7fe00010',
      ...(bare ? { TransferSyntaxUID: '1.2.840.10008.1.2' } : {}),
      inflater: (all: Uint8Array, position: number) =>
        new Uint8Array(
          joined(all.subarray(0, position), inflateRawSync(all.subarray(position), { maxOutputLength: maxBytes })),
        ),
    } as Parameters<typeof dicomParser.parseDicom>[1]);
    const number = (tag: string) => (dataset.elements[tag]?.length === 0 ? undefined : dataset.uint16(tag));
    const frames = dataset.string('x00280008');
    return {
      syntax: bare ? '1.2.840.10008.1.2' : (dataset.string('x00020010') ?? ''),
      shape: {
        ...(Object.fromEntries(shaping.map(([name, tag]) => [name, number(tag)])) as Record<
          (typeof shaping)[number][0],
          number | undefined
        >),
        frames: frames === undefined || frames === '' ? 1 : Number(frames),
      },
      photometric: dataset.string('x00280004'),
      pixels: pixelBytes(dataset),
      vr: dataset.elements['x7fe00010']?.vr,
    };
  } catch {
    return undefined;
  }
}

/** First-level elements by their lengths (PS3.5 section 7.1.2), and nothing of undefined length. */
function plainly(packed: Uint8Array): Seen | undefined {
  let file = packed;
  let view = new DataView(file.buffer, file.byteOffset, file.length);
  let deflated = false;
  const found = new Map<string, { at: number; length: number; vr: string | undefined }>();
  let syntax = '1.2.840.10008.1.2';
  let at = Buffer.from(file.subarray(128, 132)).toString('latin1') === 'DICM' ? 132 : 0;
  const ascii = (from: number, length: number) =>
    Buffer.from(file.subarray(from, from + length))
      .toString('latin1')
      .replaceAll('\0', ' ')
      .trim();
  while (at + 12 <= file.length) {
    const isMeta = view.getUint16(at, true) === 2;
    if (!isMeta && !deflated && syntax === '1.2.840.10008.1.2.1.99') {
      deflated = true;
      const inflated = inflatedFrom(file, at);
      if (inflated === undefined) return undefined;
      file = inflated;
      view = new DataView(file.buffer);
      continue;
    }
    const little = isMeta || syntax !== '1.2.840.10008.1.2.2';
    const key = `x${view.getUint16(at, little).toString(16).padStart(4, '0')}${view
      .getUint16(at + 2, little)
      .toString(16)
      .padStart(4, '0')}`;
    const explicit = isMeta || syntax !== '1.2.840.10008.1.2';
    const vr = explicit ? ascii(at + 4, 2) : undefined;
    const long = vr !== undefined && !/^(AE|AS|AT|CS|DA|DS|DT|FD|FL|IS|LO|LT|PN|SH|SL|SS|ST|TM|UI|UL|US)$/.test(vr);
    const length = !explicit
      ? view.getUint32(at + 4, little)
      : long
        ? view.getUint32(at + 8, little)
        : view.getUint16(at + 6, little);
    at += long ? 12 : 8;
    found.set(key, { at, length, vr });
    if (key === 'x00020010') syntax = ascii(at, length);
    if (key === 'x7fe00010') break;
    if (length === 0xffff_ffff) {
      // What shapes pixels stands before the sequences of an enhanced object; its pixels come last.
      if (key < 'x00289999') return undefined;
      const tagBytes = new Uint16Array([0x7fe0, 0x10]);
      at = Buffer.from(file.buffer).lastIndexOf(
        little ? Buffer.from(tagBytes.buffer) : Buffer.from(tagBytes.buffer).swap16(),
      );
      if (at < 0) return undefined;
    } else at += length;
  }
  const pixels = found.get('x7fe00010');
  if (pixels === undefined || pixels.length === 0xffff_ffff) return undefined;
  const little = syntax !== '1.2.840.10008.1.2.2';
  const number = (tag: string) => {
    const element = found.get(tag);
    return element === undefined || element.length === 0 ? undefined : view.getUint16(element.at, little);
  };
  const text = (tag: string) => {
    const element = found.get(tag);
    return element === undefined ? undefined : ascii(element.at, element.length).split('\\')[0];
  };
  const frames = text('x00280008');
  return {
    syntax,
    shape: {
      ...(Object.fromEntries(shaping.map(([name, tag]) => [name, number(tag)])) as Seen['shape']),
      frames: frames === undefined || frames === '' ? 1 : Number(frames),
    },
    photometric: text('x00280004'),
    pixels: file.subarray(pixels.at, pixels.at + pixels.length),
    vr: pixels.vr,
  };
}

function inflatedFrom(file: Uint8Array, at: number): Uint8Array | undefined {
  try {
    return joined(file.subarray(0, at), inflateRawSync(file.subarray(at), { maxOutputLength: maxBytes }));
  } catch {
    return undefined;
  }
}

/** Of encapsulated pixels the fragments, each behind its length: moved borders count as other pixels, offset tables do not. */
function pixelBytes(dataset: DataSet): Uint8Array {
  const element = dataset.elements['x7fe00010'];
  if (element === undefined) return new Uint8Array();
  const bytes = dataset.byteArray as Uint8Array;
  if (element.hadUndefinedLength !== true)
    return bytes.subarray(element.dataOffset, element.dataOffset + element.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = element.dataOffset;
  let first = true;
  const fragments: Uint8Array[] = [];
  while (at + 8 <= bytes.length && view.getUint32(at, true) === 0xe000_fffe) {
    const end = at + 8 + view.getUint32(at + 4, true);
    if (!first) fragments.push(bytes.subarray(at + 4, end));
    first = false;
    at = end;
  }
  return joined(...fragments);
}

// --- what is done to a file -------------------------------------------------------------------------------------------

const shapeTags: Readonly<Record<string, readonly [number, number]>> = {
  samples: [0x28, 0x02],
  photometric: [0x28, 0x04],
  planar: [0x28, 0x06],
  frames: [0x28, 0x08],
  rows: [0x28, 0x10],
  columns: [0x28, 0x11],
  allocated: [0x28, 0x100],
  stored: [0x28, 0x101],
  high: [0x28, 0x102],
  signed: [0x28, 0x103],
  pixels: [0x7fe0, 0x10],
};

type Lie =
  | Damage
  /** Another value in a header field of two bytes. */
  | { readonly kind: 'field'; readonly tag: keyof typeof shapeTags; readonly to: number }
  /** Another length, or other letters, of an element. */
  | { readonly kind: 'length'; readonly tag: keyof typeof shapeTags; readonly to: number }
  | { readonly kind: 'vr'; readonly tag: keyof typeof shapeTags; readonly to: string }
  | { readonly kind: 'syntax'; readonly to: string }
  /** A private sequence in a sequence in a sequence, before the pixels. */
  | { readonly kind: 'nest'; readonly depth: number; readonly closed: boolean }
  | { readonly kind: 'twice'; readonly tag: keyof typeof shapeTags; readonly change: boolean }
  | {
      readonly kind: 'fragment';
      readonly which: number;
      readonly what: 'drop' | 'empty' | 'double' | 'split' | 'table';
    };

const tag = fc.constantFrom(...Object.keys(shapeTags));
const lie: fc.Arbitrary<Lie> = fc.oneof(
  { weight: 10, arbitrary: damage },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('field' as const),
      tag,
      to: fc.oneof(
        fc.constantFrom(0, 1, 2, 3, 7, 8, 11, 12, 15, 16, 24, 31, 32, 64, 0x7fff, 0x8000, 0xffff),
        fc.nat(100),
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('length' as const),
      tag,
      to: fc.constantFrom(0, 1, 3, 6, 100, 0xffff, 0x7fff_fffe, 0xffff_fffe, 0xffff_ffff),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('vr' as const),
      tag,
      to: fc.constantFrom('UN', 'SS', 'UL', 'OB', 'OW', 'SQ', 'IS', 'CS'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('syntax' as const),
      to: fc.constantFrom(
        '.2',
        '.2.1',
        '.2.2',
        '.2.5',
        '.2.1.99',
        '.2.1.98',
        '.2.4.50',
        '.2.4.51',
        '.2.4.57',
        '.2.4.70',
        '.2.4.80',
        '.2.4.81',
        '.2.4.90',
        '.2.4.91',
        '.2.4.201',
        '.2.4.203',
        '.2.4.100',
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('nest' as const),
      depth: fc.integer({ min: 1, max: 300 }),
      closed: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('twice' as const), tag, change: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('fragment' as const),
      which: fc.nat(5),
      what: fc.constantFrom('drop' as const, 'empty' as const, 'double' as const, 'split' as const, 'table' as const),
    }),
  },
);
const plan = fc.record({ film: fc.nat(10_000), lies: fc.array(lie, { minLength: 1, maxLength: 3 }) });

function told(file: Uint8Array, step: Lie): Uint8Array {
  switch (step.kind) {
    case 'field':
    case 'length':
    case 'vr':
    case 'twice': {
      const at = whereIs(file, shapeTags[step.tag] as readonly [number, number]);
      return at === undefined ? file : changedElement(file, at, step);
    }
    case 'syntax': {
      const bytes = file.slice();
      const at = Buffer.from(bytes.buffer).indexOf(Buffer.from([2, 0, 0x10, 0, 0x55, 0x49]));
      if (at < 0) return file;
      const length = Math.min(bytes[at + 6] as number, bytes.length - at - 8);
      if (!(length > 0)) return file;
      const uid = Buffer.from(`1.2.840.10008.1${step.to}`.padEnd(length, '\0').slice(0, length), 'latin1');
      bytes.set(uid, at + 8);
      return bytes;
    }
    case 'nest': {
      const at = whereIs(file, [0x28, 0x10]);
      if (at === undefined) return file;
      const open = [0x27, 0, 0x10, 0x10, 0x53, 0x51, 0, 0, 255, 255, 255, 255, 0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255];
      const close = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
      const nested = [
        ...Array.from({ length: step.depth }, () => open).flat(),
        ...(step.closed ? Array.from({ length: step.depth }, () => close).flat() : []),
      ];
      return joined(file.subarray(0, at), Uint8Array.from(nested), file.subarray(at));
    }
    case 'fragment':
      return otherFragments(file, step.which, step.what);
    default:
      return damaged(file, [step]);
  }
}

/** In little endian, explicit or implicit; a search is enough for files this small. */
function whereIs(file: Uint8Array, [group, element]: readonly [number, number]): number | undefined {
  const tagBytes = Buffer.from(new Uint16Array([group, element]).buffer);
  const at = Buffer.from(file.buffer, file.byteOffset, file.length).lastIndexOf(tagBytes);
  return at < 132 ? undefined : at;
}

function changedElement(file: Uint8Array, at: number, step: Lie & { tag: string }): Uint8Array {
  const bytes = file.slice();
  const view = new DataView(bytes.buffer);
  const explicit = /^[A-Z]{2}$/.test(Buffer.from(bytes.subarray(at + 4, at + 6)).toString('latin1'));
  const long = explicit && step.tag === 'pixels';
  if (at + 14 > bytes.length) return file;
  if (step.kind === 'vr') {
    if (explicit) bytes.set(Buffer.from(step.to, 'latin1'), at + 4);
  } else if (step.kind === 'length') {
    if (long) view.setUint32(at + 8, step.to, true);
    else if (explicit) view.setUint16(at + 6, step.to & 0xffff, true);
    else view.setUint32(at + 4, step.to, true);
  } else if (step.kind === 'field') {
    if (step.tag === 'frames') bytes.set(Buffer.from(String(step.to % 100).padEnd(2)), at + 8);
    else if (step.tag !== 'photometric') view.setUint16(at + (long ? 12 : 8), step.to, true);
  } else if (step.kind === 'twice') {
    const length = explicit ? view.getUint16(at + 6, true) : view.getUint32(at + 4, true);
    if (long || length > 64) return file;
    const copy = bytes.slice(at, at + 8 + length);
    if (step.change && length > 0) copy[8] = ((copy[8] as number) + 1) & 255;
    return joined(bytes.subarray(0, at), copy, bytes.subarray(at));
  }
  return bytes;
}

function otherFragments(file: Uint8Array, which: number, what: Extract<Lie, { kind: 'fragment' }>['what']): Uint8Array {
  const at = whereIs(file, [0x7fe0, 0x10]);
  if (at === undefined || at + 12 > file.length) return file;
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const items: Uint8Array[] = [];
  let position = at + 12;
  while (position + 8 <= file.length && view.getUint32(position, true) === 0xe000_fffe) {
    const end = position + 8 + view.getUint32(position + 4, true);
    if (end > file.length) return file;
    items.push(file.subarray(position, end));
    position = end;
  }
  if (items.length < 2) return file;
  const item = (body: Uint8Array) => joined(new Uint8Array(new Uint32Array([0xe000_fffe, body.length]).buffer), body);
  const chosen = 1 + (which % (items.length - 1));
  const body = (items[chosen] as Uint8Array).subarray(8);
  const half = (body.length >> 2) * 2;
  if (what === 'table') items[0] = item(Uint8Array.from({ length: 4 * (which + 1) }, (_, index) => index * which * 7));
  else if (what === 'drop') items.splice(chosen, 1);
  else if (what === 'empty') items.splice(chosen, 0, item(new Uint8Array()));
  else if (what === 'double') items.splice(chosen, 0, items[chosen] as Uint8Array);
  else items.splice(chosen, 1, item(body.subarray(0, half)), item(body.subarray(half)));
  return joined(file.subarray(0, at + 12), ...items, file.subarray(position));
}

// --- what became of it ------------------------------------------------------------------------------------------------

async function made(seed: number): Promise<{ film: Film; lies: readonly Lie[]; bytes: Uint8Array }> {
  const { film: which, lies } = drawn(plan, seed);
  const all = await allFilms();
  const film = all[which % all.length] as Film;
  return { film, lies, bytes: lies.reduce(told, film.file) };
}

async function attempt(seed: number): Promise<Verdict> {
  const { film, lies, bytes } = await made(seed);
  return verdictOf(film, lies, bytes);
}

/** What becomes of these bytes, said to be one of the fixtures damaged; for tests of this judge. */
export async function verdictOn(name: string, bytes: Uint8Array): Promise<Verdict> {
  const film = (await allFilms()).find((one) => one.name === name);
  if (film === undefined) throw new Error(`no fixture ${name}`);
  return verdictOf(film, [], bytes);
}

async function verdictOf(film: Film, lies: readonly Lie[], bytes: Uint8Array): Promise<Verdict> {
  const before = bytes.slice();
  let dataset: DicomDataset;
  let pixels: StoredPixels;
  try {
    dataset = readDataset(bytes, { maxBytes });
    pixels = await decodePixels(dataset, maxBytes);
    const display = displayOf(dataset, pixels);
    spacingOf(dataset);
    frameSpacings(dataset, pixels.frames);
    const grey = greyOf(pixels, display, 0);
    if (!grey.every((value) => value >= 0 && value <= 1)) return fault('grey values outside 0 to 1');
  } catch (thrown) {
    return refusal(thrown, ['dicom.']);
  }
  if (Buffer.compare(before, bytes) !== 0) return fault('the file was written to');
  const only = lies[0];
  const verdict = judged(film, bytes, pixels);
  // A file cut off ends in its own pixels (only padding or the closing delimiter is gone) or in an error, never in others.
  if (lies.length === 1 && only?.kind === 'cut' && verdict.kind !== 'same' && verdict.kind !== 'fault')
    return fault('other pixels from a file cut off');
  return verdict;
}

function judged(film: Film, bytes: Uint8Array, pixels: StoredPixels): Verdict {
  const first = independently(bytes);
  const verdict = first && held(film, first, pixels);
  if (verdict !== undefined && verdict.kind !== 'fault') return verdict;
  // dicom-parser gives up, or goes astray, on representations it does not know and in sequences that nobody asks for.
  const second = plainly(bytes);
  return second === undefined ? (verdict ?? { kind: 'unproven' }) : held(film, second, pixels);
}

function held(film: Film, seen: Seen, pixels: StoredPixels): Verdict {
  const { shape } = seen;
  const { frames } = shape;
  const claims = [
    ['rows', pixels.rows, shape.rows],
    ['columns', pixels.columns, shape.columns],
    ['frames', pixels.frames, frames],
    ['samples', pixels.samplesPerPixel, shape.samples ?? pixels.samplesPerPixel],
    ['allocated', pixels.bitsAllocated, shape.allocated],
    ['stored', pixels.bitsStored, shape.stored ?? pixels.bitsAllocated],
    ['signed', pixels.signed, shape.signed === 1],
  ] as const;
  for (const [name, ours, theirs] of claims)
    if (ours !== theirs) return fault(`${name} is ${ours}, dicom-parser says ${theirs}`);
  if (pixels.values.length !== pixels.rows * pixels.columns * pixels.frames * pixels.samplesPerPixel)
    return fault('not as many values as pixels');
  const lowest = pixels.signed ? -(2 ** (pixels.bitsStored - 1)) : 0;
  const highest = pixels.signed ? -lowest - 1 : 2 ** pixels.bitsStored - 1;
  if (!pixels.values.every((value) => value >= lowest && value <= highest)) return fault('values outside Bits Stored');

  const sameShape =
    seen.syntax === film.seen.syntax &&
    seen.photometric === film.seen.photometric &&
    JSON.stringify(shape) === JSON.stringify(film.seen.shape);
  const sameBytes = Buffer.compare(seen.pixels, film.seen.pixels) === 0;
  const sameValues = hashOf(pixels) === film.sha256;
  if (sameShape && sameBytes) return sameValues ? { kind: 'same' } : fault('other pixels from the same bytes');
  const reference = referenceOf(seen, pixels);
  if (reference !== undefined) {
    for (let index = 0; index < reference.length; index++)
      if (reference[index] !== pixels.values[index])
        return fault(`value ${index} is ${pixels.values[index]}, not ${reference[index]}`);
    return { kind: sameValues ? 'same' : 'other' };
  }
  return { kind: sameValues && sameShape ? 'same' : 'unproven' };
}

/** Uncompressed pixels read the plainest way. */
function referenceOf(seen: Seen, pixels: StoredPixels): Float64Array | undefined {
  const native = ['1.2.840.10008.1.2', '1.2.840.10008.1.2.1', '1.2.840.10008.1.2.2', '1.2.840.10008.1.2.1.99'];
  if (!native.includes(seen.syntax) || pixels.photometric.endsWith('_422') || seen.photometric?.endsWith('_422'))
    return undefined;
  const { rows, columns, samplesPerPixel: samples, bitsAllocated: allocated, bitsStored: stored, values } = pixels;
  const bytes = allocated >> 3;
  const big = seen.syntax === '1.2.840.10008.1.2.2';
  const cut = (seen.shape.high ?? stored - 1) + 1 - stored;
  return Float64Array.from({ length: values.length }, (_, index) => {
    if (allocated === 1) return ((seen.pixels[index >> 3] as number) >> (index & 7)) & 1;
    const area = rows * columns;
    const [frame, rest] = [Math.floor(index / (area * samples)), index % (area * samples)];
    const planar = samples === 3 && seen.shape.planar === 1;
    const place = frame * area * samples + (planar ? (rest % 3) * area + Math.floor(rest / 3) : rest);
    let value = 0n;
    for (let byte = 0; byte < bytes; byte++) {
      let from = place * bytes + byte;
      if (big && bytes > 1) from ^= 1;
      if (big && bytes === 1 && seen.vr === 'OW') from ^= 1;
      value |= BigInt(seen.pixels[from] ?? 0) << BigInt(byte * 8);
    }
    const bits = BigInt.asUintN(stored, value >> BigInt(cut));
    return Number(pixels.signed ? BigInt.asIntN(stored, bits) : bits);
  });
}

const fuzzer: Fuzzer = {
  name: 'dicom',
  inputs: 120_000,
  attempt,
  input(seed) {
    const { lies, film } = drawn(plan, seed) as unknown as { lies: Lie[]; film: number };
    const names = readdirSync(folder)
      .filter((name) => name.endsWith('.dcm') && !unfit.test(name))
      .sort();
    const name = names[film % names.length] as string;
    return {
      about: `${name} ${JSON.stringify(lies)}`,
      bytes: lies.reduce(told, new Uint8Array(readFileSync(new URL(name, folder)))),
    };
  },
};
export default fuzzer;
