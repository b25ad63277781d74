/** Classes of vertebrae: each with a truth is a case, of its patient, with the scores of its own place. */
import { expect, test } from 'vitest';
import { evaluate } from '../../src/evaluation/evaluate.ts';
import { readTruth } from '../../src/evaluation/truth.ts';

const rows = readTruth(
  [
    'file,kind,patient,grade:OVF class@L1,grade:OVF class@L2,grade:OVF class@L3',
    'a.dcm,synthetic,a,0,2,1',
    'b.dcm,synthetic,b,1,0,',
    'c.dcm,synthetic,c,2,0,0',
    'd.dcm,synthetic,d,1,1,2',
  ].join('\n'),
);
const at = (place: string, ...values: readonly number[]): Record<string, number> =>
  Object.fromEntries(values.map((value, index) => [`OVF class@${place}=${index}`, value]));
const answers = [
  { file: 'a.dcm', scores: { ...at('L1', 0.8, 0.1, 0.1), ...at('L2', 0.1, 0.3, 0.6), ...at('L3', 0.5, 0.4, 0.1) } },
  // L5 has no truth, L2 was not judged.
  { file: 'b.dcm', scores: { ...at('L1', 0.2, 0.7, 0.1), ...at('L5', 1, 0, 0) } },
  { file: 'c.dcm', scores: { ...at('L1', 0.3, 0.45, 0.25), ...at('L2', 0.9, 0.1, 0), ...at('L3', 0.6, 0.2, 0.2) } },
  { file: 'd.dcm', abstained: 'levels-uncertain' },
];
const made = evaluate({
  title: 'Fractures',
  rows,
  entrant: { model: { name: 'f', version: '1.0.0', sha256: 'a'.repeat(64) }, answers },
  data: { file: 'films.csv', sha256: 'b'.repeat(64) },
  wetread: '0.1.0',
  madeAt: new Date('2026-01-01T00:00:00Z'),
  options: { replicates: 50 },
});
const section = made.sections.find(({ title }) => title.startsWith('OVF class of each place'))!;
const figure = (name: string) => section.figures.find((one) => one.name === name)!;

test('every place that was judged counts, and how many were not is said', () => {
  expect(section).toMatchObject({ kind: 'synthetic', images: 7, patients: 3 });
  expect(section.says).toContain('7 of 8 places with a truth, on pictures that were read, were judged.');
  expect(figure('top 1')).toMatchObject({ k: 5, n: 7 });
});

test('one against the rest, over all places', () => {
  // Class 2 is at 0.6 and 0.25, the others at 0.1, 0.1, 0.1, 0 and 0.2: every pair is in order.
  expect(figure('ROC AUC of 2').value).toBe(1);
  // Class 1 is at 0.4 and 0.7; of the five others only 0.45 stands above one of them.
  expect(figure('ROC AUC of 1').value).toBeCloseTo(9 / 10, 12);
  // Class 0 is at 0.8, 0.9 and 0.6, above all of 0.1, 0.5, 0.2 and 0.3.
  expect(figure('ROC AUC of 0').value).toBe(1);
  expect(figure('macro ROC AUC, one against the rest').value).toBeCloseTo(2.9 / 3, 12);
});

test('grades without scores give no such section', () => {
  const bare = evaluate({
    title: 'Fractures',
    rows,
    entrant: {
      model: { name: 'f', version: '1.0.0', sha256: 'a'.repeat(64) },
      answers: [{ file: 'a.dcm', grades: { 'OVF class@L1': '0' } }],
    },
    data: { file: 'films.csv', sha256: 'b'.repeat(64) },
    wetread: '0.1.0',
    madeAt: new Date('2026-01-01T00:00:00Z'),
    options: { replicates: 50 },
  });
  expect(bare.sections.map(({ title }) => title).filter((title) => title.includes('each place'))).toEqual([]);
});
