/** The codes that go into the chart. docs/conformance-fhir.md says where each was checked; where none was found there is text, or a word of our own. */
import type { CodeableConcept, Coding } from 'fhir/r4.js';
import type {
  Concept,
  Direction,
  Grade,
  NotAssessableReason,
  Segment,
  Site,
  Unit,
  Vertebra,
} from '../domain/finding.ts';
import type { Change } from '../domain/prior.ts';
import { quantityWords } from '../domain/quantities.ts';
import { plain } from './narrative.ts';

export const systems = {
  loinc: 'http://loinc.org',
  snomed: 'http://snomed.info/sct',
  ucum: 'http://unitsofmeasure.org',
  uri: 'urn:ietf:rfc:3986',
  dicomUid: 'urn:dicom:uid',
  diagnosticService: 'http://terminology.hl7.org/CodeSystem/v2-0074',
  observationCategory: 'http://terminology.hl7.org/CodeSystem/observation-category',
  interpretation: 'http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation',
  dataAbsent: 'http://terminology.hl7.org/CodeSystem/data-absent-reason',
  participant: 'http://terminology.hl7.org/CodeSystem/provenance-participant-type',
  observationValue: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue',
  aiTransparency: 'http://hl7.org/fhir/uv/aitransparency/CodeSystem/AddedProvenanceCS',
  /** Our own words for what no public code was found for: an OID made from a UUID (ITU-T X.667), so it needs no registration and no web address that may change. */
  wetread: 'urn:oid:2.25.250832574448679098535890850504587790097',
} as const;

export const aiAsserted: Coding = {
  system: systems.observationValue,
  code: 'AIAST',
  display: 'Artificial Intelligence asserted',
};
/** AI Transparency on FHIR, 1.0.0-ballot: a clinician has reviewed and asserted what an AI had reported. */
export const clinicianAsserted: Coding = {
  system: systems.aiTransparency,
  code: 'CLINAST_AIRPT',
  display: 'Clinician Asserted from AI Reported',
};

export const imagingReport: CodeableConcept = {
  coding: [{ system: systems.loinc, code: '18748-4', display: 'Diagnostic imaging study' }],
  text: 'AI reading of an imaging study',
};
/** v2-0074 is what R4 prefers, LP29684-5 what US Core searches for. */
export const radiology: CodeableConcept = {
  coding: [
    { system: systems.diagnosticService, code: 'RAD', display: 'Radiology' },
    { system: systems.loinc, code: 'LP29684-5', display: 'Radiology' },
  ],
};
export const imaging: CodeableConcept = {
  coding: [{ system: systems.observationCategory, code: 'imaging', display: 'Imaging' }],
};

export const author: CodeableConcept = { coding: [{ system: systems.participant, code: 'author', display: 'Author' }] };
export const verifier: CodeableConcept = {
  coding: [{ system: systems.participant, code: 'verifier', display: 'Verifier' }],
};

export const detected: Coding = { system: systems.snomed, code: '260373001', display: 'Detected' };
export const notDetected: Coding = { system: systems.snomed, code: '260415000', display: 'Not detected' };
export const positive: CodeableConcept = {
  coding: [{ system: systems.interpretation, code: 'POS', display: 'Positive' }],
};
export const negative: CodeableConcept = {
  coding: [{ system: systems.interpretation, code: 'NEG', display: 'Negative' }],
};

const own = (code: string, text: string, ...others: Coding[]): CodeableConcept => ({
  coding: [...others, { system: systems.wetread, code, display: text }],
  text,
});

export const concepts: Record<Concept, CodeableConcept> = {
  spondylolisthesis: own('spondylolisthesis', 'Spondylolisthesis', {
    system: systems.snomed,
    code: '274152003',
    display: 'Spondylolisthesis',
  }),
  'vertebral-height': own('vertebral-height', 'Height of the vertebral body'),
  'vertebral-fracture': own('vertebral-fracture', 'Fracture of the vertebral body'),
  'view-and-quality': own('view-and-quality', 'View and quality of the image'),
};

export const quantity = (name: string): CodeableConcept => own(name, quantityWords(name).says);
export const interval = (name: string): CodeableConcept =>
  own(`${name}-interval-95`, `${quantityWords(name).says}: 95 % interval`);

/** The scale asked about and the grade answered. The definition of a class is text: a code of ours would claim that it is fixed. */
export function graded(grade: Grade): { readonly question: CodeableConcept; readonly answer: CodeableConcept } {
  switch (grade.scale) {
    case 'Meyerding':
      return {
        question: own('meyerding-grade', 'Meyerding grade'),
        answer: own(`meyerding-${grade.value}`, `Meyerding grade ${grade.value}`),
      };
    case 'Genant':
      return {
        question: own('genant-grade', 'Genant grade'),
        answer: own(`genant-${grade.value}`, `Genant grade ${grade.value}`),
      };
    case 'OVF class':
      return {
        question: {
          ...own('ovf-class', 'Class of osteoporotic vertebral fracture'),
          text: `Class of osteoporotic vertebral fracture, by ${plain(grade.definition)}`,
        },
        answer: own(`ovf-class-${grade.value}`, `OVF class ${grade.value}`),
      };
  }
}
export const directionQuestion = own('slip-direction', 'Direction of the slip');
export const direction = (value: Direction): CodeableConcept =>
  value === 'anterior' ? own('anterior', 'Anterior (anterolisthesis)') : own('posterior', 'Posterior (retrolisthesis)');

export const changeQuestion = own('change-since-earlier-film', 'Change since the earlier film');
const changeTexts: Record<Change, string> = {
  new: 'Not suspected on the earlier film',
  gone: 'No longer suspected',
  progressed: 'Progressed',
  regressed: 'Regressed',
  unchanged: 'Unchanged within the spread of measuring',
  uncertain: 'Suspected on both, change not measured',
};
export const change = (value: Change): CodeableConcept => own(`change-${value}`, changeTexts[value]);
/** Only where the interval of the difference says so. */
export const courseInterpretation: Partial<Record<Change, CodeableConcept>> = {
  progressed: { coding: [{ system: systems.interpretation, code: 'W', display: 'Worse' }] },
  regressed: { coding: [{ system: systems.interpretation, code: 'B', display: 'Better' }] },
};

/** R4 has no code for "the picture does not allow it": the procedure of measuring was not carried out, and the text says why. */
export const notPerformed: Coding = { system: systems.dataAbsent, code: 'not-performed', display: 'Not Performed' };
export const reasonTexts: Record<NotAssessableReason, string> = {
  'wrong-view': 'not the view that is needed',
  'wrong-region': 'another region of the body',
  'poor-quality': 'the image quality is not sufficient',
  'level-not-visible': 'the level is not visible',
  'levels-uncertain': 'the levels could not be counted with certainty',
  'unusual-anatomy': 'unusual anatomy',
  'unlike-training-data': 'unlike the images the model was trained on',
};

/** `1` is UCUM's ratio without a unit; people read nothing there. */
export const unitText: Record<Unit, string> = { '%': '%', mm: 'mm', '1': '', deg: '°' };

/** DICOM PS3.16, CID 7603 (vertebrae) and 7604 (discs). */
const vertebraCodes: Partial<Record<Vertebra, string>> = {
  T10: '7610001',
  T11: '12989004',
  T12: '23215003',
  L1: '66794005',
  L2: '14293000',
  L3: '36470004',
  L4: '11994002',
  L5: '49668003',
};
const discCodes: Record<Segment, string> = {
  'T10/T11': '34959001',
  'T11/T12': '1537001',
  'T12/L1': '76206002',
  'L1/L2': '80064006',
  'L2/L3': '67459009',
  'L3/L4': '62551000',
  'L4/L5': '84020006',
  'L5/S1': '715056000',
};
const lumbarSpine = '122496007';

/** Undefined for the whole image of something that is not known to be the lumbar spine. */
export function bodySite(site: Site, wholeIsLumbarSpine: boolean): CodeableConcept | undefined {
  if (site.kind === 'image')
    return wholeIsLumbarSpine
      ? { coding: [{ system: systems.snomed, code: lumbarSpine }], text: 'Lumbar spine' }
      : undefined;
  const code = site.kind === 'vertebra' ? vertebraCodes[site.level] : discCodes[site.level];
  const text = site.kind === 'vertebra' ? `Vertebra ${site.level}` : `Segment ${site.level}`;
  return { ...(code === undefined ? {} : { coding: [{ system: systems.snomed, code }] }), text };
}

export const siteText = (site: Site): string => (site.kind === 'image' ? 'the image' : site.level);
