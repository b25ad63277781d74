/** What a manifest may declare of the pictures it is for. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseManifest } from '../../src/kit/model-pack.ts';
import { selection } from '../../src/kit/selection-manifest.ts';

const films = { modalities: ['DX'], regions: ['lumbar-spine'], views: ['lateral'], spacing: 'optional' };
const stacks = {
  modalities: ['MR'],
  regions: ['lumbar-spine'],
  spacing: 'optional',
  planes: ['sagittal'],
  sequences: ['T2'],
  slices: { kind: 'middle', count: 5 },
};
const faults = (written: unknown) =>
  selection.safeParse(written).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];

describe('the selection of a manifest', () => {
  test('may be as short as it was for films, and say a plane instead of a view', () => {
    expect(faults(films)).toEqual([]);
    expect(selection.parse(stacks)).toMatchObject({ views: [], slices: { kind: 'middle', count: 5 } });
    expect(faults({ ...films, laterality: 'left', ages: { fromYears: 18 } })).toEqual([]);
  });

  test.each<readonly [string, unknown, string]>([
    ['neither view nor plane', { ...films, views: [] }, 'views: name at least one view, or planes'],
    ['ages upside down', { ...films, ages: { fromYears: 60, toYears: 18 } }, 'ages: goes from high to low'],
    ['a plane without slices', { ...films, planes: ['sagittal'] }, 'planes: goes with "slices"'],
    ['a sequence for films', { ...films, sequences: ['T2'] }, 'sequences: goes with "slices"'],
    [
      'more slices needed than read',
      { ...stacks, minimumSlices: 20, slices: { kind: 'all', most: 10 } },
      'minimumSlices: is more than slices.most',
    ],
    ['a sequence nobody knows', { ...stacks, sequences: ['T4'] }, 'sequences.0: Invalid option'],
  ])('refuses %s', (_, written, fault) => {
    expect(faults(written).join('; ')).toContain(fault);
  });

  test('slices go with a step that stacks them', () => {
    const manifest = JSON.parse(
      readFileSync(new URL('../../models/lumbar-landmarks/manifest.json', import.meta.url), 'utf8'),
    );
    expect(() => parseManifest(JSON.stringify({ ...manifest, selection: stacks }), 'manifest.json')).toThrow(
      'selection.slices: goes with a stack step in the preprocessing',
    );
  });
});
