/** A few thousand damaged inputs of each format, always the same ones; `npm run bench -- fuzz` runs many more, and others. */
import { readFileSync } from 'node:fs';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { fuzzed, fuzzerFiles } from '../../bench/fuzz.ts';
import { verdictOn } from '../../bench/fuzz/dicom.ts';
import type { Fuzzer } from '../../bench/fuzz/fuzzer.ts';

/** Fewer where each takes long: a tenth of a whole run. */
const most = 3000;

describe('damaged inputs', () => {
  test('come in every format that is read from outside', () => {
    expect(fuzzerFiles()).toEqual(expect.arrayContaining(['dicom.ts', 'jpeg2000.ts', 'mllp.ts', 'multipart.ts']));
  });

  test.each(fuzzerFiles())('%s: none is read as something that it is not', async (file) => {
    const { default: fuzzer } = (await import(/* @vite-ignore */ `../../bench/fuzz/${file}`)) as { default: Fuzzer };
    const few = Math.min(most, fuzzer.inputs / 10);
    const { tally, faults } = await fuzzed(fuzzer, 1561, few);
    expect(faults).toEqual([]);
    // A reader that refused everything would pass, and so would damage that never does any.
    expect(tally['refused']).toBeGreaterThan(few / 20);
    expect((tally['same'] ?? 0) + (tally['other'] ?? 0)).toBeGreaterThan(few / 20);
  });

  test('are the same for the same seed', async () => {
    for (const file of fuzzerFiles()) {
      const { default: fuzzer } = (await import(/* @vite-ignore */ `../../bench/fuzz/${file}`)) as { default: Fuzzer };
      expect(Buffer.from(fuzzer.input(42).bytes)).toEqual(Buffer.from(fuzzer.input(42).bytes));
    }
  });

  describe('in a deflated file', () => {
    const name = 'grey12-deflated.dcm';
    const file = new Uint8Array(readFileSync(new URL(`../fixtures/dicom/${name}`, import.meta.url)));
    // The meta header's own length (0002,0000), at 140, counts from 144.
    const body = 144 + new DataView(file.buffer).getUint32(140, true);
    const changed = (change: (dataset: Buffer, pixels: number) => void) => {
      const dataset = inflateRawSync(file.subarray(body));
      change(dataset, dataset.lastIndexOf(Buffer.from([0xe0, 0x7f, 0x10, 0])));
      return Buffer.concat([file.subarray(0, body), deflateRawSync(dataset)]);
    };

    // dicom-parser takes representations that it does not know for short ones, and found no pixels here (seed 277740806).
    test('are judged by a reader that knows the long form of unknown representations', async () => {
      const bytes = changed((dataset, at) => dataset.write('WW', at + 4, 'latin1'));
      expect(await verdictOn(name, bytes)).toEqual({ kind: 'same' });
    });

    test('are seen as other pixels where they are', async () => {
      const bytes = changed((dataset, at) => {
        dataset.write('WW', at + 4, 'latin1');
        dataset[at + 12] = (dataset[at + 12] as number) ^ 1;
      });
      expect(await verdictOn(name, bytes)).toEqual({ kind: 'other' });
    });
  });
});
