/** The lumbar pack's own code on spines drawn by hand, and its corners against the training code's on its cases. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answerOf } from '../../src/cli/evaluate/answer-of.ts';
import { decoderPool } from '../../src/dicom/decoder-pool.ts';
import { sopUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { loadPacks } from '../../src/inference/load-packs.ts';
import { modelRunner, type ManagedModelRunner } from '../../src/inference/model-runner.ts';
import { faultOfDrafts, type FindingDraft } from '../../src/kit/model-pack.ts';
import manifest from '../../models/lumbar-landmarks/manifest.json' with { type: 'json' };
import type { Output } from '../../models/lumbar-landmarks/corners.ts';
import pack from '../../models/lumbar-landmarks/postprocess.ts';
import { genantGrade } from '../../models/lumbar-landmarks/heights.ts';
import { gradeWords, meyerding } from '../../models/lumbar-landmarks/slip.ts';

type Drawn = {
  /** Of each segment, in % of the lower end plate. */
  readonly slips?: Readonly<Record<string, number>>;
  readonly facing?: 'left' | 'right';
  readonly mass?: number;
  /** Where the column as found lies: one nearer to the feet than named, as named, one higher. */
  readonly levels?: readonly [number, number, number];
  readonly change?: (corners: [number, number][]) => void;
  readonly image?: Partial<Output['image']>;
  readonly variance?: number;
  readonly operatingPoints?: Partial<Output['manifest']['operatingPoints']>;
  /** How many of the 34 corners the film's mirror image shows elsewhere. */
  readonly apart?: number;
  /** By segment, in percent, what the slip branch sees; elsewhere it sees what is drawn, and is not sure of it at all. */
  readonly seen?: Readonly<Record<string, { readonly percent: number; readonly deviation: number }>>;
};

const [height, width] = [768, 512];
const depth = 80;
const bodyHeight = 68;
const discHeight = 20;

/** A straight spine, 80 pixels deep, from T12 down to S1, as the net would answer it. */
const answerFor = (drawn?: Drawn): FindingDraft[] => readingOf(drawn).findings;

const readingOf = (drawn?: Drawn) => {
  const answer = pack.postprocess(outputFor(drawn));
  if (!('findings' in answer)) throw new Error('no landmarks, no scores');
  const { findings, landmarks = [], scores = {} } = answer;
  expect(faultOfDrafts(findings)).toBeUndefined();
  return { findings, landmarks, scores };
};

function outputFor({
  slips = {},
  facing = 'right',
  mass = 0.99,
  levels = [0, 1, 0],
  change,
  image = {},
  variance = 4,
  apart = 0,
  operatingPoints = {},
  seen = {},
}: Drawn = {}): Output {
  const names = ['T12/L1', 'L1/L2', 'L2/L3', 'L3/L4', 'L4/L5', 'L5/S1'];
  const offset = (segment: string): number =>
    (slips[segment] ?? manifest.reference.slipPercent[segment as 'L4/L5']?.mean ?? -2.1) / 100;
  // From below: each body stands forward of the one under it by its offset.
  const back: number[] = Array(7).fill(200);
  for (let index = 5; index >= 0; index -= 1) back[index] = back[index + 1]! + offset(names[index]!) * depth;
  const corners: [number, number][] = [];
  for (let index = 0; index < 6; index += 1) {
    const top = 80 + index * (bodyHeight + discHeight);
    const [x, bottom] = [back[index]!, top + bodyHeight];
    corners.push([x, bottom], [x + depth, bottom], [x + depth, top], [x, top]);
  }
  const plate = 80 + 6 * (bodyHeight + discHeight);
  corners.push([back[6]!, plate], [back[6]! + depth, plate]);
  if (facing === 'left') for (const corner of corners) corner[0] = width - 1 - corner[0];
  change?.(corners);
  // T10 and T11 stand above the film's upper edge.
  const above = [1, 2].flatMap((up) => corners.slice(0, 4).map(([x, y]) => [x, y - up * (bodyHeight + discHeight)]));
  const all = [...above.slice(4), ...above.slice(0, 4), ...corners] as [number, number][];
  const rows = all.flatMap(([x, y]) => [x, y, mass, variance, variance, 0]);
  const steps = manifest.outputs.slips.labels.flatMap((segment) => {
    const { percent, deviation } = seen[segment] ?? { percent: 100 * offset(segment), deviation: 1000 };
    return [percent / 100, deviation / 100, 0.5];
  });
  return {
    outputs: {
      landmarks: { dims: [1, 34, 6], data: Float32Array.from(rows) },
      levels: { dims: [1, 3], data: Float32Array.from(levels) },
      apart: { dims: [1, 34], data: new Float32Array(34).fill(1).fill(depth, 34 - apart) },
      slips: { dims: [1, 5, 3], data: Float32Array.from(steps) },
    },
    manifest: { ...manifest, operatingPoints: { ...manifest.operatingPoints, ...operatingPoints } },
    image: { rows: height, columns: width, tags: {}, mean: 0.3, standardDeviation: 0.2, ...image },
    toImage: (x, y) => [x + 0.5, y + 0.5],
    magnification: [1, 1],
    items: 1,
    shapes: () => [],
    pictures: [],
    pixels: () => new Float32Array(),
    grey: () => ({ rows: 0, columns: 0, values: new Float32Array() }),
    sopUid: sopUid('1.2.3'),
    frame: 0,
  };
}

const at = (findings: readonly FindingDraft[], level: string): FindingDraft =>
  findings.find(({ site }) => site.kind !== 'image' && site.level === level)!;
const percentAt = (findings: readonly FindingDraft[], level: string): number =>
  at(findings, level).measurements.find(({ quantity }) => quantity === 'slip-percent')!.value;

describe('the findings of a spine', () => {
  test('without a slip: readable, five levels not slipped, five bodies measured', () => {
    const findings = answerFor();
    expect(findings.map(({ concept, result }) => `${concept} ${result.kind}`)).toEqual([
      'view-and-quality not-detected',
      ...Array<string>(5).fill('spondylolisthesis not-detected'),
      ...Array<string>(5).fill('vertebral-height measured'),
    ]);
    expect(percentAt(findings, 'L4/L5')).toBeCloseTo(manifest.reference.slipPercent['L4/L5'].mean, 3);
  });

  test.each(['left', 'right'] as const)(
    'with L4 forward of L5, facing %s: the level, the grade, the direction, the number',
    (facing) => {
      const findings = answerFor({ slips: { 'L4/L5': 15 }, facing });
      const finding = at(findings, 'L4/L5');
      expect(finding.result).toEqual({
        kind: 'detected',
        grades: [{ scale: 'Meyerding', value: 'I' }],
        direction: 'anterior',
      });
      expect(percentAt(findings, 'L4/L5')).toBeCloseTo(15, 3);
      expect(finding.summary).toMatch(/^Suspected L4\/L5 anterolisthesis, grade I \(15 %, 95 % \d+ to \d+\)$/);
      expect(findings.filter(({ result }) => result.kind === 'detected')).toHaveLength(1);
    },
  );

  test('with L5 far forward of S1: grade II, with millimetres where the pixel size is known', () => {
    const spacing = { rowMm: 0.5, columnMm: 0.5, plane: 'detector' } as const;
    const finding = at(answerFor({ slips: { 'L5/S1': 35 }, image: { spacing } }), 'L5/S1');
    expect(finding.result).toMatchObject({ kind: 'detected', grades: [{ value: 'II' }] });
    const mm = finding.measurements.find(({ quantity }) => quantity === 'slip')!;
    expect(mm).toMatchObject({ unit: 'mm' });
    expect(mm.value).toBeCloseTo(0.35 * depth * 0.5, 3);
    expect(finding.summary).toContain('14.0 mm, magnified as on the detector');
  });

  test('measures percent and millimetres right where pixels are not square', () => {
    const spacing = { rowMm: 0.4, columnMm: 0.2, plane: 'patient' } as const;
    const tilted = (corners: [number, number][]): void => {
      // The end plate of L5 falls by 10 rows over its 80 columns: 4 mm over 16 mm.
      corners[4 * 5 + 2]![1] += 10;
      corners[4 * 5 + 1]![1] += 10;
    };
    const finding = at(answerFor({ slips: { 'L4/L5': 20 }, image: { spacing }, change: tilted }), 'L4/L5');
    // The upper corner stands 16 columns forward and one disc (20 rows) up; the plate runs (16, 4) mm.
    const plate = Math.hypot(16, 4);
    const along = (16 * 0.2 * 16 - discHeight * 0.4 * 4) / plate;
    expect(finding.measurements.find(({ quantity }) => quantity === 'slip')!.value).toBeCloseTo(along, 3);
    expect(finding.measurements.find(({ quantity }) => quantity === 'slip-percent')!.value).toBeCloseTo(
      (100 * along) / plate,
      3,
    );
  });

  test('with L3 behind L4: retrolisthesis', () => {
    const findings = answerFor({ slips: { 'L3/L4': -22 } });
    expect(at(findings, 'L3/L4').result).toMatchObject({ kind: 'detected', direction: 'posterior' });
    expect(at(findings, 'L3/L4').summary).toMatch(
      /^Suspected L3\/L4 retrolisthesis, grade I to II \(-22 %, 95 % -3\d to -1\d\)$/,
    );
  });

  test('names every grade that the interval reaches', () => {
    expect(gradeWords(18, [14, 22])).toBe('grade I');
    expect(gradeWords(24, [20, 28])).toBe('grade I to II');
    expect(gradeWords(26, [22, 30])).toBe('grade I to II');
    expect(gradeWords(-26, [-30, -26])).toBe('grade II');
    expect(gradeWords(-24, [-28, -20])).toBe('grade I to II');
    expect(gradeWords(4, [-30, 38])).toBe('grade I to II');
    expect(gradeWords(60, [24, 96])).toBe('grade I to IV');
  });

  test('just under and just over the limit of the level, forwards and backwards; the score is one half there', () => {
    const { anteriorPercentAboveNormal: above, posteriorPercentBelowNormal: below } = manifest.operatingPoints;
    const { leastPercent, slipEvidence, slipIntervalFactor } = manifest.operatingPoints;
    for (const level of Object.keys(above) as (keyof typeof above)[]) {
      const { mean } = manifest.reference.slipPercent[level];
      const [low, high] = at(answerFor(), level).measurements[0]!.interval!;
      const deviation = (high - low) / (2 * 1.959964 * slipIntervalFactor[level]);
      // The drawn bodies are equally deep, so back and front say the same.
      const slack = slipEvidence.deviations * deviation;
      const limits = [
        Math.max(mean + above[level] + slack, leastPercent.anterior),
        Math.min(mean - below[level] - slack, -leastPercent.posterior),
      ];
      for (const [index, limit] of limits.entries()) {
        // The spread grows a little with the slip.
        const outwards = index === 0 ? 0.4 : -0.4;
        const told = [limit - outwards, limit + outwards].map((slip) => {
          const { findings, scores } = readingOf({ slips: { [level]: slip } });
          return [level, at(findings, level).result.kind, scores[level]! >= 0.5];
        });
        expect(told).toEqual([
          [level, 'not-detected', false],
          [level, 'detected', true],
        ]);
      }
    }
  });

  /** The slip of L4/L5 by the corners alone, and its standard deviation. */
  const byCorners = (slip: number): { percent: number; deviation: number } => {
    const finding = at(answerFor({ slips: { 'L4/L5': slip } }), 'L4/L5');
    const [low, high] = finding.measurements[0]!.interval!;
    const factor = manifest.operatingPoints.slipIntervalFactor['L4/L5'];
    return { percent: percentAt([finding], 'L4/L5'), deviation: (high - low) / (2 * 1.959964 * factor) };
  };
  const { seenScale } = manifest.operatingPoints.slipEvidence;

  test('tells the mean of corners and branch where both are as sure, half as wide in variance, and draws the slip so long', () => {
    const { percent, deviation } = byCorners(20);
    const apart = 0.8 * deviation;
    const seen = { 'L4/L5': { percent: percent + apart, deviation: deviation / seenScale } };
    const finding = at(answerFor({ slips: { 'L4/L5': 20 }, seen }), 'L4/L5');
    const { value, interval } = finding.measurements[0]!;
    expect(value).toBeCloseTo(20 + apart / 2, 3);
    const factor = manifest.operatingPoints.slipIntervalFactor['L4/L5'];
    expect(interval![1] - interval![0]).toBeCloseTo((2 * 1.959964 * factor * deviation) / Math.SQRT2, 3);
    const line = finding.evidence!.shapes.find(({ label }) => label === 'slip');
    if (line?.kind !== 'line') throw new Error('no slip line');
    expect(line.to[0] - line.from[0]).toBeCloseTo((value / 100) * depth, 3);
    expect(finding.summary).toContain(`${Math.round(value)} %`);
  });

  test('counts the surer of the two more', () => {
    const { deviation } = byCorners(20);
    const told = (seenDeviation: number): number =>
      percentAt(
        answerFor({ slips: { 'L4/L5': 20 }, seen: { 'L4/L5': { percent: 21, deviation: seenDeviation } } }),
        'L4/L5',
      );
    expect(told((3 * deviation) / seenScale)).toBeCloseTo(20.1, 3);
    expect(told(deviation / seenScale / 3)).toBeCloseTo(20.9, 3);
  });

  test('is not called by one corner that stands wrong: the branch does not see it, and the interval reaches to both', () => {
    const { mean } = manifest.reference.slipPercent['L4/L5'];
    const misread = (corners: [number, number][]): void => {
      // The lower back corner of L4, as far forward of its place as in a slip.
      corners[4 * 4]![0] += ((25 - mean) / 100) * depth;
    };
    const branch = (percent: number) => ({ 'L4/L5': { percent, deviation: 3 / seenScale } });
    const contradicted = at(answerFor({ change: misread, seen: branch(mean) }), 'L4/L5');
    const slipped = at(answerFor({ slips: { 'L4/L5': 25 }, seen: branch(25) }), 'L4/L5');
    expect([slipped.result.kind, contradicted.result.kind]).toEqual(['detected', 'not-detected']);
    const [low, high] = contradicted.measurements[0]!.interval!;
    expect(low).toBeLessThan(mean);
    expect(high).toBeGreaterThan(25);
    const [from, to] = slipped.measurements[0]!.interval!;
    expect(to - from).toBeLessThan((high - low) / 3);
  });

  test('cannot be told without the branch: an output that lacks it is an error, never a slip of nothing', () => {
    const output = outputFor();
    const { slips: _, ...outputs } = output.outputs;
    expect(() => pack.postprocess({ ...output, outputs } as unknown as Output)).toThrow(TypeError);
  });

  test('is not told where a corner lies so close to the edge that the plate may be cut off', () => {
    // S1 ends at 280.5; its plate is 80 long.
    const edge = manifest.operatingPoints.slipEvidence.edge * depth;
    const columns = (room: number) => ({ image: { columns: 281 + room } });
    expect(at(answerFor(columns(Math.ceil(edge) + 1)), 'L5/S1').result.kind).toBe('not-detected');
    const near = at(answerFor(columns(Math.floor(edge) - 1)), 'L5/S1');
    expect(near.result).toMatchObject({ kind: 'not-assessable', reason: 'level-not-visible' });
    expect(near.summary).toBe(
      'Not read at L5/S1: the level lies so close to the edge of the film that it may be cut off',
    );
    expect(near.measurements).toEqual([]);
  });

  test('is called by the back alone where the front is off the film', () => {
    const [film, slips] = [{ columns: 300 }, { 'L4/L5': 35 }];
    expect(at(answerFor({ slips, image: film }), 'L4/L5').result).toMatchObject({ kind: 'detected' });
  });

  test('marks the corners of both bodies, so that the box of a segment goes around them and nothing else', () => {
    const { findings, scores, landmarks } = readingOf({ slips: { 'L4/L5': -30 } });
    const told = answerOf('film.dcm', { findings, scores, landmarks, runMs: 1, executionProvider: 'cpu' });
    const corners = Object.entries(told.landmarks!)
      .filter(([name]) => /^L[45]\./.test(name))
      .map(([, place]) => place);
    const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
    const box = told.boxes!.find(({ label }) => label === 'L4/L5')!;
    expect(box.box).toEqual([Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]);
    expect(box.called).toBe(true);
    // Levels in place are told with their score, for curves.
    expect(told.boxes!.map(({ label, called }) => [label, called])).toEqual([
      ['L1/L2', false],
      ['L2/L3', false],
      ['L3/L4', false],
      ['L4/L5', true],
      ['L5/S1', false],
    ]);
  });

  test('gives wider intervals where the net is less sure', () => {
    const widthAt = (variance: number): number => {
      const [low, high] = at(answerFor({ variance }), 'L4/L5').measurements[0]!.interval!;
      return high - low;
    };
    expect(widthAt(16) / widthAt(4)).toBeCloseTo(2, 1);
  });

  test('widens the interval of a level by its factor, and calls no more and no fewer levels for it', () => {
    const readingBy = (factor: number) => {
      const slipIntervalFactor = { ...manifest.operatingPoints.slipIntervalFactor, 'L5/S1': factor };
      const { findings, scores } = readingOf({ slips: { 'L5/S1': 30 }, operatingPoints: { slipIntervalFactor } });
      const width = (level: string): number => {
        const [low, high] = at(findings, level).measurements[0]!.interval!;
        return high - low;
      };
      return { widened: width('L5/S1'), other: width('L4/L5'), score: scores['L5/S1'] };
    };
    const [narrow, wide] = [readingBy(1), readingBy(2)];
    expect(wide.widened / narrow.widened).toBeCloseTo(2, 6);
    expect(wide.other).toBe(narrow.other);
    expect(wide.score).toBe(narrow.score);
  });

  test('draws the slip on the end plate it was measured along', () => {
    const shapes = at(answerFor({ slips: { 'L4/L5': 25 } }), 'L4/L5').evidence!.shapes;
    expect(shapes.map(({ kind, label }) => `${kind} ${label}`)).toEqual([
      'polygon L4',
      'polygon L5',
      'line L4 posterior wall',
      'line L5 posterior wall',
      'line L5 upper end plate',
      'line slip',
      'point L4 posterior inferior',
      'point L5 posterior superior',
      'point L5 anterior superior',
    ]);
    const slip = shapes.find(({ label }) => label === 'slip');
    if (slip?.kind !== 'line') throw new Error('no slip line');
    expect(slip.to[0] - slip.from[0]).toBeCloseTo(0.25 * depth, 3);
    expect(slip.to[1]).toBeCloseTo(slip.from[1], 3);
  });

  test('measures a wedge', () => {
    const wedge = (corners: [number, number][]): void => {
      // The front of L1 comes down by a quarter.
      corners[4 + 2]![1] += bodyHeight / 4;
    };
    const finding = at(
      answerFor({ change: wedge, image: { spacing: { rowMm: 0.5, columnMm: 0.5, plane: 'patient' } } }),
      'L1',
    );
    const value = (quantity: string) => finding.measurements.find((one) => one.quantity === quantity)!.value;
    expect(value('anterior-posterior-height-ratio')).toBeCloseTo(0.75);
    expect(value('anterior-height')).toBeCloseTo(0.75 * bodyHeight * 0.5);
    expect(value('posterior-height')).toBeCloseTo(bodyHeight * 0.5);
    expect(value('posterior-height-ratio-to-neighbours')).toBeCloseTo(1);
    expect(finding.summary).toMatch(
      /^L1 height, front to back: 0\.75 \(95 % 0\.\d\d to 0\.\d\d; usual 0\.84 to 1\.04\)$/,
    );
  });

  test('measures what is lost in front and behind against the level and the bodies nearby, whoever is fractured beside it', () => {
    const loss = (quantity: string, drawn?: Drawn) =>
      at(answerFor(drawn), 'L3').measurements.find((one) => one.quantity === quantity)!.value;
    const crushed = (index: number, front: number, behind: number) => (corners: [number, number][]) => {
      corners[4 * index + 2]![1] += front * bodyHeight;
      corners[4 * index + 3]![1] += behind * bodyHeight;
    };
    const [front, behind] = [loss('anterior-height-loss'), loss('posterior-height-loss')];
    const wedged = { change: crushed(3, 0.3, 0) };
    expect(loss('anterior-height-loss', wedged)).toBeCloseTo(100 - 0.7 * (100 - front), 1);
    expect(loss('posterior-height-loss', wedged)).toBeCloseTo(behind, 6);
    const burst = { change: crushed(3, 0.4, 0.3) };
    expect(loss('posterior-height-loss', burst)).toBeCloseTo(100 - 0.7 * (100 - behind), 1);
    // L2 has lost a third: the median of the neighbours hardly moves.
    const beside = { change: crushed(2, 0.35, 0.35) };
    expect(Math.abs(loss('posterior-height-loss', beside) - behind)).toBeLessThan(4);
  });

  test('carries the spread of both ends of a wall to its height, and of both walls to their ratio', () => {
    const spacing = { rowMm: 0.5, columnMm: 0.2, plane: 'patient' } as const;
    const variance = 4;
    const { measurements } = at(answerFor({ variance, image: { spacing } }), 'L3');
    const deviationOf = (quantity: string): number => {
      const { value, interval } = measurements.find((one) => one.quantity === quantity)!;
      return (interval![1] - value) / 1.959964;
    };
    // The walls stand along the rows, so only the corners' spread across rows changes their lengths.
    const wall = Math.sqrt(2 * variance * manifest.operatingPoints.varianceScale.height) * spacing.rowMm;
    expect(deviationOf('anterior-height')).toBeCloseTo(wall, 5);
    expect(deviationOf('posterior-height')).toBeCloseTo(wall, 5);
    const height = bodyHeight * spacing.rowMm;
    expect(deviationOf('anterior-posterior-height-ratio')).toBeCloseTo((Math.SQRT2 * wall) / height, 5);
  });

  test('gives losses an interval that grows with the corners’ uncertainty', () => {
    const width = (variance: number) => {
      const { interval } = at(answerFor({ variance }), 'L3').measurements.find(
        ({ quantity }) => quantity === 'anterior-height-loss',
      )!;
      return interval![1] - interval![0];
    };
    expect(width(16)).toBeCloseTo(2 * width(4), 1);
  });

  test('says of a level cut off by the edge that it is not on the film, and measures the others', () => {
    // L4 and all above it stand 28 pixels forward of L5; the film ends 20 pixels in front of S1.
    const findings = answerFor({ slips: { 'L4/L5': 35 }, image: { columns: 300 } });
    expect(at(findings, 'L4').result).toMatchObject({ kind: 'not-assessable', reason: 'level-not-visible' });
    expect(at(findings, 'L3/L4').result).toMatchObject({ kind: 'not-assessable', reason: 'level-not-visible' });
    expect(at(findings, 'L3/L4').measurements).toEqual([]);
    expect(at(findings, 'L5').result.kind).toBe('measured');
    expect(at(findings, 'L4/L5').result).toMatchObject({ kind: 'detected', grades: [{ value: 'II' }] });
  });
});

describe('a film that cannot be read', () => {
  const refusal = (drawn: Drawn) => {
    const findings = answerFor(drawn);
    expect(findings).toHaveLength(1);
    expect(findings[0]!.concept).toBe('view-and-quality');
    expect(findings[0]!.summary).toMatch(/^Not read: /);
    const { result } = findings[0]!;
    return result.kind === 'not-assessable' ? result.reason : result.kind;
  };

  const { gateUsual, gateWeight } = manifest.operatingPoints;
  /** The variance at which the corners' spread, told in depths and the same on both axes, is this share of all doubt. */
  const unsure = (share: number) =>
    (depth * Math.max(0, gateUsual.cornerSpread + share / gateWeight.cornerSpread)) ** 2 / 2;

  test.each<[string, Drawn, string]>([
    ['has no contrast', { image: { standardDeviation: 0.001 } }, 'poor-quality'],
    ['shows nothing the net is sure of', { mass: 0.2 }, 'wrong-view'],
    ['is labelled a front view', { image: { tags: { viewPosition: 'AP' } } }, 'wrong-view'],
    ['gives crossed corners', { change: (c) => ([c[8], c[9]] = [c[9]!, c[8]!]) }, 'wrong-view'],
    ['may be named one level off', { levels: [0.02, 0.6, 0.38] }, 'levels-uncertain'],
    ['ends above the sacrum', { image: { rows: 600 } }, 'levels-uncertain'],
    ['has corners that lie anywhere', { variance: unsure(1.2) }, 'unlike-training-data'],
    [
      'and its mirror image show different vertebrae with unsure corners',
      { apart: 34, variance: unsure(0.5) },
      'levels-uncertain',
    ],
    [
      'has a gap in the spine and unsure corners',
      { change: (c) => c.slice(0, 12).forEach((corner) => (corner[1] -= 400)), variance: unsure(0.5) },
      'unusual-anatomy',
    ],
  ])('because it %s', (_, drawn, reason) => expect(refusal(drawn)).toBe(reason));

  test('because doubts of two kinds add up, neither of which is enough: both are told, the larger first', () => {
    const doubtful = (share: number) => gateUsual.levelDoubt + share / gateWeight.levelDoubt;
    const levels = (share: number) => [0, 1 - doubtful(share), doubtful(share)] as const;
    expect(answerFor({ levels: levels(0.7) })[0]!.result.kind).toBe('not-detected');
    expect(answerFor({ variance: unsure(0.6) })[0]!.result.kind).toBe('not-detected');
    const both = { levels: levels(0.7), variance: unsure(0.6) };
    expect(refusal(both)).toBe('levels-uncertain');
    expect(answerFor(both)[0]!.summary).toMatch(/^Not read: the levels .*; the corners of at least one vertebra .*\.$/);
  });

  test('because of its levels says which discs the lowest one may be', () => {
    const [refused] = answerFor({ levels: [0, 0.62, 0.38] });
    expect(refused!.summary).toContain('the disc found as L5/S1 is L5/S1 (62 %) or L4/L5 (38 %).');
  });

  test('is not one whose names the net moved, once it is sure of where they belong', () => {
    expect(answerFor({ levels: [0.97, 0.03, 0] })[0]!.result.kind).toBe('not-detected');
  });

  test.each<[string, Drawn]>([
    ['crushed to a third of its height', { change: (c) => [14, 15].forEach((i) => (c[i]![1] += 0.67 * bodyHeight)) }],
    ['slipped by two thirds', { slips: { 'L4/L5': 66 }, image: { columns: 600 } }],
    ['whose neighbour S1 ends beyond the edge of the film', { image: { columns: 250 } }],
  ])('is not one with a body %s, if its corners are sure', (_, drawn) =>
    expect(answerFor(drawn)[0]!.result.kind).toBe('not-detected'),
  );

  test('is not one that lacks a label, or is labelled lateral', () => {
    expect(answerFor({ image: { tags: { viewPosition: 'LL', bodyPartExamined: 'LSPINE' } } })[0]!.result.kind).toBe(
      'not-detected',
    );
  });
});

test('the thresholds are those that training chose for these weights (training/lumbar_landmarks/seal_pack.py writes them)', () => {
  const chosen = JSON.parse(
    readFileSync(join(import.meta.dirname, '../../training/lumbar_landmarks/operating-points.json'), 'utf8'),
  ) as {
    readonly chosenOn: { readonly model: string };
    readonly slip: { readonly thresholdAboveNormal: Readonly<Record<string, number>> };
    readonly gate: {
      readonly limits: { readonly usual: object; readonly weight: object; readonly never: readonly string[] };
    };
  };
  expect(chosen.chosenOn.model).toBe(manifest.weights.sha256);
  const { anteriorPercentAboveNormal, gateUsual, gateWeight } = manifest.operatingPoints;
  const percents = Object.values(chosen.slip.thresholdAboveNormal).map((part) => 100 * part);
  expect(Object.values(anteriorPercentAboveNormal)).toHaveLength(percents.length);
  for (const [index, percent] of Object.values(anteriorPercentAboveNormal).entries())
    expect(percent).toBeCloseTo(percents[index]!, 2);
  expect(gateUsual).toEqual(chosen.gate.limits.usual);
  expect(gateWeight).toEqual(chosen.gate.limits.weight);
  expect(chosen.gate.limits.never).toEqual(['brokenBodies', 's1OutsideFilm']);
});

test("Genant's grades change at a fifth, a quarter and two fifths of the height", () => {
  expect([-5, 0, 19.9, 20, 24.9, 25, 40, 40.1].map(genantGrade)).toEqual(['0', '0', '0', '1', '1', '2', '2', '3']);
});

test("Meyerding's grades change at quarters", () => {
  expect([1, 25, 25.1, 50, 50.1, 75, 75.1, 100, 100.1, -30].map(meyerding)).toEqual([
    'I',
    'I',
    'II',
    'II',
    'III',
    'III',
    'IV',
    'IV',
    'V',
    'II',
  ]);
});

describe('the corners', () => {
  const models = join(import.meta.dirname, '../../models');
  const folder = join(models, 'lumbar-landmarks/cases');
  const decoder = decoderPool({ threads: 1, logger: silentLogger });
  let runner: ManagedModelRunner;
  beforeAll(async () => {
    const packs = await loadPacks(models, silentLogger);
    runner = modelRunner({ packs, processes: 1, threads: 2, provider: 'cpu', logger: silentLogger });
  });
  afterAll(async () => {
    await runner.close();
    await decoder.close();
  });

  test.each(readdirSync(folder).filter((file) => file.endsWith('.dcm')))(
    'of %s lie where the training code finds them',
    async (file) => {
      const expected = JSON.parse(readFileSync(join(folder, file.replace('.dcm', '.expected.json')), 'utf8')) as {
        readonly outcome: 'accepted' | 'refused';
        readonly landmarks: readonly (readonly [number, number])[];
        readonly tolerancePx: number;
      };
      const picture = (await decoder.decode(readFileSync(join(folder, file)))).grey(0);
      const identity = runner.packs.find(({ name }) => name === 'lumbar-landmarks')!;
      const { findings, landmarks } = await runner.run(identity, picture);
      const [view] = findings;
      expect(view!.result.kind).toBe(expected.outcome === 'accepted' ? 'not-detected' : 'not-assessable');
      if (expected.outcome === 'refused') return;
      expect(landmarks).toHaveLength(34);
      for (const [index, { name, at, covariance }] of landmarks!.entries()) {
        const [x, y] = at;
        const [ex, ey] = expected.landmarks[index]!;
        // What stands above the lumbar spine is cut off here: such corners turn on the last digit, within their spread.
        const most = name.startsWith('T') ? Math.sqrt(covariance!.xx + covariance!.yy) : expected.tolerancePx;
        // The training code counts from the centre of the first pixel, findings from its corner.
        expect(Math.hypot(x - 0.5 - ex, y - 0.5 - ey)).toBeLessThanOrEqual(most);
      }
    },
  );
});
