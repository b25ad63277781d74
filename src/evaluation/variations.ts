/** The same picture as it might have been taken or processed: a little turned, cut, mirrored, brighter. What is seen must not change. */
import type { Point } from '../domain/finding.ts';
import type { GreyImage } from '../domain/image.ts';

export type Variation = {
  /** `rotated by 3°`: as the report names it. */
  readonly name: string;
  readonly apply: (image: GreyImage) => GreyImage;
  /** Where a place of the changed picture lies in the original. */
  readonly back: (at: Point, original: Size) => Point;
};

type Size = { readonly rows: number; readonly columns: number };
type Plane = Size & { readonly values: Float32Array };

export const variations: readonly Variation[] = [
  ...[-6, -3, 3, 6].map(rotated),
  cropped('5 % off every side', { left: 0.05, right: 0.05, top: 0.05, bottom: 0.05 }),
  cropped('10 % off left and right', { left: 0.1, right: 0.1, top: 0, bottom: 0 }),
  cropped('10 % off the top', { left: 0, right: 0, top: 0.1, bottom: 0 }),
  cropped('10 % off the bottom', { left: 0, right: 0, top: 0, bottom: 0.1 }),
  mirrored(),
  ...[0.7, 1.4].map((exponent) => toned(`gamma ${exponent}`, (value) => value ** exponent)),
  ...[0.7, 1.4].map((factor) => toned(`contrast × ${factor}`, (value, mean) => mean + factor * (value - mean))),
];

/** About the middle, within the same frame: what turns in from outside is black, as a collimator leaves it. */
function rotated(degrees: number): Variation {
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const back = ([x, y]: Point, { rows, columns }: Size): Point => {
    const [dx, dy] = [x - columns / 2, y - rows / 2];
    return [columns / 2 + cos * dx + sin * dy, rows / 2 - sin * dx + cos * dy];
  };
  return {
    name: `rotated by ${degrees}°`,
    back,
    apply: (image) =>
      changed(image, image, ({ values, rows, columns }) => {
        const outside = lowest(values);
        const turned = new Float32Array(rows * columns);
        for (let y = 0; y < rows; y += 1)
          for (let x = 0; x < columns; x += 1) {
            const [fromX, fromY] = back([x + 0.5, y + 0.5], image);
            turned[y * columns + x] = between(values, rows, columns, fromX - 0.5, fromY - 0.5, outside);
          }
        return turned;
      }),
  };
}

type Margins = { readonly left: number; readonly right: number; readonly top: number; readonly bottom: number };

function cropped(name: string, { left, right, top, bottom }: Margins): Variation {
  const frame = ({ rows, columns }: Size) => ({
    x: Math.round(left * columns),
    y: Math.round(top * rows),
    columns: Math.max(1, columns - Math.round(left * columns) - Math.round(right * columns)),
    rows: Math.max(1, rows - Math.round(top * rows) - Math.round(bottom * rows)),
  });
  return {
    name,
    back: ([x, y], original) => [x + frame(original).x, y + frame(original).y],
    apply: (image) => {
      const kept = frame(image);
      return changed(image, kept, ({ values, columns }) => {
        const cut = new Float32Array(kept.rows * kept.columns);
        for (let y = 0; y < kept.rows; y += 1) {
          const from = (y + kept.y) * columns + kept.x;
          cut.set(values.subarray(from, from + kept.columns), y * kept.columns);
        }
        return cut;
      });
    },
  };
}

function mirrored(): Variation {
  return {
    name: 'mirrored',
    back: ([x, y], { columns }) => [columns - x, y],
    apply: (image) =>
      changed(image, image, ({ values, rows, columns }) => {
        const other = new Float32Array(values.length);
        for (let y = 0; y < rows; y += 1)
          for (let x = 0; x < columns; x += 1) other[y * columns + x] = values[y * columns + columns - 1 - x]!;
        return other;
      }),
  };
}

/** Of the grey values alone; a CT's Hounsfield values are no matter of taste and stay. */
function toned(name: string, tone: (value: number, mean: number) => number): Variation {
  return {
    name,
    back: (at) => at,
    apply: (image) => {
      const mean = image.intensities.reduce((sum, value) => sum + value, 0) / image.intensities.length;
      return { ...image, intensities: image.intensities.map((value) => Math.min(1, Math.max(0, tone(value, mean)))) };
    },
  };
}

function changed(image: GreyImage, size: Size, change: (plane: Plane) => Float32Array): GreyImage {
  const { rows, columns, hounsfield } = image;
  const plane = (values: Float32Array): Float32Array => change({ rows, columns, values });
  return {
    ...image,
    rows: size.rows,
    columns: size.columns,
    intensities: plane(image.intensities),
    ...(hounsfield && { hounsfield: () => plane(hounsfield()) }),
  };
}

function lowest(values: Float32Array): number {
  let low = Infinity;
  for (const value of values) low = Math.min(low, value);
  return Math.min(0, low);
}

/** Between the four pixels around a place by the straight line. */
function between(values: Float32Array, rows: number, columns: number, x: number, y: number, outside: number): number {
  if (x < -0.5 || y < -0.5 || x > columns - 0.5 || y > rows - 0.5) return outside;
  const left = Math.min(columns - 1, Math.max(0, Math.floor(x)));
  const top = Math.min(rows - 1, Math.max(0, Math.floor(y)));
  const right = Math.min(columns - 1, left + 1);
  const bottom = Math.min(rows - 1, top + 1);
  const partX = Math.min(1, Math.max(0, x - left));
  const partY = Math.min(1, Math.max(0, y - top));
  const upper = values[top * columns + left]! * (1 - partX) + values[top * columns + right]! * partX;
  const lower = values[bottom * columns + left]! * (1 - partX) + values[bottom * columns + right]! * partX;
  return upper * (1 - partY) + lower * partY;
}
