/** Radiomics against IBSI's digital phantom, mirp and pyradiomics (scripts/radiomics-reference.py). */
import { describe, expect, test } from 'vitest';
import { intensityHistogram, intensityStatistics } from '../../../src/kit/radiomics/first-order.ts';
import { glcm } from '../../../src/kit/radiomics/glcm.ts';
import { glrlm } from '../../../src/kit/radiomics/glrlm.ts';
import { glszm } from '../../../src/kit/radiomics/glszm.ts';
import { ngldm, ngtdm } from '../../../src/kit/radiomics/neighbourhood.ts';
import { radiomicsOf } from '../../../src/kit/radiomics/radiomics.ts';
import {
  asLevels,
  fixedBinNumber,
  inside,
  type Aggregation,
  type Features,
  type Levels,
} from '../../../src/kit/radiomics/region.ts';
import { shape2d } from '../../../src/kit/radiomics/shape-2d.ts';
import reference from '../../fixtures/radiomics/reference.json' with { type: 'json' };

const { phantom, textures } = reference;
const phantomLevels = asLevels(phantom);

/** mirp's short names in the order of ours. */
const statistics = 'mean var skew kurt median p10 p90 iqr mad rmad medad cov qcod min max range energy rms'.split(' ');
const histogram =
  'mean var skew kurt median p10 p90 iqr mad rmad medad cov qcod min max mode range entropy uniformity max_grad max_grad_g min_grad min_grad_g'.split(
    ' ',
  );
const coOccurrence =
  'joint_max joint_avg joint_var joint_entr diff_avg diff_var diff_entr sum_avg sum_var sum_entr energy contrast dissimilarity inv_diff inv_diff_norm inv_diff_mom inv_diff_mom_norm inv_var corr auto_corr clust_tend clust_shade clust_prom info_corr1 info_corr2'.split(
    ' ',
  );
const runs =
  'sre lre lgre hgre srlge srhge lrlge lrhge glnu glnu_norm rlnu rlnu_norm r_perc gl_var rl_var rl_entr'.split(' ');
const zones =
  'sze lze lgze hgze szlge szhge lzlge lzhge glnu glnu_norm zsnu zsnu_norm z_perc gl_var zs_var zs_entr'.split(' ');
const tones = 'coarseness contrast busyness complexity strength'.split(' ');
const dependences =
  'lde hde lgce hgce ldlge ldhge hdlge hdhge glnu glnu_norm dcnu dcnu_norm dc_perc gl_var dc_var dc_entr dc_energy'.split(
    ' ',
  );

/** Features that are missing, or further from mirp's than rounding explains. */
function differences(
  features: Features,
  names: readonly string[],
  mirp: Readonly<Record<string, number>>,
  prefix: string,
  suffix = '',
): string[] {
  const own = Object.entries(features);
  if (own.length !== names.length) return [`${own.length} features, mirp has ${names.length}`];
  return own.flatMap(([name, value], index) => {
    const expected = mirp[`${prefix}_${names[index]}${suffix}`] ?? NaN;
    const close = Math.abs(value - expected) <= 1e-8 * Math.max(1, Math.abs(expected));
    return close ? [] : [`${name}: ${value}, mirp ${prefix}_${names[index]}${suffix} ${expected}`];
  });
}

test('the digital phantom: values as the initiative publishes them', () => {
  expect(inside(phantom)).toHaveLength(74);
  const { mean, variance, energy } = intensityStatistics(phantom) as Record<string, number>;
  expect([mean, variance, energy]).toEqual([expect.closeTo(2.149, 3), expect.closeTo(3.045, 3), 567]);
  expect(intensityHistogram(phantomLevels)['entropy']).toBeCloseTo(1.266, 3);
  const merged = glcm(phantomLevels, '3d-merged');
  expect([merged['jointEntropy'], merged['contrast']]).toEqual([expect.closeTo(2.574, 3), expect.closeTo(5.118, 3)]);
  const averaged = glcm(phantomLevels, '3d-average');
  expect([averaged['jointEntropy'], averaged['contrast']]).toEqual([expect.closeTo(2.4, 3), expect.closeTo(5.324, 3)]);
});

describe('every feature of the digital phantom equals mirp', () => {
  test('intensity statistics and histogram', () => {
    expect(differences(intensityStatistics(phantom), statistics, phantom.mirp, 'stat')).toEqual([]);
    expect(differences(intensityHistogram(phantomLevels), histogram, phantom.mirp, 'ih')).toEqual([]);
  });
  test.each([
    ['2d-average', '2d_avg'],
    ['2d-merged', '2d_s_mrg'],
    ['3d-average', '3d_avg'],
    ['3d-merged', '3d_v_mrg'],
  ] as const)('co-occurrence and runs, %s', (aggregation, suffix) => {
    expect(differences(glcm(phantomLevels, aggregation), coOccurrence, phantom.mirp, 'cm', `_d1_${suffix}`)).toEqual(
      [],
    );
    expect(differences(glrlm(phantomLevels, aggregation), runs, phantom.mirp, 'rlm', `_${suffix}`)).toEqual([]);
  });
  test.each([
    ['2d-merged', '2d'],
    ['3d-merged', '3d'],
  ] as const)('zones, tone differences and dependences, %s', (aggregation, suffix) => {
    expect(neighbourhoodDifferences(phantomLevels, phantom.mirp, aggregation, suffix)).toEqual([]);
  });
});

function neighbourhoodDifferences(
  levels: Levels,
  mirp: Readonly<Record<string, number>>,
  aggregation: Aggregation,
  suffix: string,
): string[] {
  return [
    ...differences(glszm(levels, aggregation), zones, mirp, 'szm', `_${suffix}`),
    ...differences(ngtdm(levels, aggregation), tones, mirp, 'ngt', `_${suffix}`),
    ...differences(ngldm(levels, aggregation), dependences, mirp, 'ngl', `_d1_a0.0_${suffix}`),
  ];
}

describe.each(textures.map((texture, index) => ({ texture, index })))('flat texture $index', ({ texture }) => {
  const levels = fixedBinNumber(texture, 32);
  test('every feature equals mirp with 32 bins', () => {
    expect(differences(intensityStatistics(texture), statistics, texture.mirp, 'stat')).toEqual([]);
    expect(differences(intensityHistogram(levels), histogram, texture.mirp, 'ih')).toEqual([]);
    expect(differences(glcm(levels, '2d-average'), coOccurrence, texture.mirp, 'cm', '_d1_2d_avg')).toEqual([]);
    expect(differences(glrlm(levels, '2d-average'), runs, texture.mirp, 'rlm', '_2d_avg')).toEqual([]);
    expect(neighbourhoodDifferences(levels, texture.mirp, '2d-merged', '2d')).toEqual([]);
  });
  test('every shape feature equals pyradiomics', () => {
    const shape = shape2d(texture, texture);
    const expected = Object.entries(texture.pyradiomics).map(([name, value]) => [
      name[0]!.toLowerCase() + name.slice(1),
      expect.closeTo(value, 9),
    ]);
    expect(shape).toMatchObject(Object.fromEntries(expected));
  });
  test('the whole list: at least 90 numbers, none of them infinite', () => {
    const all = radiomicsOf(texture, { pixel: texture });
    expect(Object.keys(all).length).toBeGreaterThanOrEqual(90);
    expect(Object.entries(all).filter(([, value]) => !Number.isFinite(value))).toEqual([]);
  });
  test('a few of them are the same numbers as all of them, and no other family is computed', () => {
    const all = radiomicsOf(texture, { pixel: texture });
    const few = radiomicsOf(texture, { pixel: texture, only: ['shape2d.elongation', 'glcm.contrast'] });
    expect(Object.keys(few).length).toBeLessThan(45);
    for (const [name, value] of Object.entries(few)) {
      expect(name).toMatch(/^(shape2d|glcm)\./);
      expect(value).toBe(all[name]);
    }
  });
  test('exposure and contrast of the film change nothing but the shape of the numbers: texture stays', () => {
    const brighter = { ...texture, values: texture.values.map((value) => 3 * value + 500) };
    const [before, after] = [radiomicsOf(texture), radiomicsOf(brighter)];
    expect(after).toEqual(
      Object.fromEntries(Object.entries(before).map(([name, value]) => [name, expect.closeTo(value, 6)])),
    );
  });
});

test('a square of 3 by 2 pixels has the perimeter of its cut corners', () => {
  const mask = [0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0];
  const shape = shape2d({ columns: 5, rows: 4, slices: 1, values: mask, mask });
  // Two sides of 2, two of 1, four corners of √½.
  expect(shape['perimeter']).toBeCloseTo(6 + 4 * Math.SQRT1_2, 12);
  expect(shape['pixelSurface']).toBe(6);
  expect(shape['meshSurface']).toBeCloseTo(6 - 4 / 8, 12);
});

test('a region that is too small, or has one value, is refused', () => {
  const even = {
    columns: 10,
    rows: 10,
    slices: 1,
    values: new Float64Array(100).fill(3),
    mask: new Uint8Array(100).fill(1),
  };
  expect(() => radiomicsOf(even)).toThrow('same value');
  expect(() => radiomicsOf({ ...even, mask: new Uint8Array(100).fill(1, 0, 9) })).toThrow('no region to speak of');
});
