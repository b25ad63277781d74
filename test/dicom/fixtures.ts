/** Small real DICOM files; test/fixtures/dicom/README.md says how each was made. */
import { readFileSync } from 'node:fs';

const folder = new URL('../fixtures/dicom/', import.meta.url);

export const fixture = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(`${name}.dcm`, folder)));

export type Expectation = {
  readonly sha256?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly lossyOf?: string;
  readonly by: string;
};

export const expectations = JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8')) as Record<
  string,
  Expectation
>;

export type DisplayExpectation = {
  readonly points: readonly (readonly [number, number, number])[];
  readonly mean: number;
};

export const displayExpectations = JSON.parse(readFileSync(new URL('display.json', folder), 'utf8')) as Record<
  string,
  DisplayExpectation
>;

/** Finds bytes and writes others over them; for headers that lie. */
export function withBytes(file: Uint8Array, find: readonly number[], replace: readonly number[]): Uint8Array {
  const copy = file.slice();
  const at = Buffer.from(copy.buffer).indexOf(Buffer.from(find));
  if (at < 0) throw new Error('the bytes to replace are not in the fixture');
  copy.set(replace, at);
  return copy;
}
