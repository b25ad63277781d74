/** Each vertebra looked at by itself: upright crop, features by hand and by network, class, and what the class is made of. */
import type { FindingExplanation, OutputTensor, OverlayShape } from '../../src/kit/model-pack.ts';
import { radiomicsOf } from '../../src/kit/radiomics/radiomics.ts';
import {
  cornersOfCrop,
  cropSide,
  inCrop,
  normalisedCrop,
  polygonMask,
  uprightCrop,
  uprightFrame,
  type BodyCorners,
  type Plane,
  type UprightFrame,
} from '../../src/kit/upright-crop.ts';
import { chosen, classes, contributions, deepWeights, judge, radiomicsNames, type Judged } from './linear-model.ts';

export type Cut = {
  readonly frame: UprightFrame;
  readonly crop: Float32Array;
  /** By name; only families with a chosen feature are computed. */
  readonly radiomics: Readonly<Record<string, number>>;
};

/** Undefined where the crop has no texture to speak of: beyond the film, or one grey throughout. */
export function cut(film: Plane, corners: BodyCorners): Cut | undefined {
  const frame = uprightFrame(corners);
  const crop = uprightCrop(film, frame);
  const mask = polygonMask(corners.map((corner) => inCrop(corner, frame)));
  if (!hasTexture(crop, mask)) return undefined;
  const region = { columns: cropSide, rows: cropSide, slices: 1, values: crop, mask };
  return { frame, crop, radiomics: radiomicsNames.length === 0 ? {} : radiomicsOf(region, { only: radiomicsNames }) };
}

const leastPixels = 64;
function hasTexture(crop: Float32Array, mask: Uint8Array): boolean {
  let [pixels, darkest, brightest] = [0, Infinity, -Infinity];
  for (let place = 0; place < crop.length; place += 1) {
    if (mask[place] !== 1) continue;
    pixels += 1;
    darkest = Math.min(darkest, crop[place]!);
    brightest = Math.max(brightest, crop[place]!);
  }
  return pixels >= leastPixels && darkest < brightest;
}

/** The network's input: one crop after the other. */
export function cropsTensor(cuts: readonly Cut[]): { readonly dims: readonly number[]; readonly data: Float32Array } {
  const data = new Float32Array(cuts.length * cropSide ** 2);
  for (const [index, { crop }] of cuts.entries()) data.set(normalisedCrop(crop), index * cropSide ** 2);
  return { dims: [cuts.length, 1, cropSide, cropSide], data };
}

/** `deep`: this crop's features. */
export const judged = ({ radiomics }: Cut, deep: Float32Array): Judged =>
  judge(chosen.map(({ name, source }) => (source === 'deep' ? deep[Number(name)]! : radiomics[name]!)));

const familyWords: Readonly<Record<string, string>> = {
  shape2d: 'Shape of the body',
  firstOrder: 'Brightness',
  histogram: 'Spread of greys',
  glcm: 'Texture: neighbouring greys',
  glrlm: 'Texture: runs',
  glszm: 'Texture: patches',
  ngtdm: 'Texture: local contrast',
  ngldm: 'Texture: evenness',
};
const deepWords = 'What the network saw';

/** Radiomics by family, the network's features as one: single features mean nothing to a reader. */
export function explanationOf(one: Judged, definition: string): FindingExplanation {
  const { parts, rest } = contributions(one, one.leading);
  const bars = new Map<string, number>();
  for (const [index, { name, source }] of chosen.entries()) {
    const label = source === 'deep' ? deepWords : familyWords[name.split('.', 1)[0]!]!;
    bars.set(label, (bars.get(label) ?? 0) + parts[index]!);
  }
  return {
    of: `OVF class ${classes[one.leading]} (${definition}) against the others`,
    bars: [...bars]
      .map(([label, value]) => ({ label, value }))
      .toSorted((a, b) => Math.abs(b.value) - Math.abs(a.value)),
    rest,
  };
}

/**
 * The network's part as a map: its features are means over places, and what is linear in a mean is a mean of what each
 * place adds. Places that speak against the class are left dark, as in every class activation map.
 */
export function heatmapOf({ frame }: Cut, one: Judged, maps: OutputTensor, item: number): OverlayShape[] {
  const [, channels, rows, columns] = maps.dims as [number, number, number, number];
  const area = rows * columns;
  const sum = new Float64Array(area);
  for (const { channel, weight } of deepWeights(one.leading)) {
    const start = (item * channels + channel) * area;
    for (let place = 0; place < area; place += 1) sum[place]! += weight * maps.data[start + place]!;
  }
  const most = Math.max(...sum);
  if (most <= 0) return [];
  return [
    {
      kind: 'heatmap',
      label: 'what the network saw',
      rows,
      columns,
      values: Array.from(sum, (value) => Math.round((Math.max(value, 0) / most) * 1000) / 1000),
      corners: cornersOfCrop(frame),
    },
  ];
}
