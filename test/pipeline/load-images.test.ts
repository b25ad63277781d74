/** Loading pictures: one bad file does not hide the good ones, and an archive's fault stops everything. */
import { describe, expect, test } from 'vitest';
import { WetreadError, type ErrorCode } from '../../src/domain/errors.ts';
import type { Archive, DecodedInstance, ImageDecoder } from '../../src/domain/ports.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { loadImages } from '../../src/pipeline/load-images.ts';
import { picture, series, study } from './pictures.ts';

/** Each byte of a "file" says what becomes of it: a picture's number, or an error by its place in the list. */
const faults: Record<number, ErrorCode> = {
  200: 'dicom.corrupt-pixel-data',
  201: 'archive.incomplete',
  202: 'dicom.no-pixel-data',
};

const archive = (files: number[]) =>
  ({
    async *fetchSeries() {
      for (const file of files) {
        if (faults[file]?.startsWith('archive.')) throw new WetreadError(faults[file]);
        yield Uint8Array.of(file);
      }
    },
  }) as unknown as Archive;

const decoder: ImageDecoder = {
  async decode([file]) {
    const fault = faults[file!];
    if (fault !== undefined) throw new WetreadError(fault);
    const grey = picture(file!);
    return {
      ...grey,
      studyUid: file === 99 ? studyUid('9.9.9') : study,
      pixels: { frames: file === 50 ? 3 : 1 },
      grey: (frame: number) => ({ ...grey, frame }),
    } as unknown as DecodedInstance;
  },
};

const load = (files: number[]) =>
  loadImages(
    { archive: archive(files), decoder },
    study,
    [
      { pack: 'lumbar', seriesUid: series },
      { pack: 'other', seriesUid: series },
    ],
    AbortSignal.timeout(5000),
  );

describe('loading the chosen series', () => {
  test('fetches a series once, however many packs want it', async () => {
    expect((await load([1, 2])).map(({ sopUid }) => sopUid)).toEqual(['1.2.3.4.1', '1.2.3.4.2']);
  });

  test('gives every frame of a multi-frame object', async () => {
    expect((await load([50])).map(({ frame }) => frame)).toEqual([0, 1, 2]);
  });

  test('keeps the good pictures beside a damaged one', async () => {
    expect(await load([1, 200, 2])).toHaveLength(2);
  });

  test('says what was wrong with the first one when none is left', async () => {
    await expect(load([200, 202])).rejects.toMatchObject({ code: 'dicom.corrupt-pixel-data' });
  });

  test('reads nothing from an answer that was cut off', async () => {
    await expect(load([1, 201])).rejects.toMatchObject({ code: 'archive.incomplete' });
  });

  test('refuses a picture of another study, which could be another patient', async () => {
    await expect(load([99])).rejects.toMatchObject({ code: 'archive.bad-answer' });
  });
});
