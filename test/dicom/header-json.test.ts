/** Headers as DICOM JSON, against dcmjs, another implementation. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readPart10, withElements } from '../../sandbox/dicom/part10.ts';
import { headerJson } from '../../src/dicom/header-json.ts';
import { fixture } from './fixtures.ts';

const film = new Uint8Array(readFileSync(new URL('../../sandbox/films/normal.dcm', import.meta.url)));

describe('a header as JSON', () => {
  it('says what dcmjs says of a film with sequences, without its pixels', async () => {
    const ours = await headerJson(film);
    const theirs = readPart10(film).dataset;
    const even = Object.keys(theirs).filter((tag) => Number.parseInt(tag[3]!, 16) % 2 === 0 && tag !== '7FE00010');
    expect(even.length).toBeGreaterThan(30);
    expect(Object.keys(ours).sort()).toEqual(even.sort());
    for (const tag of even) expect([tag, ours[tag]?.vr]).toEqual([tag, theirs[tag]?.vr]);
    for (const tag of ['0020000D', '00100020', '00280010', '00280030', '00081030', '00100010'])
      expect([tag, ours[tag]]).toEqual([tag, theirs[tag]]);
    expect(ours['00540220']?.Value).toMatchObject([{ '00080100': { vr: 'SH' } }]);
  });

  it('is the same in every encoding, also where the file does not say the types', async () => {
    const explicit = await headerJson(fixture('grey12'));
    expect(await headerJson(fixture('grey12-implicit'))).toEqual(explicit);
    expect(await headerJson(fixture('grey12-big-endian'))).toEqual(explicit);
    expect(await headerJson(fixture('grey12-deflated'))).toEqual(explicit);
    expect(explicit['00280010']).toEqual({ vr: 'US', Value: [expect.any(Number)] });
  });

  it('reads the first level only as far as it is asked for', async () => {
    expect(await headerJson(film, { only: new Set(['00100020']) })).toEqual({
      '00100020': { vr: 'LO', Value: [expect.any(String)] },
    });
  });

  it('needs nothing of the pixels', async () => {
    const whole = await headerJson(film);
    expect(await headerJson(film.subarray(0, 20_000))).toEqual(whole);
  });

  it('reads names in other scripts, numbers as numbers, and empty values as none', async () => {
    const named = withElements(film, [
      ['00080005', 'CS', 'ISO_IR 192'],
      ['00100010', 'PN', 'Yamada^Tarou=山田^太郎'],
      ['00181150', 'IS', '12'],
      ['00080050', 'SH', ''],
    ]);
    const header = await headerJson(named);
    expect(header['00100010']).toEqual({ vr: 'PN', Value: [{ Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎' }] });
    expect(header['00181150']).toEqual({ vr: 'IS', Value: [12] });
    expect(header['00080050']).toEqual({ vr: 'SH' });
  });
});
