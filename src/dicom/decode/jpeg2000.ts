/** JPEG 2000 Part 1 by OpenJPEG: transfer syntaxes .90 (lossless) and .91. */
import openjpeg from '@cornerstonejs/codec-openjpeg/decodewasmjs';
import { demandEnoughBits, demandSize, unsupported, type DecodedFrame } from './frame.ts';
import { codestreamOf, readCodestream } from './jpeg2000-codestream.ts';
import type { PixelShape } from './shape.ts';
import { wasmCodec } from './wasm.ts';

const decode = wasmCodec(
  openjpeg,
  (module) => new module.J2KDecoder(),
  (decoder) => ({ reversible: decoder.getIsReversible() }),
);

export async function decodeJpeg2000(data: Uint8Array, shape: PixelShape): Promise<DecodedFrame> {
  const codestream = codestreamOf(data);
  const header = readCodestream(codestream);
  demandSize(header, shape);
  demandEnoughBits(codestream, 0, shape); // flat pictures take next to nothing
  if (header.bits > 16) throw unsupported(`${header.bits} bits in JPEG 2000`);
  const { info, values, extra } = await decode(codestream);
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
