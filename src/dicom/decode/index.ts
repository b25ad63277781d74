/** From a dataset to stored values: which codec reads which transfer syntax, and what any of them must deliver. */
import { WetreadError } from '../../domain/errors.ts';
import type { Photometric, PixelArray, StoredPixels } from '../../domain/image.ts';
import {
  deflatedLittleEndian,
  explicitBigEndian,
  explicitLittleEndian,
  implicitLittleEndian,
  type DicomDataset,
} from '../dataset.ts';
import { encapsulatedFrames } from '../encapsulated.ts';
import { corrupt, demandSize, type DecodedFrame, type FrameCodec, type StripDecoder } from './frame.ts';
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

/** Throws `dicom.*` errors. `maxBytes` limits what the pixels may take decoded; `others` are threads that may take a part of a frame. */
export async function decodePixels(
  dataset: DicomDataset,
  maxBytes: number,
  others: readonly StripDecoder[] = [],
): Promise<StoredPixels> {
  const shape = readableShape(dataset, maxBytes);
  const each = samplesPerFrame(shape);
  let values: PixelArray | undefined;
  let photometric = shape.photometric;
  let frames = 0;
  for await (const one of storedFrames(dataset, shape, undefined, others)) {
    if (shape.frames === 1) values = one.values;
    else (values ??= emptyValues(shape, each * shape.frames)).set(one.values, one.frame * each);
    photometric = one.photometric;
    frames += 1;
  }
  if (values === undefined || frames !== shape.frames) throw corrupt(`${frames} of ${shape.frames} frames`);
  return pixelsOf({ ...shape, photometric }, values);
}

/** One frame after the other, or only those named (from 0), as pixels of one frame: an object of hundreds is never held decoded. */
export async function* decodeFrames(
  dataset: DicomDataset,
  maxBytes: number,
  only?: ReadonlySet<number>,
): AsyncGenerator<{ readonly frame: number; readonly pixels: StoredPixels }> {
  const shape = readableShape(dataset, maxBytes);
  for await (const { frame, values, photometric } of storedFrames(dataset, shape, only))
    yield { frame, pixels: pixelsOf({ ...shape, frames: 1, photometric }, values) };
}

function readableShape(dataset: DicomDataset, maxBytes: number): PixelShape {
  if (!readableTransferSyntaxes.includes(dataset.transferSyntaxUid)) {
    // A report in an unknown syntax is a report first.
    if (dataset.pixelData === undefined) throw new WetreadError('dicom.no-pixel-data');
    throw new WetreadError('dicom.unknown-transfer-syntax', dataset.transferSyntaxUid);
  }
  return pixelShapeOf(dataset, maxBytes);
}

function pixelsOf(shape: Omit<PixelShape, 'highBit' | 'planar'>, values: PixelArray): StoredPixels {
  const { rows, columns, frames, samplesPerPixel, bitsStored, signed, photometric } = shape;
  const { bitsAllocated } = shape;
  return { rows, columns, frames, samplesPerPixel, bitsAllocated, bitsStored, signed, photometric, values };
}

type StoredFrame = { readonly frame: number; readonly values: PixelArray; readonly photometric: Photometric };

async function* storedFrames(
  dataset: DicomDataset,
  shape: PixelShape,
  only?: ReadonlySet<number>,
  others: readonly StripDecoder[] = [],
): AsyncGenerator<StoredFrame> {
  const each = samplesPerFrame(shape);
  for await (const { frame, decoded } of framesOf(dataset, shape, only, others)) {
    demandSize(decoded, shape);
    if (decoded.values.length !== each) throw corrupt(`${decoded.values.length} values for ${each} pixels`);
    // The colour of a pair of pixels has been given to both.
    const whole = shape.photometric === 'YBR_FULL_422' ? 'YBR_FULL' : shape.photometric;
    yield { frame, values: storedValues(decoded, shape), photometric: decoded.becameRgb ? 'RGB' : whole };
  }
}

async function* framesOf(
  dataset: DicomDataset,
  shape: PixelShape,
  only: ReadonlySet<number> | undefined,
  others: readonly StripDecoder[],
): AsyncGenerator<{ readonly frame: number; readonly decoded: DecodedFrame }> {
  const { offset, length } = dataset.pixelData ?? { offset: 0, length: undefined };
  const codec = codecs[dataset.transferSyntaxUid];
  let frame = 0;
  if (codec === undefined) {
    if (length === undefined) throw corrupt('compressed pixels under an uncompressed transfer syntax');
    for (const decoded of uncompressedFrames(dataset, offset, length, shape, only)) {
      if (decoded !== undefined) yield { frame, decoded };
      frame += 1;
    }
    return;
  }
  if (length !== undefined) throw corrupt('uncompressed pixels under a compressed transfer syntax');
  for (const encoded of encapsulatedFrames(dataset, offset, shape.frames)) {
    if (only === undefined || only.has(frame)) yield { frame, decoded: await codec(encoded, shape, others) };
    frame += 1;
  }
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
