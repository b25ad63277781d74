/** A picture to draw on: smooth lines with a dark edge, letters, and heat, at the picture's own pixels. */
import { PNG } from 'pngjs';
import type { GreyPixels } from '../../inference/preprocess.ts';
import { lettering } from './letters.ts';

export type Colour = readonly [red: number, green: number, blue: number];
type Place = readonly [x: number, y: number];
type Line = readonly Place[];

export type Pen = {
  readonly colour: Colour;
  readonly width: number;
  /** 0 to 1. */
  readonly opacity?: number;
};

/** Dark around the bright line: visible on bone and on air. */
const edge: Colour = [0, 0, 0];
const edgeOpacity = 0.55;

export type Sheet = ReturnType<typeof sheetOf>;

export function sheetOf({ rows, columns, intensities }: Pick<GreyPixels, 'rows' | 'columns' | 'intensities'>) {
  const rgb = new Uint8Array(rows * columns * 3);
  for (let at = 0; at < intensities.length; at += 1)
    rgb.fill(Math.round(Math.min(1, Math.max(0, intensities[at]!)) * 255), at * 3, at * 3 + 3);

  const blend = (at: number, colour: Colour, share: number): void => {
    for (let channel = 0; channel < 3; channel += 1)
      rgb[at * 3 + channel] = Math.round(rgb[at * 3 + channel]! * (1 - share) + colour[channel]! * share);
  };

  /** All lines of one stroke at once: where they cross, nothing is painted twice. */
  function stroke(lines: readonly Line[], { colour, width, opacity = 1 }: Pen): void {
    const reach = width / 2 + 1;
    const points = lines.flat();
    if (points.length === 0) return;
    const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
    const left = Math.max(0, Math.floor(Math.min(...xs) - reach));
    const right = Math.min(columns, Math.ceil(Math.max(...xs) + reach));
    const top = Math.max(0, Math.floor(Math.min(...ys) - reach));
    const bottom = Math.min(rows, Math.ceil(Math.max(...ys) + reach));
    if (right <= left || bottom <= top) return;
    const covered = new Float32Array((right - left) * (bottom - top));
    for (const line of lines)
      for (let index = 0; index < Math.max(1, line.length - 1); index += 1)
        cover(line[index]!, line[index + 1] ?? line[index]!);
    for (let at = 0; at < covered.length; at += 1) {
      if (covered[at] === 0) continue;
      const [x, y] = [left + (at % (right - left)), top + Math.floor(at / (right - left))];
      blend(y * columns + x, colour, covered[at]! * opacity);
    }

    function cover([ax, ay]: Place, [bx, by]: Place): void {
      const [dx, dy] = [bx - ax, by - ay];
      const length = dx * dx + dy * dy;
      const fromY = Math.max(top, Math.floor(Math.min(ay, by) - reach));
      const toY = Math.min(bottom, Math.ceil(Math.max(ay, by) + reach));
      const fromX = Math.max(left, Math.floor(Math.min(ax, bx) - reach));
      const toX = Math.min(right, Math.ceil(Math.max(ax, bx) + reach));
      for (let y = fromY; y < toY; y += 1)
        for (let x = fromX; x < toX; x += 1) {
          const [px, py] = [x + 0.5 - ax, y + 0.5 - ay];
          const part = length === 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / length));
          const away = Math.hypot(px - part * dx, py - part * dy);
          const share = Math.min(1, Math.max(0, width / 2 + 0.5 - away));
          const at = (y - top) * (right - left) + x - left;
          if (share > covered[at]!) covered[at] = share;
        }
    }
  }

  const lines = (all: readonly Line[], pen: Pen): void => {
    stroke(all, { colour: edge, width: pen.width + Math.max(2, pen.width), opacity: edgeOpacity * (pen.opacity ?? 1) });
    stroke(all, pen);
  };

  return {
    rows,
    columns,
    lines,

    /** `at`: the left end of the capitals' middle, or their right end. Stays on the sheet. Returns where it stands. */
    text(words: string, at: Place, height: number, colour: Colour, anchor: 'left' | 'right' = 'left') {
      const { lines: letters, width } = lettering(words, height);
      const margin = height / 2;
      const wanted = anchor === 'left' ? at[0] : at[0] - width;
      const x = Math.max(margin, Math.min(wanted, columns - width - margin));
      const y = Math.max(margin, Math.min(at[1] - height / 2, rows - height * 1.5));
      const placed = letters.map((line) => line.map(([px, py]): Place => [px + x, py + y]));
      lines(placed, { colour, width: Math.max(1.1, height / 8) });
      return { left: x, right: x + width, top: y, bottom: y + height };
    },

    /** Darkens a part, so that words on it can be read. */
    dim(left: number, top: number, right: number, bottom: number, opacity: number): void {
      for (let y = Math.max(0, Math.floor(top)); y < Math.min(rows, bottom); y += 1)
        for (let x = Math.max(0, Math.floor(left)); x < Math.min(columns, right); x += 1)
          blend(y * columns + x, edge, opacity);
    },

    /** `valueAt` gives 0 to 1 for a place of the picture. */
    heat(valueAt: (x: number, y: number) => number): void {
      for (let y = 0; y < rows; y += 1)
        for (let x = 0; x < columns; x += 1) {
          const part = Math.max(0, (valueAt(x + 0.5, y + 0.5) - 0.25) / 0.75);
          if (part > 0) blend(y * columns + x, [255, 140 + 90 * part, 20 + 120 * part], 0.5 * Math.sqrt(part));
        }
    },

    png(): Buffer {
      const png = new PNG({ width: columns, height: rows });
      for (let at = 0; at < rows * columns; at += 1) {
        for (let channel = 0; channel < 3; channel += 1) png.data[at * 4 + channel] = rgb[at * 3 + channel]!;
        png.data[at * 4 + 3] = 255;
      }
      return PNG.sync.write(png, { colorType: 2 });
    },
  };
}
