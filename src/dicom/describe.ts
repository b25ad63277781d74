/** What a DICOM file holds, for an engineer who asks why it was or was not read. */
import { createHash } from 'node:crypto';
import type { Photometric, Spacing, StoredPixels } from '../domain/image.ts';
import { readDataset } from './dataset.ts';
import { decodePixels } from './decode/index.ts';
import { spacingOf } from './spacing.ts';

export type InstanceDescription = {
  readonly sopClassUid: string | undefined;
  readonly transferSyntaxUid: string;
  readonly rows: number;
  readonly columns: number;
  readonly frames: number;
  readonly samplesPerPixel: number;
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  readonly signed: boolean;
  readonly photometric: Photometric;
  readonly spacing: Spacing | undefined;
  readonly minimum: number;
  readonly maximum: number;
  /** Of the stored values, all frames: little-endian integers of the allocated width, colour interleaved, no LUT applied. */
  readonly sha256: string;
};

/** Throws `dicom.*` errors. */
export async function describeInstance(file: Uint8Array, maxBytes = 2 ** 31): Promise<InstanceDescription> {
  const dataset = readDataset(file, { maxBytes });
  const pixels = await decodePixels(dataset, maxBytes);
  const { values, ...shape } = pixels;
  let minimum = Infinity;
  let maximum = -Infinity;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as number;
    if (value < minimum) minimum = value;
    if (value > maximum) maximum = value;
  }
  return {
    sopClassUid: dataset.text('SOPClassUID'),
    transferSyntaxUid: dataset.transferSyntaxUid,
    ...shape,
    spacing: spacingOf(dataset),
    minimum,
    maximum,
    sha256: hashOf(pixels),
  };
}

/** Typed arrays lie in memory as the machine orders bytes, which on every platform Node runs models on is little endian. */
export function hashOf({ values }: Pick<StoredPixels, 'values'>): string {
  return createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex');
}
