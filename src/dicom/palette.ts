/** Palette colour: the luminance of each index, from plain or segmented look-up tables (PS3.3 C.7.9). */
import { WetreadError } from '../domain/errors.ts';
import type { Attributes } from './dataset.ts';

const unusable = (detail: string) => new WetreadError('dicom.unsupported-pixels', detail);

/** ITU-R BT.601, as YBR_FULL uses it (PS3.3 C.7.6.3.1.2). */
export const luma = (red: number, green: number, blue: number): number => 0.299 * red + 0.587 * green + 0.114 * blue;

/** `first` is the stored value of the first entry. Throws `dicom.unsupported-pixels`. */
export function paletteLuminance(
  dataset: Attributes,
  pixelsAreSigned: boolean,
): { luminance: Float32Array; first: number } {
  const [, word = 0] = dataset.words('RedPaletteColorLookupTableDescriptor');
  const vr = dataset.vr('RedPaletteColorLookupTableDescriptor');
  const signed = vr === 'SS' || (vr !== 'US' && pixelsAreSigned);
  const red = tableOf(dataset, 'Red');
  const green = tableOf(dataset, 'Green');
  const blue = tableOf(dataset, 'Blue');
  const length = Math.min(red.length, green.length, blue.length);
  if (length === 0) throw unusable('palette colour without a palette');
  const luminance = Float32Array.from({ length }, (_, index) =>
    luma(red[index] as number, green[index] as number, blue[index] as number),
  );
  return { luminance, first: signed ? (word << 16) >> 16 : word };
}

/** Entries as 0 to 1. */
function tableOf(dataset: Attributes, colour: 'Red' | 'Green' | 'Blue'): Float32Array {
  const [count, , bits = 16] = dataset.words(`${colour}PaletteColorLookupTableDescriptor`);
  if (count === undefined) return new Float32Array();
  if (bits !== 8 && bits !== 16) throw unusable(`a palette of ${bits} bits`);
  const length = count === 0 ? 65536 : count;
  const words = dataset.words(`${colour}PaletteColorLookupTableData`);
  const bytes = dataset.raw(`${colour}PaletteColorLookupTableData`) ?? new Uint8Array();
  const name = `Segmented${colour}PaletteColorLookupTableData` as const;
  // C.7.6.3.1.6: eight-bit entries are packed two to a word, by some writers one to a word.
  const entries =
    bytes.length === 0
      ? expanded(bits === 8 ? (dataset.raw(name) ?? new Uint8Array()) : dataset.words(name), bits, length)
      : bits === 8 && words.length < length
        ? bytes
        : words;
  if (entries.length < length) throw unusable(`a palette of ${entries.length} entries claims ${length}`);
  return Float32Array.from({ length }, (_, index) => (entries[index] as number) / (2 ** bits - 1));
}

/** C.7.9.2: segments are points given one by one, lines to an end value, or a repetition of earlier segments. */
function expanded(data: Uint8Array | Uint16Array, bits: 8 | 16, length: number): Uint16Array {
  const entries = new Uint16Array(length);
  let filled = 0;
  const put = (value: number) => {
    if (filled === length) throw unusable('a segmented palette is longer than it says');
    entries[filled++] = value;
  };
  const read = (at: number): number => {
    const value = data[at];
    if (value === undefined) throw unusable('a segmented palette is cut off');
    return value;
  };
  /** Returns where the next segment begins. */
  const segment = (at: number, repeated: boolean): number => {
    const opcode = read(at);
    const count = read(at + 1);
    if (opcode === 0) {
      for (let index = 0; index < count; index++) put(read(at + 2 + index));
      return at + 2 + count;
    }
    if (opcode === 1) {
      const from = entries[filled - 1];
      if (from === undefined) throw unusable('a segmented palette begins with a line');
      const to = read(at + 2);
      for (let step = 1; step <= count; step++) put(Math.round(from + ((to - from) * step) / count));
      return at + 3;
    }
    // A repetition of repetitions could go on for ever, and is not allowed.
    if (opcode !== 2 || repeated) throw unusable(`segment ${opcode} in a segmented palette`);
    const part = (index: number) => read(at + 2 + index);
    let from =
      bits === 16 ? (part(0) + part(1) * 65536) / 2 : part(0) + part(1) * 256 + part(2) * 65536 + part(3) * 2 ** 24;
    for (let index = 0; index < count; index++) from = segment(from, true);
    return at + 2 + (bits === 16 ? 2 : 4);
  };
  let at = 0;
  while (at + 1 < data.length) {
    // What follows a full table is padding.
    if (filled === length) break;
    at = segment(at, false);
  }
  return entries.subarray(0, filled);
}
