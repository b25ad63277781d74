/** The archive client and archives that are down, slow, wrong, or stop in the middle. */
import { setTimeout as pause } from 'node:timers/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { dicomwebArchive, type DicomwebArchiveOptions } from '../../src/dicom/dicomweb-archive.ts';
import type { WetreadError } from '../../src/domain/errors.ts';
import { seriesUid, studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import {
  multipartOf,
  startDicomwebServer,
  type DicomwebServer,
  type DicomwebServerOptions,
} from '../support/dicomweb-server.ts';
import { fixture } from './fixtures.ts';

const study = studyUid('1.2.826.0.1.3680043.10.1561.1');
const series = seriesUid('1.2.826.0.1.3680043.10.1561.1.1');
const stored = [fixture('grey12'), fixture('rgb'), fixture('palette')];

const servers: DicomwebServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function archiveThat(
  misbehave: DicomwebServerOptions['misbehave'],
  options: Partial<DicomwebArchiveOptions> = {},
  server: Partial<DicomwebServerOptions> = {},
) {
  const running = await startDicomwebServer({
    files: stored,
    ...server,
    ...(misbehave === undefined ? {} : { misbehave }),
  });
  servers.push(running);
  return {
    archive: dicomwebArchive({ baseUrl: running.baseUrl, timeoutMs: 30_000, logger: silentLogger, ...options }),
    server: running,
  };
}

async function fetched(files: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const file of files) all.push(file);
  return all;
}

const isWado = (request: IncomingMessage) => /\/series\/[\d.]+$/.test(request.url ?? '');
const onWado = (answer: (response: ServerResponse) => void) => (request: IncomingMessage, response: ServerResponse) => {
  if (!isWado(request)) return false;
  answer(response);
  return true;
};
const always = (answer: (response: ServerResponse) => void) => (_: IncomingMessage, response: ServerResponse) => {
  answer(response);
  return true;
};
const codeOfFetch = (archive: ReturnType<typeof dicomwebArchive>) =>
  fetched(archive.fetchSeries(study, series)).then(
    () => 'no error',
    (thrown: WetreadError) => thrown.code,
  );

describe('an archive that is down', () => {
  test('is unreachable, and answers again when it is up', async () => {
    const { server } = await archiveThat(undefined);
    await server.stop();
    const archive = dicomwebArchive({ baseUrl: server.baseUrl, logger: silentLogger });
    await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.unreachable', detail: 'ECONNREFUSED' });
    const again = await startDicomwebServer({ files: stored, port: Number(new URL(server.baseUrl).port) });
    servers.push(again);
    expect(await fetched(archive.fetchSeries(study, series))).toHaveLength(3);
  });

  test('for a moment only is not noticed', async () => {
    let dropped = 0;
    const { archive } = await archiveThat((request) => {
      if (dropped++ > 0) return false;
      request.socket.destroy();
      return true;
    });
    expect(await archive.findStudies({ studyUid: study })).toHaveLength(1);
    expect(dropped).toBe(2);
  });
});

describe('a busy archive', () => {
  test('that asks for patience is asked again as late as it wishes', async () => {
    let refusedAt = 0;
    let waited = 0;
    const { archive } = await archiveThat((_, response) => {
      if (refusedAt > 0) {
        waited = Date.now() - refusedAt;
        return false;
      }
      refusedAt = Date.now();
      response.writeHead(503, { 'retry-after': '1' }).end('<h1>busy</h1>');
      return true;
    });
    expect(await archive.findStudies({ studyUid: study })).toHaveLength(1);
    expect(waited).toBeGreaterThanOrEqual(990);
  });

  test('that asks for an hour is left to the job queue at once', async () => {
    const { archive, server } = await archiveThat((_, response) => {
      response.writeHead(429, { 'retry-after': '3600' }).end();
      return true;
    });
    await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.error', detail: 'status 429' });
    expect(server.requests).toHaveLength(1);
  });

  test('never gets more requests at once than allowed', async () => {
    let open = 0;
    let most = 0;
    const { archive } = await archiveThat(
      (_, response) => {
        open += 1;
        most = Math.max(most, open);
        response.once('close', () => (open -= 1));
        setTimeout(() => {
          response.writeHead(204).end();
        }, 20);
        return true;
      },
      { maxConcurrent: 2 },
    );
    await Promise.all(Array.from({ length: 9 }, () => archive.findStudies({ studyUid: study })));
    expect(most).toBe(2);
  });
});

describe('a silent archive', () => {
  test('that never begins to answer is unreachable', async () => {
    const { archive } = await archiveThat(() => true, { timeoutMs: 150 });
    await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.unreachable', detail: 'silent for 150 ms' });
  });

  test('that stops in the middle of an answer left it incomplete', async () => {
    const { contentType, body } = multipartOf(stored);
    const { archive } = await archiveThat(
      onWado((response) => {
        response.writeHead(200, { 'content-type': contentType });
        response.write(body.subarray(0, 8000));
      }),
      { timeoutMs: 1_500 },
    );
    expect(await codeOfFetch(archive)).toBe('archive.incomplete');
  });

  test('is left when the job is cancelled', async () => {
    const { archive } = await archiveThat(onWado(() => {}));
    const abort = new AbortController();
    const reason = new Error('cancelled');
    void pause(100).then(() => abort.abort(reason));
    await expect(fetched(archive.fetchSeries(study, series, abort.signal))).rejects.toBe(reason);
  });

  test('does not run out of time while its consumer is slow', async () => {
    const { archive } = await archiveThat(undefined, { timeoutMs: 1_500 });
    let count = 0;
    for await (const file of archive.fetchSeries(study, series)) {
      if (count === 0) await pause(2_000);
      count += file.length > 0 ? 1 : 0;
    }
    expect(count).toBe(3);
  });
});

describe('an answer that is not what was promised', () => {
  const answered = (status: number, contentType: string, body: string | Uint8Array) =>
    archiveThat(onWado((response) => void response.writeHead(status, { 'content-type': contentType }).end(body)));
  const whole = multipartOf(stored, 'edge');

  test('is incomplete when the connection breaks', async () => {
    const { archive } = await archiveThat(
      onWado((response) => {
        response.writeHead(200, { 'content-type': whole.contentType, 'content-length': whole.body.length });
        response.write(whole.body.subarray(0, 9000), () => response.destroy());
      }),
    );
    expect(await codeOfFetch(archive)).toBe('archive.incomplete');
  });

  test('is incomplete without its closing boundary, though the connection ends well', async () => {
    const { archive } = await answered(200, whole.contentType, whole.body.subarray(0, -'\r\n--edge--\r\n'.length));
    expect(await codeOfFetch(archive)).toBe('archive.incomplete');
  });

  test('is incomplete with an object less than QIDO-RS listed', async () => {
    const fewer = multipartOf(stored.slice(0, 2));
    const { archive } = await answered(200, fewer.contentType, fewer.body);
    await expect(fetched(archive.fetchSeries(study, series))).rejects.toMatchObject({
      code: 'archive.incomplete',
      detail: '2 of 3 objects came',
    });
  });

  test('is incomplete with one object twice in place of another', async () => {
    const twice = multipartOf([...stored.slice(0, 2), ...stored.slice(0, 1)]);
    const { archive } = await answered(200, twice.contentType, twice.body);
    expect(await codeOfFetch(archive)).toBe('archive.incomplete');
  });

  test('may hold a damaged file: that is for the decoder to say', async () => {
    const damaged = multipartOf([
      ...stored.slice(0, 2),
      new TextEncoder().encode('not DICOM at all, but somebody stored it'),
    ]);
    const { archive } = await answered(200, damaged.contentType, damaged.body);
    expect(await fetched(archive.fetchSeries(study, series))).toHaveLength(3);
  });

  test.each([
    ['a web page', 200, 'text/html; charset=utf-8', '<html>Please log in</html>', 'archive.bad-answer'],
    ['multipart without a boundary', 200, 'multipart/related; type="application/dicom"', 'x', 'archive.bad-answer'],
    ['a refusal', 401, 'text/plain', 'no', 'archive.refused'],
    ['another refusal', 403, 'text/plain', 'no', 'archive.refused'],
    ['an absence', 404, 'text/plain', 'none', 'archive.not-found'],
    ['a fault', 500, 'application/json', '{"error":"disk"}', 'archive.error'],
    ['a format it does not have', 406, 'text/plain', 'no', 'archive.bad-answer'],
    ['a part of the whole', 206, 'multipart/related; boundary=x', 'x', 'archive.incomplete'],
  ])('%s is told apart (%i)', async (_, status, contentType, body, code) => {
    const { archive } = await answered(status, contentType, body);
    expect(await codeOfFetch(archive)).toBe(code);
  });

  test('is no archive when it does not know what studies are', async () => {
    const { archive } = await archiveThat(always((response) => void response.writeHead(404).end()));
    await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.bad-answer' });
  });

  test('does not lead anywhere else', async () => {
    let visited = false;
    const { server: elsewhere } = await archiveThat(() => {
      visited = true;
      return false;
    });
    const { archive } = await archiveThat(
      always((response) => void response.writeHead(302, { location: elsewhere.baseUrl }).end()),
      {
        authorization: { header: async () => 'Bearer secret' },
      },
    );
    await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.bad-answer' });
    expect(visited).toBe(false);
  });

  test('is not a list when it is HTML, or JSON of another kind, or cut', async () => {
    for (const [contentType, body] of [
      ['text/html', '<html></html>'],
      ['application/dicom+json', '{"error":"no"}'],
      ['application/dicom+json', '[{"0020000D":{"vr":"UI","Value":["1.2'],
      ['application/dicom+json', '["a"]'],
    ] as const) {
      const { archive } = await archiveThat(
        always((response) => void response.writeHead(200, { 'content-type': contentType }).end(body)),
      );
      await expect(archive.findStudies({})).rejects.toMatchObject({ code: 'archive.bad-answer' });
    }
  });

  test('with one malformed UID among studies keeps the others', async () => {
    const rows = ['1.2.3', '1.02.3', '../../etc'].map((uid) => ({ '0020000D': { vr: 'UI', Value: [uid] } }));
    const { archive } = await archiveThat(
      always(
        (response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(rows)),
      ),
    );
    expect((await archive.findStudies({})).map((one) => one.studyUid)).toEqual(['1.2.3']);
  });
});

describe('a request', () => {
  test('carries the authorization it is given, asked for each time', async () => {
    const seen: (string | undefined)[] = [];
    let count = 0;
    const { archive } = await archiveThat(
      (request) => {
        seen.push(request.headers.authorization);
        return false;
      },
      { authorization: { header: async () => `Bearer token-${++count}` } },
    );
    await archive.probe();
    await archive.probe();
    expect(seen).toEqual(['Bearer token-1', 'Bearer token-2']);
  });

  test('asks for objects as they are stored', async () => {
    let accept: string | undefined;
    const { archive } = await archiveThat((request) => {
      if (isWado(request)) accept = request.headers.accept;
      return false;
    });
    await fetched(archive.fetchSeries(study, series));
    expect(accept).toBe('multipart/related; type="application/dicom"; transfer-syntax=*');
  });

  test.each([
    '../admin',
    'studies/../../admin',
    '/etc/passwd',
    'studies/%2e%2e/%2e%2e/x',
    'http://elsewhere/x',
    '//elsewhere/x',
    'studies\\..\\x',
    'studies/1%2f..%2fx',
    '',
    'studies#x',
  ])('for the viewer never leaves the archive: %j', async (path) => {
    const { archive, server } = await archiveThat(undefined);
    await expect(archive.forward(path, { accept: '*/*' })).rejects.toMatchObject({ code: 'request.malformed' });
    expect(server.requests).toEqual([]);
  });

  test('for the viewer hands on status, type and bytes, and nothing that names the archive', async () => {
    const { archive } = await archiveThat((_, response) => {
      response
        .writeHead(404, { 'content-type': 'text/plain', 'set-cookie': 'session=1', server: 'PACS 1.0' })
        .end('no such frame');
      return true;
    });
    const answer = await archive.forward('studies/1.2/series/1.3/instances/1.4/frames/9', {
      accept: 'multipart/related; type="application/octet-stream"',
    });
    expect(answer.status).toBe(404);
    expect(await answer.text()).toBe('no such frame');
    expect([...answer.headers.keys()]).toEqual(['content-type']);
  });

  test('for the viewer does not pass on that the archive refused Wetread', async () => {
    const { archive } = await archiveThat(
      always((response) => void response.writeHead(401, { 'www-authenticate': 'Basic' }).end()),
    );
    await expect(archive.forward('studies', { accept: 'application/dicom+json' })).rejects.toMatchObject({
      code: 'archive.refused',
    });
  });
});

describe('a configuration', () => {
  test.each(['ftp://archive/dicom-web', 'archive', 'http://user:pass@archive/dicom-web'])(
    'with the address %s is refused at the start',
    (baseUrl) => {
      expect(() => dicomwebArchive({ baseUrl, logger: silentLogger })).toThrow(
        expect.objectContaining({ code: 'config.invalid' }),
      );
    },
  );
});
