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
  ['MRT LWS nativ', 'lumbar-spine'],
  ['IRM rachis lombaire', 'lumbar-spine'],
  ['RM colonna lombosacrale', 'lumbar-spine'],
  ['HWS sag', 'cervical-spine'],
  ['RM columna cervical', 'cervical-spine'],
  ['BWS', 'thoracic-spine'],
  ['rachis dorsal', 'thoracic-spine'],
  ['', 'other'],
  ['Slumber study', 'other'],
])('%s is %s', (text, region) => {
  expect(regionOfText(text)).toBe(region);
});
