/** The figures of system 1 (slips found, graded and measured) against the same numbers counted by hand, box by box. */
import { describe, expect, test } from 'vitest';
import type { Answer } from '../../src/evaluation/answers.ts';
import { boxOperatingPoint, chooseBoxThreshold } from '../../src/evaluation/box-threshold.ts';
import { evaluate, type EvaluationOptions } from '../../src/evaluation/evaluate.ts';
import { wilson } from '../../src/evaluation/intervals.ts';
import { pairUp } from '../../src/evaluation/pair.ts';
import { seededRandom } from '../../src/evaluation/random.ts';
import type { Figure, Report } from '../../src/evaluation/report.ts';
import { readTruth } from '../../src/evaluation/truth.ts';

const levels = ['L3/L4', 'L4/L5', 'L5/S1'] as const;
const random = seededRandom(41);
const gradeOf = (percent: number): string => (percent < 9 ? '0' : percent <= 25 ? 'I' : percent <= 50 ? 'II' : 'III');
/** Where a level's box lies on every film. */
const place = (level: string): readonly [number, number, number, number] => {
  const top = 100 * (1 + levels.indexOf(level as 'L3/L4'));
  return [50, top, 110, top + 80];
};

type Film = { readonly file: string; readonly slips: Readonly<Record<string, number>> };
const films = Array.from({ length: 120 }, (_, index): Film => ({
  file: `${index}.png`,
  slips: Object.fromEntries(
    levels.map((level) => {
      const slipped = index % 2 === 1 && random.next() < 0.4;
      return [level, slipped ? 9 + 55 * random.next() : 6 * random.next()];
    }),
  ),
}));
const isSlip = (percent: number): boolean => percent >= 9;

const manifest = [
  [
    'file,kind,split,patient,boxes',
    ...levels.map((level) => `value:slip-percent@${level},grade:Meyerding@${level}`),
  ].join(','),
  ...films.map(({ file, slips }, index) =>
    [
      file,
      'synthetic',
      index < 40 ? 'validation' : 'test',
      file,
      levels
        .filter((level) => isSlip(slips[level]!))
        .map((level) => `${level} ${place(level).join(' ')}`)
        .join('; '),
      ...levels.flatMap((level) => [slips[level]!.toFixed(3), gradeOf(slips[level]!)]),
    ].join(','),
  ),
].join('\n');
const rows = readTruth(manifest);

/** Measures with an error, boxes everything with a score, and says which it calls. */
const landmarkRoute = films.map(({ file, slips }, index): Answer => {
  if (index % 29 === 5) return { file, abstained: 'levels-uncertain' };
  const values = levels.map((level) => [level, slips[level]! + 8 * (random.next() - 0.5)] as const);
  return {
    file,
    boxes: values.map(([level, value]) => {
      const [left, top, right, bottom] = place(level);
      const shift = 30 * random.next();
      return {
        label: level,
        box: [left + shift, top, right + shift, bottom],
        score: 1 / (1 + Math.exp(-(value - 8) / 2)),
        called: value >= 8,
      };
    }),
    values: Object.fromEntries(values.map(([level, value]) => [`slip-percent@${level}`, { value }])),
    grades: Object.fromEntries(
      values.map(([level, value]) => [`Meyerding@${level}`, value >= 8 ? gradeOf(Math.max(value, 9)) : '0']),
    ),
  };
});
/** Boxes with scores only: a threshold must be chosen. */
const boxRoute = films.map(({ file, slips }): Answer => ({
  file,
  boxes: levels.flatMap((level) => {
    const score = Math.min(1, Math.max(0, slips[level]! / 30 + 0.5 * (random.next() - 0.4)));
    return score < 0.05 ? [] : [{ label: level, box: [...place(level)], score }];
  }),
}));

const entrant = (name: string, answers: readonly Answer[]) => ({
  model: { name, version: '1', sha256: '0'.repeat(64) },
  answers,
});
const report = (options: EvaluationOptions = {}): Report =>
  evaluate({
    title: 'slips',
    rows,
    entrant: entrant('corners', landmarkRoute),
    compareWith: entrant('boxes', boxRoute),
    data: { file: 'manifest.csv', sha256: '0'.repeat(64) },
    wetread: '0',
    madeAt: new Date(0),
    options: { replicates: 120, ...options },
  });
const made = report();
const sectionOf = (title: string) => made.sections.find((one) => one.title === title)!;
const figure = (title: string, name: string): Figure =>
  sectionOf(title).figures.find((one) => one.name === name) ?? { name, value: -99 };

const overlap = (a: readonly number[], b: readonly number[]): number => {
  const w = Math.max(0, Math.min(a[2]!, b[2]!) - Math.max(a[0]!, b[0]!));
  const h = Math.max(0, Math.min(a[3]!, b[3]!) - Math.max(a[1]!, b[1]!));
  const area = (one: readonly number[]) => (one[2]! - one[0]!) * (one[3]! - one[1]!);
  return (w * h) / (area(a) + area(b) - w * h);
};
/** Since every level stands once on a film and in its own place, a box is right when its own level slipped and is covered. */
function count(
  answers: readonly Answer[],
  counts: (box: NonNullable<Answer['boxes']>[number]) => boolean,
  only?: string,
) {
  const tally = { right: 0, wrong: 0, missed: 0, onNormal: 0, normals: 0, read: 0 };
  for (const [index, { slips }] of films.entries()) {
    const answer = answers[index]!;
    if (index < 40 || answer.abstained !== undefined) continue;
    tally.read += 1;
    const found = (answer.boxes ?? []).filter((box) => counts(box) && (only === undefined || box.label === only));
    const normal = levels.every((level) => !isSlip(slips[level]!));
    tally.normals += Number(normal);
    tally.onNormal += normal ? found.length : 0;
    for (const level of levels) {
      if (only !== undefined && level !== only) continue;
      const box = found.find(({ label }) => label === level);
      const slipped = isSlip(slips[level]!);
      const right = slipped && box !== undefined && overlap(box.box, place(level)) >= 0.5;
      tally.right += Number(right);
      tally.missed += Number(slipped && !right);
      tally.wrong += Number(box !== undefined && !right);
    }
  }
  return tally;
}
const f1 = ({ right, wrong, missed }: { right: number; wrong: number; missed: number }): number =>
  right / (right + (wrong + missed) / 2);

const title = 'Boxes at an overlap (IoU) of 0.5';

describe('the landmark route', () => {
  const tally = count(landmarkRoute, ({ called }) => called === true);
  test('precision, recall and F1 count the boxes that the model calls, with Wilson intervals', () => {
    expect(tally.right).toBeGreaterThan(20);
    expect(tally.wrong).toBeGreaterThan(0);
    expect(tally.missed).toBeGreaterThan(0);
    const found = tally.right + tally.wrong;
    expect(figure(title, 'precision')).toMatchObject({
      k: tally.right,
      n: found,
      interval: wilson(tally.right, found),
    });
    expect(figure(title, 'recall')).toMatchObject({ k: tally.right, n: tally.right + tally.missed });
    expect(figure(title, 'F1').value).toBeCloseTo(f1(tally), 12);
  });
  test('false alarms for each normal picture, with an interval, and how many normal pictures have one', () => {
    const alarms = figure(title, 'false alarms per normal picture');
    expect(alarms).toMatchObject({ value: tally.onNormal / tally.normals, n: tally.normals });
    expect(alarms.interval![0]).toBeLessThan(alarms.value);
    expect(alarms.interval![1]).toBeGreaterThan(alarms.value);
  });
  test('each level by itself', () => {
    const table = sectionOf(title).tables.find((one) => one.title === 'By name')!;
    for (const [index, level] of levels.entries()) {
      const own = count(landmarkRoute, ({ called }) => called === true, level);
      const [name, precision, recall, score, alarms] = table.rows[index]! as [string, Figure, Figure, Figure, Figure];
      expect(name).toBe(level);
      expect([precision.k, precision.n, recall.k, recall.n]).toEqual([
        own.right,
        own.right + own.wrong,
        own.right,
        own.right + own.missed,
      ]);
      expect(score.value).toBeCloseTo(f1(own), 12);
      expect(score.interval![0]).toBeLessThanOrEqual(score.value);
      expect([alarms.k, alarms.n]).toEqual([own.onNormal, own.normals]);
    }
  });
  test('the curve and average precision go on below the operating point, which is marked on it', () => {
    // By hand: at each score that occurs, count anew; then the best precision at that recall or beyond.
    const all = landmarkRoute.flatMap((one, index) => (index < 40 ? [] : (one.boxes ?? []).map(({ score }) => score)));
    const points = [...new Set(all)]
      .sort((a, b) => b - a)
      .map((threshold) => {
        const at = count(landmarkRoute, ({ score }) => score >= threshold);
        return { recall: at.right / (at.right + at.missed), precision: at.right / (at.right + at.wrong) };
      });
    let [area, last] = [0, 0];
    for (const [index, { recall }] of points.entries()) {
      area += (recall - last) * Math.max(...points.slice(index).map(({ precision }) => precision));
      last = recall;
    }
    expect(figure(title, 'average precision').value).toBeCloseTo(area, 10);
    const plot = sectionOf(title).plots.find((one) => one.title === 'Precision and recall')!;
    if (plot.kind !== 'curve') throw new Error('no curve');
    expect(plot.series[0]!.points).toHaveLength(points.length);
    expect(plot.marked!.at).toEqual([
      tally.right / (tally.right + tally.missed),
      tally.right / (tally.right + tally.wrong),
    ]);
  });
  test('the error of the slip where there is one, apart from the error over all levels', () => {
    const errors = films.flatMap(({ slips }, index) =>
      index < 40 || landmarkRoute[index]!.abstained !== undefined
        ? []
        : levels.map((level) => ({
            ill: isSlip(slips[level]!),
            off: landmarkRoute[index]!.values![`slip-percent@${level}`]!.value - Number(slips[level]!.toFixed(3)),
          })),
    );
    const ill = errors.filter((one) => one.ill);
    const mae = ill.reduce((sum, { off }) => sum + Math.abs(off), 0) / ill.length;
    const section = 'slip-percent, measured';
    expect(figure(section, 'mean absolute error where there is a finding')).toMatchObject({ n: ill.length });
    expect(figure(section, 'mean absolute error where there is a finding').value).toBeCloseTo(mae, 10);
    expect(figure(section, 'mean absolute error').value).not.toBeCloseTo(mae, 3);
  });
  test("Meyerding's kappa, by the definition: over all levels with weights, and where both found a slip without", () => {
    const pairs = films.flatMap(({ slips }, index) =>
      index < 40 || landmarkRoute[index]!.abstained !== undefined
        ? []
        : levels.map(
            (level) => [gradeOf(slips[level]!), landmarkRoute[index]!.grades![`Meyerding@${level}`]!] as const,
          ),
    );
    const grades = ['0', 'I', 'II', 'III'];
    const kappa = (among: typeof pairs, apart: (a: number, b: number) => number): number => {
      const cost = (a: string, b: string) => apart(grades.indexOf(a), grades.indexOf(b));
      const seen = among.reduce((sum, [a, b]) => sum + cost(a, b), 0) / among.length;
      // By chance: every truth against every answer.
      const chance =
        among.reduce((sum, [a]) => sum + among.reduce((inner, [, b]) => inner + cost(a, b), 0), 0) / among.length ** 2;
      return 1 - seen / chance;
    };
    const section = 'Meyerding, graded';
    expect(figure(section, 'kappa, quadratic weights').value).toBeCloseTo(
      kappa(pairs, (a, b) => (a - b) ** 2),
      10,
    );
    expect(figure(section, 'kappa where both found something, no weights').value).toBeCloseTo(
      kappa(
        pairs.filter(([a, b]) => a !== '0' && b !== '0'),
        (a, b) => Number(a !== b),
      ),
      10,
    );
  });
});

describe('a detector that only scores its boxes', () => {
  const validation = pairUp(rows, boxRoute).filter(({ row }) => row.split === 'validation');
  const onValidation = (threshold: number) => {
    const tally = { right: 0, wrong: 0, missed: 0, onNormal: 0, normals: 0 };
    for (const { row, answer } of validation) {
      const found = (answer.boxes ?? []).filter(({ score }) => score >= threshold);
      const right = found.filter(({ label }) => row.boxes!.some((box) => box.label === label)).length;
      tally.right += right;
      tally.wrong += found.length - right;
      tally.missed += row.boxes!.length - right;
      tally.normals += Number(row.boxes!.length === 0);
      tally.onNormal += row.boxes!.length === 0 ? found.length : 0;
    }
    return tally;
  };
  const scores = validation.flatMap(({ answer }) => (answer.boxes ?? []).map(({ score }) => score));

  test('gets the score with the best F1 on validation pictures, and no other score is better there', () => {
    const chosen = chooseBoxThreshold(validation, { kind: 'best-f1' })!;
    expect(f1(onValidation(chosen))).toBeCloseTo(Math.max(...scores.map((score) => f1(onValidation(score)))), 12);
    const { threshold, says } = boxOperatingPoint([], validation);
    expect(threshold).toBe(chosen);
    expect(says).toContain('chosen on validation pictures (best F1)');
  });
  test('or the lowest score with few enough alarms on normal validation pictures', () => {
    const chosen = chooseBoxThreshold(validation, { kind: 'false-alarms', atMost: 0.05 })!;
    const at = onValidation(chosen);
    expect(at.onNormal).toBeLessThanOrEqual(0.05 * at.normals);
    const better = scores.filter((score) => {
      const other = onValidation(score);
      return other.onNormal <= 0.05 * other.normals && other.right > at.right;
    });
    expect(better).toEqual([]);
  });
  test('is printed beside the other, compared box by box and by alarms', () => {
    const threshold = chooseBoxThreshold(validation, { kind: 'best-f1' })!;
    const tally = count(boxRoute, ({ score }) => score >= threshold);
    expect(figure(`${title}: boxes`, 'recall')).toMatchObject({ k: tally.right, n: tally.right + tally.missed });
    const both = sectionOf('corners and boxes on the same pictures');
    const named = Object.fromEntries(both.figures.map((one) => [one.name, one.value]));
    expect(named['F1 of boxes of boxes']).toBeCloseTo(f1(tally), 12);
    expect(named['difference']).toBeCloseTo(f1(count(landmarkRoute, ({ called }) => called === true)) - f1(tally), 12);
    expect(named['false alarms per normal picture of boxes']).toBeCloseTo(tally.onNormal / tally.normals, 12);
    // McNemar over true boxes of all test pictures: what a model refused it did not find.
    let [first, second] = [0, 0];
    for (const [index, { slips }] of films.entries())
      for (const level of index < 40 ? [] : levels) {
        if (!isSlip(slips[level]!)) continue;
        const hit = (answers: readonly Answer[], counts: (box: NonNullable<Answer['boxes']>[number]) => boolean) =>
          answers[index]!.abstained === undefined &&
          answers[index]!.boxes!.some(
            (box) => counts(box) && box.label === level && overlap(box.box, place(level)) >= 0.5,
          );
        const [one, two] = [
          hit(landmarkRoute, ({ called }) => called === true),
          hit(boxRoute, ({ score }) => score >= threshold),
        ];
        first += Number(one && !two);
        second += Number(two && !one);
      }
    const mcNemar = both.tables.find((one) => one.title.startsWith('McNemar'))!;
    expect(mcNemar.rows[0]!.slice(1, 3)).toEqual([first, second]);
  });
  test('or counts from a score that is given', () => {
    const given = report({ boxThreshold: 0.6 });
    const section = given.sections.find((one) => one.title === `${title}: boxes`)!;
    const tally = count(boxRoute, ({ score }) => score >= 0.6);
    expect(section.figures.find(({ name }) => name === 'precision')).toMatchObject({
      k: tally.right,
      n: tally.right + tally.wrong,
    });
    expect(section.says).toContain('from a score of 0.6 on, as given');
  });
});
