/** Readings as the lumbar pack gives them, in every state that a report can be in. */
import type {
  Finding,
  FindingDraft,
  PackIdentity,
  Reading,
  Reviewer,
  Segment,
  Verdict,
} from '../../src/domain/finding.ts';
import { contentHashOf, findingIdOf, readingIdOf } from '../../src/domain/identity.ts';
import { patientId, sopUid, studyUid } from '../../src/domain/ids.ts';
import type { PackSummary } from '../../src/domain/ports.ts';
import type { StudyRecord } from '../../src/domain/study.ts';

export const pack: PackIdentity = {
  name: 'lumbar-landmarks',
  version: '1.2.0',
  title: 'Lumbar landmarks',
  sha256: 'ab'.repeat(32),
};
export const packSummary: PackSummary = {
  ...pack,
  modalities: ['DX'],
  regions: ['lumbar-spine'],
  views: ['lateral'],
  intendedUse: 'Second look at lateral lumbar radiographs <adults>',
  trainedOn: 'Synthetic phantoms',
  limitations: ['Six lumbar vertebrae are counted wrongly'],
  licence: { weights: 'CC-BY-NC-SA-4.0', data: 'Not for commercial use' },
  demonstration: true,
};
export const reviewer: Reviewer = { reference: 'Practitioner/rad', display: 'Dr. Ana & Bo <Reader>' };
export const at = '2026-03-02T10:00:00.000Z';

export const study: StudyRecord = {
  studyUid: studyUid('1.2.826.0.1.3680043.8.498.77'),
  patientId: patientId('pat-1'),
  accession: 'A77',
  imagingStudy: 'ImagingStudy/img-1',
  order: 'ServiceRequest/order-1',
  description: 'Lumbar spine lateral',
  modalities: ['DX'],
  startedAt: '2026-03-01T09:30:00',
  announcedAt: '2026-03-01T09:31:00.000Z',
  state: { kind: 'pending' },
};

const segments: readonly Segment[] = ['L1/L2', 'L2/L3', 'L3/L4', 'L4/L5', 'L5/S1'];
const clear = (level: Segment): FindingDraft => ({
  concept: 'spondylolisthesis',
  site: { kind: 'segment', level },
  result: { kind: 'not-detected' },
  measurements: [
    { quantity: 'slip', value: 0.6, unit: 'mm' },
    { quantity: 'slip-percent', value: 1.7000000000000002, unit: '%', interval: [-1.2, 4.6] },
  ],
  summary: `No slip at ${level}`,
});
const slip = (level: Segment): FindingDraft => ({
  concept: 'spondylolisthesis',
  site: { kind: 'segment', level },
  result: { kind: 'detected', grades: [{ scale: 'Meyerding', value: 'I' }], direction: 'anterior' },
  measurements: [
    { quantity: 'slip', value: 6.3, unit: 'mm', interval: [5.1, 7.4] },
    { quantity: 'slip-percent', value: 18.2, unit: '%', interval: [14, 22] },
  ],
  summary: `Suspected ${level} anterolisthesis, grade I (18 %, 95 % 14 to 22)`,
});
const heights: FindingDraft = {
  concept: 'vertebral-height',
  site: { kind: 'vertebra', level: 'L1' },
  result: { kind: 'measured' },
  measurements: [{ quantity: 'anterior-posterior-height-ratio', value: 0.93, unit: '1', interval: [0.9, 0.96] }],
  summary: 'L1 anterior to posterior height 0.93',
};
const fracture: FindingDraft = {
  concept: 'vertebral-fracture',
  site: { kind: 'vertebra', level: 'L1' },
  result: {
    kind: 'detected',
    grades: [
      { scale: 'OVF class', value: '2', definition: 'ASTLOF <morphology>' },
      { scale: 'Genant', value: '3' },
    ],
  },
  measurements: [
    { quantity: 'height-loss', value: 44, unit: '%', interval: [38, 50] },
    { quantity: 'wedge-angle', value: 17, unit: 'deg' },
  ],
  summary: 'Suspected OVF class 2 at L1 (ASTLOF morphology; height loss 44 %, Genant 3)',
  explanation: { of: 'OVF class 2', bars: [{ label: 'Shape', value: 1.5 }], rest: -0.25 },
};
const unbroken: FindingDraft = {
  concept: 'vertebral-fracture',
  site: { kind: 'vertebra', level: 'T11' },
  result: { kind: 'not-detected', grades: [{ scale: 'OVF class', value: '0', definition: 'ASTLOF morphology' }] },
  measurements: [{ quantity: 'height-loss', value: 3, unit: '%' }],
  summary: 'No fracture suspected at T11',
};
const unseen: FindingDraft = {
  concept: 'spondylolisthesis',
  site: { kind: 'segment', level: 'L5/S1' },
  result: { kind: 'not-assessable', reason: 'level-not-visible', explanation: 'S1 is cut off at the lower edge' },
  measurements: [],
  summary: 'L5/S1 could not be assessed: S1 is cut off',
};
const wrongView: FindingDraft = {
  concept: 'view-and-quality',
  site: { kind: 'image' },
  result: {
    kind: 'not-assessable',
    reason: 'wrong-view',
    explanation: 'The film is a front view; a lateral view is needed',
  },
  measurements: [],
  summary: 'Not assessable: front view',
};

export function readingOf(drafts: readonly FindingDraft[], instance: string): Reading {
  const contentHash = contentHashOf([sopUid(instance)]);
  const id = readingIdOf(study.studyUid, pack, contentHash);
  return {
    id,
    studyUid: study.studyUid,
    patientId: patientId('pat-1'),
    pack,
    contentHash,
    readAt: '2026-03-01T09:32:00.000Z',
    executionProvider: 'cpu',
    findings: drafts.map((draft): Finding => ({
      ...draft,
      id: findingIdOf(id, draft.concept, draft.site),
      verdict: { kind: 'unreviewed' },
    })),
    review: { kind: 'open' },
  };
}

/** The verdict on every suspicion, and the reading final with it. */
export function judged(reading: Reading, verdict: Verdict, by: Reviewer = reviewer): Reading {
  return {
    ...reading,
    findings: reading.findings.map((finding) =>
      finding.result.kind === 'detected' ? { ...finding, verdict } : finding,
    ),
    review: { kind: 'final', by, at },
  };
}

export const normal = readingOf([...segments.map(clear), heights], '1.2.3.1');
export const gradeOne = readingOf(
  [...segments.filter((level) => level !== 'L4/L5').map(clear), slip('L4/L5'), heights],
  '1.2.3.2',
);
export const twoSlips = readingOf([slip('L4/L5'), slip('L5/S1')], '1.2.3.3');
export const oneFracture = readingOf([fracture, unbroken], '1.2.3.6');
export const partlyAssessable = readingOf([...segments.slice(0, 4).map(clear), unseen], '1.2.3.4');
export const notAssessable = readingOf([wrongView], '1.2.3.5');
export const confirmed = judged(gradeOne, { kind: 'confirmed', by: reviewer, at });
export const rejected = judged(gradeOne, {
  kind: 'rejected',
  by: reviewer,
  at,
  reason: 'Rotated film <not a slip> & old',
});
export const verified = judged(normal, { kind: 'unreviewed' });
