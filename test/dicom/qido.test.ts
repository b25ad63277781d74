/** Searching archives that read the question loosely: nothing is lost, nothing is given that was not asked for. */
import { afterEach, describe, expect, test } from 'vitest';
import { dicomwebArchive } from '../../src/dicom/dicomweb-archive.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { StudyQuery } from '../../src/domain/ports.ts';
import { answering, dicomJson, stopAnswering, type Answering } from '../support/answering-server.ts';

afterEach(stopAnswering);

const row = (number: number, modality = 'DX', day = '20260301') => ({
  '0020000D': { vr: 'UI', Value: [`1.2.${number}`] },
  '00080020': { vr: 'DA', Value: [day] },
  '00080050': { vr: 'SH', Value: [`A${number}`] },
  '00080061': { vr: 'CS', Value: [modality] },
  '00201208': { vr: 'IS', Value: [String(number)] },
});
const many = (count: number, modality?: (number: number) => string) =>
  Array.from({ length: count }, (_, number) => row(number, modality?.(number)));

const archiveThat = async (answer: Answering) => {
  const server = await answering(answer);
  return {
    archive: dicomwebArchive({ baseUrl: server.url, timeoutMs: 30_000, logger: silentLogger }),
    heard: server.heard,
  };
};
const paging = (path: string) => {
  const { searchParams } = new URL(path, 'http://archive');
  const number = (name: string) => (searchParams.has(name) ? Number(searchParams.get(name)) : undefined);
  return { limit: number('limit') ?? Infinity, offset: number('offset') ?? 0, where: searchParams };
};
const uids = async (archive: ReturnType<typeof dicomwebArchive>, query: StudyQuery = {}) =>
  (await archive.findStudies(query)).map((study) => Number(study.studyUid.slice(4)));
const upTo = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index);

describe('pages', () => {
  test.each([
    ['warning 299', { warning: '299 archive "more"' }, 200],
    ['a total', { 'x-total-count': '450' }, 200],
    ['status 206', {}, 206],
  ])('that say with %s that there is more are followed to the end', async (_, headers, status) => {
    const rows = many(450);
    const { archive, heard } = await archiveThat(({ path }, response) => {
      const { offset, limit } = paging(path);
      // It gives fifty at most, whatever is asked for.
      const page = rows.slice(offset, offset + Math.min(limit, 50));
      const last = offset + page.length === rows.length;
      dicomJson(response, page, last && !('x-total-count' in headers) ? {} : headers, last ? 200 : status);
    });
    expect(await uids(archive)).toEqual(upTo(450));
    expect(heard).toHaveLength(9);
  });

  test('are asked for until one is short', async () => {
    const rows = many(450);
    const { archive, heard } = await archiveThat(({ path }, response) => {
      const { offset, limit } = paging(path);
      dicomJson(response, rows.slice(offset, offset + limit));
    });
    expect(await uids(archive, { limit: 430 })).toEqual(upTo(430));
    expect(heard.map(({ path }) => paging(path)).map(({ limit, offset }) => [limit, offset])).toEqual([
      [200, 0],
      [200, 200],
      [30, 400],
    ]);
  });

  test('of an archive that ignores offset are replaced by everything at once', async () => {
    const rows = many(300);
    const { archive } = await archiveThat(({ path }, response) =>
      dicomJson(response, rows.slice(0, paging(path).limit)),
    );
    expect(await uids(archive)).toEqual(upTo(300));
  });

  test('asked for one by one, of an archive that ignores offset, do not repeat', async () => {
    const rows = many(300);
    const { archive } = await archiveThat(({ path }, response) =>
      dicomJson(response, rows.slice(0, paging(path).limit)),
    );
    expect(await uids(archive, { limit: 100, offset: 0 })).toEqual(upTo(100));
    expect(await uids(archive, { limit: 100, offset: 100 })).toEqual(upTo(100, 100));
    expect(await uids(archive, { limit: 100, offset: 300 })).toEqual([]);
  });

  test('that overlap, as new studies arrive in between, give each study once', async () => {
    const rows = many(260);
    let asked = 0;
    const { archive } = await archiveThat(({ path }, response) => {
      const { offset, limit } = paging(path);
      // Newest first: what comes in pushes the others down.
      if (asked++ === 1) rows.unshift(row(9000), row(9001));
      dicomJson(response, rows.slice(offset, offset + limit));
    });
    const found = await uids(archive);
    expect(new Set(found).size).toBe(found.length);
    expect(found.filter((number) => number < 1000)).toEqual(upTo(260));
  });

  test('end with 204', async () => {
    const rows = many(200);
    const { archive } = await archiveThat(({ path }, response) => {
      if (paging(path).offset > 0) return response.writeHead(204).end();
      return dicomJson(response, rows);
    });
    expect(await uids(archive)).toEqual(upTo(200));
  });
});

describe('search keys', () => {
  test('go out as QIDO-RS spells them, with a day to spare at both ends', async () => {
    const { archive, heard } = await archiveThat((_, response) => response.writeHead(204).end());
    await archive.findStudies({
      studyUid: studyUid('1.2.3'),
      accession: 'A&B',
      modality: 'MR',
      since: new Date('2026-03-05T06:00:00Z'),
      until: new Date('2026-03-07T12:00:00Z'),
    });
    expect(Object.fromEntries(paging(heard[0]!.path).where)).toMatchObject({
      StudyInstanceUID: '1.2.3',
      AccessionNumber: 'A&B',
      ModalitiesInStudy: 'MR',
      StudyDate: '20260304-20260308',
    });
  });

  test('that the archive ignores are applied here, page by page of what fits', async () => {
    const rows = many(450, (number) => (number % 3 === 0 ? 'MR' : 'DX'));
    const { archive } = await archiveThat(({ path }, response) => {
      const { offset, limit } = paging(path);
      dicomJson(response, rows.slice(offset, offset + limit));
    });
    const magnetic = upTo(150).map((number) => number * 3);
    expect(await uids(archive, { modality: 'MR' })).toEqual(magnetic);
    expect(await uids(archive, { modality: 'MR', limit: 20 })).toEqual(magnetic.slice(0, 20));
    expect(await uids(archive, { modality: 'MR', limit: 20, offset: 140 })).toEqual(magnetic.slice(140));
    expect(await uids(archive, { accession: 'A17' })).toEqual([17]);
    expect(await uids(archive, { studyUid: studyUid('1.2.18'), modality: 'DX' })).toEqual([]);
    expect(await uids(archive, { since: new Date('2026-03-04T12:00:00Z') })).toEqual([]);
  });

  test('do not speak against what the archive does not tell', async () => {
    const { archive } = await archiveThat((_, response) =>
      dicomJson(response, [{ '0020000D': { vr: 'UI', Value: ['1.2.1'] } }]),
    );
    expect(await uids(archive, { modality: 'MR', since: new Date() })).toEqual([1]);
    expect(await uids(archive, { accession: 'A1' })).toEqual([]);
  });
});

describe('an answer', () => {
  test.each(['application/json; charset=utf-8', 'text/json', 'text/plain', 'application/octet-stream', undefined])(
    'of DICOM JSON is read under the name %s',
    async (type) => {
      const { archive } = await archiveThat((_, response) => {
        response.writeHead(200, type === undefined ? {} : { 'content-type': type }).end(JSON.stringify(many(2)));
      });
      expect(await archive.findStudies({})).toMatchObject([
        { accession: 'A0', instanceCount: 0 },
        { accession: 'A1', instanceCount: 1 },
      ]);
    },
  );

  test.each(['text/html', 'multipart/related; type="application/dicom+xml"; boundary=x', 'application/xml'])(
    'of another kind is none: %s',
    async (type) => {
      const { archive } = await archiveThat((_, response) =>
        response.writeHead(200, { 'content-type': type }).end('<a/>'),
      );
      await expect(archive.findStudies({})).rejects.toMatchObject({ code: 'archive.bad-answer' });
    },
  );

  test('is had without includefield from an archive that refuses it', async () => {
    const { archive, heard } = await archiveThat(({ path }, response) => {
      if (path.includes('includefield')) return response.writeHead(400).end();
      return dicomJson(response, many(1));
    });
    expect(await uids(archive)).toEqual([0]);
    expect(await uids(archive)).toEqual([0]);
    // It learns: the second search asks once.
    expect(heard).toHaveLength(3);
  });

  test('that is refused for another reason is not asked for again and again', async () => {
    const { archive, heard } = await archiveThat((_, response) => response.writeHead(400).end());
    await expect(archive.findStudies({})).rejects.toMatchObject({ code: 'archive.bad-answer', detail: 'status 400' });
    expect(heard).toHaveLength(2);
  });

  test('may leave out every field but the UID', async () => {
    const { archive } = await archiveThat(({ path }, response) =>
      dicomJson(
        response,
        path.startsWith('/studies?')
          ? [{ '0020000D': { vr: 'UI', Value: ['1.2.1'] } }]
          : [{ '0020000E': { vr: 'UI', Value: ['1.2.1.1'] } }],
      ),
    );
    expect(await archive.findStudies({})).toEqual([{ studyUid: '1.2.1', modalities: [] }]);
    expect(await archive.findSeries(studyUid('1.2.1'))).toEqual([{ seriesUid: '1.2.1.1', modality: '' }]);
  });
});
