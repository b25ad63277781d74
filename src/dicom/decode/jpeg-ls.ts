/** JPEG-LS by CharLS: transfer syntaxes .80 (lossless) and .81 (near-lossless). */
import charls from '@cornerstonejs/codec-charls/decodewasmjs';
import { demandEnoughBits, demandSize, type DecodedFrame } from './frame.ts';
import { demandEnd, frameHeaderOf } from './jpeg-markers.ts';
import { interleave } from './uncompressed.ts';
import type { PixelShape } from './shape.ts';
import { wasmCodec } from './wasm.ts';

const decode = wasmCodec(
  charls,
  (module) => new module.JpegLSDecoder(),
  (decoder) => ({ byPlane: decoder.getInterleaveMode() === 0, near: decoder.getNearLossless() }),
);

export async function decodeJpegLs(data: Uint8Array, shape: PixelShape): Promise<DecodedFrame> {
  const header = frameHeaderOf(data);
  demandSize({ rows: header.rows, columns: header.columns, components: header.components.length }, shape);
  demandEnd(data);
  demandEnoughBits(data, header.rows, shape); // a flat row is one run
  const { info, values, extra } = await decode(data);
  demandSize({ rows: info.height, columns: info.width, components: info.componentCount }, shape);
  return {
    rows: info.height,
    columns: info.width,
    components: info.componentCount,
    bits: info.bitsPerSample,
    values: extra.byPlane && info.componentCount === 3 ? interleave(values, shape) : values,
    lossy: extra.near > 0,
    becameRgb: false,
  };
}
