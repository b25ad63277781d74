/**
 * 12-bit lossy JPEG, Huffman-coded and sequential (ITU-T T.81 process 4), one component: transfer syntax .51.
 * Our own, because libjpeg-turbo's WebAssembly build knows 8 bits only. The inverse DCT keeps to the integer arithmetic of
 * the IJG's "islow" method, so that values are those of dcmtk.
 */
import { corrupt, demandEnoughBits, demandSize, unsupported, type DecodedFrame } from './frame.ts';
import { entropySegment } from './jpeg-entropy.ts';
import { readHuffmanTables, shortBits, signedBits, type HuffmanTable } from './jpeg-huffman.ts';
import {
  demandEndMarker,
  isFrameHeader,
  readFrameHeader,
  segments,
  type JpegFrameHeader,
  type Segment,
} from './jpeg-markers.ts';
import type { PixelShape } from './shape.ts';

// prettier-ignore
const zigzag = [
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
  35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

export function decodeJpegExtended12(data: Uint8Array, shape: PixelShape): DecodedFrame {
  const huffman: (HuffmanTable | undefined)[] = [];
  const quantization: (Int32Array | undefined)[] = [];
  let header: JpegFrameHeader | undefined;
  let restartInterval = 0;
  for (const segment of segments(data, 2)) {
    const { marker, start, end } = segment;
    if (marker === 0xc4) readHuffmanTables(data, segment, huffman);
    else if (marker === 0xdb) readQuantizationTables(data, segment, quantization);
    else if (marker === 0xdd) restartInterval = ((data[start] as number) << 8) | (data[start + 1] as number);
    else if (isFrameHeader(marker)) header = demandSupported(readFrameHeader(data, segment), shape);
    else if (marker === 0xda && header !== undefined) {
      const selector = data[start + 2] as number;
      const dc = huffman[selector >> 4];
      const ac = huffman[0x10 | (selector & 15)];
      const table = quantization[header.components[0]?.quantization ?? 0];
      if (data[start] !== 1 || dc === undefined || ac === undefined || table === undefined) {
        throw corrupt('the scan names a component or table that is not there');
      }
      // A block takes a code for its mean and one for its end.
      demandEnoughBits(data, (header.rows * header.columns) / 32, shape);
      const values = decodeScan(data, end, header, { dc, ac, quantization: table }, restartInterval);
      return {
        rows: header.rows,
        columns: header.columns,
        components: 1,
        bits: 12,
        values,
        lossy: true,
        becameRgb: false,
      };
    }
  }
  throw corrupt('the codestream has no picture');
}

function demandSupported(header: JpegFrameHeader, shape: PixelShape): JpegFrameHeader {
  demandSize({ rows: header.rows, columns: header.columns, components: header.components.length }, shape);
  if (header.process !== 0xc1 || header.precision !== 12) throw unsupported('12-bit JPEG that is not sequential');
  if (header.components.length !== 1) throw unsupported('12-bit JPEG in colour');
  return header;
}

function readQuantizationTables(data: Uint8Array, { start, end }: Segment, tables: (Int32Array | undefined)[]): void {
  for (let at = start; at < end;) {
    const identity = data[at] as number;
    const wide = identity >> 4 !== 0;
    if (at + 1 + (wide ? 128 : 64) > end) throw corrupt('a quantization table is cut off');
    const table = new Int32Array(64);
    for (let index = 0; index < 64; index++) {
      const from = at + 1 + (wide ? index * 2 : index);
      table[zigzag[index] as number] = wide
        ? ((data[from] as number) << 8) | (data[from + 1] as number)
        : (data[from] as number);
    }
    tables[identity & 15] = table;
    at += 1 + (wide ? 128 : 64);
  }
}

type Tables = { readonly dc: HuffmanTable; readonly ac: HuffmanTable; readonly quantization: Int32Array };

function decodeScan(
  data: Uint8Array,
  from: number,
  header: JpegFrameHeader,
  tables: Tables,
  restartInterval: number,
): Uint16Array {
  const { rows, columns } = header;
  const values = new Uint16Array(rows * columns);
  const across = Math.ceil(columns / 8);
  const blocks = across * Math.ceil(rows / 8);
  const block = new Int32Array(64);
  const { dc, ac, quantization } = tables;
  // A block of the longest codes may be read behind the end before that is noticed.
  const beyond = 64 * 4 + 8;
  const buffer = new Uint8Array(data.length - from + beyond);
  const view = new DataView(buffer.buffer);
  let segment = entropySegment(data, from, buffer, beyond);
  let position = 0; // in bits
  let predicted = 0;
  for (let count = 0; count < blocks; count++) {
    if (restartInterval > 0 && count > 0 && count % restartInterval === 0) {
      const { marker } = segment;
      if (data[marker] !== 0xff || ((data[marker + 1] as number) & 0xf8) !== 0xd0)
        throw corrupt('a restart marker is missing');
      segment = entropySegment(data, marker + 2, buffer, beyond);
      position = 0;
      predicted = 0;
    }
    let last = 0;
    for (let index = 0; index < 64; index++) {
      const table = index === 0 ? dc : ac;
      // Left-aligned, 25 bits of it sure.
      let bits = view.getInt32(position >> 3) << (position & 7);
      const short = table.short[bits >>> (32 - shortBits)] as number;
      let symbol: number;
      let value: number;
      if (short !== 0) {
        symbol = (short >> 4) & 0xff;
        value = short >> 12;
        position += short & 15;
      } else {
        const entry = table.codes[bits >>> 16] as number;
        if (entry === 0) throw corrupt('a code that is in no table');
        symbol = entry & 0xff;
        position += entry >> 8;
        bits = view.getInt32(position >> 3) << (position & 7);
        const size = symbol & 15;
        value = size === 0 ? 0 : signedBits(bits >>> (32 - size), size);
        position += size;
      }
      if (index === 0) {
        if (symbol > 15) throw corrupt('a coefficient of more than 15 bits');
        predicted += value;
        block[0] = predicted * (quantization[0] as number);
        continue;
      }
      if ((symbol & 15) === 0) {
        if (symbol !== 0xf0) break; // end of block
        index += 15;
        continue;
      }
      index += symbol >> 4;
      if (index > 63) throw corrupt('a block of more than 64 coefficients');
      const place = zigzag[index] as number;
      block[place] = value * (quantization[place] as number);
      last = index;
    }
    if (position > segment.bitLength) throw corrupt('the codestream ends early');
    const top = Math.floor(count / across) * 8;
    const left = (count % across) * 8;
    const height = Math.min(8, rows - top);
    const width = Math.min(8, columns - left);
    if (last === 0) {
      // A flat block: both passes of the transform come to this.
      block.fill(((((((block[0] as number) << 13) + (1 << 11)) >> 12) << 13) + (1 << 16)) >> 17);
    } else inverseDct(block);
    for (let y = 0; y < height; y++) {
      for (let x = 0, to = (top + y) * columns + left; x < width; x++, to++) {
        const value = (block[y * 8 + x] as number) + 2048;
        values[to] = value < 0 ? 0 : value > 4095 ? 4095 : value;
      }
    }
    block.fill(0);
  }
  if (segment.bitLength - position >= 8) throw corrupt('the codestream is longer than the picture');
  demandEndMarker(data, segment.marker);
  return values;
}

/** In place; first columns, then rows, after C. Loeffler, A. Ligtenberg and G. Moschytz (ICASSP 1989), 13-bit constants. */
function inverseDct(block: Int32Array): void {
  for (let column = 0; column < 8; column++) transform(block, column, 8, 12);
  for (let row = 0; row < 64; row += 8) transform(block, row, 1, 17);
}

/** `shift` takes away the constants' 13 bits: all but one in the first pass; in the second, that one and the 3 of the scaling too. */
function transform(block: Int32Array, at: number, step: number, shift: number): void {
  const i0 = block[at] as number;
  const i1 = block[at + step] as number;
  const i2 = block[at + 2 * step] as number;
  const i3 = block[at + 3 * step] as number;
  const i4 = block[at + 4 * step] as number;
  const i5 = block[at + 5 * step] as number;
  const i6 = block[at + 6 * step] as number;
  const i7 = block[at + 7 * step] as number;

  const even = Math.imul(i2 + i6, 4433);
  const even2 = even - Math.imul(i6, 15137);
  const even3 = even + Math.imul(i2, 6270);
  const sum = (i0 + i4) << 13;
  const difference = (i0 - i4) << 13;
  const e0 = sum + even3;
  const e3 = sum - even3;
  const e1 = difference + even2;
  const e2 = difference - even2;

  const z5 = Math.imul(i7 + i3 + i5 + i1, 9633);
  const z1 = -Math.imul(i7 + i1, 7373);
  const z2 = -Math.imul(i5 + i3, 20995);
  const z3 = z5 - Math.imul(i7 + i3, 16069);
  const z4 = z5 - Math.imul(i5 + i1, 3196);
  const o0 = Math.imul(i7, 2446) + z1 + z3;
  const o1 = Math.imul(i5, 16819) + z2 + z4;
  const o2 = Math.imul(i3, 25172) + z2 + z3;
  const o3 = Math.imul(i1, 12299) + z1 + z4;

  const half = 1 << (shift - 1);
  block[at] = (e0 + o3 + half) >> shift;
  block[at + 7 * step] = (e0 - o3 + half) >> shift;
  block[at + step] = (e1 + o2 + half) >> shift;
  block[at + 6 * step] = (e1 - o2 + half) >> shift;
  block[at + 2 * step] = (e2 + o1 + half) >> shift;
  block[at + 5 * step] = (e2 - o1 + half) >> shift;
  block[at + 3 * step] = (e3 + o0 + half) >> shift;
  block[at + 4 * step] = (e3 - o0 + half) >> shift;
}
