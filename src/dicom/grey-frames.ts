/** The frames of one object as grey pictures, decoded one at a time. */
import type { GreyImage } from '../domain/image.ts';
import { readDataset, type DicomDataset } from './dataset.ts';
import { decodeFrames } from './decode/index.ts';
import { displayOf, greyOf, storedRange, type Display } from './display.ts';
import { identityOf } from './instance.ts';
import { frameSpacings, spacingOf } from './spacing.ts';

/** `only`: frames counted from 0, given in the object's order. Throws `dicom.*` errors. */
export async function* greyFrames(
  file: Uint8Array,
  maxBytes: number,
  only?: readonly number[],
): AsyncGenerator<GreyImage, void, void> {
  const dataset = readDataset(file, { maxBytes });
  const { transferSyntaxUid: _, ...identity } = identityOf(dataset);
  const count = framesIn(dataset);
  const shared = spacingOf(dataset);
  const spacings = frameSpacings(dataset, count);
  let display: Display | undefined;
  let range: readonly [number, number] | undefined;
  for await (const { frame, pixels } of decodeFrames(dataset, maxBytes, only && new Set(only))) {
    if (display === undefined) {
      display = displayOf(dataset, { ...pixels, frames: count });
      if (needsRange(display)) range = await rangeOfAll(dataset, maxBytes, display.padding);
    }
    const spacing = spacings === undefined ? shared : spacings[frame];
    yield {
      ...identity,
      frame,
      rows: pixels.rows,
      columns: pixels.columns,
      intensities: greyOf(pixels, ofFrame(display, frame), 0, range),
      ...(spacing === undefined ? {} : { spacing }),
    };
  }
}

export const framesIn = (dataset: DicomDataset): number => dataset.decimal('NumberOfFrames') ?? 1;

const ofFrame = (display: Display, frame: number): Display =>
  display.kind === 'grey' && display.frames.length > 1 ? { ...display, frames: [display.frames[frame]!] } : display;

const needsRange = (display: Display): display is Display & { kind: 'grey' } =>
  display.kind === 'grey' && display.frames.some(({ voi }) => voi.kind === 'range');

/** Without a window all frames are shown between the least and the greatest value of all: they are decoded twice. */
async function rangeOfAll(
  dataset: DicomDataset,
  maxBytes: number,
  padding: readonly [number, number] | undefined,
): Promise<readonly [number, number]> {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for await (const { pixels } of decodeFrames(dataset, maxBytes)) {
    const [low, high] = storedRange(pixels.values, padding);
    least = Math.min(least, low);
    most = Math.max(most, high);
  }
  return [least, most];
}
