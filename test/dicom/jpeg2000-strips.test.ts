/** A JPEG 2000 picture in strips: each strip's rows are the whole picture's rows, however it was coded. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeStrip } from '../../src/dicom/decode/jpeg2000.ts';
import { readCodestream } from '../../src/dicom/decode/jpeg2000-codestream.ts';
import { stripsOf } from '../../src/dicom/decode/jpeg2000-strips.ts';
import { jpeg2000, picture, type Picture } from './jpeg2000-encoder.ts';

const made = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../fixtures/jpeg2000/${name}.j2c`, import.meta.url)));

const grey: Picture = { rows: 500, columns: 150, bits: 12 };
const encoded: Record<string, () => Promise<Uint8Array>> = {
  lossless: () => jpeg2000(picture(grey), grey),
  'of sixteen bits': () => jpeg2000(picture({ ...grey, bits: 16 }), { ...grey, bits: 16 }),
  'lossy in three layers': () =>
    jpeg2000(picture(grey), grey, (encoder) => {
      encoder.setQuality(false, 3);
      for (const [layer, ratio] of [20, 10, 2].entries()) encoder.setCompressionRatio(layer, ratio);
    }),
  'without decomposition': () => jpeg2000(picture(grey), grey, (encoder) => encoder.setDecompositions(0)),
  'of two decompositions': () => jpeg2000(picture(grey), grey, (encoder) => encoder.setDecompositions(2)),
  'away from the origin': () =>
    jpeg2000(picture(grey), grey, (encoder) => {
      encoder.setImageOffset({ x: 17, y: 33 });
      encoder.setProgressionOrder(0);
    }),
  ...Object.fromEntries(
    [
      'tiles-precincts-cprl',
      'markers-layers-rpcl',
      'offset-pcrl-lossy',
      'tile-parts-colour-rlcp',
      'restart-and-marks',
    ].map((name) => [`${name}.j2c`, async () => made(name)]),
  ),
};

async function inStrips(codestream: Uint8Array, count: number) {
  const strips = stripsOf(codestream, count);
  if (strips === undefined) throw new Error('not divided');
  return Promise.all(strips.map(async (strip) => ({ ...strip, values: await decodeStrip(strip) })));
}

describe('a picture', () => {
  test.each(Object.keys(encoded))('%s comes out of strips as it comes out whole', async (name) => {
    const codestream = await encoded[name]!();
    const { rows } = readCodestream(codestream);
    const whole = await decodeStrip({ from: 0, to: rows, codestream });
    const perRow = whole.length / rows;
    for (const count of [2, 3]) {
      const strips = await inStrips(codestream, count);
      expect(strips.length).toBeGreaterThan(1);
      expect([strips[0]?.from, ...strips.map(({ to }) => to)]).toEqual([...strips.map(({ from }) => from), rows]);
      for (const { from, to, values } of strips)
        expect(Buffer.from(values.buffer)).toEqual(Buffer.from(whole.slice(from * perRow, to * perRow).buffer));
    }
  });

  test('costs each strip about its share', async () => {
    const tall = { ...grey, rows: 1600 };
    const codestream = await jpeg2000(picture(tall), tall);
    const [one, other, ...more] = await inStrips(codestream, 2);
    expect(more).toEqual([]);
    for (const strip of [one, other]) {
      expect(strip!.codestream.length).toBeGreaterThan(codestream.length * 0.4);
      expect(strip!.codestream.length).toBeLessThan(codestream.length * 0.65);
    }
  });
});

describe('not divided, but left to the codec, is', () => {
  test.each(['bypass', 'order-changes'])('%s.j2c, whose packets are of a rare kind', (name) => {
    expect(stripsOf(made(name), 2)).toBeUndefined();
  });

  test('a picture of few rows', async () => {
    const low = { ...grey, rows: 200 };
    expect(stripsOf(await jpeg2000(picture(low), low), 2)).toBeUndefined();
  });

  test('a codestream cut off in its packets', () => {
    const whole = made('restart-and-marks');
    const cut = Buffer.concat([whole.subarray(0, whole.length >> 1), Buffer.from([0xff, 0xd9])]);
    expect(stripsOf(new Uint8Array(cut), 2)).toBeUndefined();
  });
});
