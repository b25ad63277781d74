/** Every feature of a flat region of a radiograph, by the image biomarker standardisation initiative's definitions. */
import { intensityHistogram, intensityStatistics } from './first-order.ts';
import { glcm } from './glcm.ts';
import { glrlm } from './glrlm.ts';
import { glszm } from './glszm.ts';
import { ngldm, ngtdm } from './neighbourhood.ts';
import { fixedBinNumber, inside, type Features, type Region } from './region.ts';
import { shape2d, type FlatSize } from './shape-2d.ts';

export type RadiomicsOptions = {
  /** Grey levels that the region's range is cut into. */
  readonly bins?: number;
  readonly pixel?: FlatSize;
  /** Names of the features that are wanted: families without any of them are not computed. */
  readonly only?: readonly string[];
};

/**
 * Names are `family.feature`. The grid is a crop: the region and what lies around it. Intensities are first put on a
 * scale from 0 to 100 of the crop's own range (1st to 99th percentile), as a radiograph's greys have no unit; what is
 * bright is bright beside its surroundings.
 */
export function radiomicsOf(region: Region, { bins = 32, pixel, only }: RadiomicsOptions = {}): Features {
  if (region.slices !== 1) throw new RangeError('radiomicsOf reads flat regions');
  verifyTexture(region);
  const scaled = once(() => onCropScale(region));
  const levels = once(() => fixedBinNumber(scaled(), bins));
  const families: Readonly<Record<string, () => Features>> = {
    shape2d: () => shape2d(region, pixel),
    firstOrder: () => intensityStatistics(scaled()),
    histogram: () => intensityHistogram(levels()),
    glcm: () => glcm(levels(), '2d-average'),
    glrlm: () => glrlm(levels(), '2d-average'),
    glszm: () => glszm(levels(), '2d-merged'),
    ngtdm: () => ngtdm(levels(), '2d-merged'),
    ngldm: () => ngldm(levels(), '2d-merged'),
  };
  const wanted = only && new Set(only.map((name) => name.split('.', 1)[0]));
  return Object.fromEntries(
    Object.entries(families)
      .filter(([family]) => wanted?.has(family) ?? true)
      .flatMap(([family, compute]) => Object.entries(compute()).map(([name, value]) => [`${family}.${name}`, value])),
  );
}

/** Made when it is first asked for. */
function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** Throws RangeError for a region too small, or too even, to have texture. */
function verifyTexture(region: Region): void {
  const own = inside(region);
  if (own.length < 16) throw new RangeError(`${own.length} pixels are no region to speak of`);
  if (own.every((value) => value === own[0])) throw new RangeError('every pixel of the region has the same value');
}

function onCropScale(region: Region): Region {
  const values = Float64Array.from(region.values);
  const last = values.length - 1;
  const [low, high] = [ofRank(values.slice(), Math.floor(0.01 * last)), ofRank(values.slice(), Math.ceil(0.99 * last))];
  return { ...region, values: values.map((value) => (100 * (value - low)) / (high - low)) };
}

/** The value that sorting would put there, found without sorting (Hoare): a fifth of a vertebra's time was spent on it. */
function ofRank(values: Float64Array, rank: number): number {
  let [from, to] = [0, values.length - 1];
  while (from < to) {
    const pivot = values[(from + to) >> 1]!;
    let [left, right] = [from, to];
    while (left <= right) {
      while (values[left]! < pivot) left += 1;
      while (values[right]! > pivot) right -= 1;
      if (left > right) break;
      const value = values[left]!;
      values[left++] = values[right]!;
      values[right--] = value;
    }
    if (rank <= right) to = right;
    else if (rank >= left) from = left;
    else break;
  }
  return values[rank]!;
}
