/** Small domain objects for the store's tests; no patient behind them. */
import type { Finding, FindingDraft, Reading, Reviewer } from '../../src/domain/finding.ts';
import { contentHashOf, findingIdOf, readingIdOf } from '../../src/domain/identity.ts';
import { patientId, sopUid, studyUid, type SopUid, type StudyUid } from '../../src/domain/ids.ts';
import type { StudyEvent } from '../../src/domain/event.ts';

export const anna: Reviewer = { reference: 'Practitioner/anna', display: 'Dr. A' };
export const ben: Reviewer = { reference: 'Practitioner/ben', display: 'Dr. B' };
export const patient = patientId('patient-1');
export const otherPatient = patientId('patient-2');

export const study = (number: number): StudyUid => studyUid(`2.25.1000${number}`);

export const arrived = (uid: StudyUid, extra: Partial<StudyEvent> = {}): StudyEvent => ({
  source: 'rest',
  studyUid: uid,
  reason: 'study-arrived',
  priority: 'routine',
  patientId: patient,
  ...extra,
});

const pack = { name: 'lumbar', version: '1.0.0', title: 'Lumbar landmarks', sha256: 'a'.repeat(64) };

export const suspicion = (level: 'L4/L5' | 'L5/S1'): FindingDraft => ({
  concept: 'spondylolisthesis',
  site: { kind: 'segment', level },
  result: { kind: 'detected', grades: [{ scale: 'Meyerding', value: 'I' }], direction: 'anterior' },
  measurements: [{ quantity: 'slip-percent', value: 18.25, unit: '%', interval: [14, 22] }],
  summary: `Suspected ${level} anterolisthesis, grade I (18 %)`,
  evidence: {
    sopUid: sopUid('2.25.77'),
    frame: 0,
    shapes: [
      { kind: 'point', at: [10.5, 20.25], label: 'L4', ellipse: { rx: 1, ry: 2, angleRad: 0.5 } },
      { kind: 'line', from: [1, 2], to: [3, 4], label: 'slip' },
      {
        kind: 'polygon',
        points: [
          [1, 1],
          [2, 2],
          [3, 1],
        ],
        label: 'L5',
      },
    ],
  },
});

export const normal: FindingDraft = {
  concept: 'spondylolisthesis',
  site: { kind: 'segment', level: 'L1/L2' },
  result: { kind: 'not-detected' },
  measurements: [{ quantity: 'slip', value: 0.4, unit: 'mm' }],
  summary: 'No slip at L1/L2',
};

export const fracture: FindingDraft = {
  concept: 'vertebral-fracture',
  site: { kind: 'vertebra', level: 'L1' },
  result: {
    kind: 'detected',
    grades: [
      { scale: 'OVF class', value: '2', definition: 'ASTLOF morphology' },
      { scale: 'Genant', value: '3' },
    ],
  },
  measurements: [{ quantity: 'height-loss', value: 44, unit: '%', interval: [38, 50] }],
  summary: 'Suspected OVF class 2 at L1 (ASTLOF morphology; height loss 44 %, Genant 3)',
  explanation: { of: 'OVF class 2', bars: [{ label: 'Shape', value: 1.5 }], rest: -0.25 },
};

export const notAssessable: FindingDraft = {
  concept: 'view-and-quality',
  site: { kind: 'image' },
  result: { kind: 'not-assessable', reason: 'wrong-view', explanation: 'This is a front view.' },
  measurements: [],
  summary: 'Not assessable: front view',
};

export function reading(
  uid: StudyUid,
  drafts: readonly FindingDraft[] = [suspicion('L4/L5'), normal],
  changes: Partial<Reading> = {},
  pictures: readonly SopUid[] = [sopUid('2.25.77')],
): Reading {
  const contentHash = contentHashOf(pictures);
  const id = readingIdOf(uid, changes.pack ?? pack, contentHash);
  const findings: Finding[] = drafts.map((draft) => ({
    ...draft,
    id: findingIdOf(id, draft.concept, draft.site),
    verdict: { kind: 'unreviewed' },
  }));
  return {
    id,
    studyUid: uid,
    patientId: patient,
    pack,
    contentHash,
    readAt: '2026-03-01T09:30:00.000Z',
    executionProvider: 'cpu',
    findings,
    review: { kind: 'open' },
    ...changes,
  };
}
