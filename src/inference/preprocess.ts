/** From pictures to what a tensor holds: the steps of the manifest, one by one, and the way back to picture pixels. */
import { WetreadError } from '../domain/errors.ts';
import type { Spacing } from '../domain/image.ts';
import type { Region } from '../kit/model-pack.ts';
import type { PreprocessStep } from '../kit/preprocess-step.ts';
import { regionOf, resizePlane, type Plane } from './planes.ts';
import { axisWeights } from './resample.ts';
import { after, identity, mirror, scaling, shift, type PlaceMap } from './place-map.ts';
import { multiplyAdd, percentilesOf, rangeOf, spread, stretchToUnit, subtractDivide } from './values.ts';

export type GreyPixels = {
  readonly rows: number;
  readonly columns: number;
  /** 0 black to 1 white. */
  readonly intensities: Float32Array;
  /** After the modality LUT, where a scanner's values have a meaning of their own. */
  readonly hounsfield?: Float32Array;
  readonly spacing?: Spacing;
  readonly laterality?: string;
  /** Of a slice, along the stack. */
  readonly positionMm?: number;
};

/** Pictures as a network takes them, but for the layout of its tensor. */
export type PreparedInput = {
  /** Items, in each its channels (or slices), in each its rows. */
  readonly data: Float32Array;
  readonly items: number;
  readonly channels: number;
  readonly rows: number;
  readonly columns: number;
  readonly isDepth: boolean;
  /** Mirror images follow in the batch; made beside the model, so that they need not be sent. */
  readonly bothFacings: boolean;
  /** The way back, for each item. */
  readonly maps: readonly PlaceMap[];
  /** Which picture each item was made from. */
  readonly pictures: readonly number[];
  /** Of the first item before it was normalised. */
  readonly mean: number;
  readonly standardDeviation: number;
};

export type PrepareOptions = {
  /** What postprocess.ts wants to see of the first picture. */
  readonly regions?: readonly Region[];
  /** Sees the canvas after each step. */
  readonly watch?: (step: PreprocessStep, canvas: Readonly<Canvas>) => void;
};

/** Every step makes a new canvas; only one that owns its planes may be written into. */
export type Canvas = {
  rows: number;
  columns: number;
  /** Item by item its channels; the picture's own pixels are never written into. */
  items: Float32Array[][];
  isOwn: boolean;
  isDepth: boolean;
  maps: PlaceMap[];
  pictures: number[];
  /** Of slices stacked as depth, where their places are known. */
  sliceSpacingMm?: number;
};

/** Such an input waits until the pack's code has named the regions. */
export const readsRegions = ({
  preprocess,
}: {
  readonly preprocess?: readonly PreprocessStep[] | undefined;
}): boolean => preprocess?.[0]?.step === 'region';

export async function prepare(
  pictures: readonly GreyPixels[],
  steps: readonly PreprocessStep[],
  { regions, watch }: PrepareOptions = {},
): Promise<PreparedInput> {
  const [first] = pictures;
  if (first === undefined) throw new WetreadError('model.run-failed', 'there is no picture');
  const stack = steps.find((step) => step.step === 'stack');
  const inHounsfield = steps.some((step) => step.step === 'window' && step.unit === 'HU');
  let canvases = (stack === undefined ? [first] : slicesOf(pictures, stack)).map((picture) => ({
    picture,
    canvas: wholePicture(picture, pictures.indexOf(picture), inHounsfield),
  }));
  let stats: { mean: number; standardDeviation: number } | undefined;
  let bothFacings = false;
  for (const step of steps) {
    if (step.step === 'both-facings') bothFacings = true;
    else if (step.step === 'stack')
      canvases = [
        {
          picture: first,
          canvas: stacked(
            canvases.map((one) => one.canvas),
            step,
            distanceOf(canvases.map((one) => one.picture)),
          ),
        },
      ];
    else {
      for (const { picture, canvas } of canvases) {
        if (step.step === 'normalise') {
          const before = await normalised(canvas, step);
          stats ??= before;
        } else await carryOut(step, canvas, picture, regions);
      }
    }
    if (watch !== undefined) for (const { canvas } of canvases) watch(step, canvas);
  }
  const { canvas } = canvases[0]!;
  const { rows, columns, items, isDepth, maps } = canvas;
  const channels = items[0]?.length ?? 1;
  const { mean, standardDeviation } = stats ?? spread(items[0] ?? []);
  return {
    data: joined(canvas),
    items: items.length,
    channels,
    rows,
    columns,
    isDepth,
    bothFacings,
    maps: bothFacings ? [...maps, ...maps.map((map) => after(map, mirror(columns)))] : maps,
    pictures: bothFacings ? [...canvas.pictures, ...canvas.pictures] : canvas.pictures,
    mean,
    standardDeviation,
  };
}

function wholePicture(picture: GreyPixels, index: number, inHounsfield: boolean): Canvas {
  const { rows, columns, intensities, hounsfield } = picture;
  if (inHounsfield && hounsfield === undefined)
    throw new WetreadError('model.picture-unusable', 'the picture has no Hounsfield units, and this model needs them');
  return {
    rows,
    columns,
    items: [[inHounsfield ? hounsfield! : intensities]],
    isOwn: false,
    isDepth: false,
    maps: [identity],
    pictures: [index],
  };
}

async function carryOut(
  step: Exclude<PreprocessStep, { step: 'both-facings' | 'stack' | 'normalise' }>,
  canvas: Canvas,
  picture: GreyPixels,
  regions: readonly Region[] | undefined,
): Promise<void> {
  switch (step.step) {
    case 'region':
      return cutRegions(canvas, step, regions);
    case 'resample': {
      const { spacing } = picture;
      if (spacing === undefined)
        throw new WetreadError('model.picture-unusable', 'the picture has no pixel size, and this model needs one');
      const height = Math.max(1, Math.round((canvas.rows * spacing.rowMm) / step.spacingMm));
      const width = Math.max(1, Math.round((canvas.columns * spacing.columnMm) / step.spacingMm));
      await resize(canvas, { height, width, filter: step.filter });
      return step.sliceMm === undefined ? undefined : resampleSlices(canvas, step.sliceMm, step.filter);
    }
    case 'orient': {
      const side = picture.laterality?.trim().toUpperCase()[0];
      const applies = step.when === 'always' || side === (step.when === 'laterality-left' ? 'L' : 'R');
      return applies ? mirrorCanvas(canvas) : undefined;
    }
    case 'letterbox': {
      const fitted = fittedSize(canvas, step);
      const [left, top] =
        step.align === 'top-left' ? [0, 0] : [(step.width - fitted.width) >> 1, (step.height - fitted.height) >> 1];
      return resize(canvas, { ...fitted, filter: step.filter }, { ...step, left, top });
    }
    case 'resize':
      return resize(canvas, { ...resizedTo(canvas, step), filter: step.filter });
    case 'centre-crop': {
      const { height, width } = step;
      // torchvision pads what is too small first, the odd pixel to the right and below.
      const across =
        canvas.columns < width ? -((width - canvas.columns) >> 1) : roundHalfToEven((canvas.columns - width) / 2);
      const down = canvas.rows < height ? -((height - canvas.rows) >> 1) : roundHalfToEven((canvas.rows - height) / 2);
      return reframe(canvas, { height, width, left: -across, top: -down, value: 0 });
    }
    case 'pad': {
      const { height, width } = paddedTo(canvas, step);
      if (height < canvas.rows || width < canvas.columns)
        throw new WetreadError(
          'model.picture-unusable',
          `the picture is ${canvas.rows} x ${canvas.columns}, larger than the ${height} x ${width} it is to be padded to`,
        );
      const [left, top] =
        step.align === 'top-left' ? [0, 0] : [(width - canvas.columns) >> 1, (height - canvas.rows) >> 1];
      return reframe(canvas, { height, width, left, top, value: step.value });
    }
    case 'invert':
      return eachPlane(canvas, (plane) => multiplyAdd(plane, -1, 1));
    case 'scale':
      return eachPlane(canvas, (plane) => multiplyAdd(plane, step.by, step.plus));
    case 'window':
      return windowed(canvas, step);
  }
}

/** Each new slice is the weighted sum of those it lies between or covers, as within a plane. */
function resampleSlices(canvas: Canvas, sliceMm: number, filter: 'area' | 'triangle'): void {
  if (canvas.sliceSpacingMm === undefined)
    throw new WetreadError(
      'model.picture-unusable',
      'the distance of the slices is not known, and this model needs it',
    );
  canvas.items = canvas.items.map((planes) => {
    const count = Math.max(1, Math.round((planes.length * canvas.sliceSpacingMm!) / sliceMm));
    const along = axisWeights(planes.length, count, filter);
    return Array.from({ length: count }, (_, slice) => {
      const sum = new Float32Array(planes[0]!.length);
      for (let tap = 0; tap < along.count[slice]!; tap += 1) {
        const weight = along.weights[slice * along.taps + tap]!;
        const plane = planes[along.first[slice]! + tap]!;
        for (let at = 0; at < sum.length; at += 1) sum[at]! += weight * plane[at]!;
      }
      return sum;
    });
  });
  canvas.sliceSpacingMm = sliceMm;
}

type StepOf<Name extends PreprocessStep['step']> = Extract<PreprocessStep, { step: Name }>;

function cutRegions(
  canvas: Canvas,
  { height, width, filter, outside }: StepOf<'region'>,
  regions: readonly Region[] | undefined,
): void {
  if (regions === undefined)
    throw new WetreadError('model.postprocess-failed', 'a network with a region step was run without regions');
  const source: Plane = { rows: canvas.rows, columns: canvas.columns, values: canvas.items[0]![0]! };
  const items: Float32Array[][] = [];
  const maps: PlaceMap[] = [];
  for (const region of regions) {
    const [x, y] = region.centre;
    const angle = region.angleRad ?? 0;
    if (![x, y, angle, region.width, region.height].every(Number.isFinite) || region.width <= 0 || region.height <= 0)
      throw new WetreadError('model.postprocess-failed', `the region ${region.label ?? ''} has no size or no place`);
    const plane = regionOf(source, region, { height, width, filter, outside });
    items.push([plane]);
    const [sx, sy] = [region.width / width, region.height / height];
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    maps.push({
      from: [width / 2, height / 2],
      matrix: [cos * sx, -sin * sy, sin * sx, cos * sy],
      to: [x, y],
    });
  }
  Object.assign(canvas, {
    rows: height,
    columns: width,
    items,
    isOwn: true,
    maps,
    pictures: regions.map(() => canvas.pictures[0]!),
  });
}

/** Resizes every plane, and puts it into a frame of zeros where one is given. */
async function resize(
  canvas: Canvas,
  to: { readonly height: number; readonly width: number; readonly filter: 'area' | 'triangle' },
  frame: { readonly height: number; readonly width: number; readonly left: number; readonly top: number } = {
    ...to,
    left: 0,
    top: 0,
  },
): Promise<void> {
  const { rows, columns } = canvas;
  const { left, top } = frame;
  const items: Float32Array[][] = [];
  for (const planes of canvas.items) {
    const made: Float32Array[] = [];
    for (const values of planes) made.push(await resizePlane({ rows, columns, values }, { ...to, frame }));
    items.push(made);
  }
  const step = { ...scaling(columns / to.width, rows / to.height), from: [left, top] as const };
  Object.assign(canvas, {
    rows: frame.height,
    columns: frame.width,
    items,
    isOwn: true,
    maps: canvas.maps.map((map) => after(map, step)),
  });
}

/** Aspect kept; sizes rounded half to even, as Python's `round` does in training. */
function fittedSize(
  { rows, columns }: Canvas,
  { height, width }: { readonly height: number; readonly width: number },
): { height: number; width: number } {
  const scale = Math.min(height / rows, width / columns);
  return {
    width: Math.max(1, roundHalfToEven(columns * scale)),
    height: Math.max(1, roundHalfToEven(rows * scale)),
  };
}

/** torchvision cuts the longer side off to a whole number. */
function resizedTo({ rows, columns }: Canvas, { height, width, shortestSide }: StepOf<'resize'>) {
  if (shortestSide === undefined) return { height: height!, width: width! };
  const long = Math.trunc((shortestSide * Math.max(rows, columns)) / Math.min(rows, columns));
  return rows <= columns ? { height: shortestSide, width: long } : { height: long, width: shortestSide };
}

function paddedTo({ rows, columns }: Canvas, { height, width, multipleOf, square }: StepOf<'pad'>) {
  if (height !== undefined && width !== undefined) return { height, width };
  if (square === true) return { height: Math.max(rows, columns), width: Math.max(rows, columns) };
  const up = (side: number): number => Math.ceil(side / multipleOf!) * multipleOf!;
  return { height: up(rows), width: up(columns) };
}

/** The same pixels in another frame: cropped where it is smaller, `value` where it is larger. */
function reframe(
  canvas: Canvas,
  { height, width, left, top, value }: { height: number; width: number; left: number; top: number; value: number },
): void {
  const { rows, columns } = canvas;
  const [fromX, toX] = [Math.max(0, -left), Math.min(columns, width - left)];
  const items = canvas.items.map((planes) =>
    planes.map((plane) => {
      const framed = new Float32Array(height * width);
      if (value !== 0) framed.fill(value);
      for (let y = Math.max(0, -top); y < Math.min(rows, height - top); y += 1)
        framed.set(
          plane.subarray(y * columns + fromX, y * columns + Math.max(fromX, toX)),
          (y + top) * width + left + fromX,
        );
      return framed;
    }),
  );
  const maps = canvas.maps.map((map) => after(map, shift(left, top)));
  Object.assign(canvas, { rows: height, columns: width, items, isOwn: true, maps });
}

async function mirrorCanvas(canvas: Canvas): Promise<void> {
  await eachPlane(canvas, (plane) => mirrorRows(plane, canvas.columns));
  canvas.maps = canvas.maps.map((map) => after(map, mirror(canvas.columns)));
}

export function mirrorRows(plane: Float32Array, columns: number): void {
  for (let row = 0; row < plane.length; row += columns) plane.subarray(row, row + columns).reverse();
}

async function windowed(canvas: Canvas, { from, to, percentiles }: StepOf<'window'>): Promise<void> {
  own(canvas);
  for (const planes of canvas.items) {
    const [low, high] = percentiles === undefined ? [from!, to!] : await percentilesOf(planes, percentiles);
    for (const plane of planes) await stretchToUnit(plane, low, high);
  }
}

/** Answers with what the first item was before. */
async function normalised(
  canvas: Canvas,
  { by, mean, sd, epsilon }: StepOf<'normalise'>,
): Promise<ReturnType<typeof spread>> {
  const before = spread(canvas.items[0]!);
  own(canvas);
  for (const [index, planes] of canvas.items.entries()) {
    if (by === 'fixed') {
      const count = Math.max(...[mean, sd].map((one) => (Array.isArray(one) ? one.length : 1)));
      // A grey picture for a net that was trained on colours: the same plane, each with its own numbers.
      const channels =
        planes.length === count
          ? planes
          : count === 1
            ? planes
            : Array.from({ length: count }, () => planes[0]!.slice());
      for (const [channel, plane] of channels.entries())
        await subtractDivide(plane, nth(mean!, channel), nth(sd!, channel));
      canvas.items[index] = channels;
      continue;
    }
    if (by === 'range') {
      const [least, most] = rangeOf(planes);
      for (const plane of planes) await subtractDivide(plane, least, most - least + epsilon);
      continue;
    }
    const { mean: middle, standardDeviation } = index === 0 ? before : spread(planes);
    for (const plane of planes) await subtractDivide(plane, middle, standardDeviation + epsilon);
  }
  return before;
}

const nth = (one: number | readonly number[], index: number): number => (typeof one === 'number' ? one : one[index]!);

function own(canvas: Canvas): void {
  if (!canvas.isOwn) canvas.items = canvas.items.map((planes) => planes.map((plane) => plane.slice()));
  canvas.isOwn = true;
}

async function eachPlane(canvas: Canvas, change: (plane: Float32Array) => void | Promise<void>): Promise<void> {
  own(canvas);
  for (const planes of canvas.items) for (const plane of planes) await change(plane);
}

/** Which pictures of a series are taken. */
function slicesOf(pictures: readonly GreyPixels[], { take, most }: StepOf<'stack'>): readonly GreyPixels[] {
  const chosen =
    take === 'all' ? pictures : 'middle' in take ? middleOf(pictures, take.middle) : evenOf(pictures, take.even);
  if (chosen.length > most)
    throw new WetreadError(
      'model.picture-unusable',
      `the series has ${chosen.length} pictures, this model takes at most ${most}`,
    );
  return chosen;
}

function middleOf<Item>(all: readonly Item[], count: number): readonly Item[] {
  if (all.length < count) return evenOf(all, count);
  const start = (all.length - count) >> 1;
  return all.slice(start, start + count);
}

/** From the first to the last; a short series repeats its pictures rather than leave a tensor without values. */
const evenOf = <Item>(all: readonly Item[], count: number): readonly Item[] =>
  Array.from({ length: count }, (_, index) => all[Math.round((index * (all.length - 1)) / Math.max(count - 1, 1))]!);

/** Of neighbours, from the first to the last. */
function distanceOf(pictures: readonly GreyPixels[]): number | undefined {
  const [first, last] = [pictures[0]?.positionMm, pictures.at(-1)?.positionMm];
  if (first === undefined || last === undefined || pictures.length < 2) return undefined;
  return Math.abs(last - first) / (pictures.length - 1) || undefined;
}

function stacked(canvases: readonly Canvas[], { as }: StepOf<'stack'>, sliceSpacingMm: number | undefined): Canvas {
  const [first] = canvases;
  const odd = canvases.find(({ rows, columns }) => rows !== first!.rows || columns !== first!.columns);
  if (odd !== undefined)
    throw new WetreadError('model.picture-unusable', 'the pictures of the series have different sizes');
  const common = { rows: first!.rows, columns: first!.columns, isOwn: canvases.every(({ isOwn }) => isOwn) };
  if (as === 'batch')
    return {
      ...common,
      isDepth: false,
      items: canvases.flatMap(({ items }) => items),
      maps: canvases.flatMap(({ maps }) => maps),
      pictures: canvases.flatMap(({ pictures }) => pictures),
    };
  return {
    ...common,
    isDepth: as === 'depth',
    ...(sliceSpacingMm !== undefined && { sliceSpacingMm }),
    items: [canvases.flatMap(({ items }) => items.flat())],
    maps: [first!.maps[0]!],
    pictures: [canvases[canvases.length >> 1]!.pictures[0]!],
  };
}

function joined({ items, rows, columns, isOwn }: Canvas): Float32Array {
  const planes = items.flat();
  if (planes.length === 1) return isOwn ? planes[0]! : planes[0]!.slice();
  const size = rows * columns;
  const data = new Float32Array(planes.length * size);
  for (const [index, plane] of planes.entries()) data.set(plane, index * size);
  return data;
}

function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
