/** Every step of a manifest against what Pillow, torchvision, scipy, numpy and pydicom computed (test/fixtures/preprocess/steps.py). */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeInstance } from '../../src/dicom/instance.ts';
import { prepare, type GreyPixels } from '../../src/inference/preprocess.ts';
import type { Region } from '../../src/kit/model-pack.ts';
import { planShape, preprocessStep, type PreprocessStep } from '../../src/kit/preprocess-step.ts';

type Case = {
  readonly name: string;
  readonly by: string;
  readonly rows: number;
  readonly columns: number;
  readonly steps: readonly unknown[];
  readonly shape: readonly [items: number, channels: number, rows: number, columns: number];
  readonly expected: string;
  readonly laterality?: string;
  readonly spacing?: readonly [number, number];
  readonly regions?: readonly Region[];
  readonly slices?: number;
  readonly sliceMm?: number;
  readonly dicom?: string;
};
const fixtures = new URL('../fixtures/', import.meta.url);
const cases = JSON.parse(readFileSync(new URL('preprocess/steps.json', fixtures), 'utf8')) as Case[];

/** The same formula stands in steps.py. */
const pixel = (x: number, y: number): number => ((x * 7 + y * 13 + ((x * y) % 11)) % 29) / 28;

async function picturesOf({
  rows,
  columns,
  laterality,
  spacing,
  slices = 1,
  sliceMm,
  dicom,
}: Case): Promise<GreyPixels[]> {
  if (dicom !== undefined) {
    const { firstGrey } = await decodeInstance(readFileSync(new URL(`dicom/${dicom}`, fixtures)), 2 ** 20);
    return [{ rows, columns, intensities: firstGrey }];
  }
  return Array.from({ length: slices }, (_, shift) => ({
    rows,
    columns,
    intensities: Float32Array.from({ length: rows * columns }, (_, at) =>
      pixel((at % columns) + shift, Math.floor(at / columns)),
    ),
    ...(laterality !== undefined && { laterality }),
    // As scanners count: not from nought, and downwards.
    ...(sliceMm !== undefined && { positionMm: 70 - shift * sliceMm }),
    ...(spacing && { spacing: { rowMm: spacing[0], columnMm: spacing[1], plane: 'patient' } }),
  }));
}

describe('the steps of a manifest', () => {
  test.each(cases)('$name: as $by', async (one) => {
    const steps: PreprocessStep[] = one.steps.map((step) => preprocessStep.parse(step));
    const pictures = await picturesOf(one);
    const untouched = pictures.map(({ intensities }) => intensities.slice());
    const prepared = await prepare(pictures, steps, one.regions && { regions: one.regions });
    const [items, channels, rows, columns] = one.shape;
    expect(prepared).toMatchObject({ items, channels, rows, columns });
    expect(prepared.maps).toHaveLength(items);
    const bytes = Buffer.from(one.expected, 'base64');
    expect(prepared.data).toHaveLength(bytes.length / 4);
    const scale = one.steps.some((step) => (step as PreprocessStep).step === 'scale') ? 255 : 1;
    const differences = Array.from(prepared.data, (value, at) => Math.abs(value - bytes.readFloatLE(at * 4)) / scale);
    expect(Math.max(...differences)).toBeLessThanOrEqual(1e-3);
    // What is planned from the manifest alone is what comes out.
    const faults: string[] = [];
    const planned = planShape(steps, (_, message) => faults.push(message));
    expect(faults).toEqual([]);
    expect({ height: planned.height ?? rows, width: planned.width ?? columns }).toEqual({
      height: rows,
      width: columns,
    });
    // The picture belongs to other packs too.
    expect(pictures.map(({ intensities }) => intensities)).toEqual(untouched);
  });

  test('lead back to the picture through every fit, crop and flip', async () => {
    const spot = { x: 23, y: 41 };
    const picture = {
      rows: 80,
      columns: 60,
      laterality: 'L',
      spacing: { rowMm: 0.2, columnMm: 0.2, plane: 'patient' } as const,
      intensities: new Float32Array(4800),
    };
    picture.intensities[spot.y * 60 + spot.x] = 1;
    const lists: readonly (readonly unknown[])[] = [
      [{ step: 'letterbox', height: 40, width: 48, filter: 'area' }],
      [
        { step: 'orient', flip: 'left-right', when: 'laterality-left' },
        { step: 'resize', height: 160, width: 240 },
      ],
      [
        { step: 'resize', shortestSide: 90 },
        { step: 'centre-crop', height: 90, width: 90 },
      ],
      [{ step: 'pad', square: true }, { step: 'resize', height: 64, width: 64 }, { step: 'both-facings' }],
      [
        { step: 'resample', spacingMm: 0.1 },
        { step: 'pad', multipleOf: 64 },
      ],
      [{ step: 'region', height: 50, width: 70 }],
    ];
    for (const list of lists) {
      const steps = list.map((step) => preprocessStep.parse(step));
      const regions = [
        { centre: [25, 40], width: 30, height: 20, angleRad: 0.7 },
        { centre: [20, 44], width: 20, height: 30 },
      ] as const;
      const prepared = await prepare([picture], steps, { regions });
      const size = prepared.rows * prepared.columns;
      for (const [item, map] of prepared.maps.entries()) {
        const mirrored = item >= prepared.items;
        const plane = prepared.data.subarray((item % prepared.items) * size, (item % prepared.items) * size + size);
        let [sum, sumX, sumY] = [0, 0, 0];
        for (let at = 0; at < size; at += 1) {
          const x = (at % prepared.columns) + 0.5;
          sum += plane[at]!;
          sumX += plane[at]! * (mirrored ? prepared.columns - x : x);
          sumY += plane[at]! * (Math.floor(at / prepared.columns) + 0.5);
        }
        const [dx, dy] = [sumX / sum - map.from[0], sumY / sum - map.from[1]];
        const [xx, xy, yx, yy] = map.matrix;
        // The middle of the spot, wherever it went; half a pixel of the coarser of the two grids.
        expect(Math.abs(xx * dx + xy * dy + map.to[0] - (spot.x + 0.5))).toBeLessThan(0.6);
        expect(Math.abs(yx * dx + yy * dy + map.to[1] - (spot.y + 0.5))).toBeLessThan(0.6);
      }
    }
  });

  test.each([
    [
      'slices whose places are not known',
      [
        { step: 'stack', as: 'depth' },
        { step: 'resample', spacingMm: 1, sliceMm: 2 },
      ],
      'model.picture-unusable',
    ],
    ['a picture larger than what it is padded to', [{ step: 'pad', height: 8, width: 8 }], 'model.picture-unusable'],
    ['a picture without a pixel size', [{ step: 'resample', spacingMm: 1 }], 'model.picture-unusable'],
    [
      'a radiograph where Hounsfield units are wanted',
      [{ step: 'window', unit: 'HU', from: -100, to: 300 }],
      'model.picture-unusable',
    ],
    ['no region where one is cut', [{ step: 'region', height: 8, width: 8 }], 'model.postprocess-failed'],
  ])('refuse %s', async (_, list, code) => {
    const spacing = { rowMm: 1, columnMm: 1, plane: 'patient' } as const;
    const isStack = list.some(({ step }) => step === 'stack');
    const picture = { rows: 20, columns: 20, intensities: new Float32Array(400), ...(isStack && { spacing }) };
    const steps = list.map((step) => preprocessStep.parse(step));
    await expect(prepare([picture], steps)).rejects.toMatchObject({ code });
  });

  test('refuse a series longer than the model takes, or of different sizes', async () => {
    const slice = (columns: number) => ({ rows: 10, columns, intensities: new Float32Array(10 * columns) });
    const steps = [preprocessStep.parse({ step: 'stack', as: 'batch', most: 120 })];
    const many = Array.from({ length: 200 }, () => slice(10));
    await expect(prepare(many, steps)).rejects.toMatchObject({
      code: 'model.picture-unusable',
      detail: expect.stringContaining('200 pictures') as string,
    });
    await expect(prepare([slice(10), slice(12)], steps)).rejects.toMatchObject({ code: 'model.picture-unusable' });
  });

  test('cut Hounsfield units where the picture has them', async () => {
    const hounsfield = Float32Array.from([-1000, -100, 100, 300, 2000]);
    const picture = { rows: 1, columns: 5, intensities: new Float32Array(5), hounsfield };
    const { data } = await prepare(
      [picture],
      [preprocessStep.parse({ step: 'window', unit: 'HU', from: -100, to: 300 })],
    );
    expect([...data]).toEqual([0, 0, 0.5, 1, 1]);
    expect(hounsfield[0]).toBe(-1000);
  });
});
