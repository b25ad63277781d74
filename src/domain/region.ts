/** Which part of the body words speak of: DICOM Body Part Examined, study descriptions, order texts. */
import type { BodyRegion } from './study.ts';

/** In the order they are tried: a "lumbosacral spine and pelvis" film is a lumbar one. */
const patterns: readonly (readonly [BodyRegion, RegExp])[] = [
  ['whole-spine', /\b(whole|full|total|entire)[ -]?spine\b|\bscoliosis\b|\bEOS\b|\bGWS\b|^WSPINE$/i],
  [
    'lumbar-spine',
    /\b(lumb\w*|lomb\w*|lws|lendenwirbel\w*|l-?spine|lspine|ls spine|lsspine|low back|lower back|tlspine)\b/i,
  ],
  [
    'thoracic-spine',
    /\b(thoracic spine|t-?spine|tspine|dorsal spine|thoracolumbar|bws|brustwirbel\w*|(rachis|columna|colonna) (dorsa\w*|tor[aá]cica))\b/i,
  ],
  ['cervical-spine', /\b(cervic\w*|hws|halswirbel\w*|c-?spine|cspine|neck)\b/i],
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

const loinc = 'http://loinc.org';
const snomed = 'http://snomed.info/sct';

/** Codes that were looked up; public code is full of wrong ones, so nothing is added here from memory. */
const codes: ReadonlyMap<string, BodyRegion> = new Map([
  [`${loinc}|24968-0`, 'lumbar-spine'], // MR lumbar spine
  [`${loinc}|24969-8`, 'lumbar-spine'], // XR lateral
  [`${loinc}|24970-6`, 'lumbar-spine'], // XR AP and lateral
  [`${loinc}|24971-4`, 'lumbar-spine'], // XR flexion and extension
  [`${loinc}|24972-2`, 'lumbar-spine'], // XR views
  [`${loinc}|24980-5`, 'thoracic-spine'], // MR thoracic spine
  [`${loinc}|24983-9`, 'thoracic-spine'], // XR thoracic spine
  [`${loinc}|24648-8`, 'chest'], // XR PA upright
  [`${loinc}|36643-5`, 'chest'], // XR two views
  // DICOM CID 7603 and 7604
  [`${snomed}|122496007`, 'lumbar-spine'],
  [`${snomed}|66794005`, 'lumbar-spine'], // L1
  [`${snomed}|14293000`, 'lumbar-spine'], // L2
  [`${snomed}|36470004`, 'lumbar-spine'], // L3
  [`${snomed}|11994002`, 'lumbar-spine'], // L4
  [`${snomed}|49668003`, 'lumbar-spine'], // L5
  [`${snomed}|84020006`, 'lumbar-spine'], // L4/5 disc
  [`${snomed}|715056000`, 'lumbar-spine'], // L5/S1 disc
  [`${snomed}|23215003`, 'thoracic-spine'], // T12
  [`${snomed}|54735007`, 'pelvis'], // sacrum
]);

/** What HL7 v2 (table 0396) and FHIR call the two code systems. */
const systems: ReadonlyMap<string, string> = new Map([
  ...['LN', 'LOINC', loinc].map((name) => [name, loinc] as const),
  ...['SCT', 'SNM', 'SNOMED', snomed].map((name) => [name, snomed] as const),
]);

/** Undefined for every code that is not known to mean a region. */
export function regionOfCode(system: string, code: string): BodyRegion | undefined {
  return codes.get(`${systems.get(system)}|${code}`);
}
