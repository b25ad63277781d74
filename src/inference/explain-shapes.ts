/** What a manifest declares as explanation, brought from the tensor's grid to the picture's own pixels. */
import { WetreadError } from '../domain/errors.ts';
import type { OverlayShape, Point } from '../domain/finding.ts';
import { ellipse95 } from '../kit/geometry.ts';
import type { OutputTensor } from '../kit/model-pack.ts';
import type { NetworkOutput } from '../kit/network-manifest.ts';
import type { Explanation } from '../kit/pack-manifest.ts';
import { outlinesOf } from './outlines.ts';
import { throughMap, type PlaceMap } from './place-map.ts';

export type Explained = {
  readonly outputs: Readonly<Record<string, OutputTensor>>;
  readonly declared: Readonly<Record<string, NetworkOutput>>;
  /** Of the network's picture input. */
  readonly rows: number;
  readonly columns: number;
  readonly maps: readonly PlaceMap[];
};

type Which = { readonly item?: number; readonly label?: string };

export function explanationShapes(explanation: Explanation, from: Explained, which: Which = {}): OverlayShape[] {
  const { item = 0 } = which;
  const map = from.maps[item];
  const tensor = from.outputs[explanation.output];
  if (map === undefined || tensor === undefined)
    throw new WetreadError('model.postprocess-failed', `there is no item ${item} to explain`);
  const place = (x: number, y: number): Point => throughMap(map, [x, y]);
  switch (explanation.kind) {
    case 'cam':
      return [heatmap(gridOf(tensor, from, explanation.output, which), from, place, which.label ?? explanation.label)];
    case 'mask': {
      const grid = gridOf(tensor, from, explanation.output, which);
      const [sx, sy] = [from.columns / grid.columns, from.rows / grid.rows];
      return outlinesOf(grid, explanation.threshold).map((points) => ({
        kind: 'polygon',
        label: which.label ?? explanation.label,
        points: points.map(([x, y]) => place(x * sx, y * sy)),
      }));
    }
    case 'landmarks':
      return landmarks(tensor, from.declared[explanation.output]!, place, map, item);
    case 'boxes':
      return boxes(explanation, from, tensor, place, item);
  }
}

type Grid = { readonly rows: number; readonly columns: number; readonly values: Float32Array };

function gridOf(
  { dims, data }: OutputTensor,
  { declared }: Explained,
  output: string,
  { item = 0, label }: Which,
): Grid {
  const [rows, columns] = [dims.at(-2)!, dims.at(-1)!];
  const classes = dims.length > 3 ? dims[1]! : 1;
  const labels = declared[output]?.labels;
  const index = label === undefined ? 0 : (labels?.indexOf(label) ?? -1);
  if (index < 0 || index >= classes)
    throw new WetreadError('model.postprocess-failed', `${output} has no label ${label ?? ''} to explain`);
  const start = (item * classes + index) * rows * columns;
  return { rows, columns, values: data.subarray(start, start + rows * columns) };
}

/** Grids finer than this are averaged: a map is a hint of a place. */
const finest = 64;

/** Negative evidence is cut off, as Grad-CAM does, and the strongest place is 1. */
function heatmap(grid: Grid, size: Explained, place: (x: number, y: number) => Point, label: string): OverlayShape {
  const { rows, columns, values } = coarser(grid);
  const most = values.reduce((highest, value) => Math.max(highest, value), 0);
  return {
    kind: 'heatmap',
    label,
    rows,
    columns,
    values: Array.from(values, (value) => (most > 0 ? Math.round((Math.max(value, 0) / most) * 1000) / 1000 : 0)),
    corners: [place(0, 0), place(size.columns, 0), place(0, size.rows)],
  };
}

function coarser(grid: Grid): Grid {
  const by = Math.ceil(Math.max(grid.rows, grid.columns) / finest);
  if (by === 1) return grid;
  const [rows, columns] = [Math.ceil(grid.rows / by), Math.ceil(grid.columns / by)];
  const values = new Float32Array(rows * columns);
  const counts = new Float32Array(rows * columns);
  for (let y = 0; y < grid.rows; y += 1)
    for (let x = 0; x < grid.columns; x += 1) {
      const at = Math.floor((y * rows) / grid.rows) * columns + Math.floor((x * columns) / grid.columns);
      values[at]! += grid.values[y * grid.columns + x]!;
      counts[at]! += 1;
    }
  return { rows, columns, values: values.map((sum, at) => sum / Math.max(counts[at]!, 1)) };
}

function landmarks(
  { dims, data }: OutputTensor,
  { labels, values = [] }: NetworkOutput,
  place: (x: number, y: number) => Point,
  { matrix: [xx, xy, yx, yy] }: PlaceMap,
  item: number,
): OverlayShape[] {
  const [count, width] = [dims.at(-2)!, dims.at(-1)!];
  const column = (name: string): number => values.indexOf(name);
  const [x, y, varX, varY, covXY] = ['x', 'y', 'varX', 'varY', 'covXY'].map(column) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return Array.from({ length: count }, (_, index) => {
    const row = data.subarray((item * count + index) * width, (item * count + index + 1) * width);
    const at = place(row[x]! + 0.5, row[y]! + 0.5);
    const label = labels?.[index] ?? `${index + 1}`;
    if (varX < 0 || varY < 0) return { kind: 'point', at, label };
    const [a, d, c] = [row[varX]!, row[varY]!, covXY < 0 ? 0 : row[covXY]!];
    // The map's matrix M turns a covariance C into M C Mᵀ.
    const covariance = {
      xx: xx * xx * a + 2 * xx * xy * c + xy * xy * d,
      yy: yx * yx * a + 2 * yx * yy * c + yy * yy * d,
      xy: xx * yx * a + (xx * yy + xy * yx) * c + xy * yy * d,
    };
    return { kind: 'point', at, label, ellipse: ellipse95(covariance) };
  });
}

function boxes(
  { format, scores, threshold, label }: Extract<Explanation, { kind: 'boxes' }>,
  { outputs }: Explained,
  { dims, data }: OutputTensor,
  place: (x: number, y: number) => Point,
  item: number,
): OverlayShape[] {
  const count = dims.at(-2)!;
  const start = dims.length > 2 ? item * count : 0;
  const scoreOf = (index: number): number => (scores === undefined ? 1 : outputs[scores]!.data[start + index]!);
  return Array.from({ length: count }, (_, index) => index)
    .filter((index) => scoreOf(index) >= threshold)
    .map((index) => {
      const [a, b, c, d] = data.subarray((start + index) * 4, (start + index) * 4 + 4) as unknown as [
        number,
        number,
        number,
        number,
      ];
      const [left, top, right, bottom] =
        format === 'x1y1x2y2' ? [a, b, c, d] : [a - c / 2, b - d / 2, a + c / 2, b + d / 2];
      return {
        kind: 'polygon',
        label,
        points: [place(left, top), place(right, top), place(right, bottom), place(left, bottom)],
      };
    });
}
