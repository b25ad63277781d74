/** Every transfer syntax, against values that pydicom, dcmtk, gdcm or Pillow worked out. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { WetreadError, type ErrorCode } from '../../src/domain/errors.ts';
import type { StoredPixels } from '../../src/domain/image.ts';
import { readDataset } from '../../src/dicom/dataset.ts';
import { decodePixels, readableTransferSyntaxes } from '../../src/dicom/decode/index.ts';
import { describeInstance, hashOf } from '../../src/dicom/describe.ts';
import { expectations, fixture, withBytes } from './fixtures.ts';

const limit = 64 * 1024 * 1024;
const decode = async (file: Uint8Array) => decodePixels(readDataset(file, { maxBytes: limit }), limit);

async function codeOf(work: Promise<unknown>): Promise<ErrorCode | 'no error'> {
  try {
    await work;
    return 'no error';
  } catch (thrown) {
    if (thrown instanceof WetreadError) return thrown.code;
    throw thrown;
  }
}

/** What is made of the pixels, or that there are none: anything thrown but an error of the table fails the test. */
async function outcomeOf(file: Uint8Array, look: (pixels: StoredPixels) => string): Promise<string> {
  try {
    return look(await decode(file));
  } catch (thrown) {
    if (thrown instanceof WetreadError) return 'refused';
    throw thrown;
  }
}

describe('stored values', () => {
  for (const [name, expected] of Object.entries(expectations)) {
    if (expected.sha256 === undefined) continue;
    test(`of ${name} are those of ${expected.by}`, async () => {
      const { sha256, minimum, maximum } = await describeInstance(fixture(name));
      expect({ sha256, minimum, maximum }).toEqual({
        sha256: expected.sha256,
        minimum: expected.minimum,
        maximum: expected.maximum,
      });
    });
  }

  test('of lossy HTJ2K stay within 16 of 4095 of the original', async () => {
    const lossy = await decode(fixture('grey12-htj2k-lossy'));
    const original = await decode(fixture('grey12'));
    const differences = Array.from(lossy.values, (value, at) => Math.abs(value - (original.values[at] ?? Infinity)));
    const farthest = Math.max(...differences);
    expect(farthest).toBeGreaterThan(0);
    expect(farthest).toBeLessThanOrEqual(16);
  });

  test('cover every readable transfer syntax', () => {
    const seen = new Set(Object.keys(expectations).map((name) => readDataset(fixture(name)).transferSyntaxUid));
    expect(readableTransferSyntaxes.filter((uid) => !seen.has(uid))).toEqual([]);
  });

  test('of a lossy colour file are called RGB once they are', async () => {
    expect((await decode(fixture('rgb-jpeg-baseline'))).photometric).toBe('RGB');
  });

  test.each(Object.keys(expectations))(
    'of %s are the same from a Buffer that shares its memory, which stays as it is',
    async (name) => {
      const around = Buffer.concat([Buffer.from('x'), fixture(name), Buffer.from('x')]);
      const before = around.toString('hex');
      expect(hashOf(await decode(around.subarray(1, -1)))).toBe(hashOf(await decode(fixture(name))));
      expect(around.toString('hex')).toBe(before);
    },
  );
});

describe('a file that is not what it says', () => {
  test.each<[string, Uint8Array, ErrorCode]>([
    [
      'text',
      new TextEncoder().encode('Dear colleague, please find attached the film of our patient.'),
      'dicom.not-a-dicom-file',
    ],
    ['nothing', new Uint8Array(), 'dicom.not-a-dicom-file'],
    ['only a preamble', fixture('grey12').subarray(0, 132), 'dicom.not-a-dicom-file'],
    ['a header cut in the middle of an element', fixture('grey12').subarray(0, 300), 'dicom.truncated'],
    ['pixels cut by one byte', fixture('grey12').subarray(0, -1), 'dicom.truncated'],
    ['a fragment cut short', fixture('grey12-jpeg-ls').subarray(0, -40), 'dicom.truncated'],
    ['a deflated dataset cut short', fixture('grey12-deflated').subarray(0, -400), 'dicom.truncated'],
    [
      'an unknown transfer syntax',
      withBytes(
        fixture('grey12-jpeg2000'),
        [...Buffer.from('1.2.840.10008.1.2.4.90')],
        [...Buffer.from('1.2.840.10008.1.2.4.99')],
      ),
      'dicom.unknown-transfer-syntax',
    ],
    [
      'rows that the pixels do not fill',
      withBytes(
        fixture('grey12'),
        [0x28, 0, 0x10, 0, 0x55, 0x53, 2, 0, 61, 0],
        [0x28, 0, 0x10, 0, 0x55, 0x53, 2, 0, 62, 0],
      ),
      'dicom.truncated',
    ],
    [
      'half the rows there are',
      withBytes(
        fixture('grey12'),
        [0x28, 0, 0x10, 0, 0x55, 0x53, 2, 0, 61, 0],
        [0x28, 0, 0x10, 0, 0x55, 0x53, 2, 0, 30, 0],
      ),
      'dicom.corrupt-pixel-data',
    ],
    [
      'rows that the codestream contradicts',
      withBytes(
        fixture('grey12-jpeg2000'),
        [0x28, 0, 0x10, 0, 0x55, 0x53, 2, 0, 61, 0],
        [0x28, 0, 0x10, 0, 0x55, 0x53, 2, 0, 60, 0],
      ),
      'dicom.corrupt-pixel-data',
    ],
    [
      'a frame more than there is',
      withBytes(fixture('frames3-jpeg2000'), [...Buffer.from('IS\x02\x003 ')], [...Buffer.from('IS\x02\x004 ')]),
      'dicom.corrupt-pixel-data',
    ],
    [
      'a Number of Frames that is no number',
      withBytes(fixture('frames3'), [...Buffer.from('IS\x02\x003 ')], [...Buffer.from('IS\x02\x00-1')]),
      'dicom.unsupported-pixels',
    ],
    [
      '64 bits allocated',
      withBytes(fixture('grey12'), [0x28, 0, 0x00, 1, 0x55, 0x53, 2, 0, 16], [0x28, 0, 0x00, 1, 0x55, 0x53, 2, 0, 64]),
      'dicom.unsupported-pixels',
    ],
    [
      'lossless JPEG under the name of JPEG 2000',
      withBytes(
        fixture('grey12-jpeg-lossless-sv1'),
        [...Buffer.from('1.2.840.10008.1.2.4.70')],
        [...Buffer.from('1.2.840.10008.1.2.4.90')],
      ),
      'dicom.corrupt-pixel-data',
    ],
    [
      'native pixels under a compressed syntax',
      withBytes(
        fixture('grey12'),
        [...Buffer.from('1.2.840.10008.1.2.1\0')],
        [...Buffer.from('1.2.840.10008.1.2.5\0')],
      ),
      'dicom.corrupt-pixel-data',
    ],
  ])('%s is refused', async (_, file, code) => {
    expect(await codeOf(decode(file))).toBe(code);
  });

  test('floating point pixels are refused', async () => {
    expect(await codeOf(decode(fixture('float')))).toBe('dicom.unsupported-pixels');
  });

  test('a file of gigabytes is refused before anything is allocated', async () => {
    const rows = [0x28, 0, 0x10, 0, 0x55, 0x53, 2, 0, 61, 0];
    const huge = withBytes(
      fixture('frames3-jpeg2000'),
      [...Buffer.from('IS\x02\x003 ')],
      [...Buffer.from('IS\x02\x0099')],
    );
    expect(
      await codeOf(
        decode(
          withBytes(
            withBytes(huge, [0x28, 0, 0x10, 0, 0x55, 0x53, 2, 0, 33, 0], [...rows.slice(0, 8), 255, 255]),
            [0x28, 0, 0x11, 0, 0x55, 0x53, 2, 0, 31, 0],
            [0x28, 0, 0x11, 0, 0x55, 0x53, 2, 0, 255, 255],
          ),
        ),
      ),
    ).toBe('dicom.too-large');
  });

  test('a deflate bomb is refused at the limit', async () => {
    expect(await codeOf((async () => readDataset(fixture('grey12-deflated'), { maxBytes: 1000 }))())).toBe(
      'dicom.too-large',
    );
  });
});

const compressed = Object.keys(expectations).filter((name) => /jpeg|htj2k|rle|encapsulated/.test(name));

describe('a compressed picture cut anywhere', () => {
  // JPEG 2000 and JPEG decoders draw what is missing as flat grey: only the demand for the end makes them refuse.
  for (const name of compressed) {
    test(`${name} gives an error, never other pixels`, async () => {
      const whole = fixture(name);
      const expected = hashOf(await decode(whole));
      const start = readDataset(whole).pixelData?.offset ?? 0;
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: start, max: whole.length - 1 }), async (length) => {
          // Where only the closing delimiter is missing, every pixel is there.
          expect([expected, 'refused']).toContain(await outcomeOf(whole.subarray(0, length), hashOf));
        }),
        { numRuns: 40 },
      );
    });
  }
});

describe('a damaged file', () => {
  for (const name of compressed) {
    test(`${name} with bytes changed ends in pixels of the right size or an error of the table`, async () => {
      const whole = fixture(name);
      const change = fc.record({
        at: fc.integer({ min: 132, max: whole.length - 1 }),
        to: fc.integer({ min: 0, max: 255 }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
          const damaged = whole.slice();
          for (const { at, to } of changes) damaged[at] = to;
          const isWhole = (pixels: StoredPixels) =>
            pixels.values.length === pixels.rows * pixels.columns * pixels.frames * pixels.samplesPerPixel
              ? 'whole'
              : 'not whole';
          expect(['whole', 'refused']).toContain(await outcomeOf(damaged, isWhole));
        }),
        { numRuns: 40 },
      );
    });
  }
});
