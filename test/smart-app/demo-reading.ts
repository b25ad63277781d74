/** A reading of a demo film, made from the corners that were drawn: what the model would say if it were perfect. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findingIdOf, readingIdOf } from '../../src/domain/identity.ts';
import type { FindingDraft, OverlayShape, Point, Reading, Segment } from '../../src/domain/finding.ts';
import type { PatientId, SopUid, StudyUid } from '../../src/domain/ids.ts';
import type { PackSummary } from '../../src/domain/ports.ts';

export const filmsFolder = join(import.meta.dirname, '../../sandbox/films');
type FilmTruth = { readonly corners?: Readonly<Record<string, [number, number]>>; readonly pixelMm: number };
export const truths = (
  JSON.parse(readFileSync(join(filmsFolder, 'films.json'), 'utf8')) as { films: Record<string, FilmTruth> }
).films;

export const pack: PackSummary = {
  name: 'lumbar-landmarks',
  version: '1.0.0',
  title: 'Lumbar landmarks',
  sha256: 'a'.repeat(64),
  modalities: ['CR', 'DX'],
  regions: ['lumbar-spine'],
  views: ['lateral'],
  intendedUse: 'Draws attention to vertebral slip on lateral lumbar radiographs of adults.',
  trainedOn: 'Computer-generated lateral lumbar films; no patient images.',
  limitations: ['Never trained on films of patients.', 'Four or six lumbar vertebrae are not recognised.'],
  licence: { weights: 'CC-BY-NC-SA-4.0', data: 'Not for commercial use' },
  demonstration: true,
};

export function readingOf(film: string, about: { study: StudyUid; sop: SopUid; patient: PatientId }): Reading {
  const { corners, pixelMm } = truths[film]!;
  const drafts = corners === undefined ? [refused] : slips(corners, pixelMm, about.sop);
  const id = readingIdOf(about.study, pack, about.sop);
  return {
    id,
    studyUid: about.study,
    patientId: about.patient,
    pack,
    contentHash: about.sop,
    readAt: '2026-11-21T09:31:00.000Z',
    executionProvider: 'cpu',
    findings: drafts.map((draft) => ({
      ...draft,
      id: findingIdOf(id, draft.concept, draft.site),
      verdict: { kind: 'unreviewed' },
    })),
    review: { kind: 'open' },
  };
}

const refused: FindingDraft = {
  concept: 'view-and-quality',
  site: { kind: 'image' },
  result: {
    kind: 'not-assessable',
    reason: 'wrong-view',
    explanation: 'This is not a lateral view of the lumbar spine.',
  },
  measurements: [],
  summary: 'This is not a lateral view of the lumbar spine.',
};

const wall = (level: string, corners: Readonly<Record<string, [number, number]>>): OverlayShape => ({
  kind: 'line',
  from: corners[`${level}.posteriorSuperior`]!,
  to: corners[`${level}.posteriorInferior`]!,
  label: `${level} posterior wall`,
});

const bodies = ['L1', 'L2', 'L3', 'L4', 'L5'] as const;

function slips(corners: Readonly<Record<string, [number, number]>>, pixelMm: number, sopUid: SopUid): FindingDraft[] {
  const outline = (level: string): OverlayShape => ({
    kind: 'polygon',
    label: level,
    points: ['posteriorSuperior', 'anteriorSuperior', 'anteriorInferior', 'posteriorInferior'].map(
      (corner) => corners[`${level}.${corner}`]!,
    ),
  });
  return [
    {
      concept: 'view-and-quality',
      site: { kind: 'image' },
      result: { kind: 'not-detected' },
      measurements: [],
      summary: 'Lateral lumbar film, L1 to S1 made out',
      evidence: { sopUid, frame: 0, shapes: bodies.map(outline) },
    },
    ...bodies.map((upper, index): FindingDraft => {
      const lower = bodies[index + 1] ?? 'S1';
      const level = `${upper}/${lower}` as Segment;
      const moved = corners[`${upper}.posteriorInferior`]!;
      const back = corners[`${lower}.posteriorSuperior`]!;
      const front = corners[`${lower}.anteriorSuperior`]!;
      const plate = [front[0] - back[0], front[1] - back[1]] as const;
      const part =
        ((moved[0] - back[0]) * plate[0] + (moved[1] - back[1]) * plate[1]) / (plate[0] ** 2 + plate[1] ** 2);
      const percent = 100 * part;
      const mm = part * Math.hypot(...plate) * pixelMm;
      const foot: Point = [back[0] + part * plate[0], back[1] + part * plate[1]];
      const detected = percent > 8;
      return {
        concept: 'spondylolisthesis',
        site: { kind: 'segment', level },
        result: detected
          ? {
              kind: 'detected',
              direction: 'anterior',
              grades: [{ scale: 'Meyerding', value: percent > 25 ? 'II' : 'I' }],
            }
          : { kind: 'not-detected' },
        measurements: [
          { quantity: 'slip-percent', value: percent, unit: '%', interval: [percent - 4.2, percent + 4.2] },
          { quantity: 'slip', value: mm, unit: 'mm', interval: [mm - 1.5, mm + 1.5] },
        ],
        summary: `${detected ? 'Suspected' : 'No slip suspected at'} ${level} (${percent.toFixed(0)} %)`,
        evidence: {
          sopUid,
          frame: 0,
          shapes: [
            outline(upper),
            ...(lower === 'S1' ? [] : [outline(lower)]),
            wall(upper, corners),
            ...(lower === 'S1' ? [] : [wall(lower, corners)]),
            { kind: 'line', from: back, to: front, label: `${lower} upper end plate` },
            { kind: 'line', from: back, to: foot, label: 'slip' },
            ...[moved, back, front].map((at, corner): OverlayShape => ({
              kind: 'point',
              at,
              label: `corner ${corner}`,
              ellipse: { rx: 9, ry: 5, angleRad: Math.atan2(plate[1], plate[0]) },
            })),
          ],
        },
      };
    }),
  ];
}
