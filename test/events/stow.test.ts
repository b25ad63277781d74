/** STOW-RS into a real inbox: what is kept, what is refused and how it is said. */
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withElements } from '../../sandbox/dicom/part10.ts';
import { passMultipart } from '../../src/dicom/multipart.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { stowSource, type StowSourceOptions } from '../../src/events/stow.ts';
import { expectations, fixture } from '../dicom/fixtures.ts';
import { describeInstance } from '../../src/dicom/describe.ts';
import { openInbox, type InboxUnderTest } from '../support/inbox.ts';
import { serving } from './announcements.ts';

const secret = 'a-secret-of-some-length';
const basic = 'modality:pass:word';
let room: InboxUnderTest;
let server: Awaited<ReturnType<typeof serving>>;

const source = (options: Partial<StowSourceOptions> = {}) =>
  stowSource({
    secrets: { bearer: secret, basic },
    inbox: room.inbox,
    passMultipart,
    logger: silentLogger,
    ...options,
  });

beforeAll(async () => {
  room = await openInbox();
  server = await serving(source().router);
});
afterAll(async () => {
  await server.close();
  await room.close();
});

let made = 0;
/** The film under UIDs that no other test uses. */
function film(
  study = `1.2.826.0.1.3680043.10.1561.7.${++made}`,
  name = 'grey12',
): { file: Uint8Array; study: string; sop: string } {
  const sop = `${study}.1.${++made}`;
  const file = withElements(fixture(name), [
    ['0020000D', 'UI', study],
    ['0020000E', 'UI', `${study}.1`],
    ['00080018', 'UI', sop],
  ]);
  return { file, study, sop };
}

const boundary = 'between-objects';
const type = `multipart/related; type="application/dicom"; boundary=${boundary}`;

function message(parts: readonly (Uint8Array | { type: string; body: Uint8Array })[], { closed = true } = {}): Buffer {
  const chunks = parts.flatMap((part) => {
    const { type: own, body } = part instanceof Uint8Array ? { type: 'application/dicom', body: part } : part;
    return [Buffer.from(`\r\n--${boundary}\r\nContent-Type: ${own}\r\n\r\n`), body];
  });
  return Buffer.concat([...chunks, Buffer.from(closed ? `\r\n--${boundary}--` : '')]);
}

const post = (
  body: Buffer | string,
  headers: Record<string, string> = {},
  path = '/dicom-web-in/studies',
  at = server,
) =>
  fetch(`${at.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': type, ...headers },
    body: body as BodyInit,
  });

type Answer = Record<string, { Value?: Record<string, { Value?: unknown[] }>[] }>;
const said = async (response: Response) => {
  const answer = (await response.json()) as Answer;
  const uids = (tag: string) => (answer[tag]?.Value ?? []).map((item) => item['00081155']?.Value?.[0]);
  const reasons = (answer['00081198']?.Value ?? []).map((item) => item['00081197']?.Value?.[0]);
  return { status: response.status, kept: uids('00081199'), failed: uids('00081198'), reasons };
};

describe('STOW-RS', () => {
  it('keeps every object of a message, whatever its compression, with the pixels it was sent with', async () => {
    const study = `1.2.826.0.1.3680043.10.1561.7.${++made}`;
    const names = ['grey12', 'grey12-jpeg-ls', 'grey12-htj2k', 'grey12-implicit', 'grey12-big-endian'];
    const films = names.map((name) => film(study, name));
    const answer = await said(await post(message(films.map(({ file }) => file))));
    expect(answer).toEqual({ status: 200, kept: films.map(({ sop }) => sop), failed: [], reasons: [] });
    for (const one of await room.objects.find({ study })) {
      const { sha256 } = await describeInstance(new Uint8Array(readFileSync(join(room.folder, one.file))));
      expect(sha256).toBe(expectations['grey12']?.sha256);
    }
    expect(await room.objects.findStudies({ studyUid: study })).toMatchObject([{ instances: names.length }]);
  });

  it('reads the names of objects out of deflated ones', async () => {
    // dcmjs does not deflate what it writes, so this one keeps its own UIDs.
    const file = fixture('grey12-deflated');
    expect(await said(await post(message([file])))).toMatchObject({ status: 200, failed: [] });
  });

  it('says of each object whether it was kept, and why not', async () => {
    const [good, known] = [film(), film()];
    await post(message([known.file]));
    const changed = withElements(known.file, [['0008103E', 'LO', 'changed']]);
    const answer = await said(
      await post(
        message([
          good.file,
          changed,
          Buffer.from('no DICOM'),
          { type: 'application/dicom+json', body: Buffer.from('[]') },
        ]),
      ),
    );
    expect(answer).toEqual({
      status: 202,
      kept: [good.sop],
      failed: [known.sop, undefined, undefined],
      reasons: [0x0111, 0xc000, 0xc000],
    });
    expect(await said(await post(message([changed])))).toMatchObject({ status: 409, reasons: [0x0111] });
    expect(await said(await post(message([good.file])))).toEqual({
      status: 200,
      kept: [good.sop],
      failed: [],
      reasons: [],
    });
  });

  it('refuses objects of another study than the address names', async () => {
    const { file, sop } = film();
    const answer = await said(await post(message([file]), {}, '/dicom-web-in/studies/1.2.3'));
    expect(answer).toEqual({ status: 409, kept: [], failed: [sop], reasons: [0xa900] });
    expect((await post(message([file]), {}, '/dicom-web-in/studies/1.02.3')).status).toBe(400);
  });

  it('lets in only whoever knows a secret', async () => {
    const { file, study } = film();
    const encoded = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
    for (const authorization of [
      '',
      'Bearer wrong',
      secret,
      encoded('modality:wrong'),
      encoded(`bearer:${secret}`),
      `Basic ${secret}`,
    ]) {
      const response = await post(message([file]), { authorization });
      expect([authorization, response.status]).toEqual([authorization, 401]);
      expect(response.headers.get('www-authenticate')).toMatch(/Bearer.*Basic/);
    }
    expect(await room.objects.holds(studyUid(study))).toBe(false);
    expect((await post(message([file]), { authorization: encoded(basic) })).status).toBe(200);
    expect((await room.objects.find({ study }))[0]?.sender).toEqual({ road: 'stow', name: 'modality' });
  });

  it('says plainly which messages it does not read', async () => {
    const { file } = film();
    for (const contentType of [
      'application/dicom+json',
      'application/dicom',
      `multipart/related; type="application/dicom+json"; boundary=${boundary}`,
      `multipart/related; type="application/dicom+xml"; boundary=${boundary}`,
      'multipart/related; type="application/dicom"',
      'text/plain',
    ])
      expect([contentType, (await post(message([file]), { 'content-type': contentType })).status]).toEqual([
        contentType,
        415,
      ]);
    expect((await post('nothing of the kind')).status).toBe(400);
    expect((await post(message([]))).status).toBe(400);
    const got = await fetch(`${server.url}/dicom-web-in/studies`);
    expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST']);
  });

  it('keeps whole objects of a message that is cut off, and nothing of the one that was cut', async () => {
    const [first, second] = [film(), film()];
    const cut = message([first.file, second.file.subarray(0, second.file.length - 500)], { closed: false });
    expect((await post(cut)).status).toBe(400);
    expect(await room.objects.holds(studyUid(first.study))).toBe(true);
    expect(await room.objects.holds(studyUid(second.study))).toBe(false);
    expect(readdirSync(join(room.folder, 'incoming'))).toEqual([]);
    expect((await said(await post(message([first.file, second.file])))).status).toBe(200);
  });

  it('forgets the beginning of an object whose sender goes away', async () => {
    const { file, study } = film();
    const body = message([file]);
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write(
      `POST /dicom-web-in/studies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret}\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    socket.write(body.subarray(0, body.length / 2));
    await expect.poll(() => readdirSync(join(room.folder, 'incoming')).length).toBe(1);
    socket.destroy();
    await expect.poll(() => readdirSync(join(room.folder, 'incoming')).length).toBe(0);
    expect(await room.objects.holds(studyUid(study))).toBe(false);
  });

  it('asks senders to come again when there is no room, and when too many come at once', async () => {
    const { file } = film();
    const full = await serving(source({ inbox: room.with({ keepFreeBytes: 2 ** 60 }) }).router);
    expect(await said(await post(message([file]), {}, undefined, full))).toMatchObject({
      status: 503,
      reasons: [0xa700],
    });
    await full.close();
    const closed = await serving(source({ atOnce: 0 }).router);
    const response = await post(message([file]), {}, undefined, closed);
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5']);
    await closed.close();
    const few = await serving(source({ maxObjects: 2 }).router);
    expect((await post(message([file, film().file, film().file]), {}, undefined, few)).status).toBe(413);
    await few.close();
  });
});
