/** From a grey picture to what the tensor holds: fitted, normalised, and with the way back to picture pixels. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { PreprocessStep } from '../kit/pack-manifest.ts';
import { axisWeights, type AxisWeights, type Filter } from './resample.ts';

export type GreyPixels = { readonly rows: number; readonly columns: number; readonly intensities: Float32Array };

/** Where the picture lies on the canvas. */
export type Placement = {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly rows: number;
  readonly columns: number;
};

export type Prepared = {
  readonly canvas: Float32Array;
  readonly placement: Placement;
  /** Of the canvas before normalising. */
  readonly mean: number;
  readonly standardDeviation: number;
  /** A mirror image follows the picture in the batch; made beside the model, so that it need not be sent. */
  readonly bothFacings: boolean;
};

/**
 * About this much arithmetic is done before other work of the event loop gets its turn.
 * Measured: a 2500 x 3000 film takes 20 to 30 ms in all; in slices, a card waits 3 ms at most. A worker thread or the
 * model's process would have to be sent the whole film (15 to 30 MB, 20 to 40 ms of copying on this very loop).
 */
const pixelsPerSlice = 400_000;

export async function prepare(image: GreyPixels, steps: readonly PreprocessStep[]): Promise<Prepared> {
  let fitted: { canvas: Float32Array; placement: Placement } | undefined;
  let epsilon: number | undefined;
  let bothFacings = false;
  for (const step of steps) {
    switch (step.step) {
      case 'letterbox':
        fitted = await letterbox(image, step);
        break;
      case 'normalise':
        epsilon = step.epsilon;
        break;
      case 'both-facings':
        bothFacings = true;
        break;
    }
  }
  // The manifest's schema demands the step.
  if (fitted === undefined) throw new TypeError('preprocessing without a letterbox step');
  const { canvas, placement } = fitted;
  const { mean, standardDeviation } = spread(canvas);
  if (epsilon !== undefined) {
    const divisor = standardDeviation + epsilon;
    for (let at = 0; at < canvas.length; at += 1) canvas[at] = (canvas[at]! - mean) / divisor;
  }
  return { canvas, placement, mean, standardDeviation, bothFacings };
}

/** Aspect kept, centred, zeros around; sizes rounded half to even, as Python's `round` does in training. */
export function placementOf(rows: number, columns: number, height: number, width: number): Placement {
  const scale = Math.min(height / rows, width / columns);
  const fittedWidth = Math.max(1, roundHalfToEven(columns * scale));
  const fittedHeight = Math.max(1, roundHalfToEven(rows * scale));
  return {
    left: Math.floor((width - fittedWidth) / 2),
    top: Math.floor((height - fittedHeight) / 2),
    width: fittedWidth,
    height: fittedHeight,
    rows,
    columns,
  };
}

/**
 * Both axes in one pass over the source: a source row is reduced along x once, then added to the result rows it
 * belongs to, so nothing larger than a row lies in between.
 */
export async function letterbox(
  image: GreyPixels,
  { height, width, filter }: { readonly height: number; readonly width: number; readonly filter: Filter },
): Promise<{ canvas: Float32Array; placement: Placement }> {
  const { rows, columns, intensities } = image;
  const placement = placementOf(rows, columns, height, width);
  const along = axisWeights(columns, placement.width, filter);
  const down = axisWeights(rows, placement.height, filter);
  const canvas = new Float32Array(height * width);
  const sums = new Float64Array(placement.height * placement.width);
  const reduced = new Float64Array(placement.width);
  const rowsPerSlice = Math.max(1, Math.floor(pixelsPerSlice / columns));
  // Result rows that a source row belongs to follow each other, and so do their beginnings.
  let firstPlace = 0;
  for (let row = 0; row < rows; row += 1) {
    while (firstPlace < placement.height && down.first[firstPlace]! + down.count[firstPlace]! <= row) firstPlace += 1;
    reduceRow(intensities, row * columns, along, reduced);
    for (let place = firstPlace; place < placement.height && down.first[place]! <= row; place += 1) {
      const weight = down.weights[place * down.taps + row - down.first[place]!]!;
      const start = place * placement.width;
      for (let x = 0; x < placement.width; x += 1) sums[start + x]! += weight * reduced[x]!;
    }
    if ((row + 1) % rowsPerSlice === 0) await nextTurn();
  }
  for (let y = 0; y < placement.height; y += 1) {
    const line = sums.subarray(y * placement.width, (y + 1) * placement.width);
    canvas.set(line, (y + placement.top) * width + placement.left);
  }
  return { canvas, placement };
}

function reduceRow(
  source: Float32Array,
  start: number,
  { first, count, weights, taps }: AxisWeights,
  into: Float64Array,
): void {
  for (let place = 0; place < into.length; place += 1) {
    const from = start + first[place]!;
    const weight = place * taps;
    let sum = 0;
    for (let tap = 0; tap < count[place]!; tap += 1) sum += source[from + tap]! * weights[weight + tap]!;
    into[place] = sum;
  }
}

/** Mean and population standard deviation, in two passes: the short formula loses digits on nearly even pictures. */
function spread(values: Float32Array): { mean: number; standardDeviation: number } {
  let sum = 0;
  for (let at = 0; at < values.length; at += 1) sum += values[at]!;
  const mean = sum / values.length;
  let squares = 0;
  for (let at = 0; at < values.length; at += 1) squares += (values[at]! - mean) ** 2;
  return { mean, standardDeviation: Math.sqrt(squares / values.length) };
}

function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
