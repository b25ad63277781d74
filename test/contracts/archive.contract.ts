/** What every archive must do for Wetread's client, whoever wrote it. An archive passes itself in with a way to be filled. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dicomwebArchive } from '../../src/dicom/dicomweb-archive.ts';
import { withElements } from '../../sandbox/dicom/part10.ts';
import { readDataset } from '../../src/dicom/dataset.ts';
import { describeInstance } from '../../src/dicom/describe.ts';
import { seriesUid, sopUid, studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { StudyQuery } from '../../src/domain/ports.ts';
import { expectations, fixture } from '../dicom/fixtures.ts';

/** Starts an archive that holds these DICOM files. */
export type StartArchive = (
  files: readonly Uint8Array[],
) => Promise<{ readonly baseUrl: string; stop(): Promise<void> }>;

const root = '1.2.826.0.1.3680043.10.1561';
const firstStudy = studyUid(`${root}.1`);
const films = seriesUid(`${root}.1.1`);
const frames = seriesUid(`${root}.1.2`);
/** Uncompressed, and compressed in the ways that archives are tempted to convert. */
const filmNames = ['grey12', 'signed12-overlay', 'rgb-jpeg-ls-line', 'grey8-monochrome1-jpeg-lossless'] as const;

/** The same film in another study: its UIDs begin with …1561.2 instead of …1561.1. */
function inOtherStudy(file: Uint8Array): Uint8Array {
  const copy = Buffer.from(file);
  const from = Buffer.from(`${root}.1`);
  for (let at = copy.indexOf(from); at >= 0; at = copy.indexOf(from, at + from.length)) copy.write(`${root}.2`, at);
  return new Uint8Array(copy);
}

const slices = seriesUid(`${root}.1.3`);
const sliceUids = [1, 2, 3].map((number) => sopUid(`${root}.1.3.${number}`));
/** Three sagittal slices, stored in another order than they lie in. */
const sagittal = [2, 0, 1].map((index) =>
  withElements(fixture('grey12'), [
    ['00080018', 'UI', sliceUids[index]],
    ['00080060', 'CS', 'MR'],
    ['0020000E', 'UI', slices],
    ['00180081', 'DS', '102.5'],
    ['00180080', 'DS', '3500'],
    ['00180020', 'CS', 'SE'],
    ['00200013', 'IS', String(index + 1)],
    ['00200032', 'DS', `${-4.4 + 4.4 * index}`, '-120.5', '88.25'],
    ['00200037', 'DS', '0', '1', '0', '0', '0', '-1'],
    ['00280030', 'DS', '0.5', '0.625'],
  ]),
);

export const archiveContractFiles: readonly Uint8Array[] = [
  ...filmNames.map(fixture),
  fixture('frames3-jpeg2000'),
  ...sagittal,
  inOtherStudy(fixture('grey12')),
];

/** `retrievesOnly`: for stand-ins that answer queries and give objects, and no more. */
export function archiveContract(name: string, start: StartArchive, { skip = false, retrievesOnly = false } = {}): void {
  // What a stand-in was not made for is no test of it, and no skipped one either.
  const testWhole = retrievesOnly ? () => undefined : test;

  describe.skipIf(skip)(`${name} as an archive`, () => {
    let running: Awaited<ReturnType<StartArchive>>;
    const archive = () => dicomwebArchive({ baseUrl: running.baseUrl, timeoutMs: 20_000, logger: silentLogger });

    beforeAll(async () => {
      running = await start(archiveContractFiles);
    });
    afterAll(async () => {
      await running?.stop();
    });

    const collect = async (files: AsyncIterable<Uint8Array>) => {
      const all: Uint8Array[] = [];
      for await (const file of files) all.push(file);
      return all;
    };

    test('answers a probe', async () => {
      await expect(archive().probe()).resolves.toBeUndefined();
    });

    test('describes one study', async () => {
      const [study, ...others] = await archive().findStudies({ studyUid: firstStudy });
      expect(others).toEqual([]);
      expect(study).toMatchObject({
        studyUid: firstStudy,
        dicomPatientId: 'FIX-1',
        accession: 'ACC-1',
        startedAt: '2026-03-01T09:30:00',
        description: 'Lumbar spine',
        instanceCount: filmNames.length + 4,
      });
      expect([...(study?.modalities ?? [])].sort()).toEqual(['DX', 'MR']);
    });

    test('does not know a study that was never stored', async () => {
      expect(await archive().findStudies({ studyUid: studyUid('1.2.3.4.5') })).toEqual([]);
      await expect(archive().findSeries(studyUid('1.2.3.4.5'))).rejects.toMatchObject({ code: 'archive.not-found' });
      await expect(collect(archive().fetchSeries(studyUid('1.2.3.4.5'), films))).rejects.toMatchObject({
        code: 'archive.not-found',
      });
    });

    test('lists studies of a day and after', async () => {
      const since = async (day: string) =>
        (await archive().findStudies({ since: new Date(day) })).map((study) => study.studyUid).sort();
      expect(await since('2026-03-01T12:00:00Z')).toEqual([`${root}.1`, `${root}.2`]);
      expect(await since('2026-03-03T12:00:00Z')).toEqual([]);
    });

    test('lists studies between two days, and by accession number and modality', async () => {
      const found = async (query: StudyQuery) =>
        (await archive().findStudies(query)).map((study) => study.studyUid).sort();
      const [since, until] = [new Date('2026-03-01T00:00:00Z'), new Date('2026-03-02T00:00:00Z')];
      expect(await found({ since, until })).toEqual([`${root}.1`, `${root}.2`]);
      expect(await found({ until: new Date('2026-02-26T12:00:00Z') })).toEqual([]);
      expect(await found({ accession: 'ACC-1' })).toEqual([`${root}.1`, `${root}.2`]);
      expect(await found({ accession: 'ACC-2' })).toEqual([]);
      expect(await found({ accession: 'ACC-*' })).toEqual([]);
      expect(await found({ modality: 'DX', since })).toEqual([`${root}.1`, `${root}.2`]);
      expect(await found({ modality: 'MR' })).toEqual([firstStudy]);
      expect(await found({ modality: 'CT' })).toEqual([]);
      expect(await found({ accession: 'ACC-1', modality: 'DX', studyUid: firstStudy })).toEqual([firstStudy]);
    });

    test('gives page after page without losing or repeating a study', async () => {
      const [first] = await archive().findStudies({ limit: 1, offset: 0 });
      const [second] = await archive().findStudies({ limit: 1, offset: 1 });
      expect([first?.studyUid, second?.studyUid].sort()).toEqual([`${root}.1`, `${root}.2`]);
      expect(await archive().findStudies({ limit: 1, offset: 2 })).toEqual([]);
    });

    test('describes the series of a study', async () => {
      const series = await archive().findSeries(firstStudy);
      const byUid = new Map<string, (typeof series)[number]>(series.map((one) => [one.seriesUid, one]));
      expect([...byUid.keys()].sort()).toEqual([films, frames, slices]);
      expect(byUid.get(frames)).toMatchObject({ modality: 'DX', description: 'LAT', bodyPartExamined: 'LSPINE' });
    });

    test('lists every object of a series once', async () => {
      const listed = (await archive().findInstances(firstStudy, films)).map(({ sopUid }) => sopUid);
      const stored = filmNames.map((film) => readDataset(fixture(film)).text('SOPInstanceUID'));
      expect([...listed].sort()).toEqual([...stored].sort());
    });

    test('gives every object of a series with the pixels it was stored with', async () => {
      const received = await Promise.all(
        (await collect(archive().fetchSeries(firstStudy, films))).map((file) => describeInstance(file)),
      );
      const expected = filmNames.map((film) => expectations[film]?.sha256);
      expect(received.map(({ sha256 }) => sha256).sort()).toEqual([...expected].sort());
    });

    test('keeps compressed objects as they were stored', async () => {
      const [file] = await collect(archive().fetchSeries(firstStudy, frames));
      expect(file && readDataset(file).transferSyntaxUid).toBe('1.2.840.10008.1.2.4.90');
      expect(file && (await describeInstance(file)).sha256).toBe(expectations['frames3']?.sha256);
    });

    test('tells where the slices of a series lie, without their pixels', async () => {
      const told = await archive().fetchMetadata(firstStudy, slices);
      const byUid = new Map(told.map((one) => [one.sopUid, one]));
      expect([...byUid.keys()].sort()).toEqual(sliceUids);
      expect(byUid.get(sliceUids[1]!)).toMatchObject({
        instanceNumber: 2,
        modality: 'MR',
        rows: 61,
        columns: 43,
        frames: 1,
        planes: [
          {
            frame: 0,
            position: [0, -120.5, 88.25],
            orientation: [0, 1, 0, 0, 0, -1],
            rowSpacingMm: 0.5,
            columnSpacingMm: 0.625,
          },
        ],
        mr: { echoTimeMs: 102.5, repetitionTimeMs: 3500, scanningSequence: ['SE'] },
      });
      const [film] = await archive().fetchMetadata(firstStudy, films);
      expect(film).toMatchObject({ modality: 'DX', planes: [] });
    });

    test('gives single objects in the order they are asked for', async () => {
      const wanted = [sliceUids[0]!, sliceUids[2]!, sliceUids[1]!];
      const files = await collect(archive().fetchInstances(firstStudy, slices, wanted));
      expect(files.map((file) => readDataset(file).text('SOPInstanceUID'))).toEqual(wanted);
      expect(await describeInstance(files[0]!)).toMatchObject({ sha256: expectations['grey12']?.sha256 });
      expect(await collect(archive().fetchInstances(firstStudy, slices, []))).toEqual([]);
    });

    test('does not pass over an object that is not there', async () => {
      const given: number[] = [];
      const walk = async () => {
        const wanted = [sliceUids[0]!, sopUid('1.2.3.4'), sliceUids[1]!];
        for await (const file of archive().fetchInstances(firstStudy, slices, wanted)) given.push(file.length);
      };
      await expect(walk()).rejects.toMatchObject({ code: 'archive.not-found' });
      expect(given).toHaveLength(1);
      await expect(archive().fetchMetadata(firstStudy, seriesUid('1.2.3.4'))).rejects.toMatchObject({
        code: 'archive.not-found',
      });
    });

    test('can be left in the middle of a series, and asked again', async () => {
      const patient = dicomwebArchive({ baseUrl: running.baseUrl, maxConcurrent: 1, logger: silentLogger });
      for await (const file of patient.fetchSeries(firstStudy, films)) {
        expect(file.length).toBeGreaterThan(132);
        break;
      }
      expect(await collect(patient.fetchSeries(firstStudy, films))).toHaveLength(filmNames.length);
    });

    test('stops when asked to', async () => {
      const reason = new Error('the job was cancelled');
      await expect(archive().findSeries(firstStudy, AbortSignal.abort(reason))).rejects.toBe(reason);
      const abort = new AbortController();
      const files = archive().fetchSeries(firstStudy, films, abort.signal)[Symbol.asyncIterator]();
      await files.next();
      abort.abort(reason);
      // What has arrived may still be given; nothing new comes.
      const outcome = await (async () => {
        while ((await files.next()).done !== true);
      })().then(
        () => 'all had arrived',
        (thrown: unknown) => (thrown === reason ? 'stopped' : thrown),
      );
      expect(['all had arrived', 'stopped']).toContain(outcome);
    });

    testWhole('gives all objects of a study', async () => {
      const files = await collect(archive().fetchStudy(firstStudy));
      const uids = files.map((file) => readDataset(file).text('SOPInstanceUID'));
      expect(uids).toHaveLength(filmNames.length + 4);
      expect(new Set(uids).size).toBe(uids.length);
    });

    testWhole('gives single frames as they are compressed, in the order asked for', async () => {
      const [instance] = await archive().findInstances(firstStudy, frames);
      const give = async (numbers: number[]) => {
        const given = [];
        for await (const frame of archive().fetchFrames(firstStudy, frames, instance!.sopUid, numbers))
          given.push(frame);
        return given;
      };
      const [third, first] = await give([3, 1]);
      expect([third?.number, first?.number]).toEqual([3, 1]);
      expect(third?.transferSyntaxUid).toBe('1.2.840.10008.1.2.4.90');
      // Start of a JPEG 2000 codestream.
      expect(Buffer.from(first!.bytes.subarray(0, 4)).toString('hex')).toBe('ff4fff51');
      expect(await give([1])).toEqual([first]);
      expect(third?.bytes).not.toEqual(first?.bytes);
      await expect(give([4])).rejects.toMatchObject({
        code: expect.stringMatching(/^archive\.(not-found|bad-answer|error)$/),
      });
    });

    testWhole('gives bulk data that its metadata points at', async () => {
      const answer = await archive().forward(
        `studies/${firstStudy}/series/${slices}/instances/${sliceUids[0]}/metadata`,
        {
          accept: 'application/dicom+json',
        },
      );
      const [header] = (await answer.json()) as [Record<string, { BulkDataURI?: string }>];
      const pixels = await archive().fetchBulkData(header['7FE00010']?.BulkDataURI ?? '');
      const { raw } = readDataset(fixture('grey12'));
      expect(Buffer.compare(pixels, raw('PixelData')!)).toBe(0);
    });

    testWhole('stores what is sent, says what it could not store, and takes the same again', async () => {
      const sent = withElements(fixture('signed16-jpeg-ls'), [
        ['0020000D', 'UI', `${root}.9`],
        ['0020000E', 'UI', `${root}.9.1`],
        ['00080018', 'UI', `${root}.9.1.1`],
      ]);
      const stored = await archive().store(() => [sent]);
      expect(stored.failed).toEqual([]);
      expect(stored.stored.map(({ sopUid: uid }) => uid)).toEqual([`${root}.9.1.1`]);
      const [back] = await collect(archive().fetchStudy(studyUid(`${root}.9`)));
      expect((await describeInstance(back!)).sha256).toBe((await describeInstance(sent)).sha256);

      const stranger = withElements(sent, [
        ['0020000D', 'UI', `${root}.10`],
        ['00080018', 'UI', `${root}.10.1`],
      ]);
      const mixed = await archive().store(() => [sent, stranger], { study: `${root}.9` });
      expect(mixed.stored.map(({ sopUid: uid }) => uid)).toEqual([`${root}.9.1.1`]);
      expect(mixed.failed.map(({ sopUid: uid }) => uid)).toEqual([`${root}.10.1`]);
      expect(mixed.failed[0]?.reason).toBeGreaterThan(0);
    });

    test("passes the viewer's requests on as they are", async () => {
      const answer = await archive().forward(`studies/${firstStudy}/series/${frames}`, {
        accept: 'multipart/related; type="application/dicom"; transfer-syntax=*',
      });
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-type')).toMatch(/^multipart\/related/);
      expect((await answer.arrayBuffer()).byteLength).toBeGreaterThan(1000);
    });
  });
}
