/** Arithmetic on pixel values that is small each time and many pixels long: it lets the event loop turn in between. */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** About half a millisecond. */
const perSlice = 500_000;

async function inSlices(length: number, work: (from: number, to: number) => void): Promise<void> {
  for (let from = 0; from < length; from += perSlice) {
    if (from > 0) await nextTurn();
    work(from, Math.min(from + perSlice, length));
  }
}

export const multiplyAdd = (plane: Float32Array, by: number, plus: number): Promise<void> =>
  inSlices(plane.length, (from, to) => {
    for (let at = from; at < to; at += 1) plane[at] = plane[at]! * by + plus;
  });

export const subtractDivide = (plane: Float32Array, minus: number, divisor: number): Promise<void> =>
  inSlices(plane.length, (from, to) => {
    for (let at = from; at < to; at += 1) plane[at] = (plane[at]! - minus) / divisor;
  });

/** `low` becomes 0, `high` 1, and what lies beyond is cut off. */
export const stretchToUnit = (plane: Float32Array, low: number, high: number): Promise<void> => {
  const width = high - low || 1;
  return inSlices(plane.length, (from, to) => {
    for (let at = from; at < to; at += 1) {
      const value = (plane[at]! - low) / width;
      plane[at] = value < 0 ? 0 : value > 1 ? 1 : value;
    }
  });
};

/** A loop: `every` calls a function for each of them, nine times as long. */
export function areFinite(values: Float32Array): boolean {
  for (let at = 0; at < values.length; at += 1) if (!Number.isFinite(values[at])) return false;
  return true;
}

export function rangeOf(planes: readonly Float32Array[]): [least: number, most: number] {
  let [least, most] = [Infinity, -Infinity];
  for (const plane of planes)
    for (let at = 0; at < plane.length; at += 1) {
      const value = plane[at]!;
      if (value < least) least = value;
      if (value > most) most = value;
    }
  return [least, most];
}

/** Mean and population standard deviation, in two passes: the short formula loses digits on nearly even pictures. */
export function spread(planes: readonly Float32Array[]): { mean: number; standardDeviation: number } {
  let [sum, count] = [0, 0];
  for (const plane of planes) {
    for (let at = 0; at < plane.length; at += 1) sum += plane[at]!;
    count += plane.length;
  }
  const mean = count === 0 ? 0 : sum / count;
  let squares = 0;
  for (const plane of planes)
    for (let at = 0; at < plane.length; at += 1) {
      const away = plane[at]! - mean;
      squares += away * away;
    }
  return { mean, standardDeviation: count === 0 ? 0 : Math.sqrt(squares / count) };
}

/**
 * As numpy.percentile: the straight line between the two nearest values. Found by counting, twice sixteen bits of
 * the number, as sorting seven million of them takes half a second.
 */
export async function percentilesOf(
  planes: readonly Float32Array[],
  [low, high]: readonly [number, number],
): Promise<[number, number]> {
  const count = planes.reduce((sum, { length }) => sum + length, 0);
  const upper = new Uint32Array(65_536);
  for (const plane of planes) {
    const bits = new Uint32Array(plane.buffer, plane.byteOffset, plane.length);
    await inSlices(bits.length, (from, to) => {
      for (let at = from; at < to; at += 1) upper[ordered(bits[at]!) >>> 16]! += 1;
    });
  }
  const atRank = async (rank: number): Promise<number> => {
    let [bucket, before] = [0, 0];
    while (before + upper[bucket]! <= rank) before += upper[bucket++]!;
    const lower = new Uint32Array(65_536);
    for (const plane of planes) {
      const bits = new Uint32Array(plane.buffer, plane.byteOffset, plane.length);
      await inSlices(bits.length, (from, to) => {
        for (let at = from; at < to; at += 1) {
          const key = ordered(bits[at]!);
          if (key >>> 16 === bucket) lower[key & 0xffff]! += 1;
        }
      });
    }
    let rest = 0;
    while (before + lower[rest]! <= rank) before += lower[rest++]!;
    return numberOf(((bucket << 16) | rest) >>> 0);
  };
  const at = async (percent: number): Promise<number> => {
    const place = ((count - 1) * percent) / 100;
    const [below, share] = [Math.floor(place), place - Math.floor(place)];
    const value = await atRank(below);
    return share === 0 ? value : value + share * ((await atRank(below + 1)) - value);
  };
  return [await at(low), await at(high)];
}

/** IEEE 754 numbers in the order of their size: negative ones have every bit turned, others the sign alone. */
const ordered = (bits: number): number => (bits >>> 31 === 1 ? ~bits >>> 0 : (bits | 0x80000000) >>> 0);
const scratch = new DataView(new ArrayBuffer(4));
function numberOf(key: number): number {
  scratch.setUint32(0, key >>> 31 === 1 ? key & 0x7fffffff : ~key >>> 0);
  return scratch.getFloat32(0);
}
