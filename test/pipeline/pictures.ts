/** Small pieces the pipeline's tests are made of: pictures, studies, drafts. */
import { seriesUid, sopUid, studyUid, patientId } from '../../src/domain/ids.ts';
import type { FindingDraft } from '../../src/domain/finding.ts';
import type { GreyImage } from '../../src/domain/image.ts';
import type { StudyRecord, StudySummary } from '../../src/domain/study.ts';

export const study = studyUid('1.2.3');
export const series = seriesUid('1.2.3.4');
export const patient = patientId('ada');

export const picture = (number: number): GreyImage => ({
  studyUid: study,
  seriesUid: series,
  sopUid: sopUid(`1.2.3.4.${number}`),
  sopClassUid: '1.2.840.10008.5.1.4.1.1.1.1',
  frame: 0,
  rows: 2,
  columns: 2,
  intensities: new Float32Array(4),
  tags: {},
});

export const summary: StudySummary = { studyUid: study, modalities: ['DX'], description: 'Lumbar spine lateral' };
export const record: StudyRecord = {
  studyUid: study,
  patientId: patient,
  modalities: ['DX'],
  announcedAt: '2026-11-21T10:00:00Z',
  state: { kind: 'reading', attempt: 1 },
};

export const slipAt = (level: 'L4/L5' | 'L5/S1', result: FindingDraft['result']): FindingDraft => ({
  concept: 'spondylolisthesis',
  site: { kind: 'segment', level },
  result,
  measurements: [],
  summary: `${level}: ${result.kind}`,
});
