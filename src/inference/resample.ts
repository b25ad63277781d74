/** Weights of antialiased resizing along one axis; the same numbers as the libraries that models are trained with. */

export type Filter = 'area' | 'triangle';

/** For each place of the result: where its taps start in the source, and their weights, which add up to 1. */
export type AxisWeights = {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Float64Array;
  /** Room for taps per place in `weights`, in fours; what a place has no use for weighs nothing. */
  readonly taps: number;
};

/** A part of the axis, in pixels from its beginning; ends need not be whole, nor lie inside. */
export type Stretch = { readonly from: number; readonly to: number };

export function axisWeights(
  source: number,
  target: number,
  filter: Filter,
  part: Stretch = { from: 0, to: source },
): AxisWeights {
  const scale = (part.to - part.from) / target;
  // OpenCV falls back to linear when INTER_AREA enlarges; so does whoever trains with it.
  return filter === 'area' && scale > 1
    ? areaWeights(source, target, scale, part.from)
    : triangleWeights(source, target, scale, part.from);
}

/** Each place is the mean of what it covers, parts of pixels included: OpenCV INTER_AREA. */
function areaWeights(source: number, target: number, scale: number, start: number): AxisWeights {
  const axis = emptyAxis(target, Math.ceil(scale) + 1);
  const { taps } = axis;
  for (let place = 0; place < target; place += 1) {
    const from = Math.max(start + place * scale, 0);
    const to = Math.min(start + place * scale + scale, source);
    if (to <= from) continue;
    const first = Math.floor(from);
    const count = Math.min(Math.ceil(to), source) - first;
    for (let tap = 0; tap < count; tap += 1) {
      const covered = Math.min(first + tap + 1, to) - Math.max(first + tap, from);
      axis.weights[place * taps + tap] = covered / (to - from);
    }
    axis.first[place] = first;
    axis.count[place] = count;
  }
  return axis;
}

/** A triangle as wide as the reduction: Pillow's BILINEAR, and torch's bilinear with antialias. */
function triangleWeights(source: number, target: number, scale: number, start: number): AxisWeights {
  const stretch = Math.max(scale, 1);
  const axis = emptyAxis(target, Math.ceil(stretch) * 2 + 1);
  const { taps } = axis;
  for (let place = 0; place < target; place += 1) {
    const centre = start + (place + 0.5) * scale;
    // A place whose own centre lies beyond the picture has no taps: whoever asks decides what is there.
    if (centre < 0 || centre > source) continue;
    const first = Math.max(0, Math.trunc(centre - stretch + 0.5));
    const count = Math.min(source, Math.trunc(centre + stretch + 0.5)) - first;
    let sum = 0;
    for (let tap = 0; tap < count; tap += 1) {
      const weight = Math.max(0, 1 - Math.abs((first + tap - centre + 0.5) / stretch));
      axis.weights[place * taps + tap] = weight;
      sum += weight;
    }
    for (let tap = 0; tap < count; tap += 1) axis.weights[place * taps + tap]! /= sum;
    axis.first[place] = first;
    axis.count[place] = count;
  }
  return axis;
}

/** Places without taps take the outermost pixel instead of nothing. */
export function extendEdges(axis: AxisWeights, source: number): AxisWeights {
  const middle = axis.count.findIndex((count) => count > 0);
  for (let place = 0; place < axis.count.length; place += 1) {
    if (axis.count[place]! > 0) continue;
    axis.count[place] = 1;
    axis.first[place] = middle < 0 || place < middle ? 0 : source - 1;
    axis.weights[place * axis.taps] = 1;
  }
  return axis;
}

function emptyAxis(target: number, most: number): AxisWeights {
  const taps = 4 * Math.ceil(most / 4);
  return {
    first: new Int32Array(target),
    count: new Int32Array(target),
    weights: new Float64Array(target * taps),
    taps,
  };
}
