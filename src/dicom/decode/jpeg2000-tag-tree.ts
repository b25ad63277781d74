/** Tag trees (ITU-T T.800 B.10.2): a field of numbers, each told as far as was asked, together with what its neighbours share. */
import { UnreadablePackets, type BitReader, type BitWriter } from './jpeg2000-packet-bits.ts';

/** More than any layer or bit plane is numbered; a leaf that nobody asks for may have it. */
export const never = 0x1_0000;

type Level = { readonly wide: number; readonly high: number; readonly from: number };

/** Leaves first, the root last. */
function levelsOf(wide: number, high: number): Level[] {
  const levels: Level[] = [{ wide, high, from: 0 }];
  for (;;) {
    const below = levels.at(-1) as Level;
    if (below.wide * below.high <= 1) return levels;
    const [halfWide, halfHigh] = [(below.wide + 1) >> 1, (below.high + 1) >> 1];
    levels.push({ wide: halfWide, high: halfHigh, from: below.from + below.wide * below.high });
  }
}

const sizeOf = (levels: readonly Level[]): number => {
  const { from, wide, high } = levels.at(-1) as Level;
  return from + wide * high;
};

/** The node above a leaf, or the leaf itself on level 0. Asked for every code block and level: no list is made of it. */
function nodeOf(levels: readonly Level[], leaf: number, up: number): number {
  const { wide } = levels[0] as Level;
  const level = levels[up] as Level;
  return level.from + (Math.floor(leaf / wide) >> up) * level.wide + ((leaf % wide) >> up);
}

export type TagTreeReader = {
  /** Whether the leaf's number lies under `limit`. */
  isUnder(leaf: number, limit: number, bits: BitReader): boolean;
  /** The leaf's number, told to the end. */
  value(leaf: number, bits: BitReader, most: number): number;
};

export function tagTreeReader(wide: number, high: number): TagTreeReader {
  const levels = levelsOf(wide, high);
  const values = new Int32Array(sizeOf(levels)).fill(never);
  const lows = new Int32Array(values.length);
  const isUnder = (leaf: number, limit: number, bits: BitReader): boolean => {
    let low = 0;
    for (let up = levels.length - 1; up >= 0; up--) {
      const node = nodeOf(levels, leaf, up);
      low = Math.max(low, lows[node] as number);
      while (low < limit && low < (values[node] as number)) {
        if (bits.bit() === 1) values[node] = low;
        else low += 1;
      }
      lows[node] = low;
    }
    return (values[leaf] as number) < limit;
  };
  return {
    isUnder,
    value(leaf, bits, most) {
      for (let limit = 1; limit <= most + 1; limit++) if (isUnder(leaf, limit, bits)) return limit - 1;
      throw new UnreadablePackets('a number out of range in a tag tree');
    },
  };
}

export type TagTreeWriter = {
  /** Tells whether the leaf's number lies under `limit`; what was told before is not told again. */
  tell(leaf: number, limit: number, bits: BitWriter): void;
};

export function tagTreeWriter(wide: number, high: number, leaves: readonly number[]): TagTreeWriter {
  const levels = levelsOf(wide, high);
  const values = new Int32Array(sizeOf(levels)).fill(never);
  for (const [leaf, value] of leaves.entries())
    for (let up = 0; up < levels.length; up++) {
      const node = nodeOf(levels, leaf, up);
      if (value >= (values[node] as number)) break;
      values[node] = value;
    }
  const lows = new Int32Array(values.length);
  const told = new Uint8Array(values.length);
  return {
    tell(leaf, limit, bits) {
      let low = 0;
      for (let up = levels.length - 1; up >= 0; up--) {
        const node = nodeOf(levels, leaf, up);
        low = Math.max(low, lows[node] as number);
        while (low < limit) {
          if (low >= (values[node] as number)) {
            if (told[node] === 0) bits.bit(1);
            told[node] = 1;
            break;
          }
          bits.bit(0);
          low += 1;
        }
        lows[node] = low;
      }
    },
  };
}
