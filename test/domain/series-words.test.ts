/** Words of technologists, in several languages and spellings. */
import { describe, expect, test } from 'vitest';
import { planeOfText, saysScout } from '../../src/domain/series-words.ts';

describe('planes in words', () => {
  test.each([
    ['SAG T2', 'sagittal'],
    ['t2_tse_sag_p2', 'sagittal'],
    ['OSag T2 FRFSE', 'sagittal'],
    ['Sagital', 'sagittal'],
    ['sagittale', 'sagittal'],
    ['T2 strzałkowa', 'sagittal'],
    ['сагиттальная', 'sagittal'],
    ['矢状位', 'sagittal'],
    ['COR STIR', 'coronal'],
    ['koronar', 'coronal'],
    ['Ax T2', 'axial'],
    ['t2_tra', 'axial'],
    ['transversal', 'axial'],
    ['assiale', 'axial'],
    ['横断面', 'axial'],
    ['T2', undefined],
    ['SAG/AX', undefined],
    ['massage', undefined],
    ['max', undefined],
  ])('%s', (text, plane) => {
    expect(planeOfText(text)).toBe(plane);
  });
});

describe('scouts in words', () => {
  test.each(['localizer', '3-Plane Loc', 'LOC', 'AAHead_Scout', 'Survey_BFFE', 'topogramm', 'repérage', 'Lokalizer'])(
    '%s is one',
    (text) => expect(saysScout(text)).toBe(true),
  );
  test.each(['T2 SAG', 'allocated', 'local anaesthesia', 'loculated', 'SAG T2 Lumbar'])('%s is none', (text) =>
    expect(saysScout(text)).toBe(false),
  );
});
