/** JPEG 2000 packets (ITU-T T.800 B.9, B.10): which bytes belong to which code block, and the same packets with some of the blocks only. */
import { packetsOf, type Area, type Coding, type CodeBlock, type Precinct } from './jpeg2000-layout.ts';
import { bitReader, bitWriter, UnreadablePackets, type BitReader, type BitWriter } from './jpeg2000-packet-bits.ts';
import { never, tagTreeReader, tagTreeWriter, type TagTreeReader, type TagTreeWriter } from './jpeg2000-tag-tree.ts';

/** What one packet has of one code block. */
type Part = {
  readonly passes: number;
  /** By how much the count of bits for lengths grows. */
  readonly growth: number;
  /** The length as it stands in the header: this many bits. */
  readonly lengthBits: number;
  readonly at: number;
  readonly length: number;
};

export type CodedBlock = CodeBlock & {
  readonly depth: number;
  /** The layer of its first part; `never` without any. */
  readonly firstLayer: number;
  readonly emptyPlanes: number;
  readonly bytes: number;
};

type Reading = {
  -readonly [Key in keyof CodedBlock]: CodedBlock[Key];
} & { lengthState: number; readonly parts: Map<number, Part> };

export type Packets = {
  readonly coding: Coding;
  readonly data: Uint8Array;
  readonly packets: readonly { readonly precinct: Precinct; readonly layer: number }[];
  readonly blocksOf: ReadonlyMap<Precinct, readonly (readonly Reading[])[]>;
};

/** Empty bit planes and guard bits together; a block with more has no bit left. */
const mostPlanes = 74;

/** `data`: the packets of one tile, all of its tile-parts joined. Throws `UnreadablePackets`. */
export function readPackets(coding: Coding, tile: Area, data: Uint8Array): Packets {
  const packets = packetsOf(coding, tile);
  const blocksOf = new Map<Precinct, Reading[][]>();
  const trees = new Map<Precinct, { inclusion: TagTreeReader; planes: TagTreeReader }[]>();
  let at = 0;
  for (const { precinct, layer } of packets) {
    let bands = blocksOf.get(precinct);
    if (bands === undefined) {
      bands = precinct.bands.map(({ blocks, depth }) => blocks.map((block) => unread(block, depth)));
      blocksOf.set(precinct, bands);
      trees.set(
        precinct,
        precinct.bands.map(({ wide, high }) => ({
          inclusion: tagTreeReader(wide, high),
          planes: tagTreeReader(wide, high),
        })),
      );
    }
    // Start of packet: marker 0xFF91, its length 4, a running number.
    if (coding.mayHaveSop && data[at] === 0xff && data[at + 1] === 0x91) at += 6;
    const bits = bitReader(data, at);
    const found: { block: Reading; passes: number; growth: number; lengthBits: number; length: number }[] = [];
    if (bits.bit() === 1)
      for (const [index, blocks] of bands.entries()) {
        const { inclusion, planes } = trees.get(precinct)![index]!;
        for (const [leaf, block] of blocks.entries()) {
          if (block.firstLayer === never) {
            if (!inclusion.isUnder(leaf, layer + 1, bits)) continue;
            block.firstLayer = layer;
            block.emptyPlanes = planes.value(leaf, bits, mostPlanes);
          } else if (bits.bit() === 0) continue;
          const passes = readPasses(bits);
          let growth = 0;
          while (bits.bit() === 1) growth += 1;
          block.lengthState += growth;
          const lengthBits = block.lengthState + Math.floor(Math.log2(passes));
          found.push({ block, passes, growth, lengthBits, length: bits.bits(lengthBits) });
        }
      }
    at = bits.end();
    if (coding.hasEph) {
      if (data[at] !== 0xff || data[at + 1] !== 0x92) throw new UnreadablePackets('a packet header without its end');
      at += 2;
    }
    for (const { block, ...part } of found) {
      block.parts.set(layer, { ...part, at });
      block.bytes += part.length;
      at += part.length;
    }
    if (at > data.length) throw new UnreadablePackets('a packet is cut off');
  }
  if (at !== data.length) throw new UnreadablePackets('bytes behind the last packet');
  return { coding, data, packets, blocksOf };
}

const unread = (block: CodeBlock, depth: number): Reading => ({
  ...block,
  depth,
  firstLayer: never,
  emptyPlanes: 0,
  bytes: 0,
  // Lblock begins at 3 (B.10.7.1).
  lengthState: 3,
  parts: new Map(),
});

/** Table B.4. */
function readPasses(bits: BitReader): number {
  if (bits.bit() === 0) return 1;
  if (bits.bit() === 0) return 2;
  const few = bits.bits(2);
  if (few < 3) return 3 + few;
  const more = bits.bits(5);
  return more < 31 ? 6 + more : 37 + bits.bits(7);
}

function writePasses(passes: number, bits: BitWriter): void {
  if (passes === 1) bits.bit(0);
  else if (passes === 2) bits.bits(0b10, 2);
  else if (passes < 6) bits.bits(0b1100 | (passes - 3), 4);
  else if (passes < 37) bits.bits(0b1111_00000 | (passes - 6), 9);
  else bits.bits(0b1111_11111_0000000 | (passes - 37), 16);
}

/** The same packets without the code blocks that are not wanted: as if those had no bit set. Without SOP and EPH markers. */
export function writePackets(
  { coding, data, packets, blocksOf }: Packets,
  isWanted: (block: CodedBlock) => boolean,
): Uint8Array[] {
  const written: Uint8Array[] = [];
  type Kept = { blocks: readonly (Reading | undefined)[]; inclusion: TagTreeWriter; planes: TagTreeWriter };
  const keptOf = new Map<Precinct, Kept[]>();
  for (const { precinct, layer } of packets) {
    let kept = keptOf.get(precinct);
    if (kept === undefined) {
      kept = (blocksOf.get(precinct) ?? []).map((all, band) => {
        const blocks = all.map((block) => (isWanted(block) ? block : undefined));
        const { wide, high } = precinct.bands[band]!;
        return {
          blocks,
          inclusion: tagTreeWriter(
            wide,
            high,
            blocks.map((block) => block?.firstLayer ?? never),
          ),
          planes: tagTreeWriter(
            wide,
            high,
            blocks.map((block) => (block === undefined || block.firstLayer === never ? never : block.emptyPlanes)),
          ),
        };
      });
      keptOf.set(precinct, kept);
    }
    const bits = bitWriter();
    const bodies: Uint8Array[] = [];
    const isEmpty = !kept.some(({ blocks }) => blocks.some((block) => block?.parts.has(layer)));
    bits.bit(isEmpty ? 0 : 1);
    if (!isEmpty)
      for (const { blocks, inclusion, planes } of kept)
        for (const [leaf, block] of blocks.entries()) {
          const part = block?.parts.get(layer);
          if (block === undefined || block.firstLayer >= layer) inclusion.tell(leaf, layer + 1, bits);
          else bits.bit(part === undefined ? 0 : 1);
          if (block === undefined || part === undefined) continue;
          if (block.firstLayer === layer) planes.tell(leaf, never, bits);
          writePasses(part.passes, bits);
          for (let count = 0; count < part.growth; count++) bits.bit(1);
          bits.bit(0);
          bits.bits(part.length, part.lengthBits);
          bodies.push(data.subarray(part.at, part.at + part.length));
        }
    written.push(bits.bytes());
    if (coding.hasEph) written.push(Uint8Array.of(0xff, 0x92));
    for (const body of bodies) written.push(body);
  }
  return written;
}
