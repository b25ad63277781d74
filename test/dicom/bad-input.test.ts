/** Files made to harm: refused early, by a code, before memory is taken for what they claim. */
import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { readDataset } from '../../src/dicom/dataset.ts';
import { decodePixels } from '../../src/dicom/decode/index.ts';
import { WetreadError } from '../../src/domain/errors.ts';
import { fixture, withBytes } from './fixtures.ts';

const limit = 512 * 1024 * 1024;

/** What it is refused with, and how many bytes of memory outside the heap that took at most. */
async function refusal(file: Uint8Array, maxBytes = limit): Promise<{ code: string; detail: string; taken: number }> {
  const before = process.memoryUsage().arrayBuffers;
  try {
    await decodePixels(readDataset(file, { maxBytes }), maxBytes);
  } catch (thrown) {
    if (!(thrown instanceof WetreadError)) throw thrown;
    return { code: thrown.code, detail: thrown.detail ?? '', taken: process.memoryUsage().arrayBuffers - before };
  }
  throw new Error('it was read');
}

const us = (element: number, value: number) => [0x28, 0, element, 0, 0x55, 0x53, 2, 0, value & 255, value >> 8];
/** The bytes of `insert` before the element of group 0028 or 5200 that begins like this. */
function before(file: Uint8Array, element: readonly number[], insert: Uint8Array): Uint8Array {
  const at = Buffer.from(file.slice().buffer).indexOf(Buffer.from(element));
  if (at < 0) throw new Error('no such element');
  return new Uint8Array(Buffer.concat([file.subarray(0, at), insert, file.subarray(at)]));
}
const repeated = (bytes: readonly number[], times: number) =>
  Buffer.alloc(bytes.length * times, Uint8Array.from(bytes));

const item = [0xfe, 0xff, 0, 0xe0];
const open = [0x27, 0, 0x10, 0x10, 0x53, 0x51, 0, 0, 255, 255, 255, 255, ...item, 255, 255, 255, 255];
const close = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
const samples = us(2, 1);

describe('a small file that claims a large picture', () => {
  test.each([
    'grey12',
    'grey12-rle',
    'grey12-jpeg-lossless-sv1',
    'grey12-jpeg-extended12',
    'grey12-jpeg-ls',
    'grey12-jpeg2000',
    'grey12-htj2k',
    'grey8-monochrome1-jpeg-baseline',
  ])('%s is refused without taking memory for it', async (name) => {
    const [height, width] = name.startsWith('grey8') ? [50, 41] : [61, 43];
    let file = fixture(name);
    file = withBytes(withBytes(file, us(0x10, height), us(0x10, 12_000)), us(0x11, width), us(0x11, 20_000));
    // The codestream agrees with the lie.
    const place = (bytes: number) =>
      [12_000, 20_000].flatMap((side) => (bytes === 2 ? [side >> 8, side & 255] : [0, 0, side >> 8, side & 255]));
    const sides = [height, width];
    if (/jpeg-(lossless|extended|ls|baseline)/.test(name))
      file = withBytes(
        file,
        sides.flatMap((side) => [0, side]),
        place(2),
      );
    if (/2000|htj2k/.test(name))
      file = withBytes(
        file,
        [width, height].flatMap((side) => [0, 0, 0, side]),
        [0, 0, 20_000 >> 8, 20_000 & 255, 0, 0, 12_000 >> 8, 12_000 & 255],
      );
    const { code, taken } = await refusal(file);
    expect(code).toMatch(/^dicom\.(too-large|truncated|corrupt-pixel-data)$/);
    expect(taken).toBeLessThan(8 * 1024 * 1024);
  });

  test('that inflates to more than is allowed is refused at the limit', async () => {
    const file = fixture('grey12-deflated');
    const meta = file.subarray(0, 144 + new DataView(file.buffer).getUint32(140, true));
    const bomb = Buffer.concat([meta, deflateRawSync(Buffer.alloc(80 * 1024 * 1024))]);
    expect(bomb.length).toBeLessThan(100_000);
    expect(await refusal(new Uint8Array(bomb), 64 * 1024 * 1024)).toMatchObject({ code: 'dicom.too-large' });
  });

  test('of thousands of frames is refused by the frames there are', async () => {
    const claim = (name: string) =>
      withBytes(fixture(name), [...Buffer.from('IS\x02\x003 ')], [...Buffer.from('IS\x02\x0099')]);
    expect(await refusal(claim('frames3'))).toMatchObject({ code: 'dicom.truncated' });
    expect(await refusal(claim('frames3-jpeg2000'))).toMatchObject({ code: 'dicom.corrupt-pixel-data' });
  });
});

describe('nesting and counting', () => {
  test.each([
    ['open', false],
    ['closed', true],
  ])('sequences in sequences without end, %s, are refused', async (_, closed) => {
    const depth = 20_000;
    const nested = Buffer.concat([repeated(open, depth), ...(closed ? [repeated(close, depth)] : [])]);
    expect(await refusal(before(fixture('grey12'), samples, nested))).toMatchObject({
      code: 'dicom.not-a-dicom-file',
      detail: 'sequences are nested without end',
    });
  });

  test('twenty levels are read', async () => {
    const nested = Buffer.concat([repeated(open, 20), repeated(close, 20)]);
    const pixels = await decodePixels(readDataset(before(fixture('grey12'), samples, nested)), limit);
    expect(pixels.rows).toBe(61);
  });

  test('millions of empty items in a sequence that is read are refused', () => {
    const many = 2_000_000;
    const header = Buffer.from([0x00, 0x52, 0x30, 0x92, 0x53, 0x51, 0, 0, 0, 0, 0, 0]);
    header.writeUInt32LE(many * 8, 8);
    const sequence = Buffer.concat([header, repeated([...item, 0, 0, 0, 0], many)]);
    const file = before(fixture('grey12'), [0xe0, 0x7f, 0x10, 0], sequence);
    expect(() => readDataset(file).items('PerFrameFunctionalGroupsSequence')).toThrow(/over 65536 items/);
  });

  test('more elements than any object has are refused, although nobody asks for them', async () => {
    const nothing = [0x27, 0, 0x10, 0x10, 0x4c, 0x4f, 0, 0];
    const file = before(fixture('grey12'), samples, repeated(nothing, 12_000_001));
    expect(await refusal(file)).toMatchObject({ code: 'dicom.too-large', detail: 'over 12000000 elements' });
  });

  test('millions of empty fragments are refused', async () => {
    const whole = fixture('frames3-jpeg2000');
    const start = readDataset(whole).pixelData?.offset ?? 0;
    const file = Buffer.concat([whole.subarray(0, start), repeated([...item, 0, 0, 0, 0], 1_000_000)]);
    expect(await refusal(new Uint8Array(file))).toMatchObject({
      code: 'dicom.too-large',
      detail: 'over 500000 fragments',
    });
  });

  test('an attribute that comes twice with two values is refused, and with one value is read', async () => {
    const again = (value: number) => before(fixture('grey12'), us(0x10, 61), Uint8Array.from(us(0x10, value)));
    expect(await refusal(again(60))).toMatchObject({
      code: 'dicom.not-a-dicom-file',
      detail: expect.stringContaining('twice') as string,
    });
    expect((await decodePixels(readDataset(again(61)), limit)).rows).toBe(61);
  });
});

describe('pixels that are not there', () => {
  test('a header without Pixel Data is refused as such', async () => {
    const whole = fixture('grey12');
    const at = Buffer.from(whole.slice().buffer).lastIndexOf(Buffer.from([0xe0, 0x7f, 0x10, 0]));
    expect(await refusal(whole.subarray(0, at))).toMatchObject({ code: 'dicom.no-pixel-data' });
  });

  test('a picture of more codestreams than frames is refused: the others would be lost', async () => {
    const three = fixture('frames3-jpeg2000');
    const one = withBytes(three, [...Buffer.from('IS\x02\x003 ')], [...Buffer.from('IS\x02\x001 ')]);
    expect(await refusal(one)).toMatchObject({
      code: 'dicom.corrupt-pixel-data',
      detail: '1 frames claimed, 3 codestreams present',
    });
  });

  test('run lengths of a taller picture than the header says are refused: it would be cut off', async () => {
    const lower = withBytes(fixture('grey12-rle'), us(0x10, 61), us(0x10, 30));
    expect(await refusal(lower)).toMatchObject({ detail: 'an RLE segment is longer than the picture' });
  });
});
