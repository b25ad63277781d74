/** High-Throughput JPEG 2000 by OpenJPH: transfer syntaxes .201 (lossless), .202 (lossless, RPCL) and .203. */
import openjph from '@cornerstonejs/codec-openjph/wasmjs';
import { corrupt, demandEnoughBits, demandSize, unsupported, type DecodedFrame } from './frame.ts';
import { codestreamOf, readCodestream } from './jpeg2000-codestream.ts';
import type { PixelShape } from './shape.ts';
import { wasmCodec } from './wasm.ts';

const decode = wasmCodec(
  openjph,
  (module) => new module.HTJ2KDecoder(),
  (decoder) => ({ reversible: decoder.getIsReversible() }),
);

export async function decodeHtj2k(data: Uint8Array, shape: PixelShape): Promise<DecodedFrame> {
  const codestream = codestreamOf(data);
  const header = readCodestream(codestream);
  if (!header.highThroughput) throw corrupt('a JPEG 2000 codestream that is not high-throughput');
  demandSize(header, shape);
  demandEnoughBits(codestream, 0, shape); // flat pictures take next to nothing
  if (header.bits > 16) throw unsupported(`${header.bits} bits in HTJ2K`);
  const { info, values, extra } = await decode(codestream);
  demandSize({ rows: info.height, columns: info.width, components: info.componentCount }, shape);
  return {
    rows: info.height,
    columns: info.width,
    components: info.componentCount,
    bits: info.bitsPerSample,
    values,
    lossy: !extra.reversible,
    becameRgb: shape.photometric === 'YBR_RCT' || shape.photometric === 'YBR_ICT',
  };
}
