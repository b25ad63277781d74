/** Preprocessing against what OpenCV, Pillow and torch computed (test/fixtures/preprocess/make.py). */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { letterbox, placementOf, prepare } from '../../src/inference/preprocess.ts';

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
      { step: 'letterbox', height, width, filter },
      { step: 'normalise', epsilon: 1e-4 },
    ] as const;
    const prepared = await prepare(picture(rows, columns), steps);
    expect(prepared.placement).toEqual({
      left: answer.left,
      top: answer.top,
      width: answer.fittedWidth,
      height: answer.fittedHeight,
      rows,
      columns,
    });
    const bytes = Buffer.from(answer.normalised, 'base64');
    expect(prepared.canvas).toHaveLength(bytes.length / 4);
    const differences = Array.from(prepared.canvas, (value, at) => Math.abs(value - bytes.readFloatLE(at * 4)));
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
      const { canvas, placement } = await letterbox(even, { height: 96, width: 64, filter: 'area' });
      const { left, top, width, height } = placement;
      const inside = canvas.filter((_, at) => {
        const [x, y] = [at % 64, Math.floor(at / 64)];
        return x >= left && x < left + width && y >= top && y < top + height;
      });
      expect(inside.every((value) => Math.abs(value - 0.25) < 1e-6)).toBe(true);
      expect(canvas.filter((value) => value !== 0)).toHaveLength(width * height);
    }
  });

  test('rounds half to even, as training does', () => {
    // 333 * 0.5 = 166.5 and 335 * 0.5 = 167.5.
    expect(placementOf(768, 333, 384, 256).width).toBe(166);
    expect(placementOf(768, 335, 384, 256).width).toBe(168);
  });

  test('leaves a blank picture at zero instead of dividing by nothing', async () => {
    const blank = { rows: 40, columns: 40, intensities: new Float32Array(1600) };
    const steps = [
      { step: 'letterbox', height: 8, width: 8, filter: 'area' },
      { step: 'normalise', epsilon: 1e-4 },
    ] as const;
    const { canvas, standardDeviation } = await prepare(blank, steps);
    expect(standardDeviation).toBe(0);
    expect(canvas.every((value) => value === 0)).toBe(true);
  });

  test('lets the event loop turn while a large film is fitted', async () => {
    let turns = 0;
    const count = setInterval(() => (turns += 1), 0);
    const large = { rows: 3000, columns: 2500, intensities: new Float32Array(7_500_000) };
    await letterbox(large, { height: 768, width: 512, filter: 'area' });
    clearInterval(count);
    expect(turns).toBeGreaterThanOrEqual(5);
  });
});
