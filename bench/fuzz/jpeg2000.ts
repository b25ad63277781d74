/**
 * JPEG 2000 codestreams, damaged, and decoded in strips as several threads do it: wherever they are divided at all, the strips are
 * the rows that the codec gives for the whole, or the codec refuses both.
 */
import * as fc from 'fast-check';
import { readdirSync, readFileSync } from 'node:fs';
import { decodeStrip } from '../../src/dicom/decode/jpeg2000.ts';
import { readCodestream } from '../../src/dicom/decode/jpeg2000-codestream.ts';
import { stripsOf } from '../../src/dicom/decode/jpeg2000-strips.ts';
import { damaged, damages, drawn } from './damage.ts';
import { fault, refusal, type Fuzzer, type Verdict } from './fuzzer.ts';

const folder = new URL('../../test/fixtures/jpeg2000/', import.meta.url);
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.j2c'))
  .sort();
const plan = fc.record({ which: fc.nat(10_000), damage: damages });

function made(seed: number): { name: string; bytes: Uint8Array; about: string } {
  const { which, damage } = drawn(plan, seed);
  const name = names[which % names.length] as string;
  const whole = new Uint8Array(readFileSync(new URL(name, folder)));
  return { name, bytes: damaged(whole, damage), about: `${name} ${JSON.stringify(damage)}` };
}

async function attempt(seed: number): Promise<Verdict> {
  const { name, bytes } = made(seed);
  const original = new Uint8Array(readFileSync(new URL(name, folder)));
  let whole: Uint8Array | Uint16Array;
  let rows: number;
  try {
    ({ rows } = size(bytes));
    if (rows !== size(original).rows || readCodestream(bytes).columns !== readCodestream(original).columns)
      return { kind: 'refused', code: 'dicom.corrupt-pixel-data' }; // another size than the file says
    whole = await decodeStrip({ from: 0, to: rows, codestream: bytes });
  } catch (thrown) {
    return refusal(thrown, ['dicom.']);
  }
  const strips = stripsOf(bytes, 3);
  if (strips === undefined) return { kind: 'unproven' };
  const perRow = whole.length / rows;
  for (const strip of strips) {
    const values = await decodeStrip(strip).catch((thrown: unknown) => String(thrown));
    if (typeof values === 'string') return fault(`rows ${strip.from} to ${strip.to} are refused: ${values}`);
    const expected = whole.subarray(strip.from * perRow, strip.to * perRow);
    if (values.length !== expected.length || !values.every((value, index) => value === expected[index]))
      return fault(`rows ${strip.from} to ${strip.to} are others than the whole picture's`);
  }
  return { kind: Buffer.compare(bytes, original) === 0 ? 'same' : 'other' };
}

const size = (bytes: Uint8Array) => readCodestream(bytes);

const fuzzer: Fuzzer = {
  name: 'jpeg2000',
  inputs: 8000,
  attempt,
  input: made,
};
export default fuzzer;
