/** Which orders are imaging, and of which part of the body: coded values first, words last. */
import type { CodeableConcept, ServiceRequest } from 'fhir/r4.d.ts';
import { regionOfCode, regionOfText } from '../domain/region.ts';
import type { BodyRegion } from '../domain/study.ts';

const loinc = 'http://loinc.org';
const snomed = 'http://snomed.info/sct';

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
  if (codesOf(order.code).some((code) => code.startsWith(loinc) && regionOf(code) !== undefined)) return true;
  // A stated category of another kind (laboratory, counselling) is believed.
  const stated = categories.some((code) => code.startsWith(snomed) || code.startsWith(sections));
  return !stated && pictureWords.test(wordsOf(order.code));
}

export function regionOfOrder(order: ServiceRequest): BodyRegion {
  const concepts = [order.code, ...(order.bodySite ?? []), ...(order.orderDetail ?? [])];
  const coded = concepts
    .flatMap(codesOf)
    .map(regionOf)
    .find((region) => region !== undefined);
  if (coded !== undefined) return coded;
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

const regionOf = (code: string): BodyRegion | undefined => regionOfCode(...(code.split('|') as [string, string]));

const codesOf = (concept: CodeableConcept | undefined): string[] =>
  (concept?.coding ?? []).map(({ system, code }) => `${system}|${code}`);

const wordsOf = (concept: CodeableConcept | undefined): string =>
  [concept?.text, ...(concept?.coding ?? []).map(({ display }) => display)].filter(Boolean).join(' ');
