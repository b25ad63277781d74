/**
 * JPEG lossless, Huffman-coded (ITU-T T.81 annex H): transfer syntaxes .57 (any predictor) and .70 (first-order).
 * Our own, because the JavaScript decoder on npm takes twice the time of dcmtk and returns a picture for a cut codestream.
 */
import { corrupt, demandEnoughBits, demandSize, unsupported, type DecodedFrame } from './frame.ts';
import { readHuffmanTables, type HuffmanTable } from './jpeg-huffman.ts';
import { isFrameHeader, readFrameHeader, segments, type JpegFrameHeader, type Segment } from './jpeg-markers.ts';
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

function demandEndMarker(data: Uint8Array, position: number): void {
  let at = position;
  while (at + 1 < data.length && data[at] === 0xff && data[at + 1] === 0xff) at += 1;
  if (data[at] !== 0xff || data[at + 1] !== 0xd9) throw corrupt('the codestream has no end marker');
}

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
  // The loop below runs for every sample of a film: plain arrays, no iterators.
  const tables = scan.components.map(({ table }) => table);
  const indices = scan.components.map(({ index }) => index);
  const count = tables.length;
  // H.1.1: intervals are whole lines, so that prediction can start anew with each.
  if (restartInterval % columns !== 0) throw corrupt('a restart interval that is not whole lines');
  const linesPerInterval = restartInterval === 0 ? rows : restartInterval / columns;
  const start = 1 << (header.precision - pointTransform - 1);

  let position = from;
  let bits = 0; // the low `held` bits are what was read and not used yet
  let held = 0;
  let invented = 0; // zero bits fed because the segment had ended

  for (let row = 0; row < rows; row++) {
    const line = row % linesPerInterval;
    if (row > 0 && line === 0) {
      if (held < invented) throw corrupt('the codestream ends early');
      // Whole bytes may stand before the marker only as padding of the last one.
      if (data[position] !== 0xff || ((data[position + 1] as number) & 0xf8) !== 0xd0)
        throw corrupt('a restart marker is missing');
      position += 2;
      bits = held = invented = 0;
    }
    for (let column = 0; column < columns; column++) {
      for (let which = 0; which < count; which++) {
        const table = tables[which] as HuffmanTable;
        const index = indices[which] as number;
        // Code and extra bits take at most 16 bits each; so at most 23 + 8 bits are held, which fit a signed 32-bit number.
        while (held < 16) {
          const byte = position < data.length ? (data[position] as number) : 0xff;
          if (byte !== 0xff) {
            bits = (bits << 8) | byte;
            position += 1;
          } else if (position + 1 < data.length && data[position + 1] === 0) {
            bits = (bits << 8) | 0xff; // a stuffed byte
            position += 2;
          } else {
            bits <<= 8; // a marker: nothing more comes
            invented += 8;
          }
          held += 8;
        }
        const entry = table[(bits >>> (held - 16)) & 0xffff] as number;
        if (entry === 0) throw corrupt('a code that is in no table');
        held -= entry >> 8;
        bits &= (1 << held) - 1;
        const category = entry & 0xff;
        let difference = 0;
        if (category === 16) difference = 32768;
        else if (category > 16) throw corrupt('a code that is in no table');
        else if (category > 0) {
          while (held < category) {
            const byte = position < data.length ? (data[position] as number) : 0xff;
            if (byte !== 0xff) {
              bits = (bits << 8) | byte;
              position += 1;
            } else if (position + 1 < data.length && data[position + 1] === 0) {
              bits = (bits << 8) | 0xff;
              position += 2;
            } else {
              bits <<= 8;
              invented += 8;
            }
            held += 8;
          }
          difference = bits >>> (held - category);
          held -= category;
          bits &= (1 << held) - 1;
          if (difference < 1 << (category - 1)) difference += 1 - (1 << category);
        }

        const at = row * rowLength + column * stride + index;
        let prediction: number;
        if (line === 0) prediction = column === 0 ? start : (values[at - stride] as number);
        else if (column === 0) prediction = values[at - rowLength] as number;
        else {
          const left = values[at - stride] as number;
          if (predictor === 1) prediction = left;
          else {
            const above = values[at - rowLength] as number;
            const corner = values[at - rowLength - stride] as number;
            prediction = predict(predictor, left, above, corner);
          }
        }
        values[at] = prediction + difference; // modulo 2^16 (H.1.2.1): the array does it
      }
    }
    if (invented > 0 && held < invented) throw corrupt('the codestream ends early');
  }
  if (pointTransform > 0) {
    for (const { index } of scan.components) {
      for (let at = index; at < values.length; at += stride) values[at] = (values[at] as number) << pointTransform;
    }
  }
  // Only padding of the last byte may be left: anything more means that codes were misread.
  if (held - invented >= 8) throw corrupt('the codestream is longer than the picture');
  return position;
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
