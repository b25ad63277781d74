/** Choosing series and slices: every choice and every refusal is explained. */
import { describe, expect, test } from 'vitest';
import { metadataOfFile } from '../../src/dicom/volume/file-metadata.ts';
import { arrangeSeries } from '../../src/dicom/volume/arrange.ts';
import { WetreadError, type ErrorCode } from '../../src/domain/errors.ts';
import { seriesUid } from '../../src/domain/ids.ts';
import type { InstanceMetadata, SeriesSummary, StudySummary } from '../../src/domain/study.ts';
import type { SelectionRule } from '../../src/kit/consider-series.ts';
import { selectSeries } from '../../src/pipeline/select-series.ts';
import { axial, coronal, sagittalStack, slice, type Elements } from '../support/slices.ts';
import { summary } from './pictures.ts';

type Pack = SelectionRule & { readonly name: string };
const lumbar: Pack = { name: 'lumbar', modalities: ['CR', 'DX'], regions: ['lumbar-spine'], views: ['lateral'] };
const chest: Pack = { name: 'chest', modalities: ['CR', 'DX'], regions: ['chest'], views: ['frontal'] };
const t2Sagittal: Pack = {
  name: 't2',
  modalities: ['MR'],
  regions: ['lumbar-spine', 'whole-spine'],
  views: [],
  planes: ['sagittal'],
  sequences: ['T2'],
  contrast: 'without',
  fatSuppression: 'without',
  minimumSlices: 7,
  sliceSpacing: { toMm: 6 },
  slices: { kind: 'middle', count: 5 },
};
const uid = (number: number) => seriesUid(`1.2.3.${number}`);
const one = (number: number, more: Partial<SeriesSummary> = {}): SeriesSummary => ({
  seriesUid: uid(number),
  modality: 'DX',
  ...more,
});
const mr: StudySummary = { studyUid: summary.studyUid, modalities: ['MR'], description: 'MR lumbar spine' };

async function select(
  packs: readonly Pack[],
  study: StudySummary,
  series: readonly SeriesSummary[],
  files: Readonly<Record<number, readonly Uint8Array[]>> = {},
) {
  const asked: string[] = [];
  const headers = new Map<string, InstanceMetadata[]>();
  for (const [number, own] of Object.entries(files))
    headers.set(uid(Number(number)), (await Promise.all(own.map(metadataOfFile))) as InstanceMetadata[]);
  const archive = {
    async fetchMetadata(_study: unknown, wanted: string) {
      asked.push(wanted);
      return headers.get(wanted) ?? [];
    },
  };
  const selection = await selectSeries(
    { packs, archive, arrange: arrangeSeries },
    study,
    series,
    AbortSignal.timeout(60_000),
  );
  const why = (number: number, pack = packs[0]!.name) =>
    selection.notes.filter((note) => note.seriesUid === uid(number) && note.pack === pack).map((note) => note.why);
  return { ...selection, asked, why };
}

const stack = (count: number, elements: Elements = {}, everyMm = 4): Uint8Array[] =>
  sagittalStack(count, { everyMm, more: () => ({ with: elements }) });
const across = (orientation: readonly number[], step: readonly number[]): Uint8Array[] =>
  Array.from({ length: 12 }, (_, index) =>
    slice({ number: index + 1, orientation, position: step.map((mm) => mm * index) }),
  );

describe('choosing series', () => {
  test('gives each series to every pack that may read it, and says why not to the others', async () => {
    const { chosen, notes } = await select([lumbar, chest], { studyUid: summary.studyUid, modalities: ['DX'] }, [
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

  test('does not lose a film for an empty header', async () => {
    const { chosen } = await select([lumbar], { studyUid: summary.studyUid, modalities: [] }, [one(1)]);
    expect(chosen).toHaveLength(1);
  });

  test('leaves reports and other modalities alone', async () => {
    const { chosen, notes } = await select([lumbar], summary, [one(1, { modality: 'SR' }), one(2, { modality: 'MR' })]);
    expect(chosen).toEqual([]);
    expect(notes.map(({ why }) => why)).toEqual([expect.stringContaining('SR'), expect.stringContaining('MR')]);
  });

  test('leaves the other side alone', async () => {
    const { why } = await select([{ ...lumbar, laterality: 'left' }], summary, [
      one(1, { laterality: 'R' }),
      one(2, { laterality: 'L' }),
    ]);
    expect(why(1)).toEqual(['laterality is right, the model reads left']);
    expect(why(2)).toEqual(['the study description says lumbar-spine']);
  });
});

describe('choosing a stack', () => {
  test('takes the T2 sagittal out of an MR study, its middle slices in the patient’s order, and explains the rest', async () => {
    const { chosen, notes, why, asked } = await select(
      [t2Sagittal, lumbar],
      mr,
      [1, 2, 3, 4, 5, 6].map((number) => one(number, { modality: 'MR' })),
      {
        1: [slice({ number: 1, position: [0, 0, 0], with: { ImageType: ['ORIGINAL', 'PRIMARY', 'LOCALIZER'] } })],
        2: stack(15, { SeriesDescription: 't1_tse_sag', EchoTime: 11, RepetitionTime: 600 }),
        3: stack(15),
        4: stack(15, {
          SeriesDescription: 'STIR sag',
          InversionTime: 160,
          EchoTime: 60,
          ScanningSequence: ['SE', 'IR'],
        }),
        5: across(axial, [0, 0, 4]),
        6: across(coronal, [0, 4, 0]),
      },
    );
    expect(chosen).toHaveLength(1);
    expect(chosen[0]).toMatchObject({ pack: 't2', seriesUid: '1.2.3.3' });
    // 15 slices numbered from 15 down: the five in the middle are 10 to 6.
    expect(chosen[0]!.slices!.map(({ sopUid }) => sopUid.split('.').at(-1))).toEqual(['10', '9', '8', '7', '6']);
    expect(chosen[0]!.slices!.map(({ place }) => place)).toEqual(
      [5, 6, 7, 8, 9].map((index) => ({ index, of: 15, plane: 'sagittal', positionMm: index * 4 - 30 })),
    );
    expect(why(1)[0]).toBe('Image Type says LOCALIZER');
    expect(why(2)[0]).toBe('T1 (TE 11 ms, TR 600 ms: T1; the description says T1), the model reads T2');
    expect(why(3)[0]).toBe(
      'sagittal, T2 (TE 102 ms, TR 3500 ms: T2; the description says T2), 15 slices every 4 mm; slices 6 to 10 of 15 are read',
    );
    expect(why(4)[0]).toContain('the model reads T2');
    expect(why(5)[0]).toBe('axial, the model reads sagittal');
    expect(why(6)[0]).toBe('coronal, the model reads sagittal');
    // Headers are asked for once a series, and not for the pack that reads films.
    expect(asked).toHaveLength(6);
    expect(why(3, 'lumbar')).toEqual(['modality MR, the model reads CR, DX']);
    expect(notes.map(({ seriesUid }) => seriesUid)).toEqual(notes.map(({ seriesUid }) => seriesUid).toSorted());
  });

  test.each<readonly [string, Elements | undefined, string]>([
    ['contrast', { ContrastBolusAgent: 'Gadovist' }, 'a contrast agent was given'],
    ['fat suppression', { ScanOptions: 'FS' }, 'its fat is suppressed'],
    ['too few slices', undefined, '5 slices, the model needs 7'],
  ])('is excluded by %s', async (_, elements, reason) => {
    const files = elements === undefined ? stack(5) : stack(15, elements);
    const { chosen, why } = await select([t2Sagittal], mr, [one(1, { modality: 'MR' })], { 1: files });
    expect(chosen).toEqual([]);
    expect(why(1)).toEqual([reason]);
  });

  test('is excluded by slices too far apart', async () => {
    const { why } = await select([t2Sagittal], mr, [one(1, { modality: 'MR' })], { 1: stack(9, {}, 10) });
    expect(why(1)).toEqual(['slices every 10 mm, the model reads up to 6 mm']);
  });

  test('is not excluded by tags that are missing', async () => {
    const nothing = {
      SeriesDescription: undefined,
      EchoTime: undefined,
      RepetitionTime: undefined,
      ImagePositionPatient: undefined,
      ImageOrientationPatient: undefined,
    };
    const { chosen, why } = await select([t2Sagittal], mr, [one(1, { modality: '' })], { 1: stack(9, nothing) });
    expect(chosen[0]!.slices).toHaveLength(5);
    expect(why(1)[0]).toContain('direction unknown, weighting unknown (no tag tells the weighting)');
    expect(why(1)[0]).toContain('ordered by instance number');
  });

  test('of several that fit takes the best, and says of the others what it has that they have not', async () => {
    const any: Pack = { ...t2Sagittal, slices: { kind: 'all', most: 64 }, minimumSlices: 1 };
    const { contrast: _, fatSuppression: __, ...open } = any;
    const gapped = stack(15).filter((_file, index) => index !== 7);
    const { chosen, why } = await select(
      [open],
      mr,
      [1, 2, 3, 4, 5].map((number) => one(number, { modality: 'MR' })),
      {
        1: stack(15, { ContrastBolusAgent: 'Gadovist' }),
        2: stack(15, { ScanOptions: 'FS' }),
        3: gapped,
        4: stack(15),
        5: stack(9),
      },
    );
    expect(chosen).toHaveLength(1);
    expect(chosen[0]).toMatchObject({ seriesUid: '1.2.3.4' });
    expect(chosen[0]!.slices).toHaveLength(15);
    expect(why(4)[0]).toContain('all 15 slices are read; the best of 5 that fit');
    expect(why(1)[0]).toContain('but of 1.2.3.4 it is said that no contrast agent was given');
    expect(why(2)[0]).toContain('its fat is not suppressed');
    expect(why(3)[0]).toContain('no slice is missing');
    expect(why(5)[0]).toContain('it has more slices');
  });

  test('takes a stack out of a series of two directions, and tells what was odd', async () => {
    const both = [
      ...stack(9),
      ...Array.from({ length: 4 }, (_, index) =>
        slice({ number: 40 + index, orientation: axial, position: [0, 0, index * 5] }),
      ),
    ];
    const { chosen, why } = await select([t2Sagittal], mr, [one(1, { modality: 'MR' })], { 1: both });
    expect(chosen[0]!.slices!.every(({ place }) => place.of === 9)).toBe(true);
    expect(why(1)[0]).toContain('the part with direction sagittal');
    expect(why(1)[0]).toContain('2 stacks in one series');
    expect(why(1)[1]).toBe('axial, the model reads sagittal');
  });

  test('has no favourite in an empty series', async () => {
    const { chosen, why } = await select([t2Sagittal], mr, [one(1, { modality: 'MR' })], {});
    expect(chosen).toEqual([]);
    expect(why(1)).toEqual(['the series has no objects']);
  });

  test('goes on with the films when the archive gives no headers, and waits where that may pass', async () => {
    const without = (code: ErrorCode) =>
      selectSeries(
        {
          packs: [t2Sagittal, lumbar],
          archive: { fetchMetadata: () => Promise.reject(new WetreadError(code)) },
          arrange: arrangeSeries,
        },
        mr,
        [one(1, { modality: 'MR' }), one(2, { modality: 'DX' })],
        AbortSignal.timeout(60_000),
      );
    const { chosen, notes } = await without('archive.bad-answer');
    expect(chosen).toEqual([{ pack: 'lumbar', seriesUid: '1.2.3.2' }]);
    expect(notes.find(({ pack }) => pack === 't2')!.why).toContain('archive.bad-answer');
    await expect(without('archive.unreachable')).rejects.toMatchObject({ code: 'archive.unreachable' });
  });
});
