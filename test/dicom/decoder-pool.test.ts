/** Decoding threads: what comes out of them, and what becomes of one that hangs or dies. */
import { afterEach, describe, expect, test } from 'vitest';
import { fragmentsOf, part10 } from '../../bench/part10.ts';
import { decoderPool, type DecoderPoolOptions } from '../../src/dicom/decoder-pool.ts';
import { hashOf } from '../../src/dicom/describe.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { expectations, fixture } from './fixtures.ts';
import { jpeg2000, picture } from './jpeg2000-encoder.ts';

const pools: ReturnType<typeof decoderPool>[] = [];
afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.close();
});

function pool(options: Partial<DecoderPoolOptions> = {}) {
  const made = decoderPool({ threads: 1, logger: silentLogger, ...options });
  pools.push(made);
  return made;
}

describe('a decoding thread', () => {
  test('gives identity, tags, spacing and stored pixels', async () => {
    const instance = await pool().decode(fixture('grey12-jpeg-lossless-sv1'));
    expect(instance).toMatchObject({
      studyUid: '1.2.826.0.1.3680043.10.1561.1',
      seriesUid: '1.2.826.0.1.3680043.10.1561.1.1',
      sopUid: '1.2.826.0.1.3680043.10.1561.1.1.1',
      sopClassUid: '1.2.840.10008.5.1.4.1.1.1.1',
      transferSyntaxUid: '1.2.840.10008.1.2.4.70',
      spacing: { rowMm: 0.2, columnMm: 0.2, plane: 'detector' },
      tags: {
        modality: 'DX',
        bodyPartExamined: 'LSPINE',
        viewPosition: 'LL',
        seriesDescription: 'LAT',
        studyDescription: 'Lumbar spine',
        patientAgeYears: 54,
        patientSex: 'O',
        manufacturer: 'Wetread fixtures',
        acquiredAt: '2026-03-01T09:30:00',
      },
    });
    expect(hashOf(instance.pixels)).toBe(expectations['grey12']?.sha256);
  });

  test('gives each frame as grey values with everything a model needs', async () => {
    const instance = await pool().decode(fixture('frames3-jpeg2000'));
    const frames = [0, 1, 2].map((frame) => instance.grey(frame));
    expect(frames.map(({ frame }) => frame)).toEqual([0, 1, 2]);
    expect(frames.map(({ intensities }) => intensities.length)).toEqual([33 * 31, 33 * 31, 33 * 31]);
    // No window: from the least value of all frames to the greatest, 210 to 1023.
    const last = instance.pixels.values[2 * 33 * 31 + 5] as number;
    expect(frames[2]?.intensities[5]).toBeCloseTo((last - 210) / (1023 - 210), 6);
    expect(frames[1]).toMatchObject({
      rows: 33,
      columns: 31,
      sopClassUid: instance.sopClassUid,
      tags: { modality: 'DX' },
    });
    expect(() => instance.grey(3)).toThrow(RangeError);
  });

  test('leaves the file to its owner', async () => {
    const file = fixture('grey12');
    await pool().decode(file);
    expect(file.length).toBe(6120);
  });

  test('says what is wrong with a file by code and detail', async () => {
    await expect(pool().decode(fixture('grey12').subarray(0, 3000))).rejects.toMatchObject({
      code: 'dicom.truncated',
      detail: 'in the pixel data',
    });
    await expect(pool().decode(new Uint8Array(500))).rejects.toMatchObject({ code: 'dicom.not-a-dicom-file' });
  });

  test('refuses a file or a picture over the limit', async () => {
    await expect(pool({ maxInstanceBytes: 6000 }).decode(fixture('grey12'))).rejects.toMatchObject({
      code: 'dicom.too-large',
    });
    await expect(pool({ maxInstanceBytes: 4000 }).decode(fixture('grey12-jpeg-ls'))).rejects.toMatchObject({
      code: 'dicom.too-large',
    });
  });

  test('prints nothing, though its codecs would', async () => {
    const said: string[] = [];
    const { write } = process.stdout;
    process.stdout.write = ((text: string) => said.push(text) > 0) as typeof write;
    try {
      await pool().decode(fixture('grey12-jpeg2000'));
    } finally {
      process.stdout.write = write;
    }
    expect(said).toEqual([]);
  });
});

describe('several files', () => {
  test('share the threads and keep their own answers', async () => {
    const names = [
      'grey12',
      'signed16-jpeg-ls',
      'rgb-jpeg2000',
      'frames3',
      'palette',
      'grey12-rle',
      'signed32',
      'one-bit',
    ];
    const threads = pool({ threads: 2 });
    const instances = await Promise.all(names.map((name) => threads.decode(fixture(name))));
    expect(instances.map(({ pixels }) => hashOf(pixels))).toEqual(names.map((name) => expectations[name]?.sha256));
  });

  test('do not wait for one that was given up', async () => {
    const threads = pool();
    const first = threads.decode(fixture('grey12'));
    const abort = new AbortController();
    const second = threads.decode(fixture('grey12'), abort.signal);
    const third = threads.decode(fixture('rgb'));
    const reason = new Error('cancelled');
    abort.abort(reason);
    await expect(second).rejects.toBe(reason);
    expect((await first).sopUid).not.toBe((await third).sopUid);
    await expect(threads.decode(fixture('grey12'), AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  test('left over when the pool closes are refused', async () => {
    const threads = pool();
    const answers = Promise.allSettled([threads.decode(fixture('grey12')), threads.decode(fixture('rgb'))]);
    await threads.close();
    expect((await answers).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(threads.decode(fixture('grey12'))).rejects.toMatchObject({ code: 'internal.unexpected' });
  });
});

describe('a large JPEG 2000 film', () => {
  const size = { rows: 1400, columns: 900, bits: 16 };
  const syntax = '1.2.840.10008.1.2.4.90';
  const values = picture(size);
  const made = (async () => part10(syntax, size, fragmentsOf(await jpeg2000(values, size)), true))();

  test.each([1, 2, 3, 6])('is the same by %i threads', async (count) => {
    const file = await made;
    expect(file.length).toBeGreaterThan(1_000_000);
    const threads = pool({ threads: count });
    const { pixels } = await threads.decode(file);
    expect(hashOf(pixels)).toBe(hashOf({ values }));
    // The threads that were lent are back.
    const others = await Promise.all(Array.from({ length: count }, () => threads.decode(fixture('grey12'))));
    expect(others).toHaveLength(count);
    expect(await threads.describe(file)).toMatchObject({ sha256: hashOf({ values }) });
  });

  test('beside others keeps to its own thread, and all come out right', async () => {
    const file = await made;
    const threads = pool({ threads: 2 });
    const all = await Promise.all([file, fixture('grey12-rle'), file, file].map((one) => threads.decode(one)));
    const film = hashOf({ values });
    expect(all.map(({ pixels }) => hashOf(pixels))).toEqual([film, expectations['grey12']?.sha256, film, film]);
  });

  test('that is damaged is refused, and its helpers are back', async () => {
    const file = await made;
    const threads = pool({ threads: 2 });
    const cut = Buffer.concat([file.subarray(0, 1_050_000)]);
    await expect(threads.decode(cut)).rejects.toMatchObject({ code: expect.stringMatching(/^dicom\./) });
    const [one, other] = await Promise.all([threads.decode(file), threads.decode(fixture('rgb'))]);
    expect(hashOf(one.pixels)).toBe(hashOf({ values }));
    expect(hashOf(other.pixels)).toBe(expectations['rgb']?.sha256);
  });

  test('costs its own file when a thread that helps it stops', async () => {
    const file = await made;
    // The only thread that helps here exits when it is asked to; the other one decodes.
    const threads = pool({ threads: 2, workerUrl: new URL('./unhelpful-worker.ts', import.meta.url) });
    await expect(threads.decode(file)).rejects.toMatchObject({ code: 'dicom.corrupt-pixel-data' });
    const { pixels } = await threads.decode(fixture('grey12'));
    expect(hashOf(pixels)).toBe(expectations['grey12']?.sha256);
  });
});

describe('a thread that', () => {
  const workerUrl = new URL('./stuck-worker.ts', import.meta.url);

  test.each([
    ['hangs', 1],
    ['exits', 2],
    ['dies of an error', 3],
    ['takes memory without end', 4],
  ])('%s costs its own file, and the next one is decoded', async (_, order) => {
    const threads = pool({ workerUrl, timeoutMs: 12_000 });
    const [broken, next] = await Promise.allSettled([
      threads.decode(new Uint8Array([order])),
      threads.decode(fixture('grey12')),
    ]);
    expect(broken).toMatchObject({ status: 'rejected', reason: { code: 'dicom.corrupt-pixel-data' } });
    expect(next).toMatchObject({ status: 'fulfilled', value: { sopUid: '1.2.826.0.1.3680043.10.1561.1.1.1' } });
  });

  test('meets a real file on which OpenJPH would never end does not begin it', async () => {
    await expect(pool().decode(fixture('damaged-htj2k-hangs-decoder'))).rejects.toMatchObject({
      code: 'dicom.unsupported-pixels',
      detail: 'subsampled JPEG 2000',
    });
  });
});
