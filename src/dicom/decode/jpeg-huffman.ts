/** Huffman tables of JPEG (ITU-T T.81 annex C), unrolled for reading. */
import { corrupt } from './frame.ts';
import type { Segment } from './jpeg-markers.ts';

/** Code lengths 1 to 16 by look-up: the next 16 bits index straight into `length << 8 | symbol`; 0 is no code. */
export type HuffmanTable = Uint16Array;

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
  const table = new Uint16Array(65536);
  let code = 0;
  let next = 0;
  for (let length = 1; length <= 16; length++) {
    for (let count = counts[length - 1] as number; count > 0; count--) {
      const symbol = symbols[next++] as number;
      const first = code << (16 - length);
      if (first + (1 << (16 - length)) > 65536) throw corrupt('a Huffman table is not one');
      table.fill((length << 8) | symbol, first, first + (1 << (16 - length)));
      code += 1;
    }
    code <<= 1;
  }
  return table;
}
