/** Which packs run: never twice in the same version on the same pictures, and never in a newer one unasked. */
import { describe, expect, test } from 'vitest';
import type { Reading } from '../../src/domain/finding.ts';
import { contentHashOf } from '../../src/domain/identity.ts';
import { sopUid, studyUid, type SopUid } from '../../src/domain/ids.ts';
import { whatToRead } from '../../src/pipeline/what-to-read.ts';
import { reading } from '../store/samples.ts';

const uid = studyUid('2.25.1');
const [one, two] = [sopUid('2.25.77'), sopUid('2.25.78')];
const content = (...pictures: SopUid[]) =>
  new Map([['lumbar', { hash: contentHashOf(pictures), pictures: pictures.length }]]);
const packs = (version = '1.0.0') => [{ name: 'lumbar', version }];
const read = (version: string, pictures: SopUid[], superseded = false): Reading => {
  const made = reading(uid, [], { pack: { name: 'lumbar', version, title: '', sha256: '' } }, pictures);
  return superseded
    ? { ...made, superseded: { by: made.id, pack: made.pack, at: '', standing: [], sameReport: true } }
    : made;
};

describe('a pack', () => {
  test('runs on pictures that nobody has read', () => {
    expect(whatToRead(packs(), content(one), [], [])).toEqual({ packs: new Set(['lumbar']), stay: [], return: [] });
  });

  test('does not run again on what it has read', () => {
    const known = read('1.0.0', [one]);
    for (const again of [[], ['*'], ['lumbar']])
      expect(whatToRead(packs(), content(one), [known], again)).toEqual({
        packs: new Set(),
        stay: [known.id],
        return: [],
      });
  });

  test('runs on a set that has grown, in the version that is installed', () => {
    const known = read('0.9.0', [one]);
    expect(whatToRead(packs(), content(one, two), [known], [])).toEqual({
      packs: new Set(['lumbar']),
      stay: [],
      return: [],
    });
  });

  test('leaves what another version has read, until it is asked for by name or with all', () => {
    const known = read('0.9.0', [one]);
    expect(whatToRead(packs(), content(one), [known], []).stay).toEqual([known.id]);
    expect(whatToRead(packs(), content(one), [known], ['other']).stay).toEqual([known.id]);
    for (const again of [['lumbar'], ['*']])
      expect([...whatToRead(packs(), content(one), [known], again).packs]).toEqual(['lumbar']);
  });

  test('lets its own earlier answer stand again instead of running, when the pictures are those again', () => {
    const [before, now] = [read('1.0.0', [one], true), read('1.0.0', [one, two])];
    expect(whatToRead(packs(), content(one), [now, before], [])).toEqual({
      packs: new Set(),
      stay: [],
      return: [before.id],
    });
  });

  test('that is not for this study any more leaves what it said', () => {
    const known = read('1.0.0', [one]);
    expect(whatToRead(packs(), new Map(), [known], ['*'])).toEqual({ packs: new Set(), stay: [known.id], return: [] });
  });
});
