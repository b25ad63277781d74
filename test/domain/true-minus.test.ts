/** Which hyphens are minus signs. */
import { expect, test } from 'vitest';
import { figureText, plainCell } from '../../src/evaluation/report.ts';
import { trueMinus } from '../../src/domain/true-minus.ts';

test.each([
  ['-4', '−4'],
  ['-.5 to -0.25', '−.5 to −0.25'],
  ['No slip suspected at L4/L5 (-4 %, 95 % -8 to 1)', 'No slip suspected at L4/L5 (−4 %, 95 % −8 to 1)'],
  ['values -1.5e-7 to 3', 'values −1.5e-7 to 3'],
  ['2026-04-01, L4-5, 1.2.3-4, x -y, a-1, (1)-2, --5', '2026-04-01, L4-5, 1.2.3-4, x -y, a-1, (1)-2, --5'],
])('%s', (text, expected) => {
  expect(trueMinus(text)).toBe(expected);
});

test('a figure below zero has it, a name in a table keeps its hyphen', () => {
  expect(figureText({ name: 'bias', value: -1.25, unit: 'mm', interval: [-2, 0.5], n: 20 })).toBe(
    '−1.25 mm (−2.00 to 0.50; n 20)',
  );
  expect([plainCell(-3), plainCell('-3.dcm')]).toEqual(['−3', '-3.dcm']);
});
