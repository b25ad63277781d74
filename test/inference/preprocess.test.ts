/** Preprocessing against what OpenCV, Pillow and torch computed (test/fixtures/preprocess/make.py). */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { prepare } from '../../src/inference/preprocess.ts';

type KnownAnswer = {
  readonly library: string;
  readonly filter: 'area' | 'triangle';
  readonly rows: number;
  readonly columns: number;
  readonly height: number;
  readonly width: number;
  readonly left: number;
  readonly top: number;
  readonly fittedWidth: number;
  readonly fittedHeight: number;
  readonly mean: number;
  readonly standardDeviation: number;
  readonly normalised: string;
};
const known = JSON.parse(
  readFileSync(new URL('../fixtures/preprocess/known-answers.json', import.meta.url), 'utf8'),
) as KnownAnswer[];

/** The same formula stands in make.py. */
const pixel = (x: number, y: number): number => ((x * 7 + y * 13 + ((x * y) % 11)) % 29) / 28;
const picture = (rows: number, columns: number) => ({
  rows,
  columns,
  intensities: Float32Array.from({ length: rows * columns }, (_, at) => pixel(at % columns, Math.floor(at / columns))),
});

describe('preprocessing', () => {
  test.each(known)('fits $rows x $columns as $library does ($filter) and normalises', async (answer) => {
    const { rows, columns, height, width, filter } = answer;
    const steps = [
      { step: 'letterbox', height, width, filter, align: 'centre' },
      { step: 'normalise', by: 'picture', epsilon: 1e-4 },
    ] as const;
    const prepared = await prepare([picture(rows, columns)], steps);
    expect(prepared.maps).toEqual([
      {
        from: [answer.left, answer.top],
        matrix: [columns / answer.fittedWidth, 0, 0, rows / answer.fittedHeight],
        to: [0, 0],
      },
    ]);
    const bytes = Buffer.from(answer.normalised, 'base64');
    expect(prepared.data).toHaveLength(bytes.length / 4);
    const differences = Array.from(prepared.data, (value, at) => Math.abs(value - bytes.readFloatLE(at * 4)));
    expect(Math.max(...differences)).toBeLessThanOrEqual(1e-3);
    expect(prepared.mean).toBeCloseTo(answer.mean, 5);
    expect(prepared.standardDeviation).toBeCloseTo(answer.standardDeviation, 5);
  });

  test('keeps an even picture even, whatever its size', async () => {
    for (const [rows, columns] of [
      [501, 333],
      [8, 5],
      [1, 700],
    ] as const) {
      const even = { rows, columns, intensities: new Float32Array(rows * columns).fill(0.25) };
      const step = { step: 'letterbox', height: 96, width: 64, filter: 'area', align: 'centre' } as const;
      const { data, maps } = await prepare([even], [step]);
      const {
        from: [left, top],
        matrix,
      } = maps[0]!;
      const [width, height] = [Math.round(columns / matrix[0]), Math.round(rows / matrix[3])];
      const inside = data.filter((_, at) => {
        const [x, y] = [at % 64, Math.floor(at / 64)];
        return x >= left && x < left + width && y >= top && y < top + height;
      });
      expect(inside.every((value) => Math.abs(value - 0.25) < 1e-6)).toBe(true);
      expect(data.filter((value) => value !== 0)).toHaveLength(width * height);
    }
  });

  test('rounds half to even, as training does', async () => {
    // 333 * 0.5 = 166.5 and 335 * 0.5 = 167.5.
    const step = { step: 'letterbox', height: 384, width: 256, filter: 'area', align: 'top-left' } as const;
    const widthOf = async (columns: number) =>
      columns / (await prepare([picture(768, columns)], [step])).maps[0]!.matrix[0];
    expect(await widthOf(333)).toBeCloseTo(166, 9);
    expect(await widthOf(335)).toBeCloseTo(168, 9);
  });

  test('leaves a blank picture at zero instead of dividing by nothing', async () => {
    const blank = { rows: 40, columns: 40, intensities: new Float32Array(1600) };
    const steps = [
      { step: 'letterbox', height: 8, width: 8, filter: 'area', align: 'centre' },
      { step: 'normalise', by: 'picture', epsilon: 1e-4 },
    ] as const;
    const { data, standardDeviation } = await prepare([blank], steps);
    expect(standardDeviation).toBe(0);
    expect(data.every((value) => value === 0)).toBe(true);
  });

  test('lets the event loop turn while a large film is fitted', async () => {
    let turns = 0;
    const count = setInterval(() => (turns += 1), 0);
    const large = { rows: 3000, columns: 2500, intensities: new Float32Array(7_500_000) };
    await prepare([large], [{ step: 'letterbox', height: 768, width: 512, filter: 'area', align: 'centre' }]);
    clearInterval(count);
    expect(turns).toBeGreaterThanOrEqual(5);
  });
});
