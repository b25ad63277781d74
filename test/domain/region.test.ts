/** Words to body regions: what technicians really write. */
import { expect, test } from 'vitest';
import { regionOfText } from '../../src/domain/region.ts';

test.each([
  ['LSPINE', 'lumbar-spine'],
  ['L-Spine lat', 'lumbar-spine'],
  ['XR LUMBAR SPINE 2 VIEWS', 'lumbar-spine'],
  ['Lumbosacral spine and pelvis', 'lumbar-spine'],
  ['TSPINE', 'thoracic-spine'],
  ['CHEST PA', 'chest'],
  ['Whole spine standing', 'whole-spine'],
  ['Left knee', 'limb'],
  ['PELVIS', 'pelvis'],
  ['HIP', 'pelvis'],
  ['', 'other'],
  ['Slumber study', 'other'],
])('%s is %s', (text, region) => {
  expect(regionOfText(text)).toBe(region);
});
