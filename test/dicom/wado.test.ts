/** WADO-RS beyond whole series: headers, single objects, frames and bulk data are whole, bounded, and the archive's own. */
import { afterEach, describe, expect, test } from 'vitest';
import { readPart10, withElements } from '../../sandbox/dicom/part10.ts';
import { dicomwebArchive, type DicomwebArchiveOptions } from '../../src/dicom/dicomweb-archive.ts';
import { jsonArray } from '../../src/dicom/json-array.ts';
import { seriesUid, sopUid, studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { answering, dicomJson, stopAnswering, type Answering } from '../support/answering-server.ts';
import { multipartOf } from '../support/dicomweb-server.ts';
import { fixture } from './fixtures.ts';

afterEach(stopAnswering);

const [study, series, sop] = [studyUid('1.2.3'), seriesUid('1.2.3.4'), sopUid('1.2.3.4.5')];
const archiveThat = async (answer: Answering, options: Partial<DicomwebArchiveOptions> = {}) => {
  const { url, heard } = await answering(answer);
  return {
    archive: dicomwebArchive({ baseUrl: `${url}/rs`, timeoutMs: 30_000, logger: silentLogger, ...options }),
    heard,
    url,
  };
};
async function collect<Thing>(things: AsyncIterable<Thing>): Promise<Thing[]> {
  const all: Thing[] = [];
  for await (const thing of things) all.push(thing);
  return all;
}
/** Parts of octets, as frames and bulk data come. */
const octets = (...parts: readonly string[]) => {
  const { contentType, body } = multipartOf(
    parts.map((part) => Buffer.from(part)),
    'edge',
  );
  return { 'content-type': contentType.replace('application/dicom', 'application/octet-stream'), body };
};

describe('headers of a series', () => {
  const header = (number: number, more: object = {}) => ({
    '00080018': { vr: 'UI', Value: [`1.2.${number}`] },
    '00280010': { vr: 'US', Value: [512] },
    ...more,
  });

  test('of an enhanced object say where each frame lies', async () => {
    const shared = {
      '00209116': { vr: 'SQ', Value: [{ '00200037': { vr: 'DS', Value: [1, 0, 0, 0, 1, 0] } }] },
      '00289110': {
        vr: 'SQ',
        Value: [{ '00280030': { vr: 'DS', Value: [0.5, 0.5] }, '00180050': { vr: 'DS', Value: [3] } }],
      },
    };
    const frame = (z: number, echo: number) => ({
      '00209113': { vr: 'SQ', Value: [{ '00200032': { vr: 'DS', Value: [-10, -20, z] } }] },
      '00189114': { vr: 'SQ', Value: [{ '00189082': { vr: 'FD', Value: [echo] } }] },
    });
    const { archive } = await archiveThat((_, response) =>
      dicomJson(response, [
        header(1, {
          '00080060': { vr: 'CS', Value: ['MR'] },
          '00280008': { vr: 'IS', Value: [2] },
          '52009229': { vr: 'SQ', Value: [shared] },
          '52009230': { vr: 'SQ', Value: [frame(0, 90), frame(3.3, 91)] },
        }),
      ]),
    );
    const [told] = await archive.fetchMetadata(study, series);
    expect(told).toMatchObject({ frames: 2, sliceThicknessMm: 3, mr: { echoTimeMs: 90 } });
    const plane = { orientation: [1, 0, 0, 0, 1, 0], rowSpacingMm: 0.5, columnSpacingMm: 0.5 };
    expect(told?.planes).toEqual([
      { frame: 0, position: [-10, -20, 0], echoTimeMs: 90, ...plane },
      { frame: 1, position: [-10, -20, 3.3], echoTimeMs: 91, ...plane },
    ]);
  });

  test('with odd values say nothing rather than something wrong', async () => {
    const { archive } = await archiveThat((_, response) =>
      dicomJson(response, [
        header(1, {
          '00200032': { vr: 'DS', Value: ['1', '2', 'x'] },
          '00200037': { vr: 'DS', Value: ['1\\0\\0\\0\\1\\0'] },
          '00280008': { vr: 'IS', Value: [4e9] },
          '00080008': { vr: 'CS', Value: ['ORIGINAL\\PRIMARY'] },
        }),
        { '00080018': { vr: 'UI', Value: ['no uid'] } },
        header(2, {
          '00200032': { vr: 'DS', Value: ['1', '2', '3'] },
          '00200037': { vr: 'DS', Value: ['1\\0\\0\\0\\1\\0'] },
        }),
      ]),
    );
    const told = await archive.fetchMetadata(study, series);
    expect(told).toHaveLength(2);
    expect(told[0]).toMatchObject({ planes: [], frames: 100_000, imageType: ['ORIGINAL', 'PRIMARY'] });
    expect(told[1]?.planes).toEqual([{ frame: 0, position: [1, 2, 3], orientation: [1, 0, 0, 0, 1, 0] }]);
  });

  test('that are cut off are no headers', async () => {
    const { archive } = await archiveThat((_, response) =>
      response
        .writeHead(200, { 'content-type': 'application/dicom+json' })
        .end(JSON.stringify([header(1), header(2)]).slice(0, -1)),
    );
    await expect(archive.fetchMetadata(study, series)).rejects.toMatchObject({ code: 'archive.incomplete' });
  });

  test.each([404, 400, 405, 406, 501])(
    'are read out of the objects where the archive gives no metadata (%i)',
    async (status) => {
      const file = withElements(fixture('grey12'), [['00200013', 'IS', '7']]);
      const uid = String(readPart10(file).dataset['00080018']?.Value?.[0]);
      const { archive } = await archiveThat(({ path }, response) => {
        if (path.endsWith('/metadata')) return response.writeHead(status).end();
        if (path.includes('/instances')) return dicomJson(response, [{ '00080018': { vr: 'UI', Value: [uid] } }]);
        const { contentType, body } = multipartOf([file]);
        return response.writeHead(200, { 'content-type': contentType }).end(body);
      });
      expect(await archive.fetchMetadata(study, series)).toMatchObject([
        { sopUid: uid, instanceNumber: 7, rows: 61, columns: 43 },
      ]);
    },
  );

  test('that are none mean that the series is not there', async () => {
    const { archive } = await archiveThat((_, response) => dicomJson(response, []));
    await expect(archive.fetchMetadata(study, series)).rejects.toMatchObject({ code: 'archive.not-found' });
  });
});

describe('a list of JSON', () => {
  const read = (chunks: readonly string[], maxElementBytes = 100) =>
    collect(
      jsonArray(
        (async function* () {
          for (const chunk of chunks) yield Buffer.from(chunk);
        })(),
        { maxElementBytes },
      ),
    );

  test('is the same in pieces of any size', async () => {
    const value = [{ a: 'quote " and \\ and ] }' }, { b: [{ c: [1, 2] }, {}] }, { 'ü€': '\u{1F600}' }];
    const bytes = Buffer.from(`\uFEFF ${JSON.stringify(value, undefined, 1)}\n`);
    for (const size of [1, 2, 3, 7, 1000]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
        bytes.subarray(index * size, (index + 1) * size),
      );
      const source = (async function* () {
        yield* pieces;
      })();
      expect(await collect(jsonArray(source, { maxElementBytes: 100 }))).toEqual(value);
    }
  });

  test.each([
    [['{"a":1}'], 'archive.bad-answer'],
    [['["a"]'], 'archive.bad-answer'],
    [['[{"a":}]'], 'archive.bad-answer'],
    [[''], 'archive.bad-answer'],
    [['<html>'], 'archive.bad-answer'],
    [['[{}] and more'], 'archive.bad-answer'],
    [['[{}'], 'archive.incomplete'],
    [['[{"a":"'], 'archive.incomplete'],
    [['[{"a":"', 'x'.repeat(200)], 'archive.bad-answer'],
  ])('is refused when it is none: %j', async (chunks, code) => {
    await expect(read(chunks)).rejects.toMatchObject({ code });
  });
});

describe('single objects', () => {
  const films = Array.from({ length: 40 }, (_, index) =>
    withElements(fixture('grey12'), [['00080018', 'UI', `1.2.9.${index}`]]),
  );
  const uids = films.map((_, index) => sopUid(`1.2.9.${index}`));
  const numberIn = (path: string) => Number(path.split('.').at(-1));

  test('come in order whichever is fastest, a few at a time', async () => {
    let open = 0;
    let most = 0;
    const { archive } = await archiveThat(
      async ({ path }, response) => {
        open += 1;
        most = Math.max(most, open);
        await new Promise((resolve) => setTimeout(resolve, (numberIn(path) % 4) * 5));
        open -= 1;
        const { contentType, body } = multipartOf([films[numberIn(path)]!]);
        response.writeHead(200, { 'content-type': contentType }).end(body);
      },
      { maxConcurrent: 16 },
    );
    const order = uids.toReversed();
    const came = (await collect(archive.fetchInstances(study, series, order))).map((file) =>
      String(readPart10(file).dataset['00080018']?.Value?.[0]),
    );
    expect(came).toEqual(order);
    expect(most).toBe(4);
  });

  test('are fetched no further when nobody reads on', async () => {
    const { archive, heard } = await archiveThat(({ path }, response) => {
      const { contentType, body } = multipartOf([films[numberIn(path)]!]);
      response.writeHead(200, { 'content-type': contentType }).end(body);
    });
    for await (const file of archive.fetchInstances(study, series, uids)) {
      expect(file.length).toBeGreaterThan(0);
      break;
    }
    // Those that were on their way may still come in.
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(heard.length).toBeLessThanOrEqual(5);
  });

  test('are not taken for others', async () => {
    const { archive } = await archiveThat((_, response) => {
      const { contentType, body } = multipartOf([films[7]!]);
      response.writeHead(200, { 'content-type': contentType }).end(body);
    });
    await expect(collect(archive.fetchInstances(study, series, [uids[3]!]))).rejects.toMatchObject({
      code: 'archive.incomplete',
    });
  });

  test('larger than allowed are left before they have come', async () => {
    const { archive } = await archiveThat(
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/dicom', 'content-length': '5000000' });
        response.write('DICM');
      },
      { maxInstanceBytes: 1_000_000 },
    );
    await expect(collect(archive.fetchInstances(study, series, [uids[0]!]))).rejects.toMatchObject({
      code: 'dicom.too-large',
    });
  });
});

test('an answer waits for its reader: a study is never held as a whole', async () => {
  const film = fixture('grey12');
  const uid = String(readPart10(film).dataset['00080018']?.Value?.[0]);
  const megabytes = Buffer.alloc(1024 * 1024);
  let written = 0;
  const { archive } = await archiveThat(async ({ path }, response) => {
    if (path.includes('/instances')) return dicomJson(response, [{ '00080018': { vr: 'UI', Value: [uid] } }]);
    response.writeHead(200, { 'content-type': 'multipart/related; type="application/dicom"; boundary=edge' });
    response.write(Buffer.concat([Buffer.from('--edge\r\n\r\n'), film, Buffer.from('\r\n--edge\r\n\r\n')]));
    for (; written < 300 && !response.destroyed; written += 1)
      if (!response.write(megabytes))
        await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
    return response.end();
  });
  for await (const file of archive.fetchSeries(study, series)) {
    expect(file.length).toBe(film.length);
    await new Promise((resolve) => setTimeout(resolve, 500));
    // Some fit into the buffers of the two sockets.
    expect(written).toBeLessThan(40);
    break;
  }
});

describe('frames', () => {
  const framesOf = async (parts: readonly string[]) => {
    const { body, ...headers } = octets(...parts);
    const { archive, heard } = await archiveThat((_, response) => response.writeHead(200, headers).end(body));
    return { came: collect(archive.fetchFrames(study, series, sop, [5, 2])), heard };
  };

  test('come in the order asked for, as they are stored', async () => {
    const { came, heard } = await framesOf(['a', 'b']);
    expect((await came).map(({ number, bytes }) => [number, Buffer.from(bytes).toString()])).toEqual([
      [5, 'a'],
      [2, 'b'],
    ]);
    expect(heard[0]?.path).toBe('/rs/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.5/frames/5,2');
    expect(heard[0]?.headers.accept).toContain('transfer-syntax=*');
  });

  test.each([
    [['a'], '1 of 2 frames came'],
    [['a', 'b', 'c'], 'more than the 2 frames asked for'],
  ])('are not those that were asked for when %j come', async (parts, detail) => {
    const { came } = await framesOf(parts);
    await expect(came).rejects.toMatchObject({ code: 'archive.incomplete', detail });
  });
});

describe('bulk data', () => {
  test('is fetched from the archive, absolute or relative', async () => {
    const { archive, heard, url } = await archiveThat((_, response) => {
      const { body, ...headers } = octets('pixels');
      response.writeHead(200, headers).end(body);
    });
    for (const uri of [
      `${url}/rs/studies/1.2/bulk/7fe00010`,
      'studies/1.2/bulk/7fe00010',
      '/rs/studies/1.2/bulk/7fe00010?offset=1',
    ]) {
      expect(Buffer.from(await archive.fetchBulkData(uri)).toString()).toBe('pixels');
    }
    expect(heard.map(({ path }) => path.split('?')[0])).toEqual(
      Array.from({ length: 3 }, () => '/rs/studies/1.2/bulk/7fe00010'),
    );
  });

  test('is not fetched from anywhere else, whatever the metadata says', async () => {
    const elsewhere = await answering((_, response) => response.writeHead(200).end('secret'));
    const { archive, heard, url } = await archiveThat((_, response) => response.writeHead(200).end());
    const { port } = new URL(url);
    for (const uri of [
      `${elsewhere.url}/rs/studies/1.2/bulk/1`,
      'http://169.254.169.254/latest/meta-data/',
      'file:///etc/passwd',
      `//127.0.0.1:${new URL(elsewhere.url).port}/rs/x`,
      `${url}/admin`,
      `${url}/rs/../admin`,
      `${url}/rs/%2e%2e/admin`,
      `${url}/rs/a%2f..%2f..%2fadmin`,
      `http://user:password@127.0.0.1:${port}/rs/x`,
      `${url}.evil.example/rs/x`,
      `${url}/rs-other/x`,
      '\\\\host\\share',
      '',
    ]) {
      await expect(archive.fetchBulkData(uri)).rejects.toMatchObject({ code: 'archive.bad-answer' });
    }
    expect([...heard, ...elsewhere.heard]).toEqual([]);
  });

  test.each([
    [['a', 'b'], 'archive.bad-answer'],
    [[], 'archive.incomplete'],
  ])('of %j is refused', async (parts, code) => {
    const { archive } = await archiveThat((_, response) => {
      const { body, ...headers } = octets(...parts);
      response.writeHead(200, headers).end(parts.length === 0 ? '--edge--\r\n' : body);
    });
    await expect(archive.fetchBulkData('x')).rejects.toMatchObject({ code });
  });
});
