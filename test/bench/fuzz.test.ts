/** A few thousand damaged inputs of each format, always the same ones; `npm run bench -- fuzz` runs many more, and others. */
import { describe, expect, test } from 'vitest';
import { fuzzed, fuzzerFiles } from '../../bench/fuzz.ts';
import type { Fuzzer } from '../../bench/fuzz/fuzzer.ts';

const few = 3000;

describe('damaged inputs', () => {
  test('come in every format that is read from outside', () => {
    expect(fuzzerFiles()).toEqual(expect.arrayContaining(['dicom.ts', 'mllp.ts', 'multipart.ts']));
  });

  test.each(fuzzerFiles())('%s: none is read as something that it is not', async (file) => {
    const { default: fuzzer } = (await import(/* @vite-ignore */ `../../bench/fuzz/${file}`)) as { default: Fuzzer };
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
});
