/** JPEG 2000 Part 1 by OpenJPEG, on several threads where others are idle: transfer syntaxes .90 (lossless) and .91. */
import openjpeg from '@cornerstonejs/codec-openjpeg/decodewasmjs';
import {
  corrupt,
  demandEnoughBits,
  demandSize,
  unsupported,
  type DecodedFrame,
  type Strip,
  type StripDecoder,
} from './frame.ts';
import { codestreamOf, readCodestream } from './jpeg2000-codestream.ts';
import { stripsOf } from './jpeg2000-strips.ts';
import type { PixelShape } from './shape.ts';
import { wasmCodec } from './wasm.ts';

const decode = wasmCodec(
  openjpeg,
  (module) => new module.J2KDecoder(),
  (decoder) => ({ reversible: decoder.getIsReversible() }),
);

/** Below this many coded bytes one thread is done before a strip has reached another. */
const fewestBytes = 300_000;

export async function decodeJpeg2000(
  data: Uint8Array,
  shape: PixelShape,
  others: readonly StripDecoder[],
): Promise<DecodedFrame> {
  const codestream = codestreamOf(data);
  const header = readCodestream(codestream);
  demandSize(header, shape);
  demandEnoughBits(codestream, 0, shape); // flat pictures take next to nothing
  if (header.bits > 16) throw unsupported(`${header.bits} bits in JPEG 2000`);
  const isLarge = others.length > 0 && codestream.length >= fewestBytes;
  const strips = isLarge ? stripsOf(codestream, others.length + 1) : undefined;
  const { info, values, extra } = await (strips === undefined ? decode(codestream) : decodeStrips(strips, others));
  demandSize({ rows: info.height, columns: info.width, components: info.componentCount }, shape);
  return {
    rows: info.height,
    columns: info.width,
    components: info.componentCount,
    bits: info.bitsPerSample,
    values,
    lossy: !extra.reversible,
    // YBR_RCT and YBR_ICT are transformations inside the codestream, which the codec has undone.
    becameRgb: shape.photometric === 'YBR_RCT' || shape.photometric === 'YBR_ICT',
  };
}

async function decodeStrips([own, ...rest]: readonly Strip[], others: readonly StripDecoder[]) {
  // The others begin first: this thread does nothing else while it decodes.
  const elsewhere = rest.map((strip, index) => others[index]!(strip));
  const [whole, ...parts] = await Promise.all([decode(own!.codestream), ...elsewhere]);
  const perRow = whole.info.width * whole.info.componentCount;
  for (const [index, rows] of parts.entries()) {
    const { from, to } = rest[index] as Strip;
    if (rows.length !== (to - from) * perRow) throw corrupt('a strip of another size');
    whole.values.set(rows, from * perRow);
  }
  return whole;
}

/** A strip's rows, in memory of their own. */
export async function decodeStrip({ from, to, codestream }: Strip): Promise<Uint8Array | Uint16Array> {
  return (await decode(codestream, { from, to })).values;
}
