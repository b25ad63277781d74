/** The card of an imaging order: what already exists of the same part of the body. */
import type { Bundle, ServiceRequest } from 'fhir/r4.d.ts';
import { regionOfOrder, isImagingOrder, sameRegion } from '../../src/kit/imaging-order.ts';
import { bullets, prose, paragraphs, type Markdown } from '../../src/kit/markdown.ts';
import {
  isSuspicion,
  regionOfText,
  type BodyRegion,
  type Card,
  type Finding,
  type HookServices,
  type PatientId,
  type Reading,
  type StudyRecord,
} from '../../src/kit/hook.ts';
import { chartStateOf, type ChartState } from './chart-state.ts';
import { overrideReasons, researchUseOnly, sourceOf } from './labels.ts';
import { nextSteps, type OnRecord } from './next-steps.ts';
import { childsFilm } from './patient-age.ts';
import { failureOf, isRecent } from './study-state.ts';
import { adjectiveOf, dateOf, dayOf, nounOf, seriousnessOf, studyWords } from './words.ts';

/** The imaging orders of this patient in a bundle of drafts. */
export function imagingOrdersIn(drafts: Bundle, patient: PatientId): ServiceRequest[] {
  return (drafts.entry ?? [])
    .map(({ resource }) => resource)
    .filter((resource): resource is ServiceRequest => resource?.resourceType === 'ServiceRequest')
    .filter(({ subject }) => subject?.reference === undefined || subject.reference.endsWith(`Patient/${patient}`))
    .filter(isImagingOrder);
}

export async function earlierImagingCards(
  patient: PatientId,
  orders: readonly ServiceRequest[],
  services: HookServices,
  chart: WhatTheChartSays,
): Promise<Card[]> {
  const regions = [...new Set(orders.map(regionOfOrder))].filter((region) => region !== 'other');
  if (regions.length === 0) return [];
  const state = await chartStateOf(patient, services);
  return regions.flatMap((region) => earlierImagingCard(region, state, services, { patient, ...chart }) ?? []);
}

export type WhatTheChartSays = {
  /** Where given, what may be ordered besides is suggested. */
  readonly onRecord?: OnRecord;
  /** Nothing is suggested for what was seen on a child's film. */
  readonly isChilds: (study: StudyRecord) => boolean;
};

/** A study with what its readings say, worst first. */
type Earlier = {
  readonly study: StudyRecord;
  readonly readings: readonly Reading[];
  readonly worth: readonly Finding[];
};

function earlierImagingCard(
  region: BodyRegion,
  state: ChartState,
  services: HookServices,
  { patient, onRecord, ...chart }: { readonly patient: PatientId } & WhatTheChartSays,
): Card | undefined {
  const now = services.now();
  const sameStudies = state.studies
    .map((study) => earlierOf(study, state))
    .filter(({ study, readings }) => regionsOf(study, readings, services).some((one) => sameRegion(one, region)))
    .toSorted((a, b) => dateOf(b.study).localeCompare(dateOf(a.study)));
  // An old film counts for what was seen on it; a recent one because it may make the order unnecessary.
  const relevant = sameStudies.filter(({ study, worth }) => isRecent(study, now) || worth.length > 0).slice(0, 5);
  const [first] = relevant;
  if (first === undefined) return undefined;

  const findings = relevant.flatMap(({ readings }) =>
    readings.flatMap((reading) => reading.findings.map(({ id }) => id)),
  );
  if (findings.length > 0 && findings.every((id) => state.dismissed.has(id))) return undefined;
  const isChilds = ({ study }: Earlier): boolean => chart.isChilds(study);
  const worth = relevant
    .filter((one) => !isChilds(one))
    .flatMap((one) => one.worth)
    .toSorted((a, b) => seriousnessOf(b) - seriousnessOf(a));
  const steps = onRecord === undefined ? [] : nextSteps(worth, { patient, onRecord, studies: state.studies, now });
  return services.card({
    about: {
      findings,
      studies: relevant.map(({ study }) => study.studyUid),
      state: ['earlier', ...steps.map(({ step }) => step), relevant.map(statusOf).join(' | ')].join(' '),
    },
    summary: `A ${adjectiveOf(region)} ${nounOf(first.study.modalities)} from ${dayOf(dateOf(first.study))} exists: ${statusOf(first)}`,
    indicator: 'info',
    source: sourceOf('earlier-imaging'),
    detail: paragraphs([
      bullets(relevant.map(lineOf)),
      ...(relevant.some((one) => one.worth.length > 0 && isChilds(one)) ? [childsFilm] : []),
      ...(steps.length === 0 ? [] : [prose`To consider besides:`, bullets(steps.map(({ says }) => prose`${says}`))]),
      researchUseOnly,
    ]),
    links: [
      services.appLink(
        `Open the ${studyWords(first.study)}`,
        first.worth[0] === undefined ? { study: first.study.studyUid } : { finding: first.worth[0].id },
      ),
    ],
    ...(steps.length === 0
      ? {}
      : { suggestions: steps.map(({ suggestion }) => suggestion), selectionBehavior: 'any' as const }),
    overrideReasons,
  });
}

function earlierOf(study: StudyRecord, { readings }: ChartState): Earlier {
  const own = readings.filter(({ studyUid }) => studyUid === study.studyUid);
  const worth = own
    .flatMap((reading) => reading.findings)
    .filter((finding) => isSuspicion(finding) && finding.verdict.kind !== 'rejected')
    .toSorted((a, b) => seriousnessOf(b) - seriousnessOf(a));
  return { study, readings: own, worth };
}

/** The description, or else the parts of the body that the models which read it are for: descriptions are often missing. */
function regionsOf(study: StudyRecord, readings: readonly Reading[], { model }: HookServices): readonly BodyRegion[] {
  const described = regionOfText(study.description ?? '');
  return described === 'other' ? readings.flatMap(({ pack }) => model(pack)?.regions ?? []) : [described];
}

function statusOf({ study, readings, worth }: Earlier): string {
  const [worst] = worth;
  if (worst !== undefined) {
    return worst.verdict.kind === 'confirmed'
      ? `confirmed: ${worst.summary}`
      : `AI suggestion, unreviewed: ${worst.summary}`;
  }
  if (study.state.kind === 'pending' || study.state.kind === 'reading') return 'being read by AI';
  if (readings.length === 0) return failureOf(study) === undefined ? 'not read by AI' : 'AI could not read it';
  const findings = readings.flatMap((reading) => reading.findings);
  if (findings.some(({ verdict }) => verdict.kind === 'rejected')) return 'reviewed; the AI suggestion was rejected';
  if (readings.every(({ review }) => review.kind === 'final')) return 'read by AI and reviewed, nothing suspected';
  if (findings.some(({ result, site }) => result.kind === 'not-assessable' && site.kind === 'image'))
    return 'AI could not assess it';
  return 'read by AI, nothing suspected, unreviewed';
}

function lineOf(earlier: Earlier): Markdown {
  const { study, worth } = earlier;
  const title = study.description === undefined ? studyWords(study) : `${studyWords(study)} (${study.description})`;
  const others = worth.slice(1).map(({ summary, verdict }) => `${summary} (${verdict.kind})`);
  return prose`${title}: ${[statusOf(earlier), ...others].join('; ')}`;
}
