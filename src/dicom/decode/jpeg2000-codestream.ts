/** The skeleton of a JPEG 2000 codestream (ITU-T T.800 annex A): size, and whether all of its tiles are there. */
import { corrupt, unsupported } from './frame.ts';

export type CodestreamHeader = {
  readonly rows: number;
  readonly columns: number;
  readonly components: number;
  readonly bits: number;
  readonly signed: boolean;
  readonly highThroughput: boolean;
};

const signature = 0x6a50_2020; // 'jP  '
const contiguousCodestream = 0x6a70_3263; // 'jp2c'

/** Some writers wrap the codestream in JP2 boxes, which PS3.5 A.4.4 forbids and readers accept. */
export function codestreamOf(data: Uint8Array): Uint8Array {
  const view = viewOf(data);
  if (data.length < 12 || view.getUint32(4) !== signature) return data;
  for (let at = 0; at + 8 <= data.length;) {
    const length = view.getUint32(at);
    if (view.getUint32(at + 4) === contiguousCodestream)
      return data.subarray(at + 8, length === 0 ? data.length : at + length);
    if (length < 8) break;
    at += length;
  }
  throw corrupt('a JP2 file without a codestream');
}

/** Throws unless every tile-part lies inside and the end marker follows the last: decoders draw what is missing as flat grey. */
export function readCodestream(data: Uint8Array): CodestreamHeader {
  const view = viewOf(data);
  const word = (at: number) => {
    if (at + 2 > data.length) throw corrupt('the codestream ends in its headers');
    return view.getUint16(at);
  };
  if (data.length < 4 || word(0) !== 0xff4f || word(2) !== 0xff51) throw corrupt('not a JPEG 2000 codestream');
  if (data.length < 45) throw corrupt('the codestream ends in its headers');
  const size = (at: number) => view.getUint32(4 + at);
  const [columns, rows] = [size(4) - size(12), size(8) - size(16)];
  const components = view.getUint16(40);
  const depth = view.getUint8(42);
  demandLikeComponents(data, components);
  const tiles = Math.ceil((size(4) - size(28)) / size(20)) * Math.ceil((size(8) - size(32)) / size(24));
  if (!(tiles >= 1 && tiles <= 65535)) throw corrupt('the codestream has an impossible number of tiles');

  const seen = new Set<number>();
  let at = 2;
  for (;;) {
    const marker = word(at);
    if (marker === 0xffd9) break;
    if (marker !== 0xff90) {
      if (seen.size > 0 || marker < 0xff00) throw corrupt('a tile is missing its start');
      at += 2 + word(at + 2);
      continue;
    }
    if (at + 12 > data.length) throw corrupt('the codestream ends in its headers');
    const index = word(at + 4);
    if (index >= tiles) throw corrupt('a tile lies outside the picture');
    seen.add(index);
    const length = view.getUint32(at + 6);
    if (length === 0) {
      at = endMarker(data);
      break;
    }
    if (length < 14 || at + length + 2 > data.length) throw corrupt('the codestream ends early');
    at += length;
  }
  if (seen.size !== tiles) throw corrupt(`${seen.size} of ${tiles} tiles are there`);
  return {
    rows,
    columns,
    components,
    bits: (depth & 0x7f) + 1,
    signed: depth >= 0x80,
    // T.814: a CAP marker segment follows SIZ, and bit 14 of Rsiz announces it.
    highThroughput: (view.getUint16(6) & 0x4000) !== 0,
  };
}

/**
 * DICOM's components are of one size and depth (PS3.5 section 8.2.4). OpenJPH never returns from a component that is said to be
 * subsampled and is not: of all bytes of a codestream, it hung on this one only.
 */
function demandLikeComponents(data: Uint8Array, components: number): void {
  if (viewOf(data).getUint16(4) !== 38 + 3 * components || data.length < 42 + 3 * components)
    throw corrupt('the size of the picture is cut off');
  for (let at = 42; at < 42 + 3 * components; at += 3) {
    if (data[at] !== data[42]) throw unsupported('JPEG 2000 components of different depths');
    if (data[at + 1] !== 1 || data[at + 2] !== 1) throw unsupported('subsampled JPEG 2000');
  }
}

/** A last tile-part of length 0 reaches to the end marker, behind which only padding may stand. */
function endMarker(data: Uint8Array): number {
  let end = data.length;
  while (end > 0 && data[end - 1] === 0) end -= 1;
  if (end < 2 || data[end - 2] !== 0xff || data[end - 1] !== 0xd9) throw corrupt('the codestream ends early');
  return end - 2;
}

const viewOf = (data: Uint8Array) => new DataView(data.buffer, data.byteOffset, data.length);
