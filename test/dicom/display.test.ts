/** What a reader would see, against pydicom's apply_modality_lut and apply_voi_lut. */
import { describe, expect, test } from 'vitest';
import { readDataset, type DicomDataset } from '../../src/dicom/dataset.ts';
import { decodePixels } from '../../src/dicom/decode/index.ts';
import { displayOf, greyOf, type Display } from '../../src/dicom/display.ts';
import type { StoredPixels } from '../../src/domain/image.ts';
import { displayExpectations, fixture, withBytes } from './fixtures.ts';

async function shown(
  file: Uint8Array,
  change: (dataset: DicomDataset) => DicomDataset = (dataset) => dataset,
  frame = 0,
) {
  const dataset = change(readDataset(file));
  const pixels = await decodePixels(dataset, 1e8);
  return { pixels, grey: greyOf(pixels, displayOf(dataset, pixels), frame) };
}

/** As if the header said this VOI LUT Function as well. */
const withFunction =
  (name: string) =>
  (dataset: DicomDataset): DicomDataset => ({
    ...dataset,
    text: (keyword) => (keyword === 'VOILUTFunction' ? name : dataset.text(keyword)),
  });

const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('intensities are those of pydicom', () => {
  test.each([
    ['grey12', 'grey12', undefined],
    ['grey12 SIGMOID', 'grey12', 'SIGMOID'],
    ['grey12 LINEAR_EXACT', 'grey12', 'LINEAR_EXACT'],
    ['signed16', 'signed16', undefined],
    ['lut-sequences', 'lut-sequences', undefined],
    ['palette-8-bit', 'palette-8-bit', undefined],
    ['palette-segmented', 'palette-segmented', undefined],
    ['voi-table-below-zero', 'voi-table-below-zero', undefined],
  ])('for %s', async (name, file, voiFunction) => {
    const { pixels, grey } = await shown(
      fixture(file),
      voiFunction === undefined ? undefined : withFunction(voiFunction),
    );
    const expected = displayExpectations[name];
    expect(expected?.points.length).toBe(5);
    for (const [row, column, value] of expected?.points ?? [])
      expect(grey[row * pixels.columns + column]).toBeCloseTo(value, 6);
    expect(mean(grey)).toBeCloseTo(expected?.mean ?? Number.NaN, 5);
  });
});

describe('the frames of an enhanced object', () => {
  const written = ['', '-undefined-lengths', '-implicit', '-big-endian', '-group-lengths'];
  test.each(written.flatMap((name) => [0, 1, 2].map((frame) => [`enhanced-mr${name}`, frame] as const)))(
    'have windows and rescaling of their own: %s, frame %i',
    async (name, frame) => {
      const { pixels, grey } = await shown(fixture(name), undefined, frame);
      const expected = displayExpectations[`enhanced-mr frame ${frame}`];
      expect(expected?.points.length).toBe(5);
      for (const [row, column, value] of expected?.points ?? [])
        expect(grey[row * pixels.columns + column]).toBeCloseTo(value, 5);
      expect(mean(grey)).toBeCloseTo(expected?.mean ?? Number.NaN, 5);
    },
  );
});

describe('polarity', () => {
  test('of MONOCHROME1 is turned, so that dense is bright', async () => {
    const { pixels, grey } = await shown(fixture('grey8-monochrome1'));
    const least = pixels.values.indexOf(Math.min(...pixels.values) as never);
    const most = pixels.values.indexOf(Math.max(...pixels.values) as never);
    expect([grey[least], grey[most]]).toEqual([1, 0]);
  });

  test('is not turned twice when Presentation LUT Shape says INVERSE as well', async () => {
    const inverse = (dataset: DicomDataset): DicomDataset => ({
      ...dataset,
      text: (keyword) => (keyword === 'PresentationLUTShape' ? 'INVERSE' : dataset.text(keyword)),
    });
    expect((await shown(fixture('grey8-monochrome1'), inverse)).grey).toEqual(
      (await shown(fixture('grey8-monochrome1'))).grey,
    );
    const turned = await shown(fixture('grey12'), inverse);
    const plain = await shown(fixture('grey12'));
    expect(turned.grey[500]).toBeCloseTo(1 - (plain.grey[500] ?? 0), 6);
  });

  test('does not turn padding into the brightest thing there is', async () => {
    const { pixels, grey } = await shown(fixture('padded-monochrome1'));
    expect([...pixels.values.subarray(0, 2)]).toEqual([3333, 3333]);
    expect([grey[0], grey[1]]).toEqual([0, 0]);
    const darkest = pixels.values.indexOf(Math.min(...pixels.values) as never);
    expect(grey[darkest]).toBe(1);
  });
});

describe('a picture without a window', () => {
  const pixels = (values: number[], more: Partial<StoredPixels> = {}): StoredPixels => ({
    rows: 1,
    columns: values.length,
    frames: 1,
    samplesPerPixel: 1,
    bitsAllocated: 16,
    bitsStored: 16,
    signed: true,
    photometric: 'MONOCHROME2',
    values: Int16Array.from(values),
    ...more,
  });
  const display = (padding?: readonly [number, number]): Display => ({
    kind: 'grey',
    frames: [{ modality: { kind: 'linear', slope: 2, intercept: 10 }, voi: { kind: 'range' } }],
    inverted: false,
    padding,
  });

  test('goes from its least to its greatest value', () => {
    expect([...greyOf(pixels([-100, 0, 100, 300]), display(), 0)]).toEqual([0, 0.25, 0.5, 1]);
  });

  test('leaves padding out of that range', () => {
    expect([...greyOf(pixels([-2000, 0, 100, 200]), display([-2000, -1990]), 0)]).toEqual([0, 0, 0.5, 1]);
  });

  test('keeps the frames of one run in relation to each other', () => {
    const two = { ...pixels([0, 10, 20, 40]), columns: 2, frames: 2 };
    expect([...greyOf(two, display(), 1)]).toEqual([0.5, 1]);
  });

  test('of one single value is black, not a fault', () => {
    expect([...greyOf(pixels([7, 7, 7]), display(), 0)]).toEqual([0, 0, 0]);
  });
});

describe('colour', () => {
  test('becomes luminance', async () => {
    const { pixels, grey } = await shown(fixture('rgb'));
    const at = 700;
    const [red, green, blue] = pixels.values.subarray(at * 3, at * 3 + 3) as unknown as [number, number, number];
    expect(grey[at]).toBeCloseTo((0.299 * red + 0.587 * green + 0.114 * blue) / 255, 6);
  });

  test('by palette is looked up first', async () => {
    const { pixels, grey } = await shown(fixture('palette'));
    const index = pixels.values[450] as number;
    const part = (factor: number) => ((index * factor * 64) % 65536) / 65535;
    expect(grey[450]).toBeCloseTo(0.299 * part(1) + 0.587 * part(2) + 0.114 * part(3), 5);
  });
});

test('a window with an empty second value is used', async () => {
  const dataset = readDataset(fixture('enhanced-mr'));
  const odd = withBytes(
    fixture('enhanced-mr'),
    [...Buffer.from('DS\x06\x00700.0 ')],
    [...Buffer.from('DS\x06\x00700.0\\')],
  );
  const [group] = readDataset(odd).items('PerFrameFunctionalGroupsSequence');
  expect(group?.items('FrameVOILUTSequence')[0]?.decimal('WindowCenter')).toBe(700);
  expect(group?.items('FrameVOILUTSequence')[0]?.decimals('WindowCenter')).toEqual([]);
  expect(dataset.pixelData?.length).toBe(3 * 24 * 18 * 2);
});

test('a window of no width is as good as none', async () => {
  const windowless = withBytes(fixture('grey12'), [...Buffer.from('3000')], [...Buffer.from('0   ')]);
  const { grey } = await shown(windowless);
  expect(Math.min(...grey)).toBe(0);
  expect(Math.max(...grey)).toBe(1);
});
