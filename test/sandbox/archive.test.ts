/** The demo hospital's archive: the contract every archive is held to, and bytes that come back as they were stored. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readMultipart, writeMultipart } from '../../sandbox/archive/multipart.ts';
import { readPart10, withElements, type JsonDataset } from '../../sandbox/dicom/part10.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { startHospital } from '../../sandbox/hospital.ts';
import { archiveContract } from '../contracts/archive.contract.ts';
import { json, startTestHospital, type TestHospital } from './hospital.ts';

const films = join(import.meta.dirname, '../../sandbox/films');
const film = (name: string) => new Uint8Array(readFileSync(join(films, name)));
const store = (root: string, files: readonly Uint8Array[], study?: string) => {
  const { contentType, body } = writeMultipart(
    'application/dicom',
    files.map((body) => ({ type: 'application/dicom', body })),
  );
  return fetch(`${root}/studies${study === undefined ? '' : `/${study}`}`, {
    method: 'POST',
    headers: { 'content-type': contentType },
    body: new Uint8Array(body),
  });
};
/** The film under other UIDs. */
const numbered = (file: Uint8Array, study: string, sop: string, more: Parameters<typeof withElements>[1] = []) =>
  withElements(file, [['0020000D', 'UI', study], ['0020000E', 'UI', `${study}.1`], ['00080018', 'UI', sop], ...more]);

archiveContract('the demo hospital', async (files) => {
  const hospital = await startHospital({ port: 0, wetreadUrl: 'http://127.0.0.1:1', logger: silentLogger });
  const answer = await store(`${hospital.url}/dicom-web`, files);
  if (answer.status !== 200) throw new Error(await answer.text());
  return { baseUrl: `${hospital.url}/dicom-web`, stop: () => hospital.close() };
});

let hospital: TestHospital;
let root: string;
beforeAll(async () => {
  hospital = await startTestHospital({ faults: true });
  root = `${hospital.url}/dicom-web`;
});
afterAll(async () => hospital?.stop());

const rows = async (path: string) => (await (await fetch(`${root}${path}`)).json()) as JsonDataset[];
const value = (row: JsonDataset | undefined, tag: string) => row?.[tag]?.Value?.[0];

describe('a stored film', () => {
  test.each(['normal.dcm', 'l4-l5-grade-1.dcm', 'l5-s1-grade-2.dcm', 'normal-implant.dcm', 'wrong-view.dcm'])(
    'comes back byte for byte: %s',
    async (name) => {
      const file = film(name);
      expect((await store(root, [file])).status).toBe(200);
      const uid = (tag: string) => String(readPart10(file).dataset[tag]!.Value![0]);
      const series = `/studies/${uid('0020000D')}/series/${uid('0020000E')}`;
      const found = await rows(`${series}/instances`);
      expect(value(found[0], '00080018')).toBe(uid('00080018'));
      const got = await fetch(`${root}${series}`, {
        headers: { accept: 'multipart/related; type="application/dicom"; transfer-syntax=*' },
      });
      const parts = readMultipart(got.headers.get('content-type')!, Buffer.from(await got.arrayBuffer()))!;
      expect(parts).toHaveLength(1);
      expect(Buffer.compare(parts[0]!.body, file)).toBe(0);
    },
  );

  test('is kept although its picture is damaged', async () => {
    const file = numbered(film('corrupt.dcm'), '2.25.901', '2.25.901.1.1');
    expect((await store(root, [file])).status).toBe(200);
    const got = await fetch(`${root}/studies/2.25.901/series/2.25.901.1/instances/2.25.901.1.1`, {
      headers: { accept: 'application/dicom' },
    });
    expect(Buffer.compare(Buffer.from(await got.arrayBuffer()), file)).toBe(0);
  });

  test('gives its frames as they are compressed, and says how', async () => {
    const file = numbered(film('l4-l5-grade-1.dcm'), '2.25.902', '2.25.902.1.1');
    await store(root, [file]);
    const got = await fetch(`${root}/studies/2.25.902/series/2.25.902.1/instances/2.25.902.1.1/frames/1`);
    const [frame] = readMultipart(got.headers.get('content-type')!, Buffer.from(await got.arrayBuffer()))!;
    expect(frame!.type).toBe('application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.90');
    // A JPEG 2000 codestream begins with SOC and SIZ.
    expect(Buffer.from(frame!.body.subarray(0, 4)).toString('hex')).toBe('ff4fff51');
    expect((await fetch(`${root}/studies/2.25.902/series/2.25.902.1/instances/2.25.902.1.1/frames/2`)).status).toBe(
      404,
    );
  });

  test('is described without its pixels', async () => {
    const file = numbered(film('wrong-view.dcm'), '2.25.903', '2.25.903.1.1');
    await store(root, [file]);
    const [row] = await rows('/studies/2.25.903/metadata');
    // Rows × columns × two bytes: read from the pixels themselves.
    const pixels = readPart10(file).frames[0]!.byteLength;
    expect(Number(value(row, '00280010')) * Number(value(row, '00280011')) * 2).toBe(pixels);
    expect(value(row, '00083002')).toBe('1.2.840.10008.1.2.1');
    expect(row!['7FE00010']).toEqual({
      vr: 'OW',
      BulkDataURI: `${root}/studies/2.25.903/series/2.25.903.1/instances/2.25.903.1.1/frames/1`,
    });
  });
});

describe('a search', () => {
  beforeAll(async () => {
    const one = (number: number, date: string, mrn: string, modality: string) =>
      numbered(film('l1-wedge.dcm'), `2.25.80${number}`, `2.25.80${number}.1.1`, [
        ['00080020', 'DA', date],
        ['00100020', 'LO', mrn],
        ['00080050', 'SH', `ACC80${number}`],
        ['00080060', 'CS', modality],
      ]);
    await store(root, [
      one(1, '20250105', 'A-1', 'CR'),
      one(2, '20250210', 'A-2', 'DX'),
      one(3, '20250315', 'A-2', 'CR'),
    ]);
  });
  const studies = async (query: string) => (await rows(`/studies?${query}`)).map((row) => value(row, '0020000D'));

  test.each([
    ['StudyInstanceUID=2.25.801,2.25.803', ['2.25.801', '2.25.803']],
    ['00100020=A-2', ['2.25.802', '2.25.803']],
    ['PatientID=A-*', ['2.25.801', '2.25.802', '2.25.803']],
    ['PatientID=a-2', []],
    ['AccessionNumber=ACC802', ['2.25.802']],
    ['StudyDate=20250106-20250331', ['2.25.802', '2.25.803']],
    ['StudyDate=-20250210', ['2.25.801', '2.25.802']],
    ['PatientID=A-?&ModalitiesInStudy=CR', ['2.25.801', '2.25.803']],
    ['PatientID=A-?&limit=1&offset=1', ['2.25.802']],
  ])('by %s', async (query, expected) => {
    expect(await studies(query)).toEqual(expected);
  });

  test('returns other attributes when asked for', async () => {
    const without = await rows('/studies?StudyInstanceUID=2.25.801');
    const with_ = await rows('/studies?StudyInstanceUID=2.25.801&includefield=InstitutionName');
    expect([value(without[0], '00080080'), typeof value(with_[0], '00080080')]).toEqual([undefined, 'string']);
  });

  test('by something that is not an attribute is refused', async () => {
    expect((await fetch(`${root}/studies?ShoeSize=43`)).status).toBe(400);
  });
});

describe('storing', () => {
  test('answers with what was kept and what was not', async () => {
    const good = numbered(film('normal.dcm'), '2.25.904', '2.25.904.1.1');
    const answer = await store(root, [good, new TextEncoder().encode('not DICOM')]);
    const body = (await answer.json()) as Record<string, { Value: JsonDataset[] }>;
    expect(answer.status).toBe(202);
    expect(body['00081199']!.Value.map((item) => value(item, '00081155'))).toEqual(['2.25.904.1.1']);
    expect(body['00081198']!.Value.map((item) => value(item, '00081197'))).toEqual([0xc000]);
  });

  test('the same object again changes nothing; another object under its UID is refused', async () => {
    const file = numbered(film('normal.dcm'), '2.25.905', '2.25.905.1.1');
    await store(root, [file]);
    expect((await store(root, [file])).status).toBe(200);
    const other = await store(root, [withElements(file, [['00100020', 'LO', 'SOMEBODY']])]);
    expect(other.status).toBe(409);
    expect(value((await rows('/studies?StudyInstanceUID=2.25.905'))[0], '00100020')).toBe('PHANTOM');
  });

  test('into another study than its own is refused', async () => {
    expect((await store(root, [numbered(film('normal.dcm'), '2.25.906', '2.25.906.1.1')], '2.25.907')).status).toBe(
      409,
    );
  });

  test('half a message stores nothing', async () => {
    const { contentType, body } = writeMultipart('application/dicom', [
      { type: 'application/dicom', body: numbered(film('normal.dcm'), '2.25.908', '2.25.908.1.1') },
    ]);
    const answer = await fetch(`${root}/studies`, {
      method: 'POST',
      headers: { 'content-type': contentType },
      body: new Uint8Array(body.subarray(0, body.length - 20)),
    });
    expect(answer.status).toBe(400);
    expect(await rows('/studies?StudyInstanceUID=2.25.908')).toEqual([]);
  });
});

describe('a bad day', () => {
  test('answers that are cut off have no closing boundary, and drop when the archive is down', async () => {
    await store(root, [numbered(film('wrong-view.dcm'), '2.25.909', '2.25.909.1.1')]);
    const faults = (archive: string | null) => json(`${hospital.url}/ehr/api/faults`, { archive });
    await faults('truncate');
    const cut = await fetch(`${root}/studies/2.25.909`);
    expect(cut.status).toBe(200);
    expect(readMultipart(cut.headers.get('content-type')!, Buffer.from(await cut.arrayBuffer()))).toBeUndefined();
    await faults('down');
    await expect(fetch(`${root}/studies`)).rejects.toThrow('fetch failed');
    await faults(null);
    expect((await fetch(`${root}/studies/2.25.909`)).status).toBe(200);
  });
});
