/** Pictures by formula as JPEG 2000 codestreams, for tests. */
import openjpeg, { type Encoder } from '@cornerstonejs/codec-openjpeg/wasmjs';

export type Picture = { readonly rows: number; readonly columns: number; readonly bits: number };

/** Waves with the grain of a detector. */
export function picture({ rows, columns, bits }: Picture): Uint16Array {
  let state = 1561;
  const most = 2 ** bits - 1;
  return Uint16Array.from({ length: rows * columns }, (_, index) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    const wave = Math.sin((index % columns) / 40) * Math.cos(index / columns / 33);
    return Math.round(most * (0.5 + 0.4 * wave + 0.02 * ((state >>> 8) / 2 ** 24)));
  });
}

export async function jpeg2000(
  values: Uint16Array,
  { rows, columns, bits }: Picture,
  set: (encoder: Encoder) => void = () => {},
): Promise<Uint8Array> {
  const { J2KEncoder } = await openjpeg({ print: () => {}, printErr: () => {} });
  const encoder = new J2KEncoder();
  const frame = { width: columns, height: rows, bitsPerSample: bits, componentCount: 1, isSigned: false };
  encoder.getDecodedBuffer({ ...frame, isUsingColorTransform: false }).set(new Uint8Array(values.buffer));
  encoder.setQuality(true, 0);
  set(encoder);
  encoder.encode();
  const code = encoder.getEncodedBuffer().slice();
  encoder.delete();
  return code;
}
