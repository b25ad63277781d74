/**
 * JPEG lossless, Huffman-coded (ITU-T T.81 annex H): transfer syntaxes .57 (any predictor) and .70 (first-order).
 * Our own, because the JavaScript decoder on npm takes twice the time of dcmtk and returns a picture for a cut codestream.
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

type Scan = {
  /** Index of each component of this scan in the frame, with its code table. */
  readonly components: readonly { readonly index: number; readonly table: HuffmanTable }[];
  readonly predictor: number;
  readonly pointTransform: number;
};

export function decodeJpegLossless(data: Uint8Array, shape: PixelShape): DecodedFrame {
  if (data[0] !== 0xff || data[1] !== 0xd8) throw corrupt('not a JPEG codestream');
  const tables: (HuffmanTable | undefined)[] = [];
  let header: JpegFrameHeader | undefined;
  let values: Uint8Array | Uint16Array | undefined;
  let restartInterval = 0;
  let position = 2;
  let decoded = 0;

  while (header === undefined || decoded < header.components.length) {
    for (const segment of segments(data, position)) {
      if (segment.marker === 0xd9) throw corrupt('the codestream ends before all components are there');
      if (segment.marker === 0xc4) readHuffmanTables(data, segment, tables);
      else if (segment.marker === 0xdd) restartInterval = word(data, segment.start);
      else if (isFrameHeader(segment.marker)) {
        header = readFrameHeader(data, segment);
        demandLossless(header, shape);
        const count = shape.rows * shape.columns * shape.samplesPerPixel;
        demandEnoughBits(data, count, shape); // no code is shorter than a bit
        values = header.precision <= 8 ? new Uint8Array(count) : new Uint16Array(count);
      } else if (segment.marker === 0xda) {
        if (header === undefined || values === undefined) throw corrupt('a scan comes before the frame header');
        const scan = readScan(data, segment, header, tables);
        position = decodeScan(data, segment.end, scan, header, values, restartInterval);
        decoded += scan.components.length;
      }
    }
  }
  if (values === undefined) throw corrupt('the codestream has no frame header');
  demandEndMarker(data, position);
  return {
    rows: header.rows,
    columns: header.columns,
    components: header.components.length,
    bits: header.precision,
    values,
    lossy: false,
    becameRgb: false,
  };
}

function demandLossless(header: JpegFrameHeader, shape: PixelShape): void {
  if (header.process !== 0xc3)
    throw corrupt(`a codestream of process ${header.process.toString(16)}, not lossless JPEG`);
  demandSize({ rows: header.rows, columns: header.columns, components: header.components.length }, shape);
  if (header.precision < 2 || header.precision > 16) throw corrupt(`${header.precision} bits of precision`);
  if (header.components.some(({ horizontal, vertical }) => horizontal !== 1 || vertical !== 1))
    throw unsupported('subsampled lossless JPEG');
}

const word = (data: Uint8Array, at: number): number => ((data[at] as number) << 8) | (data[at + 1] as number);

function readScan(
  data: Uint8Array,
  { start, end }: Segment,
  header: JpegFrameHeader,
  tables: readonly (HuffmanTable | undefined)[],
): Scan {
  const count = data[start] as number;
  if (count < 1 || count > 4 || end - start < 4 + count * 2) throw corrupt('the scan header is cut off');
  const components = Array.from({ length: count }, (_, which) => {
    const id = data[start + 1 + which * 2] as number;
    const index = header.components.findIndex((component) => component.id === id);
    const table = tables[(data[start + 2 + which * 2] as number) >> 4];
    if (index < 0 || table === undefined) throw corrupt('the scan names a component or table that is not there');
    // Symbols are categories 0 to 16 (table H.2); the loop below relies on it.
    if (table.largestSymbol > 16) throw corrupt('a code table that is not one of differences');
    return { index, table };
  });
  const predictor = data[start + 1 + count * 2] as number;
  const pointTransform = (data[start + 3 + count * 2] as number) & 15;
  if (predictor < 1 || predictor > 7) throw corrupt(`predictor ${predictor}`);
  if (pointTransform >= header.precision) throw corrupt('point transform');
  return { components, predictor, pointTransform };
}

/** Returns the position of the marker behind the scan. */
function decodeScan(
  data: Uint8Array,
  from: number,
  scan: Scan,
  header: JpegFrameHeader,
  values: Uint8Array | Uint16Array,
  restartInterval: number,
): number {
  const { rows, columns } = header;
  const stride = header.components.length;
  const rowLength = columns * stride;
  const { predictor, pointTransform } = scan;
  // The loop below runs for every sample of a film: plain arrays, no iterators, its state in local variables.
  const tables = scan.components.map(({ table }) => table);
  const indices = scan.components.map(({ index }) => index);
  const count = tables.length;
  // H.1.1: intervals are whole lines, so that prediction can start anew with each.
  if (restartInterval % columns !== 0) throw corrupt('a restart interval that is not whole lines');
  const linesPerInterval = restartInterval === 0 ? rows : restartInterval / columns;
  const start = 1 << (header.precision - pointTransform - 1);
  const mask = values.BYTES_PER_ELEMENT === 1 ? 0xff : 0xffff; // modulo 2^16 (H.1.2.1), as the array does it
  const { short, codes } = tables[0] as HuffmanTable;

  // A row of the longest codes may be read behind the end before that is noticed.
  const beyond = columns * count * 4 + 8;
  const buffer = new Uint8Array(data.length - from + beyond);
  const view = new DataView(buffer.buffer);
  let segment = entropySegment(data, from, buffer, beyond);
  let position = 0; // in bits: one addition a sample, where a reader that refills itself would guess wrong every other time

  for (let row = 0; row < rows; row++) {
    const line = row % linesPerInterval;
    if (row > 0 && line === 0) {
      const { marker } = segment;
      if (data[marker] !== 0xff || ((data[marker + 1] as number) & 0xf8) !== 0xd0)
        throw corrupt('a restart marker is missing');
      segment = entropySegment(data, marker + 2, buffer, beyond);
      position = 0;
    }
    if (stride === 1) {
      // Grey films, of which a sample costs a few nanoseconds: no look at components, and the left neighbour at hand.
      const end = (row + 1) * columns;
      const fromLeft = line === 0 || predictor === 1;
      let prediction = line === 0 ? start : (values[row * columns - columns] as number);
      for (let here = row * columns; here < end; here++) {
        let bits = view.getInt32(position >> 3) << (position & 7);
        const found = short[bits >>> (32 - shortBits)] as number;
        let difference = found >> 12;
        if (found !== 0) position += found & 15;
        else {
          const entry = codes[bits >>> 16] as number;
          if (entry === 0) throw corrupt('a code that is in no table');
          const category = entry & 0xff;
          position += entry >> 8;
          bits = view.getInt32(position >> 3) << (position & 7);
          difference = category === 16 ? 32768 : category === 0 ? 0 : signedBits(bits >>> (32 - category), category);
          position += category & 15;
        }
        const value = (prediction + difference) & mask;
        values[here] = value;
        prediction = fromLeft
          ? value
          : predict(predictor, value, values[here - columns + 1] as number, values[here - columns] as number);
      }
    } else {
      let at = row * rowLength;
      for (let column = 0; column < columns; column++, at += stride) {
        for (let which = 0; which < count; which++) {
          const table = tables[which] as HuffmanTable;
          const here = at + (indices[which] as number);
          // Left-aligned, 25 bits of it sure.
          let bits = view.getInt32(position >> 3) << (position & 7);
          let difference = 0;
          const found = table.short[bits >>> (32 - shortBits)] as number;
          if (found !== 0) {
            difference = found >> 12;
            position += found & 15;
          } else {
            const entry = table.codes[bits >>> 16] as number;
            if (entry === 0) throw corrupt('a code that is in no table');
            const category = entry & 0xff;
            position += entry >> 8;
            if (category === 16) difference = 32768;
            else if (category > 0) {
              bits = view.getInt32(position >> 3) << (position & 7);
              difference = signedBits(bits >>> (32 - category), category);
              position += category;
            }
          }

          let prediction: number;
          if (line === 0) prediction = column === 0 ? start : (values[here - stride] as number);
          else if (column === 0) prediction = values[here - rowLength] as number;
          else {
            const left = values[here - stride] as number;
            prediction =
              predictor === 1
                ? left
                : predict(
                    predictor,
                    left,
                    values[here - rowLength] as number,
                    values[here - rowLength - stride] as number,
                  );
          }
          values[here] = prediction + difference; // modulo 2^16 (H.1.2.1): the array does it
        }
      }
    }
    const left = segment.bitLength - position;
    if (left < 0) throw corrupt('the codestream ends early');
    // Only padding of the last byte may be left: anything more means that codes were misread.
    if ((line === linesPerInterval - 1 || row === rows - 1) && left >= 8)
      throw corrupt('the codestream is longer than the picture');
  }
  if (pointTransform > 0) {
    for (const { index } of scan.components) {
      for (let at = index; at < values.length; at += stride) values[at] = (values[at] as number) << pointTransform;
    }
  }
  return segment.marker;
}

/** Table H.1. */
function predict(predictor: number, left: number, above: number, corner: number): number {
  switch (predictor) {
    case 2:
      return above;
    case 3:
      return corner;
    case 4:
      return left + above - corner;
    case 5:
      return left + ((above - corner) >> 1);
    case 6:
      return above + ((left - corner) >> 1);
    default:
      return (left + above) >> 1;
  }
}
