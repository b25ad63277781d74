/** Where a JPEG 2000 codestream keeps what (ITU-T T.800 annex B): tiles, resolutions, precincts, code blocks, and the packets' order. */
import { UnreadablePackets } from './jpeg2000-packet-bits.ts';

/** Half-open ranges of columns and rows. */
export type Area = { readonly left: number; readonly top: number; readonly right: number; readonly bottom: number };

export type Coding = {
  readonly picture: Area;
  /** The tiles' size, and where the first begins. */
  readonly tile: { readonly wide: number; readonly high: number; readonly left: number; readonly top: number };
  readonly tilesAcross: number;
  readonly tiles: number;
  readonly components: number;
  /** LRCP, RLCP, RPCL, PCRL, CPRL (table A.16). */
  readonly order: number;
  readonly layers: number;
  /** Decompositions: there is one resolution more. */
  readonly levels: number;
  /** Of code blocks, as powers of two. */
  readonly blockWide: number;
  readonly blockHigh: number;
  /** Of precincts, as powers of two, by resolution. */
  readonly precincts: readonly { readonly wide: number; readonly high: number }[];
  readonly mayHaveSop: boolean;
  readonly hasEph: boolean;
};

/** Only the rows matter to whoever divides a picture into strips. */
export type CodeBlock = { readonly top: number; readonly bottom: number };

export type Band = {
  /** How often rows were halved: a row here stands for 2^depth of the picture. */
  readonly depth: number;
  /** Code blocks across and down, within one precinct. */
  readonly wide: number;
  readonly high: number;
  readonly blocks: readonly CodeBlock[];
};

export type Precinct = {
  readonly resolution: number;
  readonly component: number;
  readonly bands: readonly Band[];
};

export const tileArea = (coding: Coding, index: number): Area => {
  const { tile, picture, tilesAcross } = coding;
  const left = tile.left + (index % tilesAcross) * tile.wide;
  const top = tile.top + Math.floor(index / tilesAcross) * tile.high;
  return {
    left: Math.max(left, picture.left),
    top: Math.max(top, picture.top),
    right: Math.min(left + tile.wide, picture.right),
    bottom: Math.min(top + tile.high, picture.bottom),
  };
};

const up = (value: number, power: number): number => Math.ceil(value / 2 ** power);
const down = (value: number, power: number): number => Math.floor(value / 2 ** power);

const halved = ({ left, top, right, bottom }: Area, times: number): Area => ({
  left: up(left, times),
  top: up(top, times),
  right: up(right, times),
  bottom: up(bottom, times),
});

type Placed = Precinct & { readonly x: number; readonly y: number; readonly index: number };

/** More would be no radiograph: every one costs memory here, and the codec reads such a picture as well. */
const mostBlocks = 1_000_000;

/** Each packet's precinct, and its layer, in the order of the codestream. */
export function packetsOf(coding: Coding, tile: Area): { readonly precinct: Precinct; readonly layer: number }[] {
  const precincts: Placed[] = [];
  let blocks = 0;
  for (let component = 0; component < coding.components; component++)
    for (let resolution = 0; resolution <= coding.levels; resolution++)
      for (const placed of precinctsOf(coding, tile, component, resolution)) {
        precincts.push(placed);
        for (const band of placed.bands) blocks += band.blocks.length;
        if (Math.max(blocks, precincts.length) * coding.layers > mostBlocks)
          throw new UnreadablePackets('very many code blocks');
      }
  const by = (...keys: readonly ((one: Placed) => number)[]) =>
    precincts.toSorted((one, other) => {
      for (const key of keys) if (key(one) !== key(other)) return key(one) - key(other);
      return one.index - other.index;
    });
  const resolution = ({ resolution: value }: Placed) => value;
  const component = ({ component: value }: Placed) => value;
  const x = ({ x: value }: Placed) => value;
  const y = ({ y: value }: Placed) => value;
  const layers = Array.from({ length: coding.layers }, (_, layer) => layer);
  const withLayers = (ordered: readonly Placed[]) =>
    ordered.flatMap((precinct) => layers.map((layer) => ({ precinct, layer })));
  switch (coding.order) {
    case 0: {
      const ordered = by(resolution, component);
      return layers.flatMap((layer) => ordered.map((precinct) => ({ precinct, layer })));
    }
    case 1: {
      const ordered = by(resolution, component);
      return Array.from({ length: coding.levels + 1 }, (_, wanted) =>
        ordered.filter((precinct) => precinct.resolution === wanted),
      ).flatMap((those) => layers.flatMap((layer) => those.map((precinct) => ({ precinct, layer }))));
    }
    case 2:
      return withLayers(by(resolution, y, x, component));
    case 3:
      return withLayers(by(y, x, component, resolution));
    case 4:
      return withLayers(by(component, y, x, resolution));
    default:
      throw new UnreadablePackets('an unknown progression order');
  }
}

function* precinctsOf(coding: Coding, tile: Area, component: number, resolution: number): Generator<Placed> {
  const depth = coding.levels - resolution;
  const area = halved(tile, depth);
  if (area.left >= area.right || area.top >= area.bottom) return;
  const size = coding.precincts[resolution];
  if (size === undefined || (resolution > 0 && (size.wide === 0 || size.high === 0)))
    throw new UnreadablePackets('precincts without a size');
  const [firstX, lastX] = [down(area.left, size.wide), up(area.right, size.wide)];
  const [firstY, lastY] = [down(area.top, size.high), up(area.bottom, size.high)];
  if ((lastX - firstX) * (lastY - firstY) > mostBlocks) throw new UnreadablePackets('very many precincts');
  for (let row = firstY; row < lastY; row++)
    for (let column = firstX; column < lastX; column++) {
      // One that begins before the tile is met at the tile's first row or column (B.12.1.3).
      const startsAt = (cell: number, power: number, low: number, edge: number) =>
        cell * 2 ** power < low ? edge : cell * 2 ** (power + depth);
      yield {
        resolution,
        component,
        index: (row - firstY) * (lastX - firstX) + column - firstX,
        x: startsAt(column, size.wide, area.left, tile.left),
        y: startsAt(row, size.high, area.top, tile.top),
        bands: bandsOf(coding, tile, resolution, { column, row, ...size }),
      };
    }
}

type Cell = { readonly column: number; readonly row: number; readonly wide: number; readonly high: number };

/** The low band of resolution 0; of any other the bands HL, LH and HH, in this order. */
function bandsOf(coding: Coding, tile: Area, resolution: number, cell: Cell): Band[] {
  if (resolution === 0) return [bandOf(coding, halved(tile, coding.levels), coding.levels, cell)];
  const depth = coding.levels - resolution + 1;
  const inBand = { ...cell, wide: cell.wide - 1, high: cell.high - 1 };
  return [
    [1, 0],
    [0, 1],
    [1, 1],
  ].map(([right, bottom]) => {
    const [aside, below] = [(right as number) * 2 ** (depth - 1), (bottom as number) * 2 ** (depth - 1)];
    const moved = {
      left: tile.left - aside,
      right: tile.right - aside,
      top: tile.top - below,
      bottom: tile.bottom - below,
    };
    return bandOf(coding, halved(moved, depth), depth, inBand);
  });
}

function bandOf(coding: Coding, band: Area, depth: number, { column, row, wide, high }: Cell): Band {
  const left = Math.max(band.left, column * 2 ** wide);
  const right = Math.min(band.right, (column + 1) * 2 ** wide);
  const top = Math.max(band.top, row * 2 ** high);
  const bottom = Math.min(band.bottom, (row + 1) * 2 ** high);
  if (left >= right || top >= bottom) return { depth, wide: 0, high: 0, blocks: [] };
  const [blockWide, blockHigh] = [Math.min(coding.blockWide, wide), Math.min(coding.blockHigh, high)];
  const [firstX, lastX] = [down(left, blockWide), up(right, blockWide)];
  const [firstY, lastY] = [down(top, blockHigh), up(bottom, blockHigh)];
  if ((lastX - firstX) * (lastY - firstY) > mostBlocks) throw new UnreadablePackets('very many code blocks');
  const blocks: CodeBlock[] = [];
  for (let y = firstY; y < lastY; y++) {
    const block = { top: Math.max(top, y * 2 ** blockHigh), bottom: Math.min(bottom, (y + 1) * 2 ** blockHigh) };
    for (let x = firstX; x < lastX; x++) blocks.push({ ...block });
  }
  return { depth, wide: lastX - firstX, high: lastY - firstY, blocks };
}
