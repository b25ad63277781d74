/** Upright crops of vertebrae, against numbers that torch and scikit-image made (test/fixtures/preprocess/upright.py). */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  cornersOfCrop,
  inCrop,
  normalisedCrop,
  polygonMask,
  uprightCrop,
  uprightFrame,
  type BodyCorners,
} from '../../src/kit/upright-crop.ts';

type Answer = {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly corners: BodyCorners;
  readonly inCrop: readonly (readonly [number, number])[];
  readonly every9th: readonly number[];
  readonly mean: number;
  readonly sd: number;
  readonly masked: number;
  readonly maskRows: readonly number[];
};
const answers = JSON.parse(
  readFileSync(new URL('../fixtures/preprocess/upright.json', import.meta.url), 'utf8'),
) as Answer[];

/** The same formula stands in test/fixtures/preprocess/upright.py. */
const film = (rows: number, columns: number) => ({
  rows,
  columns,
  values: Float32Array.from({ length: rows * columns }, (_, at) => {
    const [x, y] = [at % columns, Math.floor(at / columns)];
    return ((x * 7 + y * 13 + ((x * y) % 11)) % 29) / 28;
  }),
});
const side = 128;
const meanOf = (values: Float32Array): number => values.reduce((sum, one) => sum + one, 0) / values.length;

describe.each(answers)('a crop: $name', ({ rows, columns, corners, ...wanted }) => {
  const frame = uprightFrame(corners);
  const crop = uprightCrop(film(rows, columns), frame);
  const places = corners.map((corner) => inCrop(corner, frame));
  const mask = polygonMask(places);

  test('has torch’s values to a ten-thousandth', () => {
    const every9th: number[] = [];
    for (let y = 0; y < side; y += 9) for (let x = 0; x < side; x += 9) every9th.push(crop[y * side + x]!);
    const furthest = Math.max(...every9th.map((value, index) => Math.abs(value - wanted.every9th[index]!)));
    expect(furthest).toBeLessThan(1e-6);
    expect(meanOf(crop)).toBeCloseTo(wanted.mean, 6);
  });

  test('has the corners and the polygon where they belong', () => {
    expect(places.flat()).toEqual(wanted.inCrop.flat().map((value) => expect.closeTo(value, 6) as number));
    const byRow = Array.from({ length: side }, (_, y) =>
      mask.subarray(y * side, (y + 1) * side).reduce((sum, one) => sum + one, 0),
    );
    expect(byRow).toEqual(wanted.maskRows);
  });

  test('is normalised by its own mean and spread', () => {
    const normal = normalisedCrop(crop);
    expect(normal[77 * side + 50]).toBeCloseTo((crop[77 * side + 50]! - wanted.mean) / (wanted.sd + 1e-2), 4);
  });
});

test('the crop’s corners on the film are those its first row and column run to', () => {
  const frame = uprightFrame(answers[1]!.corners);
  const [topLeft, topRight, bottomLeft] = cornersOfCrop(frame);
  expect(inCrop(topLeft, frame)).toEqual([expect.closeTo(-0.5, 9), expect.closeTo(-0.5, 9)]);
  expect(inCrop(topRight, frame)).toEqual([expect.closeTo(side - 0.5, 9), expect.closeTo(-0.5, 9)]);
  expect(inCrop(bottomLeft, frame)).toEqual([expect.closeTo(-0.5, 9), expect.closeTo(side - 0.5, 9)]);
});

test('posterior is on the left and the head above, whichever way the patient faces', () => {
  for (const { corners } of answers.slice(0, 2)) {
    const frame = uprightFrame(corners);
    const [pi, ai, as, ps] = corners.map((corner) => inCrop(corner, frame)) as unknown as BodyCorners;
    expect(pi[0]).toBeLessThan(ai[0]);
    expect(ps[0]).toBeLessThan(as[0]);
    expect(ps[1]).toBeLessThan(pi[1]);
    expect(as[1]).toBeLessThan(ai[1]);
  }
});
