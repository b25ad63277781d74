/** Two archives as one: what was sent here is read from here, the rest from the PACS. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dicomwebArchive, type Forwarding } from '../../src/dicom/dicomweb-archive.ts';
import { inboxFirst } from '../../src/dicom/inbox-first.ts';
import { inboxOrigin } from '../../src/dicom/inbox-origin.ts';
import { seriesUid, studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { Archive } from '../../src/domain/ports.ts';
import { startDicomwebServer, type DicomwebServer } from '../support/dicomweb-server.ts';
import { testFilm } from '../support/films.ts';
import { openInbox, type InboxUnderTest } from '../support/inbox.ts';

const [sent, archived] = [testFilm(), testFilm()];
/** Of the sent study, an older state. */
const stale = testFilm(sent.study);
let room: InboxUnderTest;
let server: DicomwebServer;
let both: Archive & Forwarding;
let alone: Archive & Forwarding;

beforeAll(async () => {
  room = await openInbox();
  await room.put(sent.file);
  server = await startDicomwebServer({ files: [archived.file, stale.file] });
  const inbox = dicomwebArchive({
    baseUrl: 'http://inbox.invalid',
    get: inboxOrigin({ ...room, maxInstanceBytes: 2 ** 26 }),
    logger: silentLogger,
  });
  const pacs = dicomwebArchive({ baseUrl: server.baseUrl, logger: silentLogger });
  both = inboxFirst({ objects: room.objects, inbox, pacs });
  alone = inboxFirst({ objects: room.objects, inbox });
});
afterAll(async () => {
  await server?.stop();
  await room?.close();
});

const sops = async (archive: Archive, { study, series }: typeof sent) => {
  const found = await archive.findInstances(studyUid(study), seriesUid(series));
  return found.map(({ sopUid }) => sopUid);
};
const bytes = async (archive: Archive, { study, series }: typeof sent) => {
  const files: Buffer[] = [];
  for await (const file of archive.fetchSeries(studyUid(study), seriesUid(series))) files.push(Buffer.from(file));
  return files;
};

describe('the inbox before the PACS', () => {
  it('answers for a study that was sent here, without asking the PACS', async () => {
    const before = server.requests.length;
    expect(await sops(both, sent)).toEqual([sent.sop]);
    expect(await bytes(both, sent)).toEqual([Buffer.from(sent.file)]);
    expect(await both.findStudies({ studyUid: studyUid(sent.study) })).toMatchObject([{ instanceCount: 1 }]);
    expect(server.requests.length).toBe(before);
  });

  it('leaves all other studies to the PACS', async () => {
    expect(await sops(both, archived)).toEqual([archived.sop]);
    expect(await bytes(both, archived)).toEqual([Buffer.from(archived.file)]);
    await expect(alone.findSeries(studyUid(archived.study))).rejects.toMatchObject({ code: 'archive.not-found' });
    await expect(alone.probe()).resolves.toBeUndefined();
  });

  it('finds by accession in both, and each study once', async () => {
    const studies = await both.findStudies({ accession: 'ACC-1' });
    expect(studies.map(({ studyUid: uid }) => uid as string).sort()).toEqual([sent.study, archived.study].sort());
  });

  it('walks the PACS alone: what was sent has announced itself', async () => {
    const studies = await both.findStudies({ since: new Date('2026-01-01') });
    expect(studies.map(({ studyUid: uid }) => uid as string).sort()).toEqual([sent.study, archived.study].sort());
    expect(server.requests.at(-1)).toMatch(/^\/dicom-web\/studies\?/);
  });

  it("answers the app's questions: rows, one file, frames, header", async () => {
    const ask = async (path: string) => {
      const answer = await both.forward(`studies/${sent.study}${path}`, { accept: '*/*' });
      expect(answer.status).toBe(200);
      return answer;
    };
    const series = (await (await ask('/series')).json()) as Record<string, { Value: unknown[] }>[];
    expect(series[0]?.['0020000E']?.Value).toEqual([sent.series]);
    const instance = `/series/${sent.series}/instances/${sent.sop}`;
    const rows = (await (await ask(`/series/${sent.series}/instances?limit=5`)).json()) as unknown[];
    expect(rows).toHaveLength(1);

    const file = await ask(instance);
    expect(file.headers.get('content-type')).toMatch(/^multipart\/related; type="application\/dicom"/);
    const body = Buffer.from(await file.arrayBuffer());
    expect(body.length).toBe(Number(file.headers.get('content-length')));
    expect(body.includes(Buffer.from(sent.file))).toBe(true);

    const frame = Buffer.from(await (await ask(`${instance}/frames/1`)).arrayBuffer());
    expect(frame.includes(Buffer.from(sent.file.subarray(-4096)))).toBe(true);
    const [header] = (await (await ask(`${instance}/metadata`)).json()) as Record<string, { Value?: unknown[] }>[];
    expect(header?.['00280010']?.Value).toEqual([expect.any(Number)]);
    expect(header?.['7FE00010']).toEqual({ vr: 'OW', BulkDataURI: `studies/${sent.study}${instance}/frames/1` });

    const nothing = await both.forward(`studies/${sent.study}${instance}/frames/2`.replace(sent.series, '1.2'), {
      accept: '*/*',
    });
    expect(nothing.status).toBe(404);
    await expect(both.forward('studies', { accept: '*/*' })).rejects.toMatchObject({ code: 'request.malformed' });
  });
});
