/** Fixtures under UIDs of their own, so that tests in one inbox do not meet. */
import { withElements } from '../../sandbox/dicom/part10.ts';
import { fixture } from '../dicom/fixtures.ts';

export type TestFilm = {
  readonly file: Uint8Array;
  readonly study: string;
  readonly series: string;
  readonly sop: string;
};

let made = 0;
export const newStudy = (): string => `1.2.826.0.1.3680043.10.1561.${process.pid}.${++made}`;

/** Every value of `changes` as in `withElements`. */
export function testFilm(
  study = newStudy(),
  name = 'grey12',
  changes: Parameters<typeof withElements>[1] = [],
): TestFilm {
  const series = `${study}.1`;
  const sop = `${series}.${++made}`;
  const file = withElements(fixture(name), [
    ['0020000D', 'UI', study],
    ['0020000E', 'UI', series],
    ['00080018', 'UI', sop],
    ...changes,
  ]);
  return { file, study, series, sop };
}
