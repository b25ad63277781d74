/** From a dataset to stored values: which codec reads which transfer syntax, and what any of them must deliver. */
import { WetreadError } from '../../domain/errors.ts';
import type { PixelArray, StoredPixels } from '../../domain/image.ts';
import {
  deflatedLittleEndian,
  explicitBigEndian,
  explicitLittleEndian,
  implicitLittleEndian,
  type DicomDataset,
} from '../dataset.ts';
import { encapsulatedFrames } from '../encapsulated.ts';
import { corrupt, demandSize, type DecodedFrame, type FrameCodec } from './frame.ts';
import { decodeHtj2k } from './htj2k.ts';
import { decodeJpeg2000 } from './jpeg2000.ts';
import { decodeJpegBaseline } from './jpeg-baseline.ts';
import { decodeJpegLossless } from './jpeg-lossless.ts';
import { decodeJpegLs } from './jpeg-ls.ts';
import { decodeRle } from './rle.ts';
import { pixelShapeOf, samplesPerFrame, type PixelShape } from './shape.ts';
import { decodeUncompressedFrame, uncompressedFrames } from './uncompressed.ts';

const native: ReadonlySet<string> = new Set([
  implicitLittleEndian,
  explicitLittleEndian,
  deflatedLittleEndian,
  explicitBigEndian,
]);

const codecs: Readonly<Record<string, FrameCodec>> = {
  '1.2.840.10008.1.2.1.98': decodeUncompressedFrame,
  '1.2.840.10008.1.2.5': decodeRle,
  '1.2.840.10008.1.2.4.50': decodeJpegBaseline,
  '1.2.840.10008.1.2.4.51': decodeJpegBaseline,
  '1.2.840.10008.1.2.4.57': decodeJpegLossless,
  '1.2.840.10008.1.2.4.70': decodeJpegLossless,
  '1.2.840.10008.1.2.4.80': decodeJpegLs,
  '1.2.840.10008.1.2.4.81': decodeJpegLs,
  '1.2.840.10008.1.2.4.90': decodeJpeg2000,
  '1.2.840.10008.1.2.4.91': decodeJpeg2000,
  '1.2.840.10008.1.2.4.201': decodeHtj2k,
  '1.2.840.10008.1.2.4.202': decodeHtj2k,
  '1.2.840.10008.1.2.4.203': decodeHtj2k,
};

export const readableTransferSyntaxes: readonly string[] = [...native, ...Object.keys(codecs)];

/** Throws `dicom.*` errors. `maxBytes` limits what the pixels may take decoded. */
export async function decodePixels(dataset: DicomDataset, maxBytes: number): Promise<StoredPixels> {
  if (!readableTransferSyntaxes.includes(dataset.transferSyntaxUid)) {
    // A report in an unknown syntax is a report first.
    if (dataset.pixelData === undefined) throw new WetreadError('dicom.no-pixel-data');
    throw new WetreadError('dicom.unknown-transfer-syntax', dataset.transferSyntaxUid);
  }
  const shape = pixelShapeOf(dataset, maxBytes);
  const each = samplesPerFrame(shape);
  let values: PixelArray | undefined;
  let photometric = shape.photometric;
  let frame = 0;
  for await (const decoded of framesOf(dataset, shape)) {
    demandSize(decoded, shape);
    if (decoded.values.length !== each) throw corrupt(`${decoded.values.length} values for ${each} pixels`);
    const stored = storedValues(decoded, shape);
    if (shape.frames === 1) values = stored;
    else (values ??= emptyValues(shape, each * shape.frames)).set(stored, frame * each);
    if (decoded.becameRgb) photometric = 'RGB';
    // The colour of a pair of pixels has been given to both.
    else if (photometric === 'YBR_FULL_422') photometric = 'YBR_FULL';
    frame += 1;
  }
  if (values === undefined || frame !== shape.frames) throw corrupt(`${frame} of ${shape.frames} frames`);
  const { rows, columns, frames, samplesPerPixel, bitsAllocated, bitsStored, signed } = shape;
  return { rows, columns, frames, samplesPerPixel, bitsAllocated, bitsStored, signed, photometric, values };
}

async function* framesOf(dataset: DicomDataset, shape: PixelShape): AsyncGenerator<DecodedFrame> {
  const { offset, length } = dataset.pixelData ?? { offset: 0, length: undefined };
  const codec = codecs[dataset.transferSyntaxUid];
  if (codec === undefined) {
    if (length === undefined) throw corrupt('compressed pixels under an uncompressed transfer syntax');
    return yield* uncompressedFrames(dataset, offset, length, shape);
  }
  if (length !== undefined) throw corrupt('uncompressed pixels under a compressed transfer syntax');
  for (const encoded of encapsulatedFrames(dataset, offset, shape.frames)) yield await codec(encoded, shape);
}

function emptyValues({ bitsAllocated, signed }: PixelShape, length: number): PixelArray {
  if (bitsAllocated <= 8) return signed ? new Int8Array(length) : new Uint8Array(length);
  if (bitsAllocated === 16) return signed ? new Int16Array(length) : new Uint16Array(length);
  return signed ? new Int32Array(length) : new Uint32Array(length);
}

/**
 * Only Bits Stored hold the value (PS3.5 section 8.1.1): old writers keep overlays in the bits above, and leave signs unextended.
 * Whoever clamps instead of cutting turns an overlay into white pixels; whoever cuts lossy overshoot turns white into black.
 */
function storedValues(decoded: DecodedFrame, shape: PixelShape): PixelArray {
  const { values, lossy } = decoded;
  const container = shape.bitsAllocated === 1 ? 8 : shape.bitsAllocated;
  if (decoded.bits > container) throw corrupt(`${decoded.bits} bits in the picture, ${container} in the header`);
  const bits = Math.min(decoded.bits, shape.bitsStored);
  const cut = lossy ? 0 : Math.max(0, Math.min(shape.highBit + 1, decoded.bits) - bits);
  // Most files need no change, and a film has millions of values: they are looked at once and not copied.
  const sameWidth = values.BYTES_PER_ELEMENT * 8 === container;
  if (sameWidth && cut === 0 && (bits === container || (!shape.signed && largest(values) < 2 ** shape.bitsStored))) {
    const view = { buffer: values.buffer as ArrayBuffer, at: values.byteOffset, length: values.length };
    return new (emptyValues(shape, 0).constructor as Uint8ArrayConstructor)(view.buffer, view.at, view.length);
  }
  const target = emptyValues(shape, values.length);
  if (lossy) clampInto(target, decoded, shape);
  else cutInto(target, values, bits, cut, shape.signed);
  return target;
}

function largest(values: DecodedFrame['values']): number {
  let all = 0;
  for (let index = 0; index < values.length; index++) all |= values[index] as number;
  return all >>> 0;
}

function cutInto(target: PixelArray, values: DecodedFrame['values'], bits: number, cut: number, signed: boolean): void {
  const up = 32 - bits;
  for (let index = 0; index < values.length; index++) {
    const moved = ((values[index] as number) >>> cut) << up;
    target[index] = signed ? moved >> up : moved >>> up;
  }
}

/** The codec's own width gives the sign; Bits Stored gives the range. */
function clampInto(target: PixelArray, { values, bits }: DecodedFrame, { signed, bitsStored }: PixelShape): void {
  const own = 32 - bits;
  const highest = signed ? 2 ** (bitsStored - 1) - 1 : 2 ** bitsStored - 1;
  const lowest = signed ? -(2 ** (bitsStored - 1)) : 0;
  for (let index = 0; index < values.length; index++) {
    const moved = (values[index] as number) << own;
    const value = signed ? moved >> own : moved >>> own;
    target[index] = value > highest ? highest : value < lowest ? lowest : value;
  }
}
