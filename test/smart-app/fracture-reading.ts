/** A reading of the demo film with a wedge at L1, as a fracture model would give it: class, height bars, map, and what the answer is made of. */
import { findingIdOf, readingIdOf } from '../../src/domain/identity.ts';
import type { FindingDraft, OverlayShape, Point, Reading } from '../../src/domain/finding.ts';
import type { PatientId, SopUid, StudyUid } from '../../src/domain/ids.ts';
import type { PackSummary } from '../../src/domain/ports.ts';
import { pack, truths } from './demo-reading.ts';

export const fracturePack: PackSummary = { ...pack, name: 'vertebral-fracture', title: 'Vertebral fracture' };

export function fractureReadingOf(film: string, about: { study: StudyUid; sop: SopUid; patient: PatientId }): Reading {
  const id = readingIdOf(about.study, fracturePack, about.sop);
  const drafts = [fracture(truths[film]!.corners!, about.sop), intact('L2')];
  return {
    id,
    studyUid: about.study,
    patientId: about.patient,
    pack: fracturePack,
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

const definition = 'ASTLOF morphology';

function fracture(corners: Readonly<Record<string, [number, number]>>, sopUid: SopUid): FindingDraft {
  const at = (name: string): Point => corners[`L1.${name}`]!;
  const [psup, asup, ainf, pinf] = [
    'posteriorSuperior',
    'anteriorSuperior',
    'anteriorInferior',
    'posteriorInferior',
  ].map(at) as [Point, Point, Point, Point];
  const between = (one: Point, other: Point, part: number): Point => [
    one[0] + (other[0] - one[0]) * part,
    one[1] + (other[1] - one[1]) * part,
  ];
  const [left, top, right, bottom] = [
    Math.min(asup[0], ainf[0]),
    Math.min(psup[1], asup[1]),
    Math.max(psup[0], pinf[0]),
    Math.max(ainf[1], pinf[1]),
  ];
  const shapes: OverlayShape[] = [
    { kind: 'polygon', points: [pinf, ainf, asup, psup], label: 'L1' },
    { kind: 'line', from: ainf, to: asup, label: 'L1 anterior height' },
    { kind: 'line', from: between(ainf, pinf, 0.5), to: between(asup, psup, 0.5), label: 'L1 middle height' },
    { kind: 'line', from: pinf, to: psup, label: 'L1 posterior height' },
    { kind: 'line', from: ainf, to: between(ainf, asup, 1.5), label: 'usual anterior height of L1' },
    { kind: 'line', from: pinf, to: between(pinf, psup, 1.02), label: 'usual posterior height of L1' },
    { kind: 'point', at: asup, label: 'L1 anterior superior', ellipse: { rx: 9, ry: 6, angleRad: 0.3 } },
    {
      kind: 'heatmap',
      label: 'OVF class 1',
      rows: 8,
      columns: 8,
      values: Array.from({ length: 64 }, (_, cell) => Math.max(0, 1 - Math.hypot((cell % 8) - 1.5, cell / 8 - 2) / 4)),
      corners: [
        [left, top],
        [right, top],
        [left, bottom],
      ],
    },
  ];
  return {
    concept: 'vertebral-fracture',
    site: { kind: 'vertebra', level: 'L1' },
    result: {
      kind: 'detected',
      grades: [
        { scale: 'OVF class', value: '1', definition },
        { scale: 'Genant', value: '2' },
      ],
    },
    measurements: [
      { quantity: 'height-loss', value: 34, unit: '%', interval: [27, 41] },
      { quantity: 'anterior-posterior-height-ratio', value: 0.62, unit: '1', interval: [0.55, 0.69] },
    ],
    summary: `OVF class 1 at L1 (${definition})`,
    evidence: { sopUid, frame: 0, shapes },
    explanation: {
      of: 'score of OVF class 1 against the other classes',
      bars: Array.from({ length: 11 }, (_, index) => ({
        label: index % 2 === 0 ? `deep feature ${index}` : `texture of the body, feature ${index}`,
        value: (index % 3 === 2 ? -1 : 1) * (1.4 - index / 10),
      })),
      rest: -0.42,
    },
  };
}

const intact = (level: 'L2'): FindingDraft => ({
  concept: 'vertebral-fracture',
  site: { kind: 'vertebra', level },
  result: { kind: 'not-detected', grades: [{ scale: 'OVF class', value: '0', definition }] },
  measurements: [{ quantity: 'height-loss', value: 2, unit: '%', interval: [-4, 8] }],
  summary: `OVF class 0 at ${level} (${definition})`,
});
