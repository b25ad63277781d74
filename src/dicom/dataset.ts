/** Reads DICOM Part 10 files, and bare datasets where they are plausible, without believing any length they claim. */
import { inflateRawSync } from 'node:zlib';
import dicomParser, { type DataSet, type Element } from 'dicom-parser';
import { WetreadError } from '../domain/errors.ts';
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

const undefinedLength = 0xffff_ffff;
const defaultMaxBytes = 512 * 1024 * 1024;

/** Throws `dicom.not-a-dicom-file`, `dicom.truncated` or `dicom.too-large`. */
export function readDataset(file: Uint8Array, options: ReadOptions = {}): DicomDataset {
  // A Buffer's `slice` is a view where other arrays copy: everything behind this line has plain bytes.
  const plain = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
  const { bytes, transferSyntaxUid: assumed } = withPreamble(plain);
  const { dataset, contents } = parse(bytes, assumed, options.maxBytes ?? defaultMaxBytes);
  demandWholeElements(dataset, contents.length, 0);

  const transferSyntaxUid = assumed ?? dataset.string(tags.TransferSyntaxUID);
  if (transferSyntaxUid === undefined || transferSyntaxUid === '') {
    throw new WetreadError('dicom.not-a-dicom-file', 'Transfer Syntax UID is missing');
  }
  const pixelElement = dataset.elements[tags.PixelData];
  return {
    ...attributesOf(dataset, charsetOf(dataset)),
    transferSyntaxUid,
    bigEndian: transferSyntaxUid === explicitBigEndian,
    pixelData: pixelElement && {
      offset: pixelElement.dataOffset,
      length: pixelElement.hadUndefinedLength === true ? undefined : pixelElement.length,
      vr: pixelElement.vr,
    },
    bytes: contents,
  };
}

/** The SOP Instance UID alone, or undefined when these bytes do not say. */
export function sopInstanceUidOf(file: Uint8Array): string | undefined {
  try {
    return readDataset(file).text('SOPInstanceUID');
  } catch {
    // A damaged object still says in its meta header which one it is.
    try {
      const uid = dicomParser.readPart10Header(file).string(tags.MediaStorageSOPInstanceUID);
      return uid === '' ? undefined : uid;
    } catch {
      return undefined;
    }
  }
}

const isPart10 = (bytes: Uint8Array): boolean =>
  bytes.length >= 132 && Buffer.from(bytes.buffer, bytes.byteOffset + 128, 4).toString('latin1') === 'DICM';

/** Old exports leave out the preamble, the meta header, or both. */
function withPreamble(file: Uint8Array): { bytes: Uint8Array; transferSyntaxUid?: string } {
  if (isPart10(file)) return { bytes: file };
  if (file.length < 16) throw new WetreadError('dicom.not-a-dicom-file');
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const group = view.getUint16(0, true);
  const element = view.getUint16(2, true);
  const vr = String.fromCharCode(view.getUint8(4), view.getUint8(5));
  if (group === 0x0002 && /^[A-Z]{2}$/.test(vr)) {
    const bytes = new Uint8Array(file.length + 132);
    bytes.set([0x44, 0x49, 0x43, 0x4d], 128);
    bytes.set(file, 132);
    return { bytes };
  }
  // A bare dataset starts with group 0008 (PS3.5 section 7.1: ascending tags), elements 0000 to 0018 in practice.
  if (group === 0x0008 && element <= 0x0018) {
    if (/^(UL|CS|UI|SH|DA|TM|LO)$/.test(vr)) return { bytes: file, transferSyntaxUid: explicitLittleEndian };
    if (view.getUint32(4, true) <= 256) return { bytes: file, transferSyntaxUid: implicitLittleEndian };
  }
  throw new WetreadError('dicom.not-a-dicom-file');
}

function parse(
  bytes: Uint8Array,
  assumed: string | undefined,
  maxBytes: number,
): { dataset: DataSet; contents: Uint8Array } {
  let contents = bytes;
  try {
    const dataset = dicomParser.parseDicom(bytes, {
      untilTag: tags.PixelData,
      ...(assumed === undefined ? {} : { TransferSyntaxUID: assumed }),
      inflater: (all, position) => (contents = inflated(all, position, maxBytes)),
    });
    return { dataset, contents };
  } catch (thrown) {
    if (thrown instanceof WetreadError) throw thrown;
    // dicom-parser throws strings, Errors and { exception } alike. Behind a valid prefix they all mean that the bytes end or turn to nonsense.
    const cause = thrown !== null && typeof thrown === 'object' && 'exception' in thrown ? thrown.exception : thrown;
    const detail = cause instanceof Error ? cause.message : String(cause);
    if (detail.includes('0002,0010'))
      throw new WetreadError('dicom.not-a-dicom-file', 'Transfer Syntax UID is missing');
    throw new WetreadError('dicom.truncated', detail.replaceAll('dicomParser.', ''), { cause });
  }
}

function inflated(all: Uint8Array, position: number, maxBytes: number): Uint8Array {
  try {
    const body = inflateRawSync(all.subarray(position), { maxOutputLength: maxBytes });
    const whole = new Uint8Array(position + body.length);
    whole.set(all.subarray(0, position));
    whole.set(body, position);
    return whole;
  } catch (cause) {
    const tooLarge = cause instanceof RangeError || (cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    throw new WetreadError(tooLarge ? 'dicom.too-large' : 'dicom.truncated', 'deflated dataset', { cause });
  }
}

/** dicom-parser skips over whatever length an element claims: a cut file would pass as one with fewer elements. */
function demandWholeElements(dataset: DataSet, end: number, depth: number): void {
  // PS3.5 sets no limit; real objects stay under ten levels.
  if (depth > 64) throw new WetreadError('dicom.not-a-dicom-file', 'sequences are nested without end');
  for (const element of Object.values(dataset.elements)) {
    if (element.tag === tags.PixelData) continue;
    if (element.dataOffset + element.length > end)
      throw new WetreadError('dicom.truncated', `in element ${element.tag}`);
    for (const item of element.items ?? []) {
      if (item.dataSet !== undefined) demandWholeElements(item.dataSet, end, depth + 1);
    }
  }
}

/** Wetread compares descriptions with English words only, so one-byte sets besides Latin-1 need no table of their own. */
function charsetOf(dataset: DataSet): TextDecoder {
  const name = dataset.string(tags.SpecificCharacterSet)?.trim() ?? '';
  if (name === 'ISO_IR 192') return new TextDecoder('utf-8');
  if (name === 'GB18030' || name === 'GBK') return new TextDecoder('gb18030');
  return new TextDecoder('latin1');
}

function attributesOf(dataset: DataSet, charset: TextDecoder): Attributes {
  const elementOf = (keyword: Keyword): Element | undefined => {
    const element = dataset.elements[tags[keyword]];
    return element === undefined || element.length === 0 ? undefined : element;
  };
  const raw = (keyword: Keyword) => {
    const element = elementOf(keyword);
    if (element === undefined || element.length === undefinedLength) return undefined;
    return dataset.byteArray.subarray(element.dataOffset, element.dataOffset + element.length);
  };
  const texts = (keyword: Keyword): string[] => {
    const bytes = raw(keyword);
    // No string of interest is long; a picture under a text tag is not worth decoding.
    if (bytes === undefined || bytes.length > 4096) return [];
    return charset.decode(bytes).split('\\').map(trimmed);
  };
  const decimals = (keyword: Keyword) => {
    const numbers = texts(keyword).map((text) => (text === '' ? Number.NaN : Number(text)));
    return numbers.every(Number.isFinite) ? numbers : [];
  };
  return {
    has: (keyword) => elementOf(keyword) !== undefined,
    text: (keyword) => texts(keyword)[0] || undefined,
    decimals,
    decimal: (keyword) => decimals(keyword)[0],
    unsigned: (keyword) => ((raw(keyword)?.length ?? 0) >= 2 ? dataset.uint16(tags[keyword]) : undefined),
    words: (keyword) => {
      const bytes = raw(keyword) ?? new Uint8Array();
      const parser = dataset.byteArrayParser;
      return Uint16Array.from({ length: bytes.length >> 1 }, (_, index) => parser.readUint16(bytes, index * 2));
    },
    double: (keyword) => ((raw(keyword)?.length ?? 0) >= 8 ? dataset.double(tags[keyword]) : undefined),
    raw,
    items: (keyword) =>
      (dataset.elements[tags[keyword]]?.items ?? []).flatMap((item) =>
        item.dataSet === undefined ? [] : [attributesOf(item.dataSet, charset)],
      ),
  };
}

/** Padding is spaces, or NUL for UIDs (PS3.5 section 6.2). */
const trimmed = (text: string): string => text.replaceAll('\0', ' ').trim();
