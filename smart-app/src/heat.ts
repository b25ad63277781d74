/** A heat map as a small picture that the browser enlarges: clear where nothing is, amber to white where most is. */
import type { OverlayShapeView } from '../../src/viewer-api/contract.ts';

type Heatmap = Extract<OverlayShapeView, { kind: 'heatmap' }>;

const made = new WeakMap<Heatmap, string>();

/** As a data URL; made once for each map. */
export function heatPicture(map: Heatmap): string {
  const known = made.get(map);
  if (known !== undefined) return known;
  const canvas = document.createElement('canvas');
  canvas.width = map.columns;
  canvas.height = map.rows;
  const context = canvas.getContext('2d')!;
  const picture = context.createImageData(map.columns, map.rows);
  for (const [index, value] of map.values.entries()) picture.data.set(colourOf(value), index * 4);
  context.putImageData(picture, 0, 0);
  const url = canvas.toDataURL();
  made.set(map, url);
  return url;
}

/** Below a quarter nothing is shown: the film stays readable. The bone under the strongest place still shows through. */
function colourOf(value: number): [red: number, green: number, blue: number, opacity: number] {
  const part = Math.max(0, (value - 0.25) / 0.75);
  return [255, Math.round(140 + 90 * part), Math.round(20 + 120 * part), Math.round(130 * Math.sqrt(part))];
}

/** The middles of the cells that count, on the picture; of an empty map its corners. */
export function heatPoints({ rows, columns, values, corners }: Heatmap): readonly (readonly [number, number])[] {
  const [[x, y], [rx, ry], [bx, by]] = corners;
  const at = (u: number, v: number) => [x + (rx - x) * u + (bx - x) * v, y + (ry - y) * u + (by - y) * v] as const;
  const strong = values.flatMap((value, index) =>
    value < 0.5 ? [] : [at(((index % columns) + 0.5) / columns, (Math.floor(index / columns) + 0.5) / rows)],
  );
  return strong.length > 0 ? strong : corners;
}
