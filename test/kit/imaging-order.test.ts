/** Which orders are imaging, and of what. */
import type { ServiceRequest } from 'fhir/r4.d.ts';
import { describe, expect, it } from 'vitest';
import { accessionOf, isImagingOrder, regionOfOrder, sameRegion } from '../../src/kit/imaging-order.ts';

const order = (fields: Partial<ServiceRequest>): ServiceRequest => ({
  resourceType: 'ServiceRequest',
  status: 'draft',
  intent: 'order',
  subject: { reference: 'Patient/1' },
  ...fields,
});
const loinc = (code: string, display?: string) => ({
  coding: [{ system: 'http://loinc.org', code, ...(display === undefined ? {} : { display }) }],
});
const snomed = (code: string) => ({ coding: [{ system: 'http://snomed.info/sct', code }] });
const section = (code: string) => ({ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0074', code }] });

describe('an imaging order', () => {
  it.each<[string, Partial<ServiceRequest>]>([
    ['the SNOMED category Imaging', { category: [snomed('363679005')] }],
    ['the HL7 section RAD', { category: [section('RAD')] }],
    ['a known LOINC exam and no category', { code: loinc('24969-8') }],
    ['words of a picture and no category', { code: { text: 'X-ray of the lumbar spine, lateral' } }],
    [
      'a site-local category and words of a picture',
      { category: [{ text: 'Diagnostics' }], code: { text: 'MRI L-spine' } },
    ],
  ])('is known by %s', (_, fields) => {
    expect(isImagingOrder(order(fields))).toBe(true);
  });

  it.each<[string, Partial<ServiceRequest>]>([
    ['a laboratory order', { category: [section('LAB')], code: { text: 'CT value of PCR' } }],
    ['counselling about imaging', { category: [snomed('409063005')], code: { text: 'Imaging counselling' } }],
    ['a lumbar belt', { code: { text: 'Lumbar support belt' } }],
    ['an order that says nothing', {}],
    ['a system named like a property', { category: [{ coding: [{ system: '__proto__', code: 'constructor' }] }] }],
  ])('is not %s', (_, fields) => {
    expect(isImagingOrder(order(fields))).toBe(false);
  });

  it.each<[Partial<ServiceRequest>, string]>([
    [{ code: loinc('24970-6') }, 'lumbar-spine'],
    [{ code: loinc('24983-9') }, 'thoracic-spine'],
    [{ code: loinc('36643-5') }, 'chest'],
    [{ code: { text: 'XR' }, bodySite: [snomed('122496007')] }, 'lumbar-spine'],
    [{ code: { text: 'XR' }, bodySite: [snomed('715056000')] }, 'lumbar-spine'],
    [{ code: loinc('99999-9', 'XR Chest PA') }, 'chest'],
    [{ code: { text: 'XR' }, bodySite: [{ text: 'left knee' }] }, 'limb'],
    // A code that was checked is believed before words.
    [{ code: { ...loinc('24972-2'), text: 'chest' } }, 'lumbar-spine'],
    [{ code: { coding: [{ system: '__proto__', code: 'constructor' }] } }, 'other'],
    [{}, 'other'],
  ])('of %j is for the %s', (fields, region) => {
    expect(regionOfOrder(order(fields))).toBe(region);
  });

  it('compares a film of the whole spine with each part of it, and "other" with nothing', () => {
    expect(sameRegion('whole-spine', 'lumbar-spine')).toBe(true);
    expect(sameRegion('lumbar-spine', 'whole-spine')).toBe(true);
    expect(sameRegion('lumbar-spine', 'thoracic-spine')).toBe(false);
    expect(sameRegion('whole-spine', 'chest')).toBe(false);
    expect(sameRegion('other', 'other')).toBe(false);
  });

  it('has an accession number only where HL7 says so', () => {
    const acsn = { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] };
    expect(accessionOf(order({ identifier: [{ value: 'placer' }, { type: acsn, value: 'A-1' }] }))).toBe('A-1');
    expect(accessionOf(order({ identifier: [{ value: 'placer' }] }))).toBeUndefined();
  });
});
