/** What is said of an earlier film: new, unchanged, further, less, and what to be careful about. */
import { describe, expect, it } from 'vitest';
import type { Finding, FindingDraft, Grade, PackIdentity, Reading, Segment } from '../../src/domain/finding.ts';
import { findingIdOf, readingIdOf } from '../../src/domain/identity.ts';
import { patientId, studyUid, type PatientId } from '../../src/domain/ids.ts';
import { changeInShort, changeInWords, whatChanged } from '../../src/domain/prior-in-words.ts';
import { comparisonOf, isBeyondSpread, postureOf, type Comparison } from '../../src/domain/prior.ts';
import type { StudyRecord } from '../../src/domain/study.ts';

const pack: PackIdentity = { name: 'lumbar', version: '1.0.0', title: 'Lumbar corners', sha256: 'a'.repeat(64) };
const reviewer = { reference: 'Practitioner/lin', display: 'Dr Lin' };
const at = '2025-03-13T10:00:00.000Z';
const day = (time: string) => time.slice(0, 10);

/** A slip with a spread of so many percent to either side. */
function slip(percent: number, { spread = 4, level = 'L4/L5' as Segment, plateMm = 36, detected = true } = {}) {
  const interval = [percent - spread, percent + spread] as const;
  const size = Math.abs(percent);
  return {
    concept: 'spondylolisthesis',
    site: { kind: 'segment', level },
    result: detected
      ? {
          kind: 'detected',
          grades: [{ scale: 'Meyerding', value: size <= 25 ? 'I' : size <= 50 ? 'II' : 'III' }],
          direction: percent < 0 ? 'posterior' : 'anterior',
        }
      : { kind: 'not-detected' },
    measurements: [
      { quantity: 'slip-percent', value: percent, unit: '%', interval },
      {
        quantity: 'slip',
        value: (percent * plateMm) / 100,
        unit: 'mm',
        interval: [(interval[0] * plateMm) / 100, (interval[1] * plateMm) / 100],
      },
    ],
    summary: `${level} ${percent} %`,
  } as const satisfies FindingDraft;
}
const none = (percent: number, options = {}) => slip(percent, { ...options, detected: false });

function fracture(ovf: '0' | '1' | '2', loss: number, definition = 'ASTLOF morphology'): FindingDraft {
  const grades: Grade[] = [{ scale: 'OVF class', value: ovf, definition }];
  return {
    concept: 'vertebral-fracture',
    site: { kind: 'vertebra', level: 'L1' },
    result: { kind: ovf === '0' ? 'not-detected' : 'detected', grades },
    measurements: [{ quantity: 'height-loss', value: loss, unit: '%', interval: [loss - 6, loss + 6] }],
    summary: `OVF class ${ovf} at L1`,
  };
}

type Film = {
  readonly taken: string;
  readonly drafts: readonly FindingDraft[];
  readonly description?: string;
  readonly pack?: PackIdentity;
  readonly verdict?: Finding['verdict'];
  readonly final?: boolean;
  readonly patient?: PatientId;
};

function chartOf(...films: readonly Film[]) {
  const studies = films.map(({ taken, description }, index): StudyRecord => ({
    studyUid: studyUid(`1.2.${index + 1}`),
    modalities: ['DX'],
    startedAt: taken,
    announcedAt: '2030-01-01T00:00:00Z',
    state: { kind: 'pending' },
    ...(description === undefined ? {} : { description }),
  }));
  const readings = films.map((film, index): Reading => {
    const identity = film.pack ?? pack;
    const id = readingIdOf(studies[index]!.studyUid, identity, 'content');
    return {
      id,
      studyUid: studies[index]!.studyUid,
      patientId: film.patient ?? patientId('p'),
      pack: identity,
      contentHash: 'content',
      readAt: at,
      executionProvider: 'cpu',
      findings: film.drafts.map((draft) => ({
        ...draft,
        id: findingIdOf(id, draft.concept, draft.site),
        verdict: film.verdict ?? { kind: 'unreviewed' },
      })),
      review: film.final === true ? { kind: 'final', by: reviewer, at } : { kind: 'open' },
    };
  });
  return { studies, readings };
}

/** The first finding of the first film, compared with whatever the other films show. */
function compared(...films: readonly Film[]): Comparison | undefined {
  const chart = chartOf(...films);
  const reading = chart.readings[0]!;
  return comparisonOf(reading.findings[0]!, reading, chart);
}
const now = (...drafts: readonly FindingDraft[]): Film => ({ taken: '2026-11-21T09:30:00', drafts });
const then = (...drafts: readonly FindingDraft[]): Film => ({ taken: '2025-03-12T09:30:00', drafts });
const said = (comparison: Comparison | undefined) => whatChanged(comparison!);

describe('a slip that was there before', () => {
  it('has progressed when the interval of the difference says so, with the grade named', () => {
    const comparison = compared(now(slip(31)), then(slip(18)));
    expect(comparison!.change).toBe('progressed');
    expect(said(comparison)).toBe("grade I → II (18 % → 31 %, more than the measurement's spread)");
    expect(changeInShort(comparison!, day)).toBe('grade I → II since 2025-03-12');
  });

  it('has progressed within its grade', () => {
    const comparison = compared(now(slip(24, { spread: 2 })), then(slip(12, { spread: 2 })));
    expect(said(comparison)).toBe("progressed (12 % → 24 %, more than the measurement's spread)");
    expect(changeInShort(comparison!, day)).toBe('progressed since 2025-03-12');
  });

  it('is unchanged when the difference lies within both spreads, whatever grades the two numbers fall into', () => {
    const comparison = compared(now(slip(27)), then(slip(24)));
    expect(comparison!.change).toBe('unchanged');
    expect(said(comparison)).toBe("unchanged, although grade I → II (24 % → 27 %, within the measurement's spread)");
    expect(changeInShort(comparison!, day)).toBe('unchanged since 2025-03-12');
  });

  it('is judged by both spreads together, not by whether two intervals touch', () => {
    // 18 ± 4 and 25 ± 4 overlap, and yet 7 is more than the root of 4² + 4².
    expect(compared(now(slip(25)), then(slip(18)))!.change).toBe('progressed');
    expect(compared(now(slip(23.6)), then(slip(18)))!.change).toBe('unchanged');
    expect(compared(now(slip(25, { spread: 8 })), then(slip(18)))!.change).toBe('unchanged');
  });

  it('has regressed when it is less by more than the spread', () => {
    const comparison = compared(now(slip(10)), then(slip(30)));
    expect(comparison!.change).toBe('regressed');
    expect(said(comparison)).toContain('grade II → I (30 % → 10 %');
  });

  it('to the back has progressed when it lies further back', () => {
    expect(compared(now(slip(-20)), then(slip(-8)))!.change).toBe('progressed');
    expect(compared(now(slip(-8)), then(slip(-20)))!.change).toBe('regressed');
  });

  it('in the other direction is no course', () => {
    const comparison = compared(now(slip(-20)), then(slip(20)));
    expect(comparison!.change).toBe('uncertain');
    expect(said(comparison)).toBe('anterolisthesis then (20 % → −20 %)');
    expect(changeInWords(comparison!, day)).toContain('The direction of the slip differs');
  });

  it('without an interval is neither progressed nor unchanged', () => {
    const bare = (percent: number): FindingDraft => ({
      ...slip(percent),
      measurements: [{ quantity: 'slip-percent', value: percent, unit: '%' }],
    });
    for (const comparison of [compared(now(bare(40)), then(slip(10))), compared(now(slip(40)), then(bare(10)))]) {
      expect(comparison!.change).toBe('uncertain');
      expect(said(comparison)).toBe('grade I → II (10 % → 40 %, no interval to judge it by)');
    }
    expect(compared(now({ ...slip(40), measurements: [] }), then(slip(10)))!.change).toBe('uncertain');
  });

  it('and is no longer suspected says so, with the numbers', () => {
    const comparison = compared(now(none(2)), then(slip(18)));
    expect(comparison!.change).toBe('gone');
    expect(said(comparison)).toBe("no longer suspected (18 % → 2 %, more than the measurement's spread)");
    expect(said(compared(now(none(8)), then(slip(10))))).toContain("within the measurement's spread");
  });
});

describe('a slip that was not there before', () => {
  it('is new when it is more than the spread of measuring', () => {
    const comparison = compared(now(slip(18)), then(none(1)));
    expect(comparison!.change).toBe('new');
    expect(said(comparison)).toBe("new (1 % → 18 %, more than the measurement's spread)");
    expect(changeInShort(comparison!, day)).toBe('new since 2025-03-12');
  });

  it('is not called new when the threshold alone lies between the two numbers', () => {
    const comparison = compared(now(slip(9)), then(none(7)));
    expect(isBeyondSpread(comparison!)).toBe(false);
    expect(said(comparison)).toBe("not suspected then (7 % → 9 %, within the measurement's spread)");
    expect(changeInShort(comparison!, day)).toBe('not suspected on 2025-03-12');
  });
});

describe('a fracture', () => {
  it('is compared by class and by the loss of height', () => {
    const comparison = compared(now(fracture('2', 45)), then(fracture('1', 22)));
    expect(comparison!.change).toBe('progressed');
    expect(said(comparison)).toBe("class 1 → 2 (22 % → 45 %, more than the measurement's spread)");
  });

  it('is new where there was none, and a class of another definition is not compared', () => {
    const comparison = compared(now(fracture('1', 25)), then(fracture('0', 3)));
    expect(comparison!.change).toBe('new');
    expect(changeInShort(comparison!, day)).toBe('new since 2025-03-12');
    expect(compared(now(fracture('2', 45)), then(fracture('1', 22, 'another')))!.stages).toBeUndefined();
  });
});

describe('what is no prior', () => {
  it('is a film of the same day, a later one, another patient, another level, and a picture as a whole', () => {
    expect(compared(now(slip(20)), { ...now(slip(10)), taken: '2026-11-21T08:00:00' })).toBeUndefined();
    expect(compared(now(slip(20)), { ...then(slip(10)), taken: '2027-01-01T08:00:00' })).toBeUndefined();
    expect(compared(now(slip(20)), { ...then(slip(10)), patient: patientId('q') })).toBeUndefined();
    expect(compared(now(slip(20)), then(slip(10, { level: 'L5/S1' })))).toBeUndefined();
    const whole: FindingDraft = { ...slip(20), site: { kind: 'image' } };
    expect(compared(now(whole), then(whole))).toBeUndefined();
  });

  it('is a finding that a reader rejected: the film before it counts', () => {
    const rejected = { kind: 'rejected', by: reviewer, at, reason: 'projection' } as const;
    expect(compared(now(slip(20)), { ...then(slip(10)), verdict: rejected })).toBeUndefined();
    const older = { taken: '2023-01-05T09:00:00', drafts: [slip(19)] };
    const comparison = compared(now(slip(20)), { ...then(slip(5)), verdict: rejected }, older);
    expect(comparison!.prior.takenAt).toBe('2023-01-05T09:00:00');
    expect(comparison!.change).toBe('unchanged');
  });

  it('is a film on which the level could not be assessed, or was only measured: the one before it counts', () => {
    const unseen: FindingDraft = {
      ...slip(0),
      result: { kind: 'not-assessable', reason: 'level-not-visible', explanation: 'cut off' },
      measurements: [],
    };
    expect(compared(now(slip(20)), then(unseen))).toBeUndefined();
    const older = { taken: '2023-01-05T09:00:00', drafts: [slip(19)] };
    expect(compared(now(slip(20)), then(unseen), older)!.prior.takenAt).toBe('2023-01-05T09:00:00');
  });

  it('leaves nothing to say where neither film raises a suspicion', () => {
    expect(compared(now(none(2)), then(none(1)))).toBeUndefined();
  });
});

describe('the prior', () => {
  it('is the newest of several, read by the same model where two have read that film', () => {
    const other = { ...pack, name: 'detector', title: 'Slip detector' };
    const comparison = compared(
      now(slip(30)),
      { taken: '2024-01-01T09:00:00', drafts: [slip(5)] },
      { ...then(slip(12)), pack: other },
      then(slip(18)),
    );
    expect(comparison!.difference!.before).toBe(18);
    expect(comparison!.cautions.map(({ kind }) => kind)).not.toContain('other-model');
  });

  it('says who confirmed it, that its reading was reviewed, or that nobody has looked', () => {
    const words = (film: Partial<Film>) => changeInWords(compared(now(slip(30)), { ...then(slip(18)), ...film })!, day);
    expect(words({ verdict: { kind: 'confirmed', by: reviewer, at } })).toContain(
      'The earlier finding was confirmed by Dr Lin on 2025-03-13.',
    );
    expect(words({ final: true })).toContain('The earlier reading was reviewed.');
    expect(words({})).toContain('Nobody has reviewed the earlier reading.');
  });
});

describe('cautions', () => {
  const kinds = (comparison: Comparison | undefined) => comparison!.cautions.map(({ kind }) => kind);
  const cautions = (before: Partial<Film>, after: Partial<Film> = {}) =>
    compared({ ...now(slip(30)), ...after }, { ...then(slip(18)), ...before });

  it('name another version, other weights, and another model', () => {
    const words = (other: Partial<PackIdentity>) => changeInWords(cautions({ pack: { ...pack, ...other } })!, day);
    expect(words({ version: '0.9.0', sha256: 'b'.repeat(64) })).toContain(
      'Read by another version of the model (0.9.0 then, 1.0.0 now).',
    );
    expect(words({ sha256: 'b'.repeat(64) })).toContain('other weights of the same model version (1.0.0)');
    expect(words({ name: 'other', title: 'Other' })).toContain(
      'Read by another model (Other then, Lumbar corners now).',
    );
    expect(kinds(cautions({}))).not.toContain('other-version');
  });

  it('name another posture, or that none is recorded, and say nothing when both are the same', () => {
    const standing = { description: 'L-spine lateral standing' };
    expect(changeInWords(cautions({ description: 'LWS lateral, supine' }, standing)!, day)).toContain(
      'Posture differs: taken lying then, standing now',
    );
    expect(kinds(cautions(standing, standing))).toEqual([]);
    expect(kinds(cautions(standing))).toEqual(['posture-unknown']);
    // An unchanged slip needs no excuse.
    expect(kinds(compared(now(slip(19)), then(slip(18))))).toEqual([]);
  });

  it('name another magnification by the length of the end plate, which a grown vertebra keeps', () => {
    const comparison = compared(now(slip(30, { plateMm: 45 })), then(slip(18, { plateMm: 36 })));
    expect(kinds(comparison)).toContain('other-magnification');
    expect(changeInWords(comparison!, day)).toContain('the end plate measures 36 mm then and 45 mm now');
    expect(kinds(compared(now(slip(30, { plateMm: 38 })), then(slip(18, { plateMm: 36 }))))).not.toContain(
      'other-magnification',
    );
    expect(kinds(compared(now({ ...slip(30), measurements: [slip(30).measurements[0]] }), then(slip(18))))).toEqual([
      'posture-unknown',
    ]);
  });

  it.each([
    ['XR L-spine flexion', 'flexion'],
    ['Lumbar spine extension view', 'extension'],
    ['Flexion and extension views', undefined],
    ['LWS seitlich im Stehen', 'standing'],
    ['cross-table lateral', 'lying'],
    ['Lumbar spine lateral', undefined],
    [undefined, undefined],
    ['X-ray of an extremity', undefined],
  ])('read the posture of "%s" as %s', (description, posture) => {
    expect(postureOf(description)).toBe(posture);
  });
});
