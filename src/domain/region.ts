/** Which part of the body words speak of: DICOM Body Part Examined, study descriptions, order texts. */
import type { BodyRegion } from './study.ts';

/** In the order they are tried: a "lumbosacral spine and pelvis" film is a lumbar one. */
const patterns: readonly (readonly [BodyRegion, RegExp])[] = [
  ['whole-spine', /\b(whole|full|total|entire)[ -]?spine\b|\bscoliosis\b|\bEOS\b|^WSPINE$/i],
  ['lumbar-spine', /\b(lumb\w*|l-?spine|lspine|ls spine|lsspine|low back|lower back|tlspine)\b/i],
  ['thoracic-spine', /\b(thoracic spine|t-?spine|tspine|dorsal spine|thoracolumbar)\b/i],
  ['cervical-spine', /\b(cervical|c-?spine|cspine|neck)\b/i],
  ['chest', /\b(chest|thorax|lungs?|cxr)\b/i],
  ['pelvis', /\b(pelvis|hips?|sacrum|sacroiliac)\b/i],
  [
    'limb',
    /\b(hand|wrist|fore ?arm|elbow|humerus|shoulder|clavicle|femur|knee|tibia|fibula|lower leg|ankle|foot|toe|finger|thumb|calcaneus|arm|leg|extremity)\b/i,
  ],
];

export function regionOfText(text: string): BodyRegion {
  return patterns.find(([, pattern]) => pattern.test(text.trim()))?.[0] ?? 'other';
}
