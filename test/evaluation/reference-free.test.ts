/** What can be said of a model without labels: does it agree with itself, does it refuse what it must, and at what level does it count. */
import { describe, expect, test } from 'vitest';
import type { Answer } from '../../src/evaluation/answers.ts';
import { ownLengthOf } from '../../src/evaluation/body-depth.ts';
import { evaluate } from '../../src/evaluation/evaluate.ts';
import { figureText, type Report } from '../../src/evaluation/report.ts';
import { cellText } from '../../src/evaluation/report-text.ts';
import { readTruth, type TruthRow } from '../../src/evaluation/truth.ts';
import { bestShift } from '../../src/evaluation/whole-levels.ts';

/** Bodies 40 deep and 60 apart, from the head down. */
const spine = (parts: readonly string[], [dx, dy] = [0, 0]): NonNullable<Answer['landmarks']> =>
  Object.fromEntries(
    parts.flatMap((part, index) =>
      (['posteriorSuperior', 'anteriorSuperior', 'posteriorInferior', 'anteriorInferior'] as const).map((corner) => [
        `${part}.${corner}`,
        [
          (corner.startsWith('anterior') ? 140 : 100) + dx!,
          100 + index * 60 + (corner.endsWith('Inferior') ? 40 : 0) + dy!,
        ] satisfies [number, number],
      ]),
    ),
  );
const lumbar = ['L1', 'L2', 'L3', 'L4'];

const report = (rows: readonly TruthRow[], answers: readonly Answer[], options = {}): Report =>
  evaluate({
    title: 't',
    rows,
    entrant: { model: { name: 'm', version: '1', sha256: 'x' }, answers },
    data: { file: 'f', sha256: 'x' },
    wetread: '0',
    madeAt: new Date(0),
    options: { replicates: 100, ...options },
  });
const section = (made: Report, title: string) => made.sections.find((one) => one.title === title)!;
const figure = (made: Report, title: string, name: string) =>
  section(made, title).figures.find((one) => one.name === name)!;
const table = (made: Report, title: string, name: string) =>
  section(made, title)
    .tables.find((one) => one.title.startsWith(name))!
    .rows.map((row) => row.map(cellText));

describe('the same picture, changed a little', () => {
  const title = 'The same picture, changed a little';
  const rows = readTruth('file,kind,patient\na.png,real,a\nb.png,real,b\nc.png,real,c\n');
  const findings = { 'spondylolisthesis@L3/L4': 'detected anterior', 'spondylolisthesis@L2/L3': 'not-detected' };
  const values = { 'slip-percent@L3/L4': { value: 18 } };
  const made = report(rows, [
    { file: 'a.png', landmarks: spine(lumbar), findings, values },
    // Two pixels of a depth of forty.
    { file: 'a.png', variation: 'turned', landmarks: spine(lumbar, [2, 0]), findings, values },
    {
      file: 'a.png',
      variation: 'cut',
      // A whole level: its distances are not mixed in, its slip is that of another level.
      landmarks: spine(lumbar, [0, 60]),
      findings: { ...findings, 'spondylolisthesis@L3/L4': 'not-detected' },
      values: { 'slip-percent@L3/L4': { value: 2 } },
    },
    { file: 'b.png', landmarks: spine(lumbar), findings },
    { file: 'b.png', variation: 'turned', landmarks: spine(lumbar, [0, 4]), findings },
    { file: 'b.png', variation: 'cut', abstained: 'levels-uncertain', landmarks: spine(lumbar, [0, 60]) },
    { file: 'c.png', abstained: 'poor-quality', landmarks: spine(lumbar) },
    { file: 'c.png', variation: 'turned', landmarks: spine(lumbar), findings },
    { file: 'c.png', variation: 'cut', abstained: 'poor-quality' },
  ]);
  test('movement is in percent of the body depth, and a whole level off is counted as that', () => {
    expect(section(made, title).says).toContain('% of the body depth');
    expect(figure(made, title, 'names kept (no whole level off)')).toMatchObject({ k: 2, n: 3 });
    // 5 % in one picture, 10 % in the other.
    expect(figure(made, title, 'median movement of landmarks, %').value).toBeCloseTo(7.5, 9);
  });
  test('what was read must be read again; findings must agree', () => {
    expect(figure(made, title, 'read again, of changes of pictures that were read')).toMatchObject({ k: 3, n: 4 });
    expect(figure(made, title, 'findings that agree')).toMatchObject({ k: 5, n: 6 });
    expect(table(made, title, 'By change')).toEqual([
      ['turned', '2/2', '2/2', '7.50', '10.00', '4/4'],
      ['cut', '1/2', '0/1', 'n/a', 'n/a', '1/2'],
    ]);
    expect(table(made, title, 'Measured numbers')).toEqual([['slip-percent', '1', '0.00', '0.00']]);
  });
  test('refused pictures that a change lets pass are told, and the least stable ones are to be looked at', () => {
    expect(table(made, title, 'Pictures that were refused').map(([, count]) => count)).toEqual(['1', '1/1', '1/2']);
    expect(section(made, title).worthALook![0]).toMatchObject({ file: 'a.png', variation: 'cut' });
  });
  test('changed pictures are in no other figure', () => {
    expect(figure(made, 'Read and not read', 'read')).toMatchObject({ k: 2, n: 3 });
  });
  test('a pack without landmarks is held against its scores', () => {
    const scored = report(readTruth('file,kind\na.png,real\n'), [
      { file: 'a.png', scores: { finding: 0.8, none: 0.2 } },
      { file: 'a.png', variation: 'turned', scores: { finding: 0.7, none: 0.3 } },
      { file: 'a.png', variation: 'cut', scores: { finding: 0.4, none: 0.6 } },
    ]);
    expect(figure(scored, title, 'first label kept')).toMatchObject({ k: 1, n: 2 });
    expect(figure(scored, title, 'mean change of a score').value).toBeCloseTo(0.25, 9);
    expect(
      section(scored, title)
        .figures.map(({ name }) => name)
        .join(),
    ).not.toContain('landmarks');
  });
});

test('scores of findings that do not exclude each other have no first label', () => {
  const made = report(readTruth('file,kind\na.png,real\n'), [
    { file: 'a.png', scores: { 'L4/L5': 0.2, 'L5/S1': 0.1 } },
    { file: 'a.png', variation: 'turned', scores: { 'L4/L5': 0.1, 'L5/S1': 0.2 } },
  ]);
  const { figures } = section(made, 'The same picture, changed a little');
  expect(figures.map(({ name }) => name)).not.toContain('first label kept');
  expect(figures.find(({ name }) => name === 'mean change of a score')!.value).toBeCloseTo(0.1, 9);
});

describe('pictures that must be refused', () => {
  const title = 'Pictures that must be refused';
  const rows = readTruth(
    [
      'file,kind,expect,group:part',
      'a.png,real,abstain,hand',
      'b.png,real,abstain,hand',
      'c.png,real,abstain,chest',
      'd.png,real,abstain,chest',
      'e.png,real,,spine',
    ].join('\n'),
  );
  const made = report(rows, [
    { file: 'a.png', abstained: 'wrong-view' },
    { file: 'b.png', findings: { 'spondylolisthesis@L4/L5': 'detected anterior' } },
    { file: 'c.png', abstained: 'wrong-view' },
    { file: 'd.png', failed: 'picture.unreadable' },
    { file: 'e.png', abstained: 'poor-quality' },
  ]);
  test('are counted by group, with the interval; what failed is neither', () => {
    expect(figure(made, title, 'wrongly accepted')).toMatchObject({ k: 1, n: 3, by: 'Wilson' });
    expect(figure(made, title, 'failed')).toMatchObject({ k: 1, n: 4 });
    expect(table(made, title, 'By part')).toEqual([
      ['chest', expect.stringMatching(/^0\.000 \(0\.000 to 0\.\d{3}; 0\/1\)$/)],
      ['hand', expect.stringMatching(/^0\.500 \(.*; 1\/2\)$/)],
    ]);
  });
  test('every accepted one is to be looked at, with what was told of it', () => {
    expect(section(made, title)).toMatchObject({
      showsAll: true,
      worthALook: [{ file: 'b.png', why: 'accepted; spondylolisthesis@L4/L5 detected anterior' }],
    });
  });
  test('are no part of how many of the right pictures are read', () => {
    expect(figure(made, 'Read and not read', 'read')).toMatchObject({ k: 0, n: 1 });
  });
  test('a word that is neither is a fault of the manifest', () => {
    expect(() => readTruth('file,kind,expect\na.png,real,refuse\n')).toThrow(
      'line 2: expect "refuse" is not read or abstain',
    );
  });
});

describe('whole levels', () => {
  const truth = spine(['T10', 'T11', 'T12', 'L1', 'L2']);
  const places = ['T10', 'T11', 'T12', 'L1', 'L2'];
  test.each([
    [0, places],
    [1, ['T11', 'T12', 'L1', 'L2', 'L3']],
    [-1, ['T9', 'T10', 'T11', 'T12', 'L1']],
    [2, ['T12', 'L1', 'L2', 'L3', 'L4']],
  ])('%d off is found by what fits best', (levels, called) => {
    const found = bestShift(truth, spine(called, [1, 1]))!;
    expect(found.levels).toBe(levels);
    expect(found.landmarks['T12.posteriorSuperior']).toEqual([101, 221]);
  });
  test('of things that are no vertebrae is not spoken', () => {
    expect(bestShift({ 'Hip.left': [0, 0] }, { 'Hip.left': [1, 1] })).toBeUndefined();
  });
  test('are said of read and of refused pictures apart, with what the distance would be without them', () => {
    const rows = readTruth('file,kind,spacing,landmarks\na.png,real,0.5,a\nb.png,real,0.5,a\n', {
      landmarksOf: () => truth,
    });
    const made = report(rows, [
      { file: 'a.png', landmarks: spine(places, [4, 0]) },
      { file: 'b.png', abstained: 'levels-uncertain', landmarks: spine(['T11', 'T12', 'L1', 'L2', 'L3'], [8, 0]) },
    ]);
    expect(figure(made, 'Landmarks', 'read')).toMatchObject({ k: 1, n: 2 });
    expect(figure(made, 'Landmarks', 'mean distance, read pictures').value).toBeCloseTo(2, 9);
    const rowsOf = table(made, 'Landmarks', 'Had refused pictures been read (distances in mm)');
    expect(rowsOf.map(([group]) => group)).toEqual(['read', 'refused', 'all']);
    // 60 pixels, one level, and 8 aside.
    expect(rowsOf[1]![2]).toMatch(new RegExp(`^${(Math.hypot(60, 8) / 2).toFixed(2)} `));
    expect(rowsOf[1]![5]).toMatch(/^4\.00 /);
    expect(table(made, 'Landmarks', 'Whole levels off')).toEqual([
      ['counted rightly', '1/1', '0/1'],
      ['1 too low (L1 called L2)', '0/1', '1/1'],
    ]);
  });
  test('apart from the count stands how well what was found there is outlined', () => {
    const rows = readTruth('file,kind,spacing,landmarks\na.png,real,0.5,a\n', { landmarksOf: () => truth });
    // Named one too low and 8 pixels aside, and the uppermost not found at all.
    const made = report(rows, [{ file: 'a.png', landmarks: spine(['T12', 'L1', 'L2', 'L3'], [8, 60]) }]);
    expect(table(made, 'Landmarks', 'Parts found, whatever they were called (distances in mm)')).toEqual([
      ['read', '0.800 (4/5)', '4.00', '4.00', '4.00'],
      ['all', '0.800 (4/5)', '4.00', '4.00', '4.00'],
    ]);
    const right = report(rows, [{ file: 'a.png', landmarks: spine(places, [1, 0]) }]);
    expect(
      section(right, 'Landmarks')
        .tables.map(({ title }) => title)
        .join(),
    ).not.toContain('whatever');
  });
  test('which names go wrong, and into what, is told of refused pictures too', () => {
    const rows = readTruth('file,kind,spacing,landmarks\na.png,real,0.5,a\nb.png,real,0.5,a\n', {
      landmarksOf: () => truth,
    });
    const made = report(rows, [
      { file: 'a.png', abstained: 'levels-uncertain', landmarks: spine(['T12', 'L1', 'L2', 'L3'], [0, 60]) },
      { file: 'b.png', abstained: 'levels-uncertain', landmarks: spine(places, [1, 0]) },
    ]);
    const [upper, second] = table(made, 'Landmarks', 'What each part was called, refused pictures too');
    expect(upper).toEqual([places[0], '2', '1', '', '1']);
    expect(second).toEqual([places[1], '2', '1', `${places[2]} 1`, '0']);
  });
  test('a part told beside its place is a false alarm and a miss', () => {
    const rows = readTruth('file,kind,landmarks\na.png,real,a\n', { landmarksOf: () => spine(['L1', 'L2', 'L3']) });
    const found = { ...spine(['L1', 'L2', 'L3']), ...spine(['L1'], [0, 55]) };
    const made = report(rows, [{ file: 'a.png', landmarks: found }]);
    expect(figure(made, 'Landmarks', 'F1 of named parts').value).toBeCloseTo(2 / 3, 9);
  });
  test('wrongly refused is what shows all that is asked for, named rightly', () => {
    const films = { a: spine(['L1', 'L2']), b: spine(['L1', 'L2']), c: spine(['L1']), d: spine(['L1', 'L2']) };
    const rows = readTruth(
      ['file,kind,landmarks', ...Object.keys(films).map((name) => `${name}.png,real,${name}`)].join('\n'),
      { landmarksOf: (name) => films[name as keyof typeof films] },
    );
    const refused = { abstained: 'levels-uncertain' };
    const answers = [
      { file: 'a.png', landmarks: films.a },
      { file: 'b.png', landmarks: films.b, ...refused },
      { file: 'c.png', landmarks: films.c, ...refused },
      { file: 'd.png', landmarks: spine(['L1', 'L2'], [0, 60]), ...refused },
    ];
    const made = report(rows, answers, { names: ['L1', 'L2'] });
    const name = 'refused, of those with every part in view and named right';
    expect(figure(made, 'Landmarks', name)).toMatchObject({ k: 1, n: 2 });
  });
  test('only parts that are asked for count', () => {
    const rows = readTruth('file,kind,landmarks\na.png,real,a\n', { landmarksOf: () => spine(['T12', 'L1', 'L2']) });
    const off = { ...spine(['T12', 'L1', 'L2']), ...spine(['T12'], [0, 55]) };
    const answers = [{ file: 'a.png', landmarks: off }];
    expect(figure(report(rows, answers), 'Landmarks', 'names right, of those read')).toMatchObject({ k: 0, n: 1 });
    const asked = report(rows, answers, { names: ['L1', 'L2'] });
    expect(figure(asked, 'Landmarks', 'names right, of those read')).toMatchObject({ k: 1, n: 1 });
    expect(figure(asked, 'Landmarks', 'mean distance, read pictures').value).toBe(0);
  });
});

test('with a yardstick distances are in percent of it too', () => {
  const rows = readTruth('file,kind,landmarks\na.png,real,a\n', { landmarksOf: () => spine(['L3']) });
  const yardstick = { from: 'L3.posteriorSuperior', to: 'L3.anteriorSuperior', millimetres: 35 };
  const made = report(rows, [{ file: 'a.png', landmarks: spine(['L3'], [2, 0]) }], { yardstick });
  expect(table(made, 'Landmarks', 'In percent of L3.posteriorSuperior')[0]).toEqual([
    'mean distance, read pictures',
    expect.stringMatching(/^5\.00 /),
  ]);
});

test("a measured number stands beside the truth's own scatter", () => {
  const rows = readTruth(
    [
      'file,kind,value:slip-percent@L4/L5,scatter:slip-percent@L4/L5,value:slip-percent@L5/S1,scatter:slip-percent@L5/S1',
      'a.png,real,10,6,4,8',
    ].join('\n'),
  );
  const made = report(rows, [
    { file: 'a.png', values: { 'slip-percent@L4/L5': { value: 13 }, 'slip-percent@L5/S1': { value: 5 } } },
  ]);
  const places = table(made, 'slip-percent, measured', 'By place');
  expect(places.map((row) => [row[0], row[2], row[5]])).toEqual([
    ['L4/L5', '3.00', '6.00'],
    ['L5/S1', '1.00', '8.00'],
  ]);
});

test('the length of a picture is that of its bodies, or how far its landmarks lie apart', () => {
  expect(ownLengthOf(spine(lumbar))).toEqual({ pixels: 40, what: 'the body depth' });
  expect(ownLengthOf({ a: [0, 0], b: [6, 8] })).toEqual({ pixels: 5, what: "the landmarks' spread" });
  expect(ownLengthOf({ a: [0, 0] })).toBeUndefined();
});

test('a contact sheet names every picture with what was said of it', () => {
  const rows = readTruth('file,kind\na.png,real\nb.png,real\nc.png,real\n');
  const made = report(
    rows,
    [
      { file: 'a.png', findings: { 'x@image': 'detected' } },
      { file: 'b.png', abstained: 'poor-quality' },
    ],
    { contactSheet: true },
  );
  expect(section(made, 'Contact sheet').worthALook!.map(({ why }) => why)).toEqual([
    'read; x@image detected',
    'refused, poor-quality',
    'failed, no-answer',
  ]);
  expect(figureText(figure(made, 'Read and not read', 'refused'))).toContain('1/3');
});
