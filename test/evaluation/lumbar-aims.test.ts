/** The summary of the lumbar evaluation looks figures up by their names: every one it asks for must be told by a report. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Answer } from '../../src/evaluation/answers.ts';
import { evaluate } from '../../src/evaluation/evaluate.ts';
import { readTruth } from '../../src/evaluation/truth.ts';

type Aim = { readonly step: string; readonly section: string; readonly figure: string };

/** `Aim("phantoms", "Boxes", "F1", "level F1", least=0.93)`; a section may be a constant that stands for a table. */
function aimsOf(source: string): Aim[] {
  const rows = source.matchAll(/^ {4}Aim\("([^"]+)", (?:"([^"]+)"|([A-Z_]+)), "([^"]+)"/gm);
  return [...rows].map(([, step, section, constant, figure]) => ({
    step: step!,
    section: section ?? constant!,
    figure: figure!,
  }));
}

const body = { 'L4.posteriorInferior': [0, 40], 'L4.anteriorInferior': [40, 40] } as const;
const rows = readTruth(
  [
    'file,kind,expect,group:shows,boxes,landmarks,spacing,value:slip-percent@L4/L5,grade:Meyerding@L4/L5',
    'a.png,real,,,L4/L5 1 1 9 9,a,0.3,20,I',
    'b.png,real,,,,a,0.3,1,0',
    'c.png,real,,,,a,0.3,1,0',
    'd.png,real,abstain,no lateral spine,,,,,',
  ].join('\n'),
  { landmarksOf: () => body },
);
const landmarks: NonNullable<Answer['landmarks']> = {
  'L5.posteriorInferior': [0, 41],
  'L5.anteriorInferior': [40, 41],
};
const findings = { 'spondylolisthesis@L4/L5': 'not-detected' };
const answers: Answer[] = [
  {
    file: 'a.png',
    boxes: [{ label: 'L4/L5', box: [1, 1, 9, 9], score: 1 }],
    values: { 'slip-percent@L4/L5': { value: 18 } },
    grades: { 'Meyerding@L4/L5': 'I' },
    landmarks,
    findings,
  },
  { file: 'a.png', variation: 'turned', landmarks, findings },
  { file: 'b.png', values: { 'slip-percent@L4/L5': { value: 0 } }, grades: { 'Meyerding@L4/L5': '0' }, landmarks },
  { file: 'c.png', abstained: 'levels-uncertain', landmarks },
  { file: 'd.png', abstained: 'wrong-view' },
];

const { sections } = evaluate({
  title: 't',
  rows,
  entrant: { model: { name: 'm', version: '1', sha256: 'x' }, answers },
  data: { file: 'f', sha256: 'x' },
  wetread: '0',
  madeAt: new Date(0),
  options: {
    replicates: 100,
    yardstick: { from: 'L4.posteriorInferior', to: 'L4.anteriorInferior', millimetres: 35 },
  },
});

const aims = aimsOf(readFileSync(join(import.meta.dirname, '../../training/evaluate_lumbar.py'), 'utf8'));

test('there are aims for every step', () => {
  const steps = new Set(aims.map(({ step }) => step));
  expect([...steps]).toEqual(
    expect.arrayContaining(['real-corners', 'held-out-ct', 'phantoms', 'fractures', 'foreign', 'real-unlabelled']),
  );
});

const tableOf = (beginning: string) =>
  sections.flatMap(({ tables }) => tables).find(({ title }) => title.startsWith(beginning))!;

function told(section: string): readonly string[] {
  if (section === 'HAD_BEEN_READ') return tableOf('Had refused').columns;
  if (section === 'IN_PERCENT') return tableOf('In percent of').rows.map(([name]) => String(name));
  return (sections.find(({ title }) => title.startsWith(section))?.figures ?? []).map(({ name }) => name);
}

// System 2's sections are made from films that only its own pack reads.
test.each(aims.filter(({ step }) => step !== 'fractures' && step !== 'foreign'))(
  '$step: "$section" tells "$figure"',
  ({ section, figure }) => {
    expect(told(section).some((name) => name.startsWith(figure))).toBe(true);
  },
);

test('films that must be refused are told apart by what they show', () => {
  const refused = sections.find(({ title }) => title === 'Pictures that must be refused')!;
  const table = refused.tables.find(({ title }) => title === 'By shows')!;
  expect(table.rows).toMatchObject([['no lateral spine', { k: 0, n: 1 }]]);
});
