/** Huffman tables of JPEG (ITU-T T.81 annex C), unrolled for reading. */
import { corrupt } from './frame.ts';
import type { Segment } from './jpeg-markers.ts';

export type HuffmanTable = {
  /** Code lengths 1 to 16 by look-up: the next 16 bits index straight into `length << 8 | symbol`; 0 is no code. */
  readonly codes: Uint16Array;
  /** Short codes with the bits that follow them: the next 12 bits index into `value << 12 | symbol << 4 | bits`; 0 is none of these. */
  readonly short: Int32Array;
  readonly largestSymbol: number;
};

/** Bits that {@link HuffmanTable.short} looks at: most differences of a film fit, and the table fits the first cache. */
export const shortBits = 12;

/** `tables` is indexed by class and identifier as the codestream spells them: 0x00 to 0x03 DC, 0x10 to 0x13 AC. */
export function readHuffmanTables(
  data: Uint8Array,
  { start, end }: Segment,
  tables: (HuffmanTable | undefined)[],
): void {
  let at = start;
  while (at < end) {
    const identity = data[at] as number;
    const counts = data.subarray(at + 1, at + 17);
    const symbols = counts.reduce((sum, count) => sum + count, 0);
    if (counts.length < 16 || at + 17 + symbols > end) throw corrupt('a Huffman table is cut off');
    tables[identity] = tableOf(counts, data.subarray(at + 17, at + 17 + symbols));
    at += 17 + symbols;
  }
}

function tableOf(counts: Uint8Array, symbols: Uint8Array): HuffmanTable {
  const codes = new Uint16Array(65536);
  let code = 0;
  let next = 0;
  for (let length = 1; length <= 16; length++) {
    for (let count = counts[length - 1] as number; count > 0; count--) {
      const symbol = symbols[next++] as number;
      const first = code << (16 - length);
      if (first + (1 << (16 - length)) > 65536) throw corrupt('a Huffman table is not one');
      codes.fill((length << 8) | symbol, first, first + (1 << (16 - length)));
      code += 1;
    }
    code <<= 1;
  }
  const largestSymbol = symbols.reduce((one, other) => Math.max(one, other), 0);
  return { codes, short: shortCodes(codes), largestSymbol };
}

function shortCodes(codes: Uint16Array): Int32Array {
  const short = new Int32Array(1 << shortBits);
  for (let bits = 0; bits < short.length; bits++) {
    const entry = codes[bits << (16 - shortBits)] as number;
    const symbol = entry & 0xff;
    const size = symbol & 15;
    const total = (entry >> 8) + size;
    // 16 extra bits are spelled 16, which has none of these in its low half: lossless JPEG only, and never short.
    if (entry === 0 || total > shortBits || symbol === 16) continue;
    short[bits] = (signedBits(bits >> (shortBits - total), size) << 12) | (symbol << 4) | total;
  }
  return short;
}

/** F.2.2.1: the low `size` bits, of which the lower half of the range stands for negative values. */
export function signedBits(bits: number, size: number): number {
  if (size === 0) return 0;
  const value = bits & ((1 << size) - 1);
  return value < 1 << (size - 1) ? value + 1 - (1 << size) : value;
}
