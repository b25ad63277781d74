/** Several pictures of one study, one answer: nothing that a picture shows is lost behind a picture that does not. */
import { describe, expect, test } from 'vitest';
import type { FindingDraft, Segment } from '../../src/domain/finding.ts';
import { sopUid } from '../../src/domain/ids.ts';
import { combinePictures } from '../../src/pipeline/combine-pictures.ts';

const slip = (picture: string, level: Segment, percent: number | undefined): FindingDraft => ({
  concept: 'spondylolisthesis',
  site: { kind: 'segment', level },
  result:
    percent === undefined
      ? { kind: 'not-assessable', reason: 'level-not-visible', explanation: 'cut off' }
      : percent > 8
        ? { kind: 'detected', direction: 'anterior' }
        : { kind: 'not-detected' },
  measurements: percent === undefined ? [] : [{ quantity: 'slip-percent', value: percent, unit: '%' }],
  summary: `${level} ${percent ?? 'not seen'} on ${picture}`,
  evidence: { sopUid: sopUid(picture), frame: 0, shapes: [] },
});
const told = (drafts: readonly FindingDraft[]): string[] => drafts.map(({ summary }) => summary);

describe('two films of one study', () => {
  test('a slip that only flexion shows is told, from the film that shows it', () => {
    const extension = [slip('1.1', 'L4/L5', 3), slip('1.1', 'L5/S1', 1)];
    const flexion = [slip('1.2', 'L4/L5', 14), slip('1.2', 'L5/S1', 2)];
    expect(told(combinePictures([extension, flexion]))).toEqual(['L4/L5 14 on 1.2', 'L5/S1 1 on 1.1']);
    expect(told(combinePictures([flexion, extension]))).toEqual(['L4/L5 14 on 1.2', 'L5/S1 2 on 1.2']);
  });
  test('of two that show it, the larger slip is told', () => {
    expect(told(combinePictures([[slip('1.1', 'L4/L5', 11)], [slip('1.2', 'L4/L5', 22)]]))).toEqual([
      'L4/L5 22 on 1.2',
    ]);
    expect(told(combinePictures([[slip('1.1', 'L4/L5', 22)], [slip('1.2', 'L4/L5', 11)]]))).toEqual([
      'L4/L5 22 on 1.1',
    ]);
  });
  test('a level cut off on one film is read on the other, and never the other way round', () => {
    expect(told(combinePictures([[slip('1.1', 'L5/S1', undefined)], [slip('1.2', 'L5/S1', 4)]]))).toEqual([
      'L5/S1 4 on 1.2',
    ]);
    expect(told(combinePictures([[slip('1.1', 'L5/S1', 4)], [slip('1.2', 'L5/S1', undefined)]]))).toEqual([
      'L5/S1 4 on 1.1',
    ]);
  });
  test('what only one film says is added; of equal answers the better film keeps its own', () => {
    const combined = combinePictures([[slip('1.1', 'L4/L5', 2)], [slip('1.2', 'L4/L5', 6), slip('1.2', 'L3/L4', 1)]]);
    expect(told(combined)).toEqual(['L4/L5 2 on 1.1', 'L3/L4 1 on 1.2']);
  });
});

test('a single picture is told as it is, and none is nothing', () => {
  const only = [slip('1.1', 'L4/L5', 14)];
  expect(combinePictures([only])).toEqual(only);
  expect(combinePictures([])).toEqual([]);
});
