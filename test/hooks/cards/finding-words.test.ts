/** What a card says of one finding, how loud it says it, and what it proposes to order. */
import { describe, expect, it } from 'vitest';
import { findingWords, suspicionWords, summaryOf } from '../../../hooks/cards/headline.ts';
import { indicatorOf } from '../../../hooks/cards/indicator.ts';
import { nextSteps, onRecord } from '../../../hooks/cards/next-steps.ts';
import { whatHelps } from '../../../hooks/cards/what-helps.ts';
import type { Finding, FindingDraft, MeyerdingGrade, OvfClass, Vertebra } from '../../../src/domain/finding.ts';
import { findingId, patientId, studyUid } from '../../../src/domain/ids.ts';
import type { Comparison } from '../../../src/domain/prior.ts';
import { slip } from '../../support/sample-readings.ts';

const id = findingId('00000000-0000-8000-8000-000000000000');
const reviewer = { reference: 'Practitioner/lin', display: 'Dr Lin' };
const at = '2026-11-21T10:00:00Z';
const as = (draft: FindingDraft, kind: Finding['verdict']['kind'] = 'unreviewed'): Finding => ({
  ...draft,
  id,
  verdict: kind === 'unreviewed' ? { kind } : { kind, by: reviewer, at, reason: 'projection' },
});
const fracture = (value: OvfClass, level: Vertebra = 'L1'): FindingDraft => ({
  concept: 'vertebral-fracture',
  site: { kind: 'vertebra', level },
  result: { kind: 'detected', grades: [{ scale: 'OVF class', value, definition: 'ASTLOF morphology' }] },
  measurements: [{ quantity: 'height-loss', value: 38, unit: '%', interval: [31, 45] }],
  summary: `OVF class ${value} at ${level}`,
});
const back = (percent: number): FindingDraft => ({
  ...slip('L3/L4', percent),
  result: { kind: 'detected', grades: [{ scale: 'Meyerding', value: 'I' }], direction: 'posterior' },
});
const course = (change: Comparison['change'], cautions: Comparison['cautions'] = []): Comparison => ({
  change,
  prior: {
    finding: id,
    study: studyUid('1.2.3'),
    takenAt: '2025-03-12T09:30:00',
    verdict: { kind: 'unreviewed' },
    reviewed: false,
  },
  difference: {
    quantity: 'slip-percent',
    unit: '%',
    before: 18,
    now: 31,
    interval: change === 'unchanged' ? [-2, 4] : [7, 19],
  },
  cautions,
});

describe('the words of a finding', () => {
  it('name what, where, how much and how sure', () => {
    expect(findingWords(as(slip('L4/L5', 18)))).toBe('Suspected L4/L5 anterolisthesis, grade I (18 %, 95 % 14 to 22)');
    expect(findingWords(as(back(-12)))).toBe('Suspected L3/L4 retrolisthesis, grade I (−12 %, 95 % −16 to −8)');
    expect(suspicionWords(as(fracture('2')))).toBe('Suspected OVF class 2 at L1 (ASTLOF morphology)');
    expect(findingWords(as(fracture('2')))).toBe(
      'Suspected OVF class 2 at L1 (ASTLOF morphology, height loss 38 %, 95 % 31 to 45)',
    );
  });

  it('do not suspect what a reader has confirmed', () => {
    expect(suspicionWords(as(slip('L4/L5', 18), 'confirmed'))).toBe('L4/L5 anterolisthesis, grade I');
  });

  it('are those of the pack where the card has none of its own', () => {
    const other: FindingDraft = { ...slip('L4/L5', 18), concept: 'vertebral-height', summary: 'L1 is low in front' };
    expect(findingWords(as(other))).toBe('L1 is low in front');
  });
});

describe('a summary', () => {
  const state = 'AI suggestion, not yet reviewed';

  it('holds the course and how many more', () => {
    expect(summaryOf(state, as(slip('L4/L5', 18)), course('unchanged'), 2)).toBe(
      'AI suggestion, not yet reviewed: Suspected L4/L5 anterolisthesis, grade I (18 %, 95 % 14 to 22), unchanged since 12 Mar 2025; 2 more',
    );
  });

  it('gives up the interval first and the course next, and is never longer than a card may be', () => {
    const grades: MeyerdingGrade[] = ['I', 'II', 'III', 'IV', 'V'];
    const drafts = [...grades.map((grade) => slip('L4/L5', 118, grade)), fracture('2', 'T12'), back(-118)];
    const changes = ['new', 'progressed', 'regressed', 'unchanged', 'uncertain'] as const;
    for (const draft of drafts) {
      for (const change of changes) {
        const stages = { scale: 'Meyerding', before: 'III', now: 'IV' } as const;
        const text = summaryOf(state, as(draft), { ...course(change), stages }, 12);
        expect(text.length).toBeLessThan(140);
        expect(text).toMatch(/^AI suggestion, not yet reviewed: Suspected .*; 12 more$/);
        expect(text).toMatch(/(grade [IV]+ \(−?118 %|OVF class 2 at T12)/);
      }
    }
    const tight = summaryOf(state, as(fracture('2', 'T12')), course('progressed'), 12);
    expect(tight).toBe(
      'AI suggestion, not yet reviewed: Suspected OVF class 2 at T12 (ASTLOF morphology, height loss 38 %), progressed since 12 Mar 2025; 12 more',
    );
  });
});

describe('the indicator', () => {
  it.each<[string, FindingDraft, Finding['verdict']['kind'], Comparison | undefined, string]>([
    ['a slip of grade I', slip('L4/L5', 18), 'unreviewed', undefined, 'info'],
    ['a slip of grade II', slip('L4/L5', 30, 'II'), 'unreviewed', undefined, 'warning'],
    ['a slip of grade V', slip('L4/L5', 120, 'V'), 'unreviewed', undefined, 'warning'],
    ['a rejected slip of grade III', slip('L4/L5', 60, 'III'), 'rejected', undefined, 'info'],
    ['a confirmed slip of grade II', slip('L4/L5', 30, 'II'), 'confirmed', undefined, 'warning'],
    ['a grade I slip that is new', slip('L4/L5', 18), 'unreviewed', course('new'), 'info'],
    ['a grade I slip that is unchanged', slip('L4/L5', 18), 'unreviewed', course('unchanged'), 'info'],
    ['a grade I slip that is less', slip('L4/L5', 18), 'unreviewed', course('regressed'), 'info'],
    ['a grade I slip without an interval to judge by', slip('L4/L5', 18), 'unreviewed', course('uncertain'), 'info'],
    ['a grade I slip that progressed', slip('L4/L5', 18), 'unreviewed', course('progressed'), 'warning'],
    [
      'progress on films whose posture nobody recorded',
      slip('L4/L5', 18),
      'unreviewed',
      course('progressed', [{ kind: 'posture-unknown' }]),
      'warning',
    ],
    [
      'progress that another posture may explain',
      slip('L4/L5', 18),
      'unreviewed',
      course('progressed', [{ kind: 'other-posture', before: 'lying', now: 'standing' }]),
      'info',
    ],
    [
      'progress that another version of the model may explain',
      slip('L4/L5', 18),
      'unreviewed',
      course('progressed', [{ kind: 'other-version', before: '1', now: '2' }]),
      'info',
    ],
    [
      'progress that another model may explain',
      slip('L4/L5', 18),
      'unreviewed',
      course('progressed', [{ kind: 'other-model', before: 'A', now: 'B' }]),
      'info',
    ],
    ['a compression fracture', fracture('1'), 'unreviewed', undefined, 'info'],
    ['a new compression fracture', fracture('1'), 'unreviewed', course('new'), 'info'],
    ['a burst fracture', fracture('2'), 'unreviewed', undefined, 'warning'],
    ['a rejected burst fracture', fracture('2'), 'rejected', undefined, 'info'],
    [
      'a level without a slip',
      { ...slip('L4/L5', 2), result: { kind: 'not-detected' } },
      'unreviewed',
      undefined,
      'info',
    ],
  ])('of %s', (_, draft, verdict, comparison, indicator) => {
    expect(indicatorOf(as(draft, verdict), comparison)).toBe(indicator);
  });
});

describe('the next step', () => {
  const nothing = { flexionExtension: null, boneDensity: null, lumbarMr: null, thoracicMr: null, imagingReports: null };
  const now = new Date('2026-11-21T10:00:00Z');
  const patient = patientId('p');
  const steps = (...findings: readonly Finding[]) =>
    nextSteps(findings, { patient, studies: [], onRecord: onRecord(nothing), now }).map(({ step }) => step);

  it('after a slip is flexion and extension, after a compression bone density, after a burst body MR as well', () => {
    expect(steps(as(slip('L4/L5', 18)))).toEqual(['flexion-extension']);
    expect(steps(as(fracture('1')))).toEqual(['bone-density']);
    expect(steps(as(fracture('2', 'L1')))).toEqual(['bone-density', 'lumbar-mr']);
    expect(steps(as(fracture('2', 'T11')))).toEqual(['bone-density', 'thoracic-mr']);
  });

  it('is named once for several findings, and not at all for what was rejected or not found', () => {
    expect(steps(as(slip('L4/L5', 30, 'II')), as(slip('L5/S1', 12)), as(fracture('1')))).toEqual([
      'flexion-extension',
      'bone-density',
    ]);
    expect(steps(as(slip('L4/L5', 30, 'II'), 'rejected'), as(fracture('0')))).toEqual([]);
    expect(steps(as({ ...slip('L4/L5', 3), result: { kind: 'not-detected' } }))).toEqual([]);
  });

  it('says of a confirmed finding that a reader has confirmed it', () => {
    const about = { patient, studies: [], onRecord: onRecord(nothing), now };
    const [step] = nextSteps([as(slip('L4/L5', 18), 'confirmed')], about);
    expect(step!.suggestion.label).toContain('(finding confirmed by a reader)');
    expect(JSON.stringify(step!.suggestion)).toContain('"text":"L4/L5 anterolisthesis, grade I (finding confirmed');
  });

  it('counts a draft of the same examination, and a bone density study that the archive has', () => {
    const draft = {
      resourceType: 'ServiceRequest' as const,
      status: 'draft' as const,
      intent: 'order' as const,
      subject: { reference: 'Patient/p' },
      code: { coding: [{ system: 'http://loinc.org', code: '24971-4' }] },
    };
    const drafted = { patient, studies: [], onRecord: onRecord(nothing, [draft]), now };
    expect(nextSteps([as(slip('L4/L5', 18))], drafted)).toEqual([]);
    const dxa = {
      studyUid: studyUid('1.2.4'),
      modalities: ['OT'],
      description: 'DEXA hip and spine',
      startedAt: '2025-12-01T10:00:00',
      announcedAt: '2025-12-01T10:00:00Z',
      state: { kind: 'pending' as const },
    };
    const measured = { patient, studies: [dxa], onRecord: onRecord(nothing), now };
    for (const description of [dxa.description, 'Bone mineral density', 'Osteodensitometrie', 'Knochendichtemessung'])
      expect(nextSteps([as(fracture('1'))], { ...measured, studies: [{ ...dxa, description }] })).toEqual([]);
    expect(
      nextSteps([as(fracture('1'))], { ...measured, studies: [{ ...dxa, startedAt: '2020-12-01T10:00:00' }] }),
    ).toHaveLength(1);
  });
});

describe('what helps', () => {
  it('tells what to do about levels that cannot be counted', () => {
    expect(whatHelps('levels-uncertain')).toContain('a film with S1 in view');
  });
});
