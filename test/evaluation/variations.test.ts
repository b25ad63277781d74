/** The changes a picture is put through: what is changed, and that places find their way back. */
import { describe, expect, test } from 'vitest';
import type { Point } from '../../src/domain/finding.ts';
import type { GreyImage } from '../../src/domain/image.ts';
import { variations } from '../../src/evaluation/variations.ts';
import { picture } from '../inference/fixture-pack.ts';

const [rows, columns] = [200, 120];
/** A soft spot, so that its middle can be found between pixels. */
const spotAt = ([sx, sy]: Point): GreyImage =>
  picture(rows, columns, (x, y) => 0.1 + 0.8 * Math.exp(-((x + 0.5 - sx) ** 2 + (y + 0.5 - sy) ** 2) / 18));

function middleOfSpot({ intensities, columns: width }: GreyImage): Point {
  let [sum, sx, sy] = [0, 0, 0];
  for (const [at, value] of intensities.entries()) {
    // The ground, and what is outside, has no weight.
    const weight = Math.max(0, value - 0.5);
    sum += weight;
    sx += weight * ((at % width) + 0.5);
    sy += weight * (Math.floor(at / width) + 0.5);
  }
  return [sx / sum, sy / sum];
}

describe.each(variations.map((variation) => [variation.name, variation] as const))('%s', (_, variation) => {
  test.each([
    [70, 90],
    [40, 120],
  ] as const)('a spot at %d, %d is carried back to where it was', (x, y) => {
    const image = spotAt([x, y]);
    const there = middleOfSpot(variation.apply(image));
    const [bx, by] = variation.back(there, image);
    expect(Math.hypot(bx - x, by - y)).toBeLessThan(0.1);
  });
  test('leaves the original as it was, and stays within 0 and 1', () => {
    const image = spotAt([50, 100]);
    const before = image.intensities.slice();
    const changed = variation.apply(image);
    expect(image.intensities).toEqual(before);
    expect(changed.intensities).not.toEqual(before);
    expect(changed.intensities).toHaveLength(changed.rows * changed.columns);
    expect(changed.intensities.every((value) => value >= 0 && value <= 1)).toBe(true);
  });
});

test('rotations, crops, the mirror, and changes of tone are among them, each under a name of its own', () => {
  const names = variations.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const degrees of [-6, -3, 3, 6]) expect(names).toContain(`rotated by ${degrees}°`);
  for (const word of ['off every side', 'off the top', 'off the bottom', 'mirrored', 'gamma', 'contrast'])
    expect(names.some((name) => name.includes(word))).toBe(true);
});

test('a turn clockwise on the screen is a positive one, and what comes in from outside is black', () => {
  const image = picture(101, 101, () => 0.6);
  const turned = variations.find(({ name }) => name === 'rotated by 6°')!.apply(image);
  expect(turned.intensities[0]).toBe(0);
  expect(turned.intensities[50 * 101 + 50]).toBeCloseTo(0.6, 6);
  const spot = variations.find(({ name }) => name === 'rotated by 6°')!.apply(spotAt([90, 100]));
  // Right of the middle moves down.
  expect(middleOfSpot(spot)[1]).toBeGreaterThan(102);
});

test("a CT's Hounsfield values move with the picture, and no tone touches them", () => {
  const hounsfield = (): Float32Array => Float32Array.from({ length: 16 }, (_, at) => at - 1000);
  const image = { ...picture(4, 4, (x) => x / 4), hounsfield };
  const mirrored = variations.find(({ name }) => name === 'mirrored')!.apply(image);
  expect([...mirrored.hounsfield!().subarray(0, 4)]).toEqual([-997, -998, -999, -1000]);
  const toned = variations.find(({ name }) => name === 'gamma 0.7')!.apply(image);
  expect(toned.hounsfield!()).toEqual(hounsfield());
});
