/** Loading pictures: one bad file does not hide the good ones, and an archive's fault stops everything. */
import { describe, expect, test } from 'vitest';
import { WetreadError, type ErrorCode } from '../../src/domain/errors.ts';
import type { Archive, ImageDecoder } from '../../src/domain/ports.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { loadImages, type Loaded } from '../../src/pipeline/load-images.ts';
import type { ChosenSeries, ChosenSlice } from '../../src/pipeline/select-series.ts';
import { picture, series, study } from './pictures.ts';

/** Each byte of a "file" says what becomes of it: a picture's number, or an error by its place in the list. */
const faults: Record<number, ErrorCode> = {
  200: 'dicom.corrupt-pixel-data',
  201: 'archive.incomplete',
  202: 'dicom.no-pixel-data',
};

/** What was asked for object by object. */
const fetched: (readonly string[])[] = [];

const archive = (files: number[]) =>
  ({
    async *fetchSeries() {
      for (const file of files) {
        if (faults[file]?.startsWith('archive.')) throw new WetreadError(faults[file]);
        yield Uint8Array.of(file);
      }
    },
    async *fetchInstances(_study: unknown, _series: unknown, sops: readonly string[]) {
      fetched.push(sops);
      for (const sop of sops) yield Uint8Array.of(Number(sop.split('.').at(-1)));
    },
  }) as unknown as Archive;

const decoder = {
  async *frames([file]: Uint8Array, only?: readonly number[]) {
    const fault = faults[file!];
    if (fault !== undefined) throw new WetreadError(fault);
    const grey = { ...picture(file!), studyUid: file === 99 ? studyUid('9.9.9') : study };
    for (const frame of file === 50 ? [0, 1, 2] : [0])
      if (only === undefined || only.includes(frame)) yield { ...grey, frame };
  },
} as unknown as ImageDecoder;

const whole: readonly ChosenSeries[] = [
  { pack: 'lumbar', seriesUid: series },
  { pack: 'other', seriesUid: series },
];
const stream = (files: number[], chosen = whole, from = archive(files)) =>
  loadImages({ archive: from, decoder }, study, chosen, AbortSignal.timeout(60_000));

async function load(files: number[], chosen = whole): Promise<Loaded[]> {
  const loaded: Loaded[] = [];
  for await (const one of stream(files, chosen)) loaded.push(one);
  return loaded;
}
const images = (loaded: readonly Loaded[]) =>
  loaded.flatMap((one) => (one.kind === 'picture' ? [one.image] : one.kind === 'stack' ? one.images : []));
const slices = (...numbers: number[]): ChosenSlice[] =>
  numbers.map((number, index) => ({
    sopUid: picture(number).sopUid,
    frame: 0,
    place: { index, of: numbers.length, plane: 'sagittal', positionMm: index * 4 },
  }));
const stack = (chosen: ChosenSlice[]): ChosenSeries[] => [{ pack: 'mr', seriesUid: series, slices: chosen }];

describe('loading the chosen series', () => {
  test('fetches a series once, however many packs want it', async () => {
    expect(images(await load([1, 2])).map(({ sopUid }) => sopUid)).toEqual(['1.2.3.4.1', '1.2.3.4.2']);
  });

  test('gives every frame of a multi-frame object', async () => {
    expect(images(await load([50])).map(({ frame }) => frame)).toEqual([0, 1, 2]);
  });

  test('says which packs a picture is for', async () => {
    expect((await load([1]))[0]!.packs).toEqual(['lumbar', 'other']);
  });

  test('keeps the good pictures beside a damaged one, which is a fault of its own', async () => {
    const loaded = await load([1, 200, 2]);
    expect(loaded.map((one) => (one.kind === 'fault' ? one.error.code : one.kind))).toEqual([
      'picture',
      'dicom.corrupt-pixel-data',
      'picture',
    ]);
  });

  test('reads nothing from an answer that was cut off', async () => {
    await expect(load([1, 201])).rejects.toMatchObject({ code: 'archive.incomplete' });
  });

  test('refuses a picture of another study, which could be another patient', async () => {
    await expect(load([99])).rejects.toMatchObject({ code: 'archive.bad-answer' });
  });
});

describe('a few pictures ahead', () => {
  const counted = (files: number[]) => {
    const state = { given: 0, ended: false };
    const from = {
      async *fetchSeries(_study: unknown, _series: unknown, signal: AbortSignal) {
        try {
          for (const file of files) {
            signal.throwIfAborted();
            state.given += 1;
            yield Uint8Array.of(file);
          }
        } finally {
          state.ended = true;
        }
      },
    } as unknown as Archive;
    return { state, from };
  };
  const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

  test('begins at once, and fetches no more than a few that nobody takes', async () => {
    const { state, from } = counted(Array.from({ length: 100 }, () => 1));
    const pictures = stream([], whole, from);
    await settle();
    expect(state.given).toBeGreaterThan(0);
    expect(state.given).toBeLessThanOrEqual(5);
    for (let taken = 0; taken < 10; taken++) await pictures.next();
    await settle();
    expect(state.given).toBeLessThanOrEqual(15);
    await pictures.return!();
    expect(state.ended).toBe(true);
  });

  test('a fault of the archive comes behind the pictures before it', async () => {
    const pictures = stream([1, 2, 201]);
    await settle();
    expect((await pictures.next()).value).toMatchObject({ kind: 'picture' });
    await expect(pictures.next()).rejects.toMatchObject({ code: 'archive.incomplete' });
  });
});

describe('loading a stack', () => {
  test('asks for its slices only, in their order, and says where each lies', async () => {
    const [loaded] = await load([1, 2, 3, 4, 5], stack(slices(4, 2, 3)));
    expect(loaded).toMatchObject({ kind: 'stack', packs: ['mr'] });
    expect(images([loaded!]).map(({ sopUid, tags }) => [sopUid, tags.slice])).toEqual([
      ['1.2.3.4.4', { index: 0, of: 3, plane: 'sagittal', positionMm: 0 }],
      ['1.2.3.4.2', { index: 1, of: 3, plane: 'sagittal', positionMm: 4 }],
      ['1.2.3.4.3', { index: 2, of: 3, plane: 'sagittal', positionMm: 8 }],
    ]);
    expect(fetched.splice(0)).toEqual([['1.2.3.4.4', '1.2.3.4.2', '1.2.3.4.3']]);
  });

  test('fetches an object of many frames once, and takes the frames in the order of the stack', async () => {
    const frames = [2, 0].map((frame, index): ChosenSlice => ({
      sopUid: picture(50).sopUid,
      frame,
      place: { index, of: 2 },
    }));
    const [loaded] = await load([50], stack(frames));
    expect(images([loaded!]).map(({ frame }) => frame)).toEqual([2, 0]);
    expect(fetched.splice(0)).toEqual([['1.2.3.4.50']]);
  });

  test('gives what is left when few slices cannot be read, and nothing when many cannot', async () => {
    const few = await load([1, 2, 3, 200], stack(slices(1, 2, 3, 200)));
    expect(few.map(({ kind }) => kind)).toEqual(['fault', 'stack']);
    expect(images(few)).toHaveLength(3);
    const many = await load([1, 200], stack(slices(1, 200)));
    expect(many.map(({ kind }) => kind)).toEqual(['fault']);
  });
});
