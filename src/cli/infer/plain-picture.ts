/** A PNG or JPEG as a grey picture: what it shows must be said beside it, as such files have no header that tells. */
import { PNG } from 'pngjs';
import { decodeJpegBaseline } from '../../dicom/decode/jpeg-baseline.ts';
import { frameHeaderOf } from '../../dicom/decode/jpeg-markers.ts';
import { WetreadError } from '../../domain/errors.ts';
import type { GreyPixels } from '../../inference/preprocess.ts';

export type PictureKind = 'dicom' | 'png' | 'jpeg';

export function kindOf(file: Uint8Array): PictureKind | undefined {
  const at = (offset: number, ...bytes: number[]): boolean =>
    bytes.every((byte, index) => file[offset + index] === byte);
  if (at(0, 0x89, 0x50, 0x4e, 0x47)) return 'png';
  if (at(0, 0xff, 0xd8, 0xff)) return 'jpeg';
  return at(128, 0x44, 0x49, 0x43, 0x4d) ? 'dicom' : undefined;
}

type Pixels = Pick<GreyPixels, 'rows' | 'columns' | 'intensities'>;

export const greyOfPlainPicture = (
  file: Uint8Array,
  kind: 'png' | 'jpeg',
  maxPixels: number,
): Promise<Pixels> | Pixels => (kind === 'png' ? greyOfPng(file, maxPixels) : greyOfJpeg(file, maxPixels));

/** ITU-R BT.601, as DICOM's YBR_FULL and most who turn colours to grey. */
const luma = (red: number, green: number, blue: number): number => 0.299 * red + 0.587 * green + 0.114 * blue;

function greyOfPng(file: Uint8Array, maxPixels: number): Pixels {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  // Width and height stand at a fixed place, so that a small file which claims a huge picture is not unpacked.
  if (bytes.length < 33) throw new WetreadError('picture.unreadable', 'the PNG ends in its header');
  demandSize(bytes.readUInt32BE(20), bytes.readUInt32BE(16), maxPixels);
  const isDeep = bytes[24] === 16;
  let png: { readonly width: number; readonly height: number; readonly data: ArrayLike<number> };
  try {
    // Without this pngjs keeps the upper eight of sixteen bits only.
    png = PNG.sync.read(bytes, (isDeep ? { skipRescale: true } : {}) as object);
  } catch (cause) {
    throw new WetreadError('picture.unreadable', `the PNG is damaged: ${(cause as Error).message}`, { cause });
  }
  const { width, height, data } = png;
  const grey = new Float32Array(width * height);
  for (let at = 0; at < grey.length; at += 1) grey[at] = luma(data[at * 4]!, data[at * 4 + 1]!, data[at * 4 + 2]!);
  return { rows: height, columns: width, intensities: isDeep ? fromLeastToMost(grey) : divided(grey, 255) };
}

function divided(values: Float32Array, by: number): Float32Array {
  for (let at = 0; at < values.length; at += 1) values[at]! /= by;
  return values;
}

/** Sixteen bits usually hold ten to fourteen that mean something; as DICOM without a window: from the least to the greatest. */
function fromLeastToMost(values: Float32Array): Float32Array {
  let [low, high] = [Infinity, -Infinity];
  for (let at = 0; at < values.length; at += 1) {
    low = Math.min(low, values[at]!);
    high = Math.max(high, values[at]!);
  }
  const width = high - low || 1;
  for (let at = 0; at < values.length; at += 1) values[at] = (values[at]! - low) / width;
  return values;
}

async function greyOfJpeg(file: Uint8Array, maxPixels: number): Promise<Pixels> {
  let shape: { rows: number; columns: number; samples: 1 | 3 };
  try {
    const { rows, columns, components } = frameHeaderOf(file);
    if (components.length !== 1 && components.length !== 3) throw new Error(`${components.length} colours`);
    shape = { rows, columns, samples: components.length };
  } catch (cause) {
    throw new WetreadError('picture.unreadable', `the JPEG is damaged: ${(cause as Error).message}`, { cause });
  }
  demandSize(shape.rows, shape.columns, maxPixels);
  const { rows, columns, samples } = shape;
  const { values } = await decodeJpegBaseline(file, {
    rows,
    columns,
    samplesPerPixel: samples,
    bitsAllocated: 8,
    bitsStored: 8,
    signed: false,
    photometric: samples === 1 ? 'MONOCHROME2' : 'YBR_FULL_422',
  } as Parameters<typeof decodeJpegBaseline>[1]);
  const grey = new Float32Array(rows * columns);
  for (let at = 0; at < grey.length; at += 1)
    grey[at] = (samples === 1 ? values[at]! : luma(values[at * 3]!, values[at * 3 + 1]!, values[at * 3 + 2]!)) / 255;
  return { rows, columns, intensities: grey };
}

function demandSize(rows: number, columns: number, maxPixels: number): void {
  if (rows * columns > maxPixels)
    throw new WetreadError('picture.unreadable', `${columns} x ${rows} pixels are more than is read`);
}
