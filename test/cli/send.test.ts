/** `wetread send` as an engineer runs it, against real receivers. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readableTransferSyntaxes } from '../../src/dicom/decode/index.ts';
import { readDataset } from '../../src/dicom/dataset.ts';
import { passMultipart } from '../../src/dicom/multipart.ts';
import { datasetStart, implementationClassUid, implementationVersionName } from '../../src/dicom/part10.ts';
import type { HeardExam } from '../../src/domain/expected-exam.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { dimseSource } from '../../src/events/dimse.ts';
import { hl7Source } from '../../src/events/hl7-mllp.ts';
import { restSource } from '../../src/events/rest.ts';
import { stowSource } from '../../src/events/stow.ts';
import { register, serving } from '../events/announcements.ts';
import { testFilm, type TestFilm } from '../support/films.ts';
import { openInbox, type InboxUnderTest } from '../support/inbox.ts';
import { wetread } from '../support/wetread.ts';

const secret = 'a-secret-of-some-length';
let room: InboxUnderTest;
let folder: string;
let http: Awaited<ReturnType<typeof serving>>;
let dimse: ReturnType<typeof dimseSource>;
let dimsePort: number;
const studies = register();

beforeAll(async () => {
  room = await openInbox();
  folder = mkdtempSync(join(tmpdir(), 'wetread-send-'));
  const stow = stowSource({ secrets: { bearer: secret }, inbox: room.inbox, passMultipart, logger: silentLogger });
  const rest = restSource({ secret, announce: studies.announce, logger: silentLogger });
  http = await serving(stow.router.use(rest.router));
  dimse = dimseSource({
    host: '127.0.0.1',
    port: 0,
    aeTitle: 'WETREAD',
    callers: [{ aeTitle: 'SENDER', from: '127.0.0.1' }],
    inbox: room.inbox,
    transferSyntaxes: readableTransferSyntaxes,
    implementation: { classUid: implementationClassUid, versionName: implementationVersionName },
    logger: silentLogger,
  });
  dimsePort = await dimse.start();
});
afterAll(async () => {
  await dimse?.stop();
  await http?.close();
  await room?.close();
  rmSync(folder, { recursive: true, force: true });
});

const folderWith = (name: string, films: readonly TestFilm[]): string => {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const [index, { file }] of films.entries()) writeFileSync(join(path, `${index}.dcm`), file);
  return path;
};
const send = (...args: string[]) => wetread(['send', ...args], { WETREAD_DATA_DIR: join(folder, 'data') });
const stowed = () => ['--url', `${http.url}/dicom-web-in`, '--secret', secret];
const stored = async (study: string) =>
  (await room.objects.find({ study })).map((one) => new Uint8Array(readFileSync(join(room.folder, one.file))));

describe('wetread send', () => {
  it('sends a folder by STOW-RS, and says of each file what became of it', async () => {
    const films = [testFilm(), testFilm()];
    const path = folderWith('stow', films);
    writeFileSync(join(path, 'readme.txt'), 'no picture');
    const { code, out } = await send(path, ...stowed());
    expect(code).toBe(0);
    expect(out).toMatch(/^ok .*0\.dcm {2}kept\nok .*1\.dcm {2}kept\n\n2 of 2 went well\.\n$/);
    for (const { study, file } of films) expect(await stored(study)).toEqual([file]);
  });

  it('sends by C-STORE without changing a byte of the dataset', async () => {
    const films = ['grey12', 'grey12-htj2k', 'rgb-rle'].map((name) => testFilm(undefined, name));
    const { code, out } = await send(
      folderWith('dimse', films),
      '--to',
      'dimse',
      '--port',
      String(dimsePort),
      '--json',
    );
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject(films.map(({ study }) => ({ ok: true, says: 'kept', studyUid: study })));
    for (const { study, file } of films) {
      const [kept] = await stored(study);
      const dataset = (bytes: Uint8Array) => Buffer.from(bytes.subarray(datasetStart(bytes) as number));
      expect(Buffer.compare(dataset(kept!), dataset(file))).toBe(0);
    }
  });

  it('tries a connection by C-ECHO', async () => {
    const target = ['--to', 'dimse', '--port', String(dimsePort)];
    expect((await send(...target)).out).toMatch(/^ok .*C-ECHO WETREAD .*answers/);
    const stranger = await send(...target, '--aet', 'STRANGER');
    expect([stranger.code, stranger.out]).toEqual([1, expect.stringContaining('does not know the calling AE title')]);
    expect(stranger.out).toContain('WETREAD_DIMSE_CALLERS');
    expect((await send(...target, '--call', 'ELSEWHERE')).out).toContain('set --call to it');
    expect((await send('--to', 'dimse', '--port', '9')).out).toContain('WETREAD_DIMSE_PORT');
  });

  it("sends a film as another patient's, under fresh identifiers that stay together", async () => {
    const study = testFilm().study;
    const path = folderWith('disguised', [testFilm(study), testFilm(study)]);
    const copies = join(folder, 'copies');
    const { code, out } = await send(
      path,
      ...stowed(),
      '--mrn',
      'M-1',
      '--accession',
      'A-9',
      '--save',
      copies,
      '--json',
    );
    expect(code).toBe(0);
    const sent = new Set((JSON.parse(out) as { studyUid: string }[]).map(({ studyUid }) => studyUid));
    expect(sent.size).toBe(1);
    const [fresh] = sent;
    expect(fresh).not.toBe(study);
    const kept = await room.objects.find({ study: fresh! });
    expect(kept.map(({ header }) => [header['00100020']?.Value, header['00080050']?.Value])).toEqual([
      [['M-1'], ['A-9']],
      [['M-1'], ['A-9']],
    ]);
    // The copies are what was sent.
    const names = readdirSync(copies).map((name) =>
      readDataset(new Uint8Array(readFileSync(join(copies, name)))).text('SOPInstanceUID'),
    );
    expect(names.sort()).toEqual(kept.map(({ sopUid }) => sopUid as string).sort());
  });

  it('says what went wrong, and exits 1', async () => {
    const film = testFilm();
    const path = folderWith('refused', [film]);
    const noSecret = await send(path, '--url', `${http.url}/dicom-web-in`);
    expect([noSecret.code, noSecret.out]).toEqual([1, expect.stringContaining('not let in (set --secret-file')]);
    const nobody = await send(path, '--url', 'http://127.0.0.1:1/dicom-web-in');
    expect([nobody.code, nobody.out]).toEqual([1, expect.stringContaining('nobody answers there')]);
    await send(path, ...stowed());
    const changed = testFilm(film.study, 'grey12', [
      ['00080018', 'UI', film.sop],
      ['0008103E', 'LO', 'changed'],
    ]);
    const twin = await send(folderWith('changed', [changed]), ...stowed());
    expect([twin.code, twin.out]).toEqual([1, expect.stringContaining('another object is there under this SOP')]);
    const text = join(folder, 'text.dcm');
    writeFileSync(text, 'not DICOM');
    expect(await send(text, ...stowed())).toMatchObject({
      code: 1,
      out: expect.stringContaining('dicom.not-a-dicom-file'),
    });
  });

  it('announces the studies of files by REST, once each', async () => {
    const study = testFilm().study;
    const path = folderWith('rest', [testFilm(study), testFilm(study)]);
    const { code, out } = await send(path, '--to', 'rest', '--url', http.url, '--secret', secret, '--priority', 'stat');
    expect([code, out]).toEqual([0, expect.stringContaining('(2 files)  queued')]);
    expect(studies.events.filter(({ studyUid }) => studyUid === study)).toMatchObject([
      { source: 'rest', accession: 'ACC-1', priority: 'stat' },
    ]);
  });

  it('reads the secret from a file, and says what is wrong with it', async () => {
    const study = testFilm().study;
    const path = folderWith('secret-file', [testFilm(study)]);
    const kept = join(folder, 'kept-secret');
    writeFileSync(kept, `${secret}\n`);
    const rest = ['--to', 'rest', '--url', http.url];
    expect(await send(path, ...rest, '--secret-file', kept)).toMatchObject({ code: 0 });
    expect(await send(path, '--url', `${http.url}/dicom-web-in`, '--secret-file', kept)).toMatchObject({ code: 0 });
    for (const [more, says] of [
      [['--secret-file', join(folder, 'nowhere')], 'cannot be read'],
      [['--secret-file', kept, '--secret', secret], 'not both'],
    ] as const)
      expect(await send(path, ...rest, ...more)).toMatchObject({
        code: 2,
        err: expect.stringContaining(says) as string,
      });
  });

  it('keeps the own secret from other addresses', async () => {
    const path = folderWith('abroad', [testFilm()]);
    const env = { WETREAD_EVENT_SECRET: 'an-own-secret-of-length' };
    expect(await wetread(['send', path, '--to', 'rest', '--url', http.url], env)).toMatchObject({ code: 2 });
  });

  it('tells of studies by HL7, with what an interface engine would say of them', async () => {
    const heard: HeardExam[] = [];
    const source = hl7Source({
      host: '127.0.0.1',
      port: 0,
      exams: { hear: async (exams) => (heard.push(...exams), 'new') },
      logger: silentLogger,
    });
    await source.start();
    const film = testFilm();
    const path = folderWith('hl7', [film]);
    const to = ['--to', 'hl7', '--port', String(source.port)];
    const { code, out } = await send(path, ...to, '--priority', 'stat');
    expect([code, out]).toEqual([0, expect.stringContaining(`study ${film.study} (1 file)  heard`)]);
    expect(heard).toMatchObject([
      { studyUids: [film.study], accession: 'ACC-1', recordNumber: 'FIX-1', priority: 'stat', state: 'done' },
    ]);
    await source.stop();
    expect(await send(path, ...to)).toMatchObject({ code: 1, out: expect.stringContaining('WETREAD_HL7_PORT') });
  });

  it('is told when it is called wrongly', async () => {
    for (const args of [
      [],
      ['--to', 'carrier-pigeon'],
      ['x', '--to', 'dimse', '--port', '0'],
      ['--to', 'hl7', 'x', '--mrn', '1'],
    ])
      expect([args, (await send(...args)).code]).toEqual([args, 2]);
  });
});
