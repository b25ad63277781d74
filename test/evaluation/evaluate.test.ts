/** A manifest and answers in, a report out: what is counted, what is left out, and what is said about it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readAnswers, type Answer } from '../../src/evaluation/answers.ts';
import { readCsv } from '../../src/evaluation/csv.ts';
import { evaluate, type EvaluationOptions } from '../../src/evaluation/evaluate.ts';
import { seededRandom } from '../../src/evaluation/random.ts';
import { reportHtml } from '../../src/evaluation/report-html.ts';
import { reportText } from '../../src/evaluation/report-text.ts';
import type { Figure, Report } from '../../src/evaluation/report.ts';
import { readTruth, type TruthRow } from '../../src/evaluation/truth.ts';

const model = { name: 'sorter', version: '1.0.0', sha256: 'a'.repeat(64) };
const report = (
  rows: readonly TruthRow[],
  answers: readonly Answer[],
  options: EvaluationOptions = {},
  rival?: readonly Answer[],
): Report =>
  evaluate({
    title: 'Sorter on films',
    rows,
    entrant: { model, answers },
    ...(rival && { compareWith: { model: { ...model, name: 'rival' }, answers: rival } }),
    data: { file: 'films.csv', sha256: 'b'.repeat(64) },
    wetread: '0.1.0',
    madeAt: new Date('2026-01-01T00:00:00Z'),
    options: { replicates: 100, ...options },
  });
const figure = (from: Report, title: string, name: string): Figure => {
  const section = from.sections.find((one) => one.title === title);
  const found = section?.figures.find((one) => one.name === name);
  if (found === undefined)
    throw new Error(`no figure "${name}" in "${title}" of ${from.sections.map((one) => one.title).join(', ')}`);
  return found;
};

describe('the data manifest', () => {
  test('reads quotes, commas inside them, doubled quotes and both line ends', () => {
    const { rows } = readCsv('file,label\r\n"a, b.dcm","say ""no"""\n\nc.dcm,yes\n');
    expect(rows.map((row) => ({ ...row }))).toMatchObject([
      { file: 'a, b.dcm', label: 'say "no"' },
      { file: 'c.dcm', label: 'yes' },
    ]);
  });
  test.each([
    ['label\nx\n', 'line 1: there is no column "file", only "label"'],
    ['file,kind\n', 'there is no line below the header'],
    ['file,kind\na.dcm\n', 'line 2: has 1 field, the header has 2'],
    ['file\na.dcm\n', 'line 1: there is no column "kind"'],
    ['file,kind\na.dcm,\n', 'line 2: kind is empty; write real or synthetic'],
    ['file,kind\na.dcm,drawn\n', 'line 2: kind "drawn" is not real or synthetic'],
    ['file,kind\na.dcm,real\na.dcm,real\n', 'line 3: file names a.dcm a second time'],
    ['file,kind,age\na.dcm,real,old\n', 'line 2: age "old" is not a number'],
    ['file,kind,boxes\na.dcm,real,L4/L5 1 2 3\n', 'line 2: boxes "L4/L5 1 2 3" is not "label left top right bottom"'],
    ['file,kind\n"a.dcm,real\n', 'line 2: a quote is not closed'],
  ])('says where it is wrong: %j', (text, message) => {
    expect(() => readTruth(text)).toThrow(message);
  });
  test('an empty list of boxes is a normal picture, no column is no statement', () => {
    const [normal] = readTruth('file,kind,boxes\na.dcm,real,\n');
    expect(normal!.boxes).toEqual([]);
    const [silent] = readTruth('file,kind\na.dcm,real\n');
    expect(silent!.boxes).toBeUndefined();
  });
  test('columns for numbers, grades and groups', () => {
    const [row] = readTruth(
      'file,kind,patient,age,sex,value:slip-percent@L4/L5,grade:Meyerding@L4/L5,group:implant\na.dcm,real,p1,64,F,18,I,yes\n',
    );
    expect(row).toMatchObject({
      patient: 'p1',
      values: { 'slip-percent@L4/L5': 18 },
      grades: { 'Meyerding@L4/L5': 'I' },
      groups: { age: '60 to 79', sex: 'F', implant: 'yes' },
    });
  });
});

test('answers are read line by line, and a wrong field is named', () => {
  expect(
    readAnswers('{"file":"a.dcm","scores":{"x":0.2}}\n\n{"file":"b.dcm","abstained":"wrong view"}\n'),
  ).toHaveLength(2);
  expect(() => readAnswers('{"file":"a.dcm","scores":{"x":"much"}}')).toThrow('line 1: scores.x');
  expect(() => readAnswers('{"file":"a.dcm","score":1}')).toThrow('line 1');
  expect(() => readAnswers('{file}')).toThrow('line 1: is not JSON');
});

test('the answers that the documentation shows are answers', async () => {
  const page = await readFile(join(import.meta.dirname, '../../docs/evaluate.md'), 'utf8');
  const [, example] = /```json\n([\s\S]*?)```/.exec(page)!;
  expect(readAnswers(example!).map(({ file }) => file)).toEqual(['a.dcm', 'b.dcm', 'c.dcm']);
});

/** Films of 40 patients, three each; half of the patients have a finding. */
const random = seededRandom(5);
const films = Array.from({ length: 120 }, (_, index) => {
  const patient = Math.floor(index / 3);
  const ill = patient % 2 === 0;
  const probability = Math.min(0.99, Math.max(0.01, 0.5 + (ill ? 0.2 : -0.2) + (random.next() - 0.5) * 0.7));
  return { file: `${index}.dcm`, patient: `p${patient}`, ill, probability, site: patient % 4 < 2 ? 'North' : 'South' };
});
const manifest = [
  'file,patient,kind,label,site,split',
  ...films.map(
    ({ file, patient, ill, site }, index) =>
      `${file},${patient},real,${ill ? 'finding' : 'no-finding'},${site},${index < 60 ? 'validation' : 'test'}`,
  ),
].join('\n');
const scores = (one: (typeof films)[number], shift = 0): Answer => ({
  file: one.file,
  scores: { finding: one.probability + shift, 'no-finding': 1 - one.probability - shift },
});

describe('two classes', () => {
  const rows = readTruth(manifest);
  const made = report(
    rows,
    films.map((one) => scores(one)),
  );
  const title = 'finding or no-finding';

  test('validation pictures choose the threshold and are in no figure', () => {
    const section = made.sections.find((one) => one.title === title)!;
    expect(section).toMatchObject({ images: 60, patients: 20, kind: 'real' });
    expect(section.says).toContain('chosen on 60 validation pictures (youden)');
    const two = section.tables.find((one) => one.title === 'Two by two')!;
    expect(
      two.rows
        .flat()
        .filter((cell) => typeof cell === 'number')
        .reduce((sum, cell) => sum + cell, 0),
    ).toBe(60);
    // Moving the test pictures must not move the threshold.
    const other = report(
      rows,
      films.map((one, index) =>
        index < 60 ? scores(one) : { file: one.file, scores: { finding: 0.5, 'no-finding': 0.5 } },
      ),
    );
    expect(other.sections.find((one) => one.title === title)!.says.split(':')[0]).toBe(section.says.split(':')[0]);
  });
  test('the area under the curve equals counting pairs', () => {
    const some = films.slice(60);
    const pairs = some
      .filter(({ ill }) => ill)
      .flatMap((a) =>
        some
          .filter(({ ill }) => !ill)
          .map((b) => Number(a.probability > b.probability) + 0.5 * Number(a.probability === b.probability)),
      );
    expect(figure(made, title, 'ROC AUC').value).toBeCloseTo(
      pairs.reduce((sum, one) => sum + one, 0) / pairs.length,
      12,
    );
  });
  test('patients with several films are reported as patients too', () => {
    const table = made.sections
      .find((one) => one.title === title)!
      .tables.find((one) => one.title.startsWith('By patient'))!;
    expect(table.rows[0]![0]).toBe(20);
  });
  test('by site', () => {
    const table = made.sections
      .find((one) => one.title === 'Subgroups')!
      .tables.find((one) => one.title === 'By site')!;
    expect(table.rows.map(([site, pictures]) => [site, pictures])).toEqual([
      ['North', 30],
      ['South', 30],
    ]);
  });
  test('refused and failed pictures are counted apart, and never as answers', () => {
    const holey = report(rows, [
      ...films
        .slice(0, 118)
        .map((one, index) => (index === 60 ? { file: one.file, abstained: 'wrong view' } : scores(one))),
      { file: films[118]!.file, failed: 'dicom.truncated' },
    ]);
    expect(figure(holey, 'Read and not read', 'refused')).toMatchObject({ k: 1, n: 60 });
    // One said that it failed, one never answered.
    expect(figure(holey, 'Read and not read', 'failed')).toMatchObject({ k: 2, n: 60 });
    expect(holey.sections.find((one) => one.title === title)!.images).toBe(57);
    expect(holey.notes.join(' ')).toContain('1 pictures of the manifest have no answer');
  });
  test('a rival that is worse by noise is compared by DeLong, McNemar and the bootstrap', () => {
    const noise = seededRandom(9);
    const rival = films.map((one) => scores({ ...one, probability: noise.next() }));
    const compared = report(
      rows,
      films.map((one) => scores(one)),
      {},
      rival,
    );
    const section = compared.sections.find((one) => one.title === 'sorter and rival on the same pictures')!;
    const difference = section.figures.find(({ name }) => name === 'difference')!;
    expect(difference.value).toBeGreaterThan(0.1);
    expect(difference.interval![0]).toBeGreaterThan(0);
    expect(section.tables.map((one) => one.title)).toEqual([
      'DeLong: areas under the ROC curve',
      'McNemar: who alone was right',
    ]);
  });
  test('a few real pictures carry a warning, and real data is not called synthetic', () => {
    expect(made.data).toMatchObject({ real: 120, synthetic: 0 });
    const drawn = report(
      readTruth(manifest.replaceAll(',real,', ',synthetic,')),
      films.map((one) => scores(one)),
    );
    expect(drawn.sections.every(({ kind }) => kind === 'synthetic')).toBe(true);
    expect(drawn.notes.join(' ')).toContain('They say nothing of patients');
  });
});

test('labels that the model has no scores for are said to be unmeasured, instead of missing in silence', () => {
  const silent = report(
    readTruth(manifest),
    films.map((one) => ({ file: scores(one).file })),
  );
  expect(silent.sections.some(({ title }) => title === 'finding or no-finding')).toBe(false);
  expect(silent.notes.join('\n')).toContain('the model told no scores');
  expect(
    report(
      readTruth(manifest),
      films.map((one) => scores(one)),
    ).notes.join('\n'),
  ).not.toContain('no scores');
});

test('real and synthetic pictures never share a figure', () => {
  const mixed = report(
    readTruth(
      manifest
        .replaceAll('no-finding,South', 'no-finding,East')
        .split('\n')
        .map((row, index) => (index > 90 ? row.replace(',real,', ',synthetic,') : row))
        .join('\n'),
    ),
    films.map((one) => scores(one)),
  );
  const sections = mixed.sections.filter((one) => one.title === 'finding or no-finding');
  expect(sections.map(({ kind, images }) => [kind, images])).toEqual([
    ['real', 30],
    ['synthetic', 30],
  ]);
});

test('clusters without names are held against the labels, each variant of NMI by its name', () => {
  const rows = readTruth(
    [
      'file,kind,label',
      ...Array.from({ length: 40 }, (_, index) => `${index}.png,real,${index < 20 ? 'hand' : 'foot'}`),
    ].join('\n'),
  );
  // Four clusters; one hand lies among the feet.
  const made = report(
    rows,
    rows.map(({ file }, index) => ({ file, cluster: `c${Math.floor((index === 19 ? 20 : index) / 10)}` })),
  );
  expect(figure(made, 'Clusters', 'purity').value).toBeCloseTo(39 / 40, 12);
  const [arithmetic, larger] = ['NMI, arithmetic mean of entropies', 'NMI, larger entropy'].map(
    (name) => figure(made, 'Clusters', name).value,
  );
  expect(arithmetic).toBeGreaterThan(larger!);
  expect(made.sections.find(({ title }) => title === 'Clusters')!.tables[0]!.rows[0]).toEqual([
    'c2',
    11,
    'foot',
    '91 %',
  ]);
});

describe('boxes, corners, numbers', () => {
  const rows = readTruth(
    [
      'file,kind,patient,boxes,value:slip-percent@L4/L5,grade:Meyerding@L4/L5,landmarks',
      'a.dcm,real,a,L4/L5 10 10 30 30,18,I,a',
      'b.dcm,real,b,,2,0,b',
      'c.dcm,real,c,L5/S1 10 10 30 30,30,II,c',
    ].join('\n'),
    {
      landmarksOf: () => ({ 'L4.front': [0, 0], 'L4.back': [35, 0], 'L5.front': [0, 50], 'L5.back': [35, 50] }),
    },
  );
  const at = (dx: number, dy: number): NonNullable<Answer['landmarks']> => ({
    'L4.front': [dx, dy],
    'L4.back': [35 + dx, dy],
    'L5.front': [dx, 50 + dy],
    'L5.back': [35 + dx, 50 + dy],
  });
  const made = report(
    rows,
    [
      {
        file: 'a.dcm',
        boxes: [{ label: 'L4/L5', box: [10, 10, 30, 30], score: 0.9 }],
        values: { 'slip-percent@L4/L5': { value: 20, interval: [15, 25] } },
        grades: { 'Meyerding@L4/L5': 'I' },
        landmarks: at(3, 4),
      },
      {
        file: 'b.dcm',
        boxes: [{ label: 'L5/S1', box: [1, 1, 5, 5], score: 0.4 }],
        values: { 'slip-percent@L4/L5': { value: 6, interval: [4, 8] } },
        grades: { 'Meyerding@L4/L5': '0' },
        landmarks: at(0, 50),
      },
      { file: 'c.dcm', abstained: 'sacrum not seen' },
    ],
    { yardstick: { from: 'L4.front', to: 'L4.back', millimetres: 70 } },
  );
  const boxes = 'Boxes at an overlap (IoU) of 0.5';
  test('false alarms are counted on normal pictures', () => {
    expect(figure(made, boxes, 'false alarms per normal picture')).toMatchObject({ value: 1, n: 1 });
    expect(figure(made, boxes, 'recall')).toMatchObject({ k: 1, n: 1 });
    // The refused film had a slip: over all films it was missed.
    expect(figure(made, boxes, 'recall, pictures not read counted as missed')).toMatchObject({ k: 1, n: 2 });
  });
  test('corners in millimetres of the yardstick; a spine one level off has wrong names', () => {
    expect(figure(made, 'Landmarks', 'names right, of those read')).toMatchObject({ k: 1, n: 2 });
    // 5 pixels at 2 mm each.
    expect(figure(made, 'Landmarks', 'mean distance, with names right').value).toBeCloseTo(10, 9);
    const wrong = made.sections
      .find((one) => one.title === 'Landmarks')!
      .tables.find((one) => one.title === 'Pictures with wrong names')!;
    expect(wrong.rows.map(([file]) => file)).toEqual(['b.dcm']);
  });
  test('numbers: error, bias and whether the interval held the truth', () => {
    const title = 'slip-percent, measured';
    expect(figure(made, title, 'mean absolute error').value).toBeCloseTo(3, 12);
    expect(figure(made, title, 'bias').value).toBeCloseTo(3, 12);
    expect(figure(made, title, 'truth inside the stated 95 % interval')).toMatchObject({ k: 1, n: 2 });
    expect(figure(made, title, 'answered')).toMatchObject({ k: 2, n: 3 });
  });
  test('grades stand in the order of what they mean', () => {
    const matrix = made.sections.find((one) => one.title === 'Meyerding, graded')!.plots[0]!;
    expect(matrix).toMatchObject({
      labels: ['0', 'I'],
      counts: [
        [1, 0],
        [0, 1],
      ],
    });
  });
});

describe('the report', () => {
  const made = report(
    readTruth(manifest),
    films.map((one) => scores(one)),
  );
  test('on the terminal says the kind of data with every section', () => {
    const text = reportText(made);
    for (const section of made.sections) expect(text).toContain(`${section.title} [real, ${section.images} pictures`);
    expect(text).toMatch(/ROC AUC +0\.\d{3} \(0\.\d{3} to 0\.\d{3}; n 60\)/);
  });
  test('as a page needs nothing from anywhere, runs no script, and escapes what it is given', () => {
    const page = reportHtml({ ...made, title: '<script>alert(1)</script>' });
    expect(page).not.toMatch(/<script|https?:\/\/|@import|url\(/);
    expect(page.match(/class="kind real"/g)).toHaveLength(made.sections.length);
    expect(page.match(/<svg/g)!.length).toBeGreaterThanOrEqual(3);
  });
});
