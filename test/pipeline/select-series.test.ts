/** Choosing series: every choice and every refusal is explained. */
import { describe, expect, test } from 'vitest';
import { seriesUid } from '../../src/domain/ids.ts';
import type { SeriesSummary } from '../../src/domain/study.ts';
import { selectSeries } from '../../src/pipeline/select-series.ts';
import { summary } from './pictures.ts';

const lumbar = { name: 'lumbar', modalities: ['CR', 'DX'], regions: ['lumbar-spine'], views: ['lateral'] } as const;
const chest = { name: 'chest', modalities: ['CR', 'DX'], regions: ['chest'], views: ['frontal'] } as const;
const one = (number: number, more: Partial<SeriesSummary> = {}): SeriesSummary => ({
  seriesUid: seriesUid(`1.2.3.${number}`),
  modality: 'DX',
  ...more,
});

describe('choosing series', () => {
  test('gives each series to every pack that may read it, and says why not to the others', () => {
    const { chosen, notes } = selectSeries([lumbar, chest], { studyUid: summary.studyUid, modalities: ['DX'] }, [
      one(1, { bodyPartExamined: 'LSPINE' }),
      one(2, { bodyPartExamined: 'CHEST' }),
    ]);
    expect(chosen).toEqual([
      { pack: 'lumbar', seriesUid: '1.2.3.1' },
      { pack: 'chest', seriesUid: '1.2.3.2' },
    ]);
    expect(notes).toHaveLength(4);
    expect(notes.filter(({ taken }) => !taken).every(({ why }) => why.length > 10)).toBe(true);
  });

  test('does not lose a film for an empty header', () => {
    expect(selectSeries([lumbar], { studyUid: summary.studyUid, modalities: [] }, [one(1)]).chosen).toHaveLength(1);
  });

  test('leaves reports and other modalities alone', () => {
    const { chosen, notes } = selectSeries([lumbar], summary, [one(1, { modality: 'SR' }), one(2, { modality: 'MR' })]);
    expect(chosen).toEqual([]);
    expect(notes.map(({ why }) => why)).toEqual([expect.stringContaining('SR'), expect.stringContaining('MR')]);
  });
});
