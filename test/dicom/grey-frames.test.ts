/** Objects of many frames, one frame at a time: the same pictures as when decoded whole. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decoderPool, type DecoderPool } from '../../src/dicom/decoder-pool.ts';
import type { GreyImage } from '../../src/domain/image.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { enhanced } from '../support/slices.ts';
import { fixture } from './fixtures.ts';

let decoder: DecoderPool;
beforeAll(() => {
  decoder = decoderPool({ threads: 1, logger: silentLogger });
});
afterAll(() => decoder.close());

async function all(frames: AsyncIterable<GreyImage>): Promise<GreyImage[]> {
  const found: GreyImage[] = [];
  for await (const one of frames) found.push(one);
  return found;
}

const slices = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ position: [index, 0, 0], grey: 100 + index * 10 }));
const windowless = { WindowCenter: undefined, WindowWidth: undefined, VOILUTFunction: undefined };

describe('frame by frame', () => {
  test.each<readonly [string, () => Uint8Array]>([
    ['uncompressed', () => fixture('frames3')],
    ['JPEG 2000', () => fixture('frames3-jpeg2000')],
    ['JPEG-LS in fragments', () => fixture('frames3-jpeg-ls-fragments')],
    ['encapsulated uncompressed', () => fixture('frames3-encapsulated-uncompressed')],
    ['enhanced', () => enhanced(slices(7))],
    ['without a window, where all frames share one range', () => enhanced(slices(7), { more: windowless })],
    ['a single frame', () => fixture('grey12')],
    ['deflated', () => fixture('grey12-deflated')],
  ])('%s: the same as decoded whole', async (_, make) => {
    const whole = await decoder.decode(make());
    const frames = await all(decoder.frames(make()));
    expect(frames).toHaveLength(whole.pixels.frames);
    frames.forEach((image, frame) => expect(image).toEqual(whole.grey(frame)));
  });

  test('only those that are asked for, in the object’s order', async () => {
    const file = () => enhanced(slices(9));
    const whole = await decoder.decode(file());
    const frames = await all(decoder.frames(file(), [7, 2, 5]));
    expect(frames.map(({ frame }) => frame)).toEqual([2, 5, 7]);
    expect(frames[1]).toEqual(whole.grey(5));
  });

  test('frames without a window keep their relation when only some are asked for', async () => {
    const [first] = await all(decoder.frames(enhanced(slices(7), { more: windowless }), [3]));
    // 100 to 160 in all frames: 130 is the middle.
    expect(first!.intensities[0]).toBeCloseTo(0.5, 6);
  });

  test('takes the file over, so that it lies in memory once', async () => {
    const file = enhanced(slices(3));
    await all(decoder.frames(file));
    expect(file.byteLength).toBe(0);
  });

  test('leaves the rest of a larger buffer to its owner', async () => {
    const file = enhanced(slices(3));
    const larger = new Uint8Array(file.length + 10);
    larger.set(file, 10);
    expect(await all(decoder.frames(larger.subarray(10)))).toHaveLength(3);
    expect(larger.byteLength).toBe(file.length + 10);
  });

  test('a file that ends in the middle is refused, not read in part', async () => {
    const file = enhanced(slices(5));
    await expect(all(decoder.frames(file.slice(0, -200)))).rejects.toMatchObject({ code: 'dicom.truncated' });
  });

  test('a file above the limit is refused before a thread is started', async () => {
    const small = decoderPool({ threads: 1, maxInstanceBytes: 1000, logger: silentLogger });
    await expect(all(small.frames(enhanced(slices(50))))).rejects.toMatchObject({ code: 'dicom.too-large' });
    await small.close();
  });

  test('whoever stops wanting frames stops the thread', async () => {
    const stop = new AbortController();
    const frames = decoder.frames(enhanced(slices(9)), undefined, stop.signal);
    const iterator = frames[Symbol.asyncIterator]();
    await iterator.next();
    stop.abort(new Error('enough'));
    await expect(iterator.next()).rejects.toThrow('enough');
  });
});
