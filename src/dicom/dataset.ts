/** Reads DICOM Part 10 files, and bare datasets where they are plausible, without believing any length they claim. */
import { inflateRawSync } from 'node:zlib';
import { WetreadError } from '../domain/errors.ts';
import {
  explicitLittle,
  implicitLittle,
  pixelDataTag,
  walker,
  type Element,
  type Elements,
  type Encoding,
  type Walker,
} from './elements.ts';
import { tags, type Keyword } from './tags.ts';

export const implicitLittleEndian = '1.2.840.10008.1.2';
export const explicitLittleEndian = '1.2.840.10008.1.2.1';
export const deflatedLittleEndian = '1.2.840.10008.1.2.1.99';
export const explicitBigEndian = '1.2.840.10008.1.2.2';

/** Attributes by keyword. Empty, absent and unreadable values are all `undefined` or an empty list. */
export type Attributes = {
  has(keyword: Keyword): boolean;
  /** The first value of a string attribute, trimmed. */
  text(keyword: Keyword): string | undefined;
  /** DS and IS. */
  decimals(keyword: Keyword): number[];
  decimal(keyword: Keyword): number | undefined;
  /** US. */
  unsigned(keyword: Keyword): number | undefined;
  /** Value representation as the file says it; undefined in implicit files. */
  vr(keyword: Keyword): string | undefined;
  /** 16-bit words of a US, SS or OW attribute, without sign. */
  words(keyword: Keyword): Uint16Array;
  /** FD. */
  double(keyword: Keyword): number | undefined;
  /** The value as it lies in the file: a view, not a copy. */
  raw(keyword: Keyword): Uint8Array | undefined;
  items(keyword: Keyword): Attributes[];
};

export type DicomDataset = Attributes & {
  readonly transferSyntaxUid: string;
  readonly bigEndian: boolean;
  /** The Pixel Data element; `length` is undefined when it is encapsulated. */
  readonly pixelData:
    | { readonly offset: number; readonly length: number | undefined; readonly vr: string | undefined }
    | undefined;
  /** All bytes; for a deflated file, the inflated ones. */
  readonly bytes: Uint8Array;
};

export type ReadOptions = {
  /** Limit for the bytes of a deflated dataset: 1 kB of zeros may claim to be gigabytes. */
  readonly maxBytes?: number;
};

const defaultMaxBytes = 512 * 1024 * 1024;

const numberOf = Object.fromEntries(
  Object.entries(tags).map(([keyword, tag]) => [keyword, Number.parseInt(tag.slice(1), 16)]),
) as Readonly<Record<Keyword, number>>;
const wanted: ReadonlySet<number> = new Set(Object.values(numberOf));

/** Throws `dicom.not-a-dicom-file`, `dicom.truncated` or `dicom.too-large`. */
export function readDataset(file: Uint8Array, options: ReadOptions = {}): DicomDataset {
  // A Buffer's `slice` is a view where other arrays copy: everything behind this line has plain bytes.
  const plain = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
  const { start, encoding: guessed } = beginning(plain);
  const meta = guessed === undefined ? metaOf(plain, start) : undefined;
  const transferSyntaxUid =
    meta?.text('TransferSyntaxUID') ?? (guessed?.explicit === true ? explicitLittleEndian : implicitLittleEndian);
  const deflated = transferSyntaxUid === deflatedLittleEndian;
  const bytes = deflated ? inflated(plain.subarray(meta?.end), options.maxBytes ?? defaultMaxBytes) : plain;
  const from = deflated ? 0 : (meta?.end ?? start);
  const bigEndian = transferSyntaxUid === explicitBigEndian;
  const walk = walker(bytes, wanted);
  const encoding = guessed ?? { explicit: transferSyntaxUid !== implicitLittleEndian, bigEndian };
  const elements = walk.dataset(from, encoding);
  const pixels = elements.get(pixelDataTag);
  const scope: Scope = { walk, bytes, elements, encoding, depth: 0 };
  return {
    ...attributesOf(scope, charsetOf(attributesOf(scope, latin1))),
    transferSyntaxUid,
    bigEndian,
    pixelData: pixels && { offset: pixels.start, length: pixels.length, vr: pixels.vr },
    bytes,
  };
}

/** The SOP Instance UID alone, or undefined when these bytes do not say. */
export function sopInstanceUidOf(file: Uint8Array): string | undefined {
  try {
    return readDataset(file).text('SOPInstanceUID');
  } catch {
    // A damaged object still says in its meta header which one it is.
    try {
      return metaOf(file, beginning(file).start).text('MediaStorageSOPInstanceUID');
    } catch {
      return undefined;
    }
  }
}

const isPart10 = (bytes: Uint8Array): boolean =>
  bytes.length >= 132 && Buffer.from(bytes.buffer, bytes.byteOffset + 128, 4).toString('latin1') === 'DICM';

/** Old exports leave out the preamble, the meta header, or both. Without a meta header the encoding has to be guessed. */
function beginning(file: Uint8Array): { start: number; encoding?: Encoding } {
  if (isPart10(file)) return { start: 132 };
  if (file.length < 16) throw new WetreadError('dicom.not-a-dicom-file');
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const group = view.getUint16(0, true);
  const element = view.getUint16(2, true);
  const vr = String.fromCharCode(view.getUint8(4), view.getUint8(5));
  if (group === 0x0002 && /^[A-Z]{2}$/.test(vr)) return { start: 0 };
  // A bare dataset starts with group 0008 (PS3.5 section 7.1: ascending tags), elements 0000 to 0018 in practice.
  if (group === 0x0008 && element <= 0x0018) {
    if (/^(UL|CS|UI|SH|DA|TM|LO)$/.test(vr)) return { start: 0, encoding: explicitLittle };
    if (view.getUint32(4, true) <= 256) return { start: 0, encoding: implicitLittle };
  }
  throw new WetreadError('dicom.not-a-dicom-file');
}

function metaOf(file: Uint8Array, start: number): { text: Attributes['text']; end: number } {
  const walk = walker(file, wanted);
  const { elements, end } = walk.meta(start);
  const { text } = attributesOf({ walk, bytes: file, elements, encoding: explicitLittle, depth: 0 }, latin1);
  if (text('TransferSyntaxUID') === undefined)
    throw new WetreadError('dicom.not-a-dicom-file', 'Transfer Syntax UID is missing');
  return { text, end };
}

function inflated(body: Uint8Array, maxBytes: number): Uint8Array {
  try {
    const whole = inflateRawSync(body, { maxOutputLength: maxBytes });
    return new Uint8Array(whole.buffer, whole.byteOffset, whole.byteLength);
  } catch (cause) {
    const tooLarge = cause instanceof RangeError || (cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    throw new WetreadError(tooLarge ? 'dicom.too-large' : 'dicom.truncated', 'deflated dataset', { cause });
  }
}

const latin1 = new TextDecoder('latin1');

/** Wetread compares descriptions with English words only, so one-byte sets besides Latin-1 need no table of their own. */
export function charsetOf(dataset: Pick<Attributes, 'text'>): TextDecoder {
  const name = dataset.text('SpecificCharacterSet') ?? '';
  if (name === 'ISO_IR 192') return new TextDecoder('utf-8');
  if (name === 'GB18030' || name === 'GBK') return new TextDecoder('gb18030');
  return latin1;
}

/** A dataset or an item, and how it is written. */
type Scope = {
  readonly walk: Walker;
  readonly bytes: Uint8Array;
  readonly elements: Elements;
  readonly encoding: Encoding;
  readonly depth: number;
};

function attributesOf(scope: Scope, charset: TextDecoder): Attributes {
  const { walk, bytes, elements, encoding } = scope;
  const elementOf = (keyword: Keyword): Element | undefined => {
    const element = elements.get(numberOf[keyword]);
    return element === undefined || element.length === 0 ? undefined : element;
  };
  const valueOf = (element: Element | undefined): Uint8Array | undefined =>
    element?.length === undefined || element.hadUndefinedLength
      ? undefined
      : bytes.subarray(element.start, element.start + element.length);
  const raw = (keyword: Keyword) => valueOf(elementOf(keyword));
  const texts = (keyword: Keyword): string[] => {
    const value = raw(keyword);
    // No string of interest is long; a picture under a text tag is not worth decoding.
    if (value === undefined || value.length > 4096) return [];
    return charset.decode(value).split('\\').map(trimmed);
  };
  /** Binary numbers, in the byte order of their dataset. Values of unknown representation (UN) are little endian. */
  const numbers = (
    keyword: Keyword,
    width: 2 | 4 | 8,
    read: (view: DataView, at: number, little: boolean) => number,
  ) => {
    const value = raw(keyword) ?? new Uint8Array();
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    const little = !encoding.bigEndian || elementOf(keyword)?.vr === 'UN';
    return Array.from({ length: Math.floor(value.length / width) }, (_, index) => read(view, index * width, little));
  };
  const unsigned16 = (keyword: Keyword) => numbers(keyword, 2, (view, at, little) => view.getUint16(at, little));
  const decimals = (keyword: Keyword): number[] => {
    // What should be text is binary in some files, and says so.
    const vr = elementOf(keyword)?.vr;
    if (vr === 'US') return unsigned16(keyword);
    if (vr === 'SS') return numbers(keyword, 2, (view, at, little) => view.getInt16(at, little));
    if (vr === 'UL') return numbers(keyword, 4, (view, at, little) => view.getUint32(at, little));
    if (vr === 'SL') return numbers(keyword, 4, (view, at, little) => view.getInt32(at, little));
    if (vr === 'FL') return finite(numbers(keyword, 4, (view, at, little) => view.getFloat32(at, little)));
    if (vr === 'FD') return finite(numbers(keyword, 8, (view, at, little) => view.getFloat64(at, little)));
    return finite(texts(keyword).map(decimalOf));
  };
  const doubles = (keyword: Keyword): number[] =>
    // Implicit files say no representation; then it is the one of the dictionary, FD.
    finite(
      elementOf(keyword)?.vr === 'FL' || elementOf(keyword)?.vr === 'DS'
        ? decimals(keyword)
        : numbers(keyword, 8, (view, at, little) => view.getFloat64(at, little)),
    );
  return {
    has: (keyword) => elementOf(keyword) !== undefined,
    text: (keyword) => texts(keyword)[0] || undefined,
    decimals,
    // The others may be empty or odd ("40\\" is common for a window): the first is what is asked for.
    decimal: (keyword) => decimals(keyword)[0] ?? finite(texts(keyword).slice(0, 1).map(decimalOf))[0],
    unsigned: (keyword) => {
      const element = elementOf(keyword);
      const wide = element?.vr === 'UL' && (element.length ?? 0) >= 4;
      const text = element?.vr === 'IS' || element?.vr === 'DS';
      const [value = unsigned16(keyword)[0]] = wide || text ? decimals(keyword) : [];
      return value;
    },
    vr: (keyword) => elementOf(keyword)?.vr,
    words: (keyword) => Uint16Array.from(unsigned16(keyword)),
    double: (keyword) => doubles(keyword)[0],
    raw,
    items: (keyword) => {
      const sequence = elements.get(numberOf[keyword]);
      if (sequence === undefined) return [];
      return walk
        .items(sequence, encoding, scope.depth)
        .map((item) => attributesOf({ ...scope, ...item, depth: scope.depth + 1 }, charset));
    },
  };
}

/** DS and IS (PS3.5 section 6.2); `Number` alone would read 0x10 and 1e3 in other alphabets of programs too. */
const decimalOf = (text: string): number =>
  /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN;

/** One value that is no number makes the others doubtful too. */
const finite = (values: number[]): number[] => (values.every(Number.isFinite) ? values : []);

/** Padding is spaces, or NUL for UIDs (PS3.5 section 6.2). */
const trimmed = (text: string): string => text.replaceAll('\0', ' ').trim();
