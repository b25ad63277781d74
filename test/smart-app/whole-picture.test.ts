/** Pictures cut off are told before a codec of the browser sees them. */
import dicomParser from 'dicom-parser';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { demandWholePicture } from '../../smart-app/src/whole-picture.ts';

const fixtures = new URL('../fixtures/dicom/', import.meta.url);
const films = new URL('../../sandbox/films/', import.meta.url);
const parsed = (file: URL) => dicomParser.parseDicom(new Uint8Array(readFileSync(file)));

describe('a film', () => {
  const names = readdirSync(fixtures).filter((name) => /jpeg|htj2k/.test(name) && name.endsWith('.dcm'));
  test.each(names)('%s is whole', (name) => {
    expect(() => demandWholePicture(parsed(new URL(name, fixtures)))).not.toThrow();
  });

  test('whose JPEG-LS codestream was cut in half is not', () => {
    expect(() => demandWholePicture(parsed(new URL('corrupt.dcm', films)))).toThrow('the picture was cut off');
  });
});
