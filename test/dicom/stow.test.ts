/** STOW-RS: objects go out as they come, and each is accounted for. */
import { afterEach, describe, expect, test } from 'vitest';
import { withElements } from '../../sandbox/dicom/part10.ts';
import { dicomwebArchive } from '../../src/dicom/dicomweb-archive.ts';
import { contentTypeParameter, readMultipart } from '../../src/dicom/multipart.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { answering, dicomJson, stopAnswering, type Answering } from '../support/answering-server.ts';
import { fixture } from './fixtures.ts';

afterEach(stopAnswering);

const film = (number: number) => withElements(fixture('grey12'), [['00080018', 'UI', `1.2.${number}`]]);
const item = (number: number, more: object = {}) => ({
  '00081150': { vr: 'UI', Value: ['1.2.840.10008.5.1.4.1.1.2'] },
  '00081155': { vr: 'UI', Value: [`1.2.${number}`] },
  ...more,
});
const stored = (...items: object[]) => ({ '00081199': { vr: 'SQ', Value: items } });
const failed = (...items: object[]) => ({ '00081198': { vr: 'SQ', Value: items } });
const because = (reason: number) => ({ '00081197': { vr: 'US', Value: [reason] } });

const archiveThat = async (answer: Answering, early = false) => {
  const { url, heard } = await answering(answer, { early });
  return { archive: dicomwebArchive({ baseUrl: url, timeoutMs: 30_000, logger: silentLogger }), heard };
};

async function partsOf(body: Buffer, contentType: string) {
  const parts: Uint8Array[] = [];
  const boundary = contentTypeParameter(contentType, 'boundary')!;
  for await (const part of readMultipart(
    (async function* () {
      yield body;
    })(),
    { boundary, maxPartBytes: 1e9 },
  ))
    parts.push(part.body);
  return parts;
}

test('objects arrive byte for byte, in one multipart request', async () => {
  const { archive, heard } = await archiveThat((_, response) => dicomJson(response, stored(item(1), item(2))));
  const files = [film(1), film(2)];
  expect(await archive.store(() => files, { study: '1.2.3' })).toEqual({
    stored: [{ sopUid: '1.2.1' }, { sopUid: '1.2.2' }],
    failed: [],
  });
  expect(heard[0]).toMatchObject({ method: 'POST', path: '/studies/1.2.3' });
  const type = heard[0]!.headers['content-type']!;
  expect(type).toMatch(/^multipart\/related; type="application\/dicom"; boundary=/);
  expect((await partsOf(heard[0]!.body, type)).map((part) => Buffer.compare(part, files.shift()!))).toEqual([0, 0]);
});

describe('an answer', () => {
  test('with failures says which objects and why', async () => {
    const warning = { '00081196': { vr: 'US', Value: [0xb000] }, '00081190': { vr: 'UR', Value: ['http://a/1'] } };
    const { archive } = await archiveThat((_, response) =>
      dicomJson(
        response,
        { ...stored(item(1, warning)), ...failed(item(2, because(0x0110)), because(0xc000)) },
        {},
        202,
      ),
    );
    expect(await archive.store(() => [film(1), film(2)])).toEqual({
      stored: [{ sopUid: '1.2.1', url: 'http://a/1', warning: 0xb000 }],
      failed: [{ sopUid: '1.2.2', reason: 0x0110 }, { reason: 0xc000 }],
    });
  });

  test('of 409 may still name objects that were kept', async () => {
    const { archive } = await archiveThat((_, response) =>
      dicomJson(response, { ...stored(item(1)), ...failed(item(2, because(0xa900))) }, {}, 409),
    );
    expect(await archive.store(() => [film(1), film(2)])).toEqual({
      stored: [{ sopUid: '1.2.1' }],
      failed: [{ sopUid: '1.2.2', reason: 0xa900 }],
    });
  });

  test('that passes over an object did not promise to keep it', async () => {
    const { archive } = await archiveThat((_, response) => dicomJson(response, stored(item(1)), {}, 202));
    expect((await archive.store(() => [film(1), film(2)])).failed).toEqual([{ sopUid: '1.2.2' }]);
  });

  test.each([
    [200, { stored: [{ sopUid: '1.2.1' }], failed: [] }],
    [202, { stored: [], failed: [{ sopUid: '1.2.1' }] }],
    [409, { stored: [], failed: [{ sopUid: '1.2.1' }] }],
  ])('of %i without a word means what its status says', async (status, result) => {
    const { archive } = await archiveThat((_, response) => response.writeHead(status).end());
    expect(await archive.store(() => [film(1)])).toEqual(result);
  });

  test('in the XML of older archives is read as well', async () => {
    const attribute = (tag: string, value: string) =>
      `<DicomAttribute tag="${tag}" vr="UI"><Value number="1">${value}</Value></DicomAttribute>`;
    const xml = `<?xml version="1.0"?><NativeDicomModel>
      <DicomAttribute tag="00081198" vr="SQ"><Item number="1">${attribute('00081155', '1.2.2')}${attribute('00081197', '272')}</Item></DicomAttribute>
      <DicomAttribute tag="00081199" vr="SQ"><Item number="1">${attribute('00081155', '1.2.1')}</Item><Item number="2">${attribute('00081155', '1.2.3')}</Item></DicomAttribute>
    </NativeDicomModel>`;
    const { archive } = await archiveThat((_, response) =>
      response.writeHead(202, { 'content-type': 'application/dicom+xml' }).end(xml),
    );
    expect(await archive.store(() => [film(1), film(2), film(3)])).toEqual({
      stored: [{ sopUid: '1.2.1' }, { sopUid: '1.2.3' }],
      failed: [{ sopUid: '1.2.2', reason: 272 }],
    });
  });

  test.each([
    [400, 'archive.bad-answer'],
    [401, 'archive.refused'],
    [413, 'dicom.too-large'],
    [415, 'archive.bad-answer'],
    [507, 'archive.error'],
  ])("of %i is the whole request's", async (status, code) => {
    const { archive } = await archiveThat((_, response) => response.writeHead(status).end());
    await expect(archive.store(() => [film(1)])).rejects.toMatchObject({ code });
  });
});

describe('sending', () => {
  test('starts again from the first object after a fault that passes', async () => {
    let asked = 0;
    const { archive, heard } = await archiveThat((_, response) => {
      if ((asked += 1) === 1) return response.writeHead(503).end();
      return dicomJson(response, stored(item(1)));
    });
    expect((await archive.store(() => [film(1)])).failed).toEqual([]);
    expect(heard[1]?.body.length).toBe(heard[0]?.body.length);
  });

  test('holds no more than the archive takes: a slow one makes the sender wait', async () => {
    let made = 0;
    let takes: (() => void) | undefined;
    const { archive } = await archiveThat((_, response, request) => {
      // It reads nothing until it is told to.
      takes = () => {
        request.resume();
        request.on('end', () => response.writeHead(200).end());
      };
    }, true);
    const megabyte = new Uint8Array(1024 * 1024);
    const sending = archive.store(function* () {
      for (; made < 200; made += 1) yield megabyte;
    });
    await expect.poll(() => takes).toBeDefined();
    await new Promise((resolve) => setTimeout(resolve, 500));
    // Some fit into the buffers of the two sockets.
    expect(made).toBeLessThan(30);
    takes!();
    await sending;
    expect(made).toBe(200);
  });

  test('ends with an answer that comes before all is sent', async () => {
    let made = 0;
    const { archive } = await archiveThat(
      (_, response) => response.writeHead(413, { connection: 'close' }).end(),
      true,
    );
    const sending = archive.store(function* () {
      for (; made < 500; made += 1) yield new Uint8Array(1024 * 1024);
    });
    await expect(sending).rejects.toMatchObject({
      code: expect.stringMatching(/^(dicom\.too-large|archive\.unreachable)$/),
    });
    expect(made).toBeLessThan(500);
  });

  test('ends with what went wrong in the making of the objects', async () => {
    const { archive } = await archiveThat((_, response) => response.writeHead(200).end());
    const fault = new Error('the file cannot be read');
    await expect(
      archive.store(function* () {
        yield film(1);
        throw fault;
      }),
    ).rejects.toBe(fault);
    // And the next request finds the archive's circuit and places as they were.
    expect(archive.circuit()).toEqual({ kind: 'closed', failures: 0 });
    expect((await archive.store(() => [film(1)])).failed).toEqual([]);
  });

  test('ends when the job is cancelled', async () => {
    const { archive } = await archiveThat(() => {}, true);
    const abort = new AbortController();
    const reason = new Error('cancelled');
    setTimeout(() => abort.abort(reason), 100);
    await expect(archive.store(() => [film(1)], { signal: abort.signal })).rejects.toBe(reason);
  });
});
