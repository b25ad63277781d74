/** Studies and readings for tests of what is shown about them. */
import type {
  Finding,
  FindingDraft,
  MeyerdingGrade,
  NotAssessableReason,
  PackIdentity,
  Reading,
  Segment,
} from '../../src/domain/finding.ts';
import { contentHashOf, findingIdOf, readingIdOf } from '../../src/domain/identity.ts';
import { patientId, sopUid, studyUid, type PatientId, type StudyUid } from '../../src/domain/ids.ts';
import type { Outcome } from '../../src/domain/outcome.ts';
import type { Store } from '../../src/store/open-store.ts';

export const samplePack: PackIdentity = {
  name: 'lumbar-landmarks',
  version: '1.0.0',
  title: 'Lumbar landmarks',
  sha256: 'a'.repeat(64),
};

export const reader = { reference: 'Practitioner/reader', display: 'Dr Reader' };

let made = 0;
/** A study UID and a patient id nobody else uses. */
export const newStudy = (): StudyUid => studyUid(`1.2.826.0.1.3680043.8.498.${(made += 1)}`);
export const newPatient = (): PatientId => patientId(`patient-${(made += 1)}`);

export const slip = (level: Segment, percent: number, grade: MeyerdingGrade = 'I'): FindingDraft => ({
  concept: 'spondylolisthesis',
  site: { kind: 'segment', level },
  result: { kind: 'detected', grades: [{ scale: 'Meyerding', value: grade }], direction: 'anterior' },
  measurements: [
    { quantity: 'slip', value: percent / 3, unit: 'mm', interval: [percent / 3 - 1, percent / 3 + 1] },
    { quantity: 'slip-percent', value: percent, unit: '%', interval: [percent - 4, percent + 4] },
  ],
  summary: `Suspected ${level} anterolisthesis, grade ${grade} (${percent} %, 95 % ${percent - 4} to ${percent + 4})`,
});

export const noSlip = (level: Segment): FindingDraft => ({
  concept: 'spondylolisthesis',
  site: { kind: 'segment', level },
  result: { kind: 'not-detected' },
  measurements: [{ quantity: 'slip-percent', value: 1, unit: '%' }],
  summary: `No slip at ${level}`,
});

export const unseen = (level: Segment): FindingDraft => ({
  ...noSlip(level),
  result: { kind: 'not-assessable', reason: 'level-not-visible', explanation: `${level} is not on the film.` },
  measurements: [],
});

export const unusable = (reason: NotAssessableReason, explanation: string): FindingDraft => ({
  concept: 'view-and-quality',
  site: { kind: 'image' },
  result: { kind: 'not-assessable', reason, explanation },
  measurements: [],
  summary: explanation,
});

export function readingOf(
  study: StudyUid,
  patient: PatientId,
  drafts: readonly FindingDraft[],
  changes: Partial<Reading> = {},
): Reading {
  const pack = changes.pack ?? samplePack;
  const contentHash = changes.contentHash ?? contentHashOf([sopUid(`${study}.1`)]);
  const id = readingIdOf(study, pack, contentHash);
  return {
    id,
    studyUid: study,
    patientId: patient,
    pack,
    contentHash,
    readAt: new Date().toISOString(),
    executionProvider: 'cpu',
    findings: drafts.map((draft): Finding => ({
      ...draft,
      id: findingIdOf(id, draft.concept, draft.site),
      verdict: { kind: 'unreviewed' },
    })),
    review: { kind: 'open' },
    ...changes,
  };
}

export type ArrivedStudy = {
  readonly startedAt?: string;
  readonly description?: string;
  readonly modalities?: readonly string[];
};

/** Today, as DICOM writes it. */
export const today = (): string => new Date().toISOString().slice(0, 19);
export const daysAgo = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 19);

/** A study that arrived and waits. */
export async function arrive(
  store: Store,
  patient: PatientId,
  study = newStudy(),
  fields: ArrivedStudy = {},
): Promise<StudyUid> {
  await store.register.announce({
    source: 'rest',
    studyUid: study,
    reason: 'study-arrived',
    priority: 'routine',
    patientId: patient,
  });
  await store.register.describe(
    {
      studyUid: study,
      startedAt: fields.startedAt ?? today(),
      description: fields.description ?? 'XR lumbar spine lateral',
      modalities: fields.modalities ?? ['DX'],
    },
    { patientId: patient },
  );
  return study;
}

/** A study that arrived and ended so. */
export async function settle(
  store: Store,
  patient: PatientId,
  outcome: Outcome,
  fields: ArrivedStudy = {},
): Promise<StudyUid> {
  const study = await arrive(store, patient, newStudy(), fields);
  await store.register.settle(study, outcome);
  return study;
}

/** A study that arrived and was read with these findings. */
export async function read(
  store: Store,
  patient: PatientId,
  drafts: readonly FindingDraft[],
  fields: ArrivedStudy = {},
  changes: Partial<Reading> = {},
): Promise<Reading> {
  const study = await arrive(store, patient, newStudy(), fields);
  const reading = await store.readings.save(readingOf(study, patient, drafts, changes));
  await store.register.settle(study, { kind: 'analysed', readings: [reading.id], selection: [], packFailures: [] });
  return reading;
}
