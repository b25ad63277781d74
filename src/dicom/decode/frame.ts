/** What every codec takes and gives: one frame. */
import { WetreadError } from '../../domain/errors.ts';
import type { PixelShape } from './shape.ts';

export type DecodedFrame = {
  readonly rows: number;
  readonly columns: number;
  readonly components: number;
  /** Precision of the codestream, which may be less or more than Bits Stored claims. */
  readonly bits: number;
  /** Colour by pixel. Codecs without a sign of their own give the bit pattern. */
  readonly values: Uint8Array | Uint16Array | Uint32Array;
  /** Lossy codecs may overshoot Bits Stored: such values are clamped, where the unused bits of lossless ones are cut off. */
  readonly lossy: boolean;
  /** The codec turned its colours into RGB on the way. */
  readonly becameRgb: boolean;
};

/** Rows of a picture, and a codestream of the picture's size in which they are right. */
export type Strip = { readonly from: number; readonly to: number; readonly codestream: Uint8Array };

/** Another thread, which decodes a strip meanwhile; it takes the strip's memory. One strip at a time. */
export type StripDecoder = (strip: Strip) => Promise<Uint8Array | Uint16Array>;

/** `others`: threads lent for this file. Throws `dicom.corrupt-pixel-data` or `dicom.unsupported-pixels`. */
export type FrameCodec = (
  encoded: Uint8Array,
  shape: PixelShape,
  others: readonly StripDecoder[],
) => Promise<DecodedFrame> | DecodedFrame;

export const corrupt = (detail: string, cause?: unknown) =>
  new WetreadError('dicom.corrupt-pixel-data', detail, cause === undefined ? undefined : { cause });
export const unsupported = (detail: string) => new WetreadError('dicom.unsupported-pixels', detail);

/** WebAssembly codecs take eight bytes and more for each sample; only pathology, in tiles, has larger pictures than this. */
const mostSamples = 64 * 1024 * 1024;

/** A compressed frame that claims more than its bytes can hold is refused before memory is taken for it. */
export function demandEnoughBits(encoded: Uint8Array, bitsAtLeast: number, shape: PixelShape): void {
  const samples = shape.rows * shape.columns * shape.samplesPerPixel;
  // Bits are counted in 32-bit numbers.
  if (encoded.length >= 2 ** 28)
    throw new WetreadError('dicom.too-large', `a compressed frame of ${encoded.length} bytes`);
  if (samples > mostSamples) throw new WetreadError('dicom.too-large', `a compressed frame of ${samples} samples`);
  if (encoded.length * 8 < bitsAtLeast)
    throw corrupt(`${encoded.length} bytes for ${shape.columns} × ${shape.rows} pixels`);
}

/** Checked before decoding where the codestream says its size early, so that a small file cannot claim gigabytes. */
export function demandSize(found: { rows: number; columns: number; components: number }, shape: PixelShape): void {
  if (found.rows !== shape.rows || found.columns !== shape.columns || found.components !== shape.samplesPerPixel) {
    throw corrupt(
      `the picture is ${found.columns} × ${found.rows} × ${found.components}, the header says ${shape.columns} × ${shape.rows} × ${shape.samplesPerPixel}`,
    );
  }
}
