/** What a DICOM file holds, for an engineer who asks why it was or was not read. */
import { createHash } from 'node:crypto';
import type { Photometric, Spacing, StoredPixels } from '../domain/image.ts';
import { readDataset, type Attributes } from './dataset.ts';
import type { StripDecoder } from './decode/frame.ts';
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
  /** Of the first frame: the centre of its first pixel in mm, and the directions of its rows and columns, as the file says them. */
  readonly position: readonly number[] | undefined;
  readonly orientation: readonly number[] | undefined;
  readonly minimum: number;
  readonly maximum: number;
  /** Of the stored values, all frames: little-endian integers of the allocated width, colour interleaved, no LUT applied. */
  readonly sha256: string;
};

/** Throws `dicom.*` errors. */
export async function describeInstance(
  file: Uint8Array,
  maxBytes = 2 ** 31,
  others: readonly StripDecoder[] = [],
): Promise<InstanceDescription> {
  const dataset = readDataset(file, { maxBytes });
  const pixels = await decodePixels(dataset, maxBytes, others);
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
    position: ofFirstFrame(dataset, 'PlanePositionSequence', 'ImagePositionPatient', 3),
    orientation: ofFirstFrame(dataset, 'PlaneOrientationSequence', 'ImageOrientationPatient', 6),
    minimum,
    maximum,
    sha256: hashOf(pixels),
  };
}

function ofFirstFrame(
  dataset: Attributes,
  sequence: 'PlanePositionSequence' | 'PlaneOrientationSequence',
  keyword: 'ImagePositionPatient' | 'ImageOrientationPatient',
  count: number,
): number[] | undefined {
  const groups = [
    ...dataset.items('PerFrameFunctionalGroupsSequence').slice(0, 1),
    ...dataset.items('SharedFunctionalGroupsSequence'),
  ];
  const places = [dataset, ...groups.flatMap((group) => group.items(sequence))];
  return places.map((place) => place.decimals(keyword)).find((numbers) => numbers.length === count);
}

/** Typed arrays lie in memory as the machine orders bytes, which on every platform Node runs models on is little endian. */
export function hashOf({ values }: Pick<StoredPixels, 'values'>): string {
  return createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex');
}
