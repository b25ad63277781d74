/** A file's header as DICOM JSON (PS3.18 annex F), without its pixels. */
import type { DataSet, Element } from 'dicom-parser';
import type { HeaderElements } from '../domain/inbox.ts';

type JsonElement = HeaderElements[string];

/** Values that JSON would carry as base64 or a link; nobody who asks for a header wants them. */
const bulk: ReadonlySet<string> = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN']);
/** One value, whatever backslashes are in it. */
const whole: ReadonlySet<string> = new Set(['LT', 'ST', 'UT', 'UR']);

type NumberReader = (parser: DataSet['byteArrayParser'], bytes: Uint8Array, at: number) => number;
const numeric: Readonly<Record<string, { readonly size: number; readonly read: NumberReader }>> = {
  US: { size: 2, read: (parser, bytes, at) => parser.readUint16(bytes, at) },
  SS: { size: 2, read: (parser, bytes, at) => parser.readInt16(bytes, at) },
  UL: { size: 4, read: (parser, bytes, at) => parser.readUint32(bytes, at) },
  SL: { size: 4, read: (parser, bytes, at) => parser.readInt32(bytes, at) },
  FL: { size: 4, read: (parser, bytes, at) => parser.readFloat(bytes, at) },
  FD: { size: 8, read: (parser, bytes, at) => parser.readDouble(bytes, at) },
};

/** The type of an attribute, by its eight digits; undefined when the standard leaves it open. */
export type Dictionary = (tag: string) => string | undefined;

/** For files in implicit VR, which leave the types to the reader. Large: only loaded where such a file comes. */
export async function standardDictionary(): Promise<Dictionary> {
  const { data } = await import('dcmjs');
  return (tag) => {
    const vr = data.DicomMetaDictionary.dictionary[`(${tag.slice(0, 4)},${tag.slice(4)})`]?.vr;
    // dcmjs writes "ox" for OB or OW, and "xs" for US or SS.
    return vr === undefined || !/^[A-Z]{2}$/.test(vr) ? undefined : vr;
  };
}

type Reading = { readonly charset: TextDecoder; readonly dictionary: Dictionary };

/** Group 0002 describes the file, group 7FE0 the pixels; odd groups are the makers' own. */
const wanted = (tag: string): boolean =>
  !tag.startsWith('x0002') && !tag.startsWith('x7fe0') && Number.parseInt(tag.slice(4, 5), 16) % 2 === 0;

/** `only` asks for these tags of the first level. */
export function headerJson(dataset: DataSet, reading: Reading, only?: ReadonlySet<string>): HeaderElements {
  const entries: [string, JsonElement][] = [];
  for (const [tag, element] of Object.entries(dataset.elements)) {
    const name = tag.slice(1).toUpperCase();
    if (!wanted(tag) || (only !== undefined && !only.has(name))) continue;
    const json = elementJson(dataset, element, name, reading);
    if (json !== undefined) entries.push([name, json]);
  }
  return Object.fromEntries(entries.toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

function elementJson(dataset: DataSet, element: Element, name: string, reading: Reading): JsonElement | undefined {
  const vr = element.items === undefined ? (element.vr ?? reading.dictionary(name)) : 'SQ';
  if (vr === undefined || bulk.has(vr)) return undefined;
  const values = valuesOf(dataset, element, vr, reading);
  return values.length === 0 ? { vr } : { vr, Value: values };
}

function valuesOf(dataset: DataSet, element: Element, vr: string, reading: Reading): unknown[] {
  if (vr === 'SQ')
    return (element.items ?? []).flatMap(({ dataSet }) =>
      dataSet === undefined ? [] : [headerJson(dataSet, reading)],
    );
  const bytes = dataset.byteArray.subarray(element.dataOffset, element.dataOffset + element.length);
  const parser = dataset.byteArrayParser;
  const number = numeric[vr];
  if (number !== undefined) {
    const numbers = Array.from({ length: Math.floor(bytes.length / number.size) }, (_, index) =>
      number.read(parser, bytes, index * number.size),
    );
    // JSON knows neither infinity nor "not a number".
    return numbers.map((value) => (Number.isFinite(value) ? value : null));
  }
  if (vr === 'AT') {
    const word = (at: number) => parser.readUint16(bytes, at).toString(16).padStart(4, '0').toUpperCase();
    return Array.from({ length: bytes.length >> 2 }, (_, index) => word(index * 4) + word(index * 4 + 2));
  }
  const text = reading.charset.decode(bytes).replaceAll('\0', ' ');
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
