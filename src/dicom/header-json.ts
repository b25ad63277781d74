/** A file's header as DICOM JSON (PS3.18 annex F), without its pixels. */
import type { HeaderElements } from '../domain/inbox.ts';
import { deflatedLittleEndian, explicitBigEndian, implicitLittleEndian, readDataset } from './dataset.ts';
import { walker, type Element, type Elements, type Encoding, type Walker } from './elements.ts';

type JsonElement = HeaderElements[string];

/** Values that JSON would carry as base64 or a link; nobody who asks for a header wants them. */
const bulk: ReadonlySet<string> = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN']);
/** One value, whatever backslashes are in it. */
const whole: ReadonlySet<string> = new Set(['LT', 'ST', 'UT', 'UR']);

type NumberReader = (view: DataView, at: number, little: boolean) => number;
const numeric: Readonly<Record<string, { readonly size: number; readonly read: NumberReader }>> = {
  US: { size: 2, read: (view, at, little) => view.getUint16(at, little) },
  SS: { size: 2, read: (view, at, little) => view.getInt16(at, little) },
  UL: { size: 4, read: (view, at, little) => view.getUint32(at, little) },
  SL: { size: 4, read: (view, at, little) => view.getInt32(at, little) },
  FL: { size: 4, read: (view, at, little) => view.getFloat32(at, little) },
  FD: { size: 8, read: (view, at, little) => view.getFloat64(at, little) },
};

/** The type of an attribute, by its eight digits; undefined when the standard leaves it open. */
type Dictionary = (tag: string) => string | undefined;

/** For files in implicit VR, which leave the types to the reader. Large: only loaded where such a file comes. */
async function standardDictionary(): Promise<Dictionary> {
  const { data } = await import('dcmjs');
  return (tag) => {
    const vr = data.DicomMetaDictionary.dictionary[`(${tag.slice(0, 4)},${tag.slice(4)})`]?.vr;
    // dcmjs writes "ox" for OB or OW, and "xs" for US or SS.
    return vr === undefined || !/^[A-Z]{2}$/.test(vr) ? undefined : vr;
  };
}

/** Group 0002 describes the file, odd groups are the makers' own; pixels are never kept. */
class EveryTag extends Set<number> {
  override has(tag: number): boolean {
    const group = tag >>> 16;
    return group !== 0x0002 && group !== 0x7fe0 && group % 2 === 0;
  }
}

function charsetNamed(name: string | undefined): TextDecoder {
  if (name === 'ISO_IR 192') return new TextDecoder('utf-8');
  if (name === 'GB18030' || name === 'GBK') return new TextDecoder('gb18030');
  return new TextDecoder('latin1');
}

type Reading = {
  readonly walk: Walker;
  readonly bytes: Uint8Array;
  readonly charset: TextDecoder;
  readonly dictionary: Dictionary;
};
type Scope = { readonly elements: Elements; readonly encoding: Encoding };

/** The whole header, or these tags of its first level. The file may be cut off anywhere in its pixels. Throws `dicom.*`. */
export async function headerJson(
  file: Uint8Array,
  { only, maxBytes }: { readonly only?: ReadonlySet<string>; readonly maxBytes?: number } = {},
): Promise<HeaderElements> {
  const dataset = readDataset(file, maxBytes === undefined ? {} : { maxBytes });
  const { transferSyntaxUid, bytes } = dataset;
  const explicit = transferSyntaxUid !== implicitLittleEndian;
  const encoding = { explicit, bigEndian: transferSyntaxUid === explicitBigEndian };
  const walk = walker(bytes, new EveryTag());
  // What was inflated has left its file meta information behind.
  const from = transferSyntaxUid === deflatedLittleEndian ? 0 : walk.meta(132).end;
  const dictionary = explicit ? () => undefined : await standardDictionary();
  const reading = { walk, bytes, charset: charsetNamed(dataset.text('SpecificCharacterSet')), dictionary };
  return scopeJson({ elements: walk.dataset(from, encoding), encoding }, reading, 0, only);
}

function scopeJson(
  { elements, encoding }: Scope,
  reading: Reading,
  depth: number,
  only?: ReadonlySet<string>,
): HeaderElements {
  const entries: [string, JsonElement][] = [];
  for (const [tag, element] of elements) {
    const name = tag.toString(16).padStart(8, '0').toUpperCase();
    if (!new EveryTag().has(tag) || (only !== undefined && !only.has(name))) continue;
    const vr = vrOf(element, name, reading);
    if (vr === undefined || bulk.has(vr)) continue;
    const values =
      vr === 'SQ'
        ? reading.walk.items(element, encoding, depth).map((item) => scopeJson(item, reading, depth + 1))
        : valuesOf(element, vr, encoding, reading);
    entries.push([name, values.length === 0 ? { vr } : { vr, Value: values }]);
  }
  return Object.fromEntries(entries.toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

function vrOf({ vr, hadUndefinedLength }: Element, name: string, { dictionary }: Reading): string | undefined {
  if (vr !== undefined && vr !== 'UN') return vr;
  // In implicit VR only sequences come without a length.
  return hadUndefinedLength ? 'SQ' : vr === 'UN' ? vr : dictionary(name);
}

function valuesOf(element: Element, vr: string, { bigEndian }: Encoding, { bytes, charset }: Reading): unknown[] {
  const value = bytes.subarray(element.start, element.start + (element.length ?? 0));
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  const number = numeric[vr];
  if (number !== undefined) {
    const numbers = Array.from({ length: Math.floor(value.length / number.size) }, (_, index) =>
      number.read(view, index * number.size, !bigEndian),
    );
    // JSON knows neither infinity nor "not a number".
    return numbers.map((one) => (Number.isFinite(one) ? one : null));
  }
  if (vr === 'AT') {
    const word = (at: number) => view.getUint16(at, !bigEndian).toString(16).padStart(4, '0').toUpperCase();
    return Array.from({ length: value.length >> 2 }, (_, index) => word(index * 4) + word(index * 4 + 2));
  }
  const text = charset.decode(value).replaceAll('\0', ' ');
  if (text.trim() === '') return [];
  if (whole.has(vr)) return [text.trimEnd()];
  return text.split('\\').map((one) => stringJson(vr, one.trim()));
}

function stringJson(vr: string, text: string): unknown {
  if (text === '') return null;
  if (vr === 'DS' || vr === 'IS') return Number.isFinite(Number(text)) ? Number(text) : null;
  if (vr !== 'PN') return text;
  const [alphabetic, ideographic, phonetic] = text.split('=');
  return {
    ...(alphabetic ? { Alphabetic: alphabetic } : {}),
    ...(ideographic ? { Ideographic: ideographic } : {}),
    ...(phonetic ? { Phonetic: phonetic } : {}),
  };
}
