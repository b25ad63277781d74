/** Which orders are imaging, and of which part of the body: coded values first, words last. */
import type { CodeableConcept, ServiceRequest } from 'fhir/r4.d.ts';
import { regionOfText } from '../domain/region.ts';
import type { BodyRegion } from '../domain/study.ts';

const loinc = 'http://loinc.org';
const snomed = 'http://snomed.info/sct';

/** Codes that were looked up; public code is full of wrong ones, so nothing is added here from memory. */
const regionOfCode: ReadonlyMap<string, BodyRegion> = new Map([
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

const sections = 'http://terminology.hl7.org/CodeSystem/v2-0074';
/** FHIR's example value set for ServiceRequest.category, and the sections of HL7 table 0074 that make pictures. */
const imagingCategories: ReadonlySet<string> = new Set([
  `${snomed}|363679005`,
  ...['RAD', 'IMG', 'RX', 'CT', 'NMR', 'XRC'].map((section) => `${sections}|${section}`),
]);

/** Words that only an order for a picture has; a "lumbar support belt" is not one. */
const pictureWords =
  /\b(x-?rays?|xr|radiograph\w*|films?|ct|mri?|mr|tomograph\w*|magnetic resonance|imaging|scans?|views?)\b/i;

export function isImagingOrder(order: ServiceRequest): boolean {
  const categories = (order.category ?? []).flatMap(codesOf);
  if (categories.some((code) => imagingCategories.has(code))) return true;
  if (codesOf(order.code).some((code) => code.startsWith(loinc) && regionOfCode.has(code))) return true;
  // A stated category of another kind (laboratory, counselling) is believed.
  const stated = categories.some((code) => code.startsWith(snomed) || code.startsWith(sections));
  return !stated && pictureWords.test(wordsOf(order.code));
}

export function regionOfOrder(order: ServiceRequest): BodyRegion {
  const concepts = [order.code, ...(order.bodySite ?? []), ...(order.orderDetail ?? [])];
  const coded = concepts.flatMap(codesOf).find((code) => regionOfCode.has(code));
  if (coded !== undefined) return regionOfCode.get(coded)!;
  return concepts.map((concept) => regionOfText(wordsOf(concept))).find((region) => region !== 'other') ?? 'other';
}

/** A film of the whole spine shows each part of it; two orders of "other" have nothing in common. */
export function sameRegion(one: BodyRegion, other: BodyRegion): boolean {
  if (one === 'other' || other === 'other') return false;
  return one === other || (one === 'whole-spine' && isSpine(other)) || (other === 'whole-spine' && isSpine(one));
}

const isSpine = (region: BodyRegion): boolean => region.endsWith('-spine');

/** The accession number, when the order carries one (HL7 table 0203, type ACSN). */
export function accessionOf(order: ServiceRequest): string | undefined {
  return order.identifier?.find(({ type }) =>
    type?.coding?.some(
      ({ system, code }) => code === 'ACSN' && system === 'http://terminology.hl7.org/CodeSystem/v2-0203',
    ),
  )?.value;
}

const codesOf = (concept: CodeableConcept | undefined): string[] =>
  (concept?.coding ?? []).map(({ system, code }) => `${system}|${code}`);

const wordsOf = (concept: CodeableConcept | undefined): string =>
  [concept?.text, ...(concept?.coding ?? []).map(({ display }) => display)].filter(Boolean).join(' ');
