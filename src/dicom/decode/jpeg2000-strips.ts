/**
 * Divides a JPEG 2000 codestream into strips of rows that several threads decode at once. Nine tenths of the time go into code blocks,
 * which are independent of each other (ITU-T T.800 annex D): each strip is the whole picture's codestream without the code blocks
 * that its rows do not need. Decoded by the same codec, its rows are the whole picture's rows to the bit.
 */
import type { Strip } from './frame.ts';
import { tileArea, type Coding } from './jpeg2000-layout.ts';
import { UnreadablePackets } from './jpeg2000-packet-bits.ts';
import { readPackets, writePackets, type Packets } from './jpeg2000-packets.ts';

const soc = 0xff4f;
const siz = 0xff51;
const cod = 0xff52;
const sot = 0xff90;
const sod = 0xff93;
const eoc = 0xffd9;
/** Quantisation, regions of interest, component registration, comments: copied, as they say nothing of packets. */
const copied: ReadonlySet<number> = new Set([0xff5c, 0xff5d, 0xff5e, 0xff63, 0xff64]);
/** Lists of lengths, which no longer hold. */
const dropped: ReadonlySet<number> = new Set([0xff55, 0xff57, 0xff58]);

/** Bypass of the arithmetic coder and termination of each pass divide a part of a block further; high throughput has another coder. */
const otherParts = 0x01 | 0x04 | 0x40;
/** Each thread transforms the whole picture back: what few rows save is lost to that. */
const fewestRows = 128;
/**
 * How many coefficients above and below a row the inverse wavelet reaches on one level, in each of its halves: two in the longer
 * filter (annex F.3), and one for halves of odd rows; some to spare cost next to nothing.
 */
const reach = 4;

/** At most `count` strips of about equal work; undefined where the codestream is damaged or of a rare kind, which the codec alone reads. */
export function stripsOf(codestream: Uint8Array, count: number): readonly Strip[] | undefined {
  try {
    const { coding, header, tiles } = dissected(codestream);
    const rows = coding.picture.bottom - coding.picture.top;
    const packets = [...tiles].map(([index, { data }]) => readPackets(coding, tileArea(coding, index), data));
    const cuts = cutsOf(packets, coding, Math.min(count, Math.floor(rows / fewestRows)));
    if (cuts.length < 3) return undefined;
    return cuts.slice(1).map((to, index) => {
      const from = cuts[index] as number;
      const needed = rowsNeeded(coding, coding.picture.top + from, coding.picture.top + to);
      const parts = [...tiles.values()].map((tile, which) => {
        const body = writePackets(packets[which]!, ({ top, bottom, depth }) => {
          const [first, last] = needed[depth] as readonly [number, number];
          return top < last && bottom > first;
        });
        return tilePart(tile, body);
      });
      return { from, to, codestream: joined([header, ...parts.flat(), word(eoc)]) };
    });
  } catch (thrown) {
    // Whether it is damaged, or only unusual, the codec says.
    if (thrown instanceof UnreadablePackets) return undefined;
    throw thrown;
  }
}

/** Rows of the bands that rows `from` to `to` of the picture are made of, by how often the rows were halved. */
function rowsNeeded(coding: Coding, from: number, to: number): readonly (readonly [number, number])[] {
  const byDepth: (readonly [number, number])[] = [[from, to]];
  for (let depth = 1; depth <= coding.levels; depth++) {
    const [first, last] = byDepth[depth - 1] as readonly [number, number];
    byDepth.push([Math.floor(first / 2) - reach, Math.ceil(last / 2) + reach]);
  }
  return byDepth;
}

/** Both strips decode the blocks at their border. Blocks begin at multiples of 64: a border beside those touches one row of them. */
const grain = 64;
const aside = 32;

/** The first strip stays on the thread that divides: it has this much more of a share, for the way to the others and back. */
const ownExtra = 0.05;

/** Borders of strips, 0 and the number of rows among them, so that each has about as many coded bytes: their number is the work. */
function cutsOf(all: readonly Packets[], coding: Coding, count: number): number[] {
  const { top, bottom } = coding.picture;
  const rows = bottom - top;
  const bytes = new Float64Array(Math.ceil(rows / grain));
  let sum = 0;
  for (const { blocksOf } of all)
    for (const bands of blocksOf.values())
      for (const block of bands.flat()) {
        const middle = ((block.top + block.bottom) / 2) * 2 ** block.depth - top;
        const bin = Math.min(bytes.length - 1, Math.max(0, Math.floor(middle / grain)));
        bytes[bin] = (bytes[bin] as number) + block.bytes;
        sum += block.bytes;
      }
  const cuts = [0];
  let before = 0;
  for (const [bin, here] of bytes.entries()) {
    before += here;
    const row = (bin + 1) * grain - aside;
    const isDue = before >= (sum * (cuts.length + ownExtra)) / (count + ownExtra);
    if (isDue && cuts.length < count && row - (cuts.at(-1) as number) >= fewestRows && rows - row >= fewestRows)
      cuts.push(row);
  }
  return [...cuts, rows];
}

type Tile = { readonly index: number; readonly header: readonly Uint8Array[]; readonly data: Uint8Array };

/** Of a codestream whose skeleton `readCodestream` has checked. */
function dissected(data: Uint8Array): {
  readonly coding: Coding;
  readonly header: Uint8Array;
  readonly tiles: ReadonlyMap<number, Tile>;
} {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const segments: Uint8Array[] = [];
  let style: DataView | undefined;
  let size: DataView | undefined;
  let at = 2;
  for (let marker = view.getUint16(at); marker !== sot; marker = view.getUint16(at)) {
    const end = at + 2 + view.getUint16(at + 2);
    if (end + 2 > data.length) throw new UnreadablePackets('no tile');
    const segment = data.slice(at, end);
    const own = new DataView(segment.buffer);
    if (marker === siz) size = own;
    else if (marker === cod) {
      if (style !== undefined) throw new UnreadablePackets('two coding styles');
      style = own;
    } else if (!copied.has(marker) && !dropped.has(marker)) throw new UnreadablePackets('a rare main header');
    if (!dropped.has(marker)) segments.push(segment);
    at = end;
  }
  if (size === undefined || style === undefined) throw new UnreadablePackets('no coding style');
  const coding = codingOf(size, style);
  // Start-of-packet markers may be left out where they were announced; the codec complains of each.
  style.setUint8(4, style.getUint8(4) & ~2);
  return { coding, header: joined([word(soc), ...segments]), tiles: tilesOf(data, at, coding) };
}

function codingOf(size: DataView, style: DataView): Coding {
  const long = (at: number) => size.getUint32(at);
  const picture = { left: long(14), top: long(18), right: long(6), bottom: long(10) };
  const tile = { wide: long(22), high: long(26), left: long(30), top: long(34) };
  const tilesAcross = Math.ceil((picture.right - tile.left) / tile.wide);
  const levels = style.getUint8(9);
  const ownPrecincts = (style.getUint8(4) & 1) !== 0;
  if (levels > 32 || style.byteLength < 14 + (ownPrecincts ? levels + 1 : 0))
    throw new UnreadablePackets('a coding style cut off');
  if ((style.getUint8(12) & otherParts) !== 0) throw new UnreadablePackets('code blocks of a rare style');
  const [blockWide, blockHigh] = [style.getUint8(10) + 2, style.getUint8(11) + 2];
  if (blockWide > 10 || blockHigh > 10) throw new UnreadablePackets('code blocks too large');
  return {
    picture,
    tile,
    tilesAcross,
    tiles: tilesAcross * Math.ceil((picture.bottom - tile.top) / tile.high),
    components: size.getUint16(38),
    order: style.getUint8(5),
    layers: style.getUint16(6),
    levels,
    blockWide,
    blockHigh,
    precincts: Array.from({ length: levels + 1 }, (_, resolution) => {
      const both = ownPrecincts ? style.getUint8(14 + resolution) : 0xff;
      return { wide: both & 15, high: both >> 4 };
    }),
    mayHaveSop: (style.getUint8(4) & 2) !== 0,
    hasEph: (style.getUint8(4) & 4) !== 0,
  };
}

/** Tile-parts joined, in the order of their first ones. */
function tilesOf(data: Uint8Array, from: number, coding: Coding): Map<number, Tile> {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const parts = new Map<number, { header: Uint8Array[]; bodies: Uint8Array[] }>();
  let at = from;
  while (at + 12 <= data.length && view.getUint16(at) === sot) {
    const index = view.getUint16(at + 4);
    const length = view.getUint32(at + 6);
    let end = at + length;
    if (length === 0) end = lastMarker(data);
    if (end > data.length || index >= coding.tiles) throw new UnreadablePackets('a tile-part that leads outside');
    const isFirst = !parts.has(index);
    const tile = parts.get(index) ?? { header: [], bodies: [] };
    if ((view.getUint8(at + 10) === 0) !== isFirst) throw new UnreadablePackets('tile-parts out of order');
    parts.set(index, tile);
    at += 12;
    for (; at + 4 <= end && view.getUint16(at) !== sod; at += 2 + view.getUint16(at + 2)) {
      const marker = view.getUint16(at);
      if (dropped.has(marker)) continue;
      if (!copied.has(marker) || !isFirst) throw new UnreadablePackets('a rare tile header');
      tile.header.push(data.slice(at, at + 2 + view.getUint16(at + 2)));
    }
    if (at + 2 > end || view.getUint16(at) !== sod) throw new UnreadablePackets('a tile-part without data');
    tile.bodies.push(data.subarray(at + 2, end));
    at = end;
  }
  if (parts.size !== coding.tiles) throw new UnreadablePackets('tiles are missing');
  return new Map(
    [...parts].map(([index, { header, bodies }]) => [
      index,
      { index, header, data: bodies.length === 1 ? (bodies[0] as Uint8Array) : joined(bodies) },
    ]),
  );
}

function lastMarker(data: Uint8Array): number {
  let end = data.length;
  while (end > 0 && data[end - 1] === 0) end -= 1;
  return end - 2;
}

function tilePart({ index, header }: Tile, body: readonly Uint8Array[]): Uint8Array[] {
  const start = new DataView(new ArrayBuffer(12));
  const length = [...header, ...body].reduce((sum, piece) => sum + piece.length, start.byteLength + 2);
  start.setUint16(0, sot);
  start.setUint16(2, 10);
  start.setUint16(4, index);
  start.setUint32(6, length);
  // The first of one tile-part.
  start.setUint8(10, 0);
  start.setUint8(11, 1);
  return [new Uint8Array(start.buffer), ...header, word(sod), ...body];
}

const word = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
