/** Lossy JPEG: transfer syntaxes .50 and .51; 8 bits by libjpeg-turbo, 12 bits by our own. */
import turbo from '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs';
import { corrupt, demandEnoughBits, demandSize, unsupported, type DecodedFrame } from './frame.ts';
import { decodeJpegExtended12 } from './jpeg-extended12.ts';
import { demandEnd, frameHeaderOf, segments } from './jpeg-markers.ts';
import type { PixelShape } from './shape.ts';
import { wasmCodec } from './wasm.ts';

const decode = wasmCodec(
  turbo,
  (module) => new module.JPEGDecoder(),
  () => undefined,
);

export async function decodeJpegBaseline(data: Uint8Array, shape: PixelShape): Promise<DecodedFrame> {
  const header = frameHeaderOf(data);
  demandSize({ rows: header.rows, columns: header.columns, components: header.components.length }, shape);
  if (header.process === 0xc3) throw corrupt('a lossless codestream in a lossy transfer syntax');
  if (header.process > 0xc2) throw unsupported(`JPEG process ${header.process.toString(16)}`);
  if (header.precision === 12) return decodeJpegExtended12(data, shape);
  if (header.precision !== 8) throw unsupported(`${header.precision}-bit lossy JPEG`);
  demandEnd(data);
  // A block takes two codes and more; in progressive ones, or with colour shared by pixels, fewer.
  demandEnoughBits(data, header.process === 0xc2 ? 0 : (header.rows * header.columns) / 32, shape);
  const keepsRgb = shape.photometric === 'RGB' && !namesItsColours(data);
  const { info, values } = await decode(keepsRgb ? withAdobeMarker(data) : data);
  demandSize({ rows: info.height, columns: info.width, components: info.componentCount }, shape);
  return {
    rows: info.height,
    columns: info.width,
    components: info.componentCount,
    bits: 8,
    values,
    lossy: true,
    // libjpeg turns YCbCr into RGB by itself.
    becameRgb: info.componentCount === 3,
  };
}

/** JFIF (APP0) means YCbCr, Adobe (APP14) says which. */
function namesItsColours(data: Uint8Array): boolean {
  for (const { marker } of segments(data, 2)) if (marker === 0xe0 || marker === 0xee) return true;
  return false;
}

/** Without JFIF or Adobe marker libjpeg guesses YCbCr; DICOM's header knows better, and this marker tells it: "no transformation". */
function withAdobeMarker(data: Uint8Array): Uint8Array {
  const marker = [0xff, 0xee, 0x00, 0x0e, 0x41, 0x64, 0x6f, 0x62, 0x65, 0x00, 0x64, 0x00, 0x00, 0x00, 0x00, 0x00];
  const marked = new Uint8Array(data.length + marker.length);
  marked.set(data.subarray(0, 2));
  marked.set(marker, 2);
  marked.set(data.subarray(2), 2 + marker.length);
  return marked;
}
