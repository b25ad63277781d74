/** Shape of a flat region as pyradiomics defines it for 2-D (IBSI describes volumes only): outline by marching squares. */
import type { Features, Region } from './region.ts';

export type FlatSize = { readonly columnMm: number; readonly rowMm: number };

type Vertex = readonly [x: number, y: number];

/** The region must have one slice; sizes are of one pixel. */
export function shape2d(region: Region, { columnMm, rowMm }: FlatSize = { columnMm: 1, rowMm: 1 }): Features {
  if (region.slices !== 1) throw new RangeError('a flat shape has one slice');
  const outline = segments(region, columnMm, rowMm);
  const perimeter = outline.reduce((sum, [a, b]) => sum + Math.hypot(b[0] - a[0], b[1] - a[1]), 0);
  // Each segment keeps the region on one side, so the triangles to the origin add up to the area (Gauss).
  const meshSurface = Math.abs(outline.reduce((sum, [a, b]) => sum + (a[0] * b[1] - b[0] * a[1]) / 2, 0));
  const { pixels, major, minor } = axes(region, columnMm, rowMm);
  const sphericity = (2 * Math.sqrt(Math.PI * meshSurface)) / perimeter;
  return {
    meshSurface,
    pixelSurface: pixels * columnMm * rowMm,
    perimeter,
    perimeterSurfaceRatio: perimeter / meshSurface,
    sphericity,
    sphericalDisproportion: 1 / sphericity,
    maximumDiameter: diameter(outline.map(([a]) => a)),
    majorAxisLength: 4 * Math.sqrt(major),
    minorAxisLength: 4 * Math.sqrt(Math.max(0, minor)),
    elongation: major === 0 ? 1 : Math.sqrt(Math.max(0, minor) / major),
  };
}

/** Eigenvalues of the scatter of pixel centres, and how many there are. */
function axes({ columns, rows, mask }: Region, columnMm: number, rowMm: number) {
  const eachPixel = (visit: (x: number, y: number) => void): void => {
    for (let y = 0; y < rows; y += 1)
      for (let x = 0; x < columns; x += 1) if (mask[y * columns + x] !== 0) visit(x * columnMm, y * rowMm);
  };
  let [pixels, sumX, sumY] = [0, 0, 0];
  eachPixel((x, y) => {
    pixels += 1;
    sumX += x;
    sumY += y;
  });
  const [meanX, meanY] = [sumX / pixels, sumY / pixels];
  let [xx, yy, xy] = [0, 0, 0];
  eachPixel((x, y) => {
    xx += (x - meanX) ** 2 / pixels;
    yy += (y - meanY) ** 2 / pixels;
    xy += ((x - meanX) * (y - meanY)) / pixels;
  });
  const half = (xx + yy) / 2;
  const root = Math.hypot((xx - yy) / 2, xy);
  return { pixels, major: half + root, minor: half - root };
}

/** Edges of a square of four pixel centres: 0 top, 1 right, 2 bottom, 3 left; each pair runs with the region on its right. */
const cases: readonly (readonly (readonly [from: number, to: number])[])[] = [
  [],
  [[3, 0]],
  [[0, 1]],
  [[3, 1]],
  [[1, 2]],
  // Two corners across: cut apart, as pyradiomics does.
  [
    [3, 0],
    [1, 2],
  ],
  [[0, 2]],
  [[3, 2]],
  [[2, 3]],
  [[2, 0]],
  [
    [0, 1],
    [2, 3],
  ],
  [[2, 1]],
  [[1, 3]],
  [[1, 0]],
  [[0, 3]],
  [],
];

/** Halfway between a pixel inside and one outside. */
function segments({ columns, rows, mask }: Region, columnMm: number, rowMm: number): (readonly [Vertex, Vertex])[] {
  const isInside = (x: number, y: number): number =>
    x >= 0 && y >= 0 && x < columns && y < rows && mask[y * columns + x] !== 0 ? 1 : 0;
  const found: (readonly [Vertex, Vertex])[] = [];
  for (let y = -1; y < rows; y += 1)
    for (let x = -1; x < columns; x += 1) {
      const square = isInside(x, y) + 2 * isInside(x + 1, y) + 4 * isInside(x + 1, y + 1) + 8 * isInside(x, y + 1);
      if (square === 0 || square === 15) continue;
      const middles: readonly Vertex[] = [
        [x + 0.5, y],
        [x + 1, y + 0.5],
        [x + 0.5, y + 1],
        [x, y + 0.5],
      ];
      for (const [from, to] of cases[square]!) {
        const [a, b] = [middles[from]!, middles[to]!];
        found.push([
          [a[0] * columnMm, a[1] * rowMm],
          [b[0] * columnMm, b[1] * rowMm],
        ]);
      }
    }
  return found;
}

function diameter(points: readonly Vertex[]): number {
  let widest = 0;
  for (const [index, [ax, ay]] of points.entries())
    for (let other = index + 1; other < points.length; other += 1)
      widest = Math.max(widest, (points[other]![0] - ax) ** 2 + (points[other]![1] - ay) ** 2);
  return Math.sqrt(widest);
}
