/** Geometry against numbers worked out by hand, and uncertainty against drawing points at random. */
import { describe, expect, test } from 'vitest';
import {
  ellipse95,
  footOn,
  inMillimetres,
  interval95,
  isConvex,
  median,
  partAlong,
  standardDeviationOf,
  type Point,
} from '../../src/kit/geometry.ts';

describe('geometry', () => {
  test('measures how far a point lies along a line, whatever the direction', () => {
    expect(partAlong([3, 7], [0, 0], [10, 0])).toBeCloseTo(0.3);
    expect(partAlong([-2, 1], [0, 0], [10, 0])).toBeCloseTo(-0.2);
    expect(partAlong([1, 1], [0, 0], [2, 2])).toBeCloseTo(0.5);
    expect(footOn([3, 7], [0, 0], [10, 0])).toEqual([3, 0]);
  });

  test('knows a body from a bow tie and from one with a dent', () => {
    expect(
      isConvex([
        [0, 10],
        [10, 10],
        [10, 0],
        [0, 0],
      ]),
    ).toBe(true);
    expect(
      isConvex([
        [10, 10],
        [0, 10],
        [0, 0],
        [10, 0],
      ]),
    ).toBe(true);
    expect(
      isConvex([
        [0, 10],
        [10, 0],
        [10, 10],
        [0, 0],
      ]),
    ).toBe(false);
    expect(
      isConvex([
        [0, 10],
        [10, 10],
        [2, 8],
        [0, 0],
      ]),
    ).toBe(false);
  });

  test('measures pixels that are not square in millimetres', () => {
    expect(inMillimetres([10, 10], { rowMm: 0.2, columnMm: 0.1, plane: 'patient' })).toEqual([1, 2]);
    expect(inMillimetres([10, 10], undefined)).toEqual([10, 10]);
  });

  test('carries the uncertainty of points to what is computed from them', () => {
    const points: Point[] = [
      [30, 4],
      [0, 0],
      [100, 20],
    ];
    const covariances = [
      { xx: 4, yy: 9, xy: 2 },
      { xx: 1, yy: 1, xy: 0 },
      { xx: 9, yy: 2, xy: -1 },
    ];
    const slip = (p: readonly Point[]): number => 100 * partAlong(p[0]!, p[1]!, p[2]!);
    // Points drawn from these covariances by Cholesky factors and a small reproducible generator.
    let seed = 7;
    const uniform = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    const drawn = Array.from({ length: 40_000 }, () =>
      slip(
        points.map(([x, y], index): Point => {
          const { xx, yy, xy } = covariances[index]!;
          const [a, b] = [normal(), normal()];
          const l = Math.sqrt(xx);
          return [x + l * a, y + (xy / l) * a + Math.sqrt(yy - (xy / l) ** 2) * b];
        }),
      ),
    );
    const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
    const deviation = Math.sqrt(drawn.reduce((sum, value) => sum + (value - mean) ** 2, 0) / drawn.length);
    expect(standardDeviationOf(slip, points, covariances) / deviation).toBeCloseTo(1, 1);
  });

  test('draws the ellipse that holds a point with 95 %', () => {
    const round = ellipse95({ xx: 4, yy: 4, xy: 0 });
    expect(round.rx).toBeCloseTo(2 * 2.4477, 3);
    expect(round.ry).toBeCloseTo(round.rx, 6);
    const tilted = ellipse95({ xx: 5, yy: 5, xy: 4 });
    expect(tilted.angleRad).toBeCloseTo(Math.PI / 4);
    expect(tilted.rx).toBeCloseTo(3 * 2.4477, 3);
    expect(tilted.ry).toBeCloseTo(2.4477, 3);
  });

  test('takes 1.96 standard deviations for 95 %', () => {
    expect(interval95(18, 2).map((end) => Math.round(end * 100) / 100)).toEqual([14.08, 21.92]);
  });

  test('finds the middle of odd and even lists', () => {
    expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
  });
});
