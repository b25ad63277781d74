/** The bits of JPEG 2000 packet headers (ITU-T T.800 B.10): a byte after 0xFF has seven, so that no header looks like a marker. */

/** Thrown where a codestream is damaged, or uses what only the codec knows; whoever reads packets falls back on the codec. */
export class UnreadablePackets extends Error {}

export type BitReader = {
  bit(): 0 | 1;
  bits(count: number): number;
  /** Where the byte behind the header lies. */
  end(): number;
};

export function bitReader(data: Uint8Array, from: number): BitReader {
  let at = from;
  let byte = 0;
  let left = 0;
  const bit = (): 0 | 1 => {
    if (left === 0) {
      if (at >= data.length) throw new UnreadablePackets('a packet header is cut off');
      left = byte === 0xff ? 7 : 8;
      byte = data[at++] as number;
      if (left === 7 && byte > 0x7f) throw new UnreadablePackets('a marker inside a packet header');
    }
    left -= 1;
    return ((byte >> left) & 1) as 0 | 1;
  };
  return {
    bit,
    bits(count) {
      if (count > 31) throw new UnreadablePackets('a length of more than 31 bits');
      let value = 0;
      for (let index = 0; index < count; index++) value = (value << 1) | bit();
      return value;
    },
    // A header does not end in 0xFF: a byte of nothing but the stuffed bit follows.
    end: () => (byte === 0xff ? at + 1 : at),
  };
}

export type BitWriter = {
  bit(value: number): void;
  bits(value: number, count: number): void;
  /** The header so far, filled up to whole bytes. */
  bytes(): Uint8Array;
};

export function bitWriter(): BitWriter {
  const written: number[] = [];
  let byte = 0;
  let left = 8;
  const bit = (value: number): void => {
    left -= 1;
    byte |= value << left;
    if (left > 0) return;
    written.push(byte);
    left = byte === 0xff ? 7 : 8;
    byte = 0;
  };
  return {
    bit,
    bits(value, count) {
      for (let index = count - 1; index >= 0; index--) bit((value >>> index) & 1);
    },
    // Behind 0xFF seven bits are left, and a byte more follows even if none of them is used.
    bytes: () => Uint8Array.from(left < 8 ? [...written, byte] : written),
  };
}
