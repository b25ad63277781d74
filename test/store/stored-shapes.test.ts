/** What earlier versions stored is still read. */
import { expect, test } from 'vitest';
import { findingDraft } from '../../src/store/stored-shapes.ts';
import { suspicion } from './samples.ts';

test('a finding stored while there was one grade is read as graded by that one scale', () => {
  const { result, ...others } = suspicion('L4/L5');
  const grade = { scale: 'Meyerding', value: 'II' };
  const stored = { ...others, result: { kind: 'detected', grade, direction: 'anterior' } };
  expect(findingDraft.parse(stored)).toEqual({ ...others, result: { ...result, grades: [grade] } });
});

test('a grade of no scale that is known is not read as one', () => {
  const { result, ...others } = suspicion('L4/L5');
  const stored = { ...others, result: { ...result, grades: [{ scale: 'Meyerding', value: 'VI' }] } };
  expect(findingDraft.safeParse(stored).success).toBe(false);
});
