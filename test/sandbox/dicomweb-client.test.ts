/** An independent judge of the demo archive: OHIF's dicomweb-client, in a real browser, gets the very bytes and counts our own client gets. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startHospital, type Hospital } from '../../sandbox/hospital.ts';
import { readPart10 } from '../../sandbox/dicom/part10.ts';
import { dicomwebArchive } from '../../src/dicom/dicomweb-archive.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { seriesUid, sopUid, studyUid } from '../../src/domain/ids.ts';
import { archiveContractFiles } from '../contracts/archive.contract.ts';
import { expectations } from '../dicom/fixtures.ts';
import { browserInstalled, launchBrowser } from '../support/browser.ts';

const library = createRequire(import.meta.url).resolve('dicomweb-client/build/dicomweb-client.js');
const films = join(import.meta.dirname, '../../sandbox/films');
const files = [
  ...archiveContractFiles,
  ...['normal.dcm', 'l5-s1-grade-2.dcm', 'wrong-view.dcm'].map(
    (name) => new Uint8Array(readFileSync(join(films, name))),
  ),
];

type Row = Readonly<Record<string, { readonly vr: string; readonly Value?: readonly unknown[] } | undefined>>;
type Uids = { readonly studyInstanceUID: string; readonly seriesInstanceUID: string; readonly sopInstanceUID: string };

const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const uid = (row: Row, tag: string) => String(row[tag]?.Value?.[0]);
const uidsOf = (file: Uint8Array): Uids => {
  const { dataset } = readPart10(file);
  return {
    studyInstanceUID: uid(dataset, '0020000D'),
    seriesInstanceUID: uid(dataset, '0020000E'),
    sopInstanceUID: uid(dataset, '00080018'),
  };
};
const distinct = (values: readonly string[]) => [...new Set(values)].toSorted();

describe.skipIf(!browserInstalled && !process.env['CI'])('dicomweb-client in a browser', () => {
  let hospital: Hospital;
  let browser: Browser;
  let page: Page;
  const held = files.map((file) => ({ file, ...uidsOf(file) }));
  const studies = distinct(held.map(({ studyInstanceUID }) => studyInstanceUID));

  beforeAll(async () => {
    hospital = await startHospital({ port: 0, wetreadUrl: 'http://127.0.0.1:1', logger: silentLogger });
    browser = await launchBrowser();
    // The page's own policy lets no foreign script in; the judge is one.
    const context = await browser.newContext({ bypassCSP: true });
    page = await context.newPage();
    await page.goto(`${hospital.url}/`);
    await page.addScriptTag({ path: library });
    await page.evaluate(() => {
      const library = globalThis as unknown as {
        DICOMwebClient: { api: { DICOMwebClient: new (options: object) => object } };
      };
      const archive = new library.DICOMwebClient.api.DICOMwebClient({
        url: `${location.origin}/dicom-web`,
        verbose: false,
        singlepart: false,
      });
      Object.assign(globalThis, { archive });
    });
  });
  afterAll(async () => {
    await browser?.close();
    await hospital?.close();
  });

  /** Calls the judge; whatever bytes it answers come back as their SHA-256. */
  const ask = <Answer>(method: string, options: object): Promise<Answer> =>
    page.evaluate(
      async ([method, options]) => {
        const { archive } = globalThis as unknown as {
          archive: Record<string, (options: object) => Promise<unknown>>;
        };
        const { files, ...rest } = options as { files?: readonly string[] };
        const datasets = files?.map((file) => Uint8Array.from(atob(file), (char) => char.charCodeAt(0)).buffer);
        const answer = await archive[method]!(datasets === undefined ? rest : { ...rest, datasets });
        const shown = async (value: unknown): Promise<unknown> => {
          if (Array.isArray(value)) return Promise.all(value.map(shown));
          if (!(value instanceof ArrayBuffer)) return value;
          const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', value));
          return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
        };
        return shown(answer);
      },
      [method, options] as const,
    ) as Promise<Answer>;
  const own = () => dicomwebArchive({ baseUrl: `${hospital.url}/dicom-web`, logger: silentLogger });

  test('stores every film, each once', async () => {
    const base64 = files.map((file) => Buffer.from(file).toString('base64'));
    await ask('storeInstances', { files: base64 });
    // A sender that is not sure repeats itself: nothing is kept twice.
    await ask('storeInstances', { files: base64.slice(0, 2) });
    expect(await ask<Row[]>('searchForInstances', {})).toHaveLength(files.length);
  });

  test('finds the studies, series and instances that our own client finds', async () => {
    const found = await ask<Row[]>('searchForStudies', {});
    expect(distinct(found.map((row) => uid(row, '0020000D')))).toEqual(studies);
    expect((await own().findStudies({})).map((study) => String(study.studyUid)).toSorted()).toEqual(studies);
    expect(await ask<Row[]>('searchForStudies', { queryParams: { limit: 2, offset: 1 } })).toHaveLength(2);

    for (const study of studies) {
      const series = await ask<Row[]>('searchForSeries', { studyInstanceUID: study });
      const ours = await own().findSeries(studyUid(study));
      expect(series.map((row) => uid(row, '0020000E')).toSorted()).toEqual(
        ours.map((one) => String(one.seriesUid)).toSorted(),
      );
      for (const { seriesUid: seriesInstanceUID } of ours) {
        const instances = await ask<Row[]>('searchForInstances', { studyInstanceUID: study, seriesInstanceUID });
        const listed = await own().findInstances(studyUid(study), seriesInstanceUID);
        expect(instances.map((row) => uid(row, '00080018')).toSorted()).toEqual(
          listed.map(({ sopUid }) => String(sopUid)).toSorted(),
        );
      }
    }
  });

  test('reads the metadata of each film as it was stored, without its pixels', async () => {
    for (const { file, ...uids } of held) {
      const [metadata, ...others] = await ask<Row[]>('retrieveInstanceMetadata', uids);
      expect(others).toEqual([]);
      const { dataset } = readPart10(file);
      for (const tag of ['00080016', '00080018', '00280010', '00280011', '00280100', '00280004']) {
        expect({ tag, value: metadata?.[tag]?.Value }).toEqual({ tag, value: dataset[tag]?.Value });
      }
      expect(metadata?.['7FE00010']).not.toHaveProperty('InlineBinary');
    }
  });

  test('receives each series byte for byte, as our own client does', async () => {
    for (const series of distinct(held.map(({ seriesInstanceUID }) => seriesInstanceUID))) {
      const within = held.filter(({ seriesInstanceUID }) => seriesInstanceUID === series);
      const study = within[0]!.studyInstanceUID;
      const stored = within.map(({ file }) => hashOf(file)).toSorted();
      const received = await ask<string[]>('retrieveSeries', { studyInstanceUID: study, seriesInstanceUID: series });
      expect(received.toSorted()).toEqual(stored);
      const ours: string[] = [];
      for await (const file of own().fetchSeries(studyUid(study), seriesUid(series))) ours.push(hashOf(file));
      expect(ours.toSorted()).toEqual(stored);
    }
  });

  test('receives frames: the stored values of an uncompressed film, each frame of a compressed run', async () => {
    const [plain] = held;
    const { file: _, ...grey12 } = plain!;
    // Uncompressed and little endian, a frame is the stored values themselves, whose hash the fixture brings.
    expect(await ask('retrieveInstanceFrames', { ...grey12, frameNumbers: [1] })).toEqual([
      expectations['grey12']?.sha256,
    ]);
    const run = held.find(({ file }) => readPart10(file).frames.length === 3)!;
    const frames = readPart10(run.file).frames.map(hashOf);
    expect(distinct(frames)).toHaveLength(3);
    const { file: __, ...uids } = run;
    expect(await ask('retrieveInstanceFrames', { ...uids, frameNumbers: [3, 1] })).toEqual([frames[2], frames[0]]);
    const ours: string[] = [];
    const [study, series, sop] = [uids.studyInstanceUID, uids.seriesInstanceUID, uids.sopInstanceUID];
    for await (const { bytes } of own().fetchFrames(studyUid(study), seriesUid(series), sopUid(sop), [3, 1]))
      ours.push(hashOf(bytes));
    expect(ours).toEqual([frames[2], frames[0]]);
  });
});
