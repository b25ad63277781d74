/** What may be ordered next, as a draft that a person signs or does not: never placed by itself, never without saying that nobody has reviewed the finding. */
import type { Bundle, DiagnosticReport, FhirResource, ServiceRequest } from 'fhir/r4.d.ts';
import {
  gradeOf,
  ifAvailable,
  type Finding,
  type PatientId,
  type StudyRecord,
  type Suggestion,
} from '../../src/kit/hook.ts';
import { suspicionWords } from './headline.ts';
import { dayOf } from './words.ts';

type Step = 'flexion-extension' | 'bone-density' | 'lumbar-mr' | 'thoracic-mr';

/** LOINC codes as docs/conformance-fhir.md has checked them. */
const exams: Readonly<
  Record<Step, { readonly code: string; readonly text: string; readonly why: string; readonly goodForDays: number }>
> = {
  'flexion-extension': {
    code: '24971-4',
    text: 'X-ray of the lumbar spine, flexion and extension views',
    why: 'shows whether the slip moves',
    goodForDays: 365,
  },
  'bone-density': {
    code: '38268-9',
    text: 'Bone density measurement (DXA)',
    why: 'shows whether the bone is osteoporotic',
    goodForDays: 730,
  },
  'lumbar-mr': {
    code: '24968-0',
    text: 'MRI of the lumbar spine',
    why: 'shows whether the fracture is fresh and whether the canal is narrowed',
    goodForDays: 90,
  },
  'thoracic-mr': {
    code: '24980-5',
    text: 'MRI of the thoracic spine',
    why: 'shows whether the fracture is fresh and whether the canal is narrowed',
    goodForDays: 90,
  },
};

const search = <const Code extends string>(code: Code) =>
  ifAvailable(`ServiceRequest?patient={{context.patientId}}&code=http://loinc.org|${code}&_count=20`);

/** What the chart holds of these examinations already, so that nothing is suggested twice. */
export const recordQueries = {
  flexionExtension: search('24971-4'),
  boneDensity: search('38268-9'),
  lumbarMr: search('24968-0'),
  thoracicMr: search('24980-5'),
  // By section, not by code: a densitometry has many codes, and a report from elsewhere often none but its title. US Core files by LP29684-5.
  imagingReports: ifAvailable(
    'DiagnosticReport?patient={{context.patientId}}&category=http://terminology.hl7.org/CodeSystem/v2-0074|RAD,http://loinc.org|LP29684-5&_sort=-date&_count=50',
  ),
} as const;

/** By step the orders found; undefined when the chart could not be asked. And the reports, where they could be had. */
export type OnRecord = {
  readonly orders: Readonly<Record<Step, readonly ServiceRequest[] | undefined>>;
  readonly reports: readonly DiagnosticReport[] | undefined;
};

export function onRecord(
  prefetch: Readonly<Record<keyof typeof recordQueries, Bundle | null | undefined>>,
  drafts: readonly ServiceRequest[] = [],
): OnRecord {
  const orders = (step: Step, found: Bundle | null | undefined) =>
    found === undefined
      ? undefined
      : [...foundIn(found, 'ServiceRequest'), ...drafts.filter((draft) => hasCode(draft, exams[step].code))];
  return {
    orders: {
      'flexion-extension': orders('flexion-extension', prefetch.flexionExtension),
      'bone-density': orders('bone-density', prefetch.boneDensity),
      'lumbar-mr': orders('lumbar-mr', prefetch.lumbarMr),
      'thoracic-mr': orders('thoracic-mr', prefetch.thoracicMr),
    },
    reports: prefetch.imagingReports === undefined ? undefined : foundIn(prefetch.imagingReports, 'DiagnosticReport'),
  };
}

const foundIn = <Type extends 'ServiceRequest' | 'DiagnosticReport'>(bundle: Bundle | null, type: Type) =>
  (bundle?.entry ?? [])
    .map(({ resource }) => resource as FhirResource | undefined)
    .filter((resource): resource is Extract<FhirResource, { resourceType: Type }> => resource?.resourceType === type);

const hasCode = ({ code }: ServiceRequest | DiagnosticReport, wanted: string): boolean =>
  code?.coding?.some((coding) => coding.system === 'http://loinc.org' && coding.code === wanted) === true;

export type NextStep = { readonly suggestion: Suggestion; readonly step: Step; readonly says: string };

/** One of each kind at most, for the most serious finding that asks for it. */
export function nextSteps(
  findings: readonly Finding[],
  about: {
    readonly patient: PatientId;
    readonly studies: readonly StudyRecord[];
    readonly onRecord: OnRecord;
    readonly now: Date;
  },
): NextStep[] {
  const steps = new Map<Step, NextStep>();
  for (const finding of findings) {
    for (const step of stepsFor(finding)) {
      if (!steps.has(step) && isMissing(step, about)) steps.set(step, nextStep(step, finding, about));
    }
  }
  return [...steps.values()];
}

function stepsFor(finding: Finding): readonly Step[] {
  if (finding.result.kind !== 'detected' || finding.verdict.kind === 'rejected') return [];
  if (finding.concept === 'spondylolisthesis') return ['flexion-extension'];
  const ovf = gradeOf(finding, 'OVF class')?.value;
  if (finding.concept !== 'vertebral-fracture' || ovf === undefined || ovf === '0') return [];
  if (ovf === '1') return ['bone-density'];
  const thoracic = finding.site.kind === 'vertebra' && finding.site.level.startsWith('T');
  return ['bone-density', thoracic ? 'thoracic-mr' : 'lumbar-mr'];
}

const dayMs = 86_400_000;
/** Orders that came to nothing. */
const void_: ReadonlySet<string> = new Set(['revoked', 'entered-in-error']);

/** Only where the chart was looked into: that no order was found is a statement, not a guess. */
function isMissing(
  step: Step,
  { onRecord: { orders, reports }, studies, now }: { onRecord: OnRecord; studies: readonly StudyRecord[]; now: Date },
): boolean {
  const known = orders[step];
  if (known === undefined) return false;
  const isRecent = (time: string | undefined): boolean =>
    time === undefined || now.getTime() - Date.parse(time) <= exams[step].goodForDays * dayMs;
  if (known.some(({ status, authoredOn }) => !void_.has(status) && isRecent(authoredOn))) return false;
  if (reports?.some((report) => reportsOn(step, report) && isRecent(whenDone(report))) === true) return false;
  return !studies.some((study) => isOf(step, study) && isRecent(study.startedAt ?? study.announcedAt));
}

const spine = /spine|spinal|lumb|thorac|dorsal|lws|bws|wirbel/i;
const elsewhereOnIt = { lumbar: /cervic|hws|thorac|dorsal|bws/i, thoracic: /cervic|hws|lumb|lws/i };
const parts = { lumbar: /lumb|lws/i, thoracic: /thorac|dorsal|bws/i };
/** Of this part, or of the spine without a word of another part: a neck says nothing of a lumbar vertebra. */
const ofSpine = (part: keyof typeof parts, words: string): boolean =>
  parts[part].test(words) || (spine.test(words) && !elsewhereOnIt[part].test(words));
const named: Readonly<Record<Step, (words: string) => boolean>> = {
  'flexion-extension': (words) =>
    /\b(flex\w*|ext(en[sz]ion)?|functional|funktionsaufnahme\w*|bending|dynamic)\b/i.test(words),
  'bone-density': (words) =>
    /\b(dxa|dexa|bone (mineral )?densi\w*|densitomet\w*|osteodensi\w*|knochendicht\w*)\b/i.test(words),
  'lumbar-mr': (words) => ofSpine('lumbar', words),
  'thoracic-mr': (words) => ofSpine('thoracic', words),
};

/** A study says what it is in its description, where it says it at all. */
function isOf(step: Step, { description = '', modalities }: StudyRecord): boolean {
  if (step === 'bone-density' && modalities.includes('BMD')) return true;
  return named[step](description) && (!isMr(step) || modalities.includes('MR'));
}

/** A report says it in its title, by code or in words; what its text recommends was not done. */
function reportsOn(step: Step, report: DiagnosticReport): boolean {
  if (undone.has(report.status)) return false;
  if (hasCode(report, exams[step].code)) return true;
  const words = [report.code.text, ...(report.code.coding ?? []).map(({ display }) => display)].join(' ');
  if (!named[step](words)) return false;
  return isMr(step)
    ? /\b(mri?|magnetic resonance|mrt|kernspin\w*)\b/i.test(words)
    : step === 'bone-density' || ofSpine('lumbar', words);
}

const isMr = (step: Step): boolean => step === 'lumbar-mr' || step === 'thoracic-mr';
const undone: ReadonlySet<string> = new Set(['registered', 'cancelled', 'entered-in-error']);
const whenDone = ({ effectiveDateTime, effectivePeriod, issued }: DiagnosticReport): string | undefined =>
  effectiveDateTime ?? effectivePeriod?.end ?? effectivePeriod?.start ?? issued;

function nextStep(
  step: Step,
  finding: Finding,
  { patient, onRecord: { reports } }: { patient: PatientId; onRecord: OnRecord },
): NextStep {
  const { code, text, why, goodForDays } = exams[step];
  const standing =
    finding.verdict.kind === 'confirmed' ? 'finding confirmed by a reader' : 'AI finding, not yet reviewed';
  const reason = `${suspicionWords(finding)} (${standing})`;
  const last = (reports ?? [])
    .filter((report) => reportsOn(step, report))
    .map(whenDone)
    .filter((time) => time !== undefined)
    .toSorted()
    .at(-1);
  const request: ServiceRequest = {
    resourceType: 'ServiceRequest',
    // A proposal has no authority to act (R4 request-intent): whoever accepts makes an order of it, or not.
    status: 'draft',
    intent: 'proposal',
    category: [{ coding: [{ system: 'http://snomed.info/sct', code: '363679005', display: 'Imaging' }] }],
    code: { coding: [{ system: 'http://loinc.org', code }], text },
    subject: { reference: `Patient/${patient}` },
    reasonCode: [{ text: reason }],
  };
  const label = `Draft an order: ${text} (${standing})`;
  return {
    step,
    says: `${text}: ${why}; no ${reports === undefined ? 'order or study' : 'order, study or radiology report'} of the last ${Math.round(goodForDays / 30.4)} months was found${last === undefined ? '' : `; the last report is of ${dayOf(last)}`}${reports === undefined ? ' (reports could not be looked into)' : ''}.`,
    suggestion: {
      label,
      actions: [
        { type: 'create', description: `Draft, not signed: ${text}. Reason: ${reason}.`, resource: { ...request } },
      ],
    },
  };
}
