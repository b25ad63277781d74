/** How one request to the archive goes: repeated with patience, never led astray, cancelled at once. */
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { dicomwebArchive, type DicomwebArchiveOptions } from '../../src/dicom/dicomweb-archive.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { answering, dicomJson, stopAnswering, type Answering } from '../support/answering-server.ts';

afterEach(stopAnswering);

const studies = [{ '0020000D': { vr: 'UI', Value: ['1.2.3'] } }];
const archiveThat = async (answer: Answering, options: Partial<DicomwebArchiveOptions> = {}) => {
  const { url, heard } = await answering(answer);
  return { archive: dicomwebArchive({ baseUrl: url, timeoutMs: 30_000, logger: silentLogger, ...options }), heard };
};

describe('a passing fault', () => {
  test.each([429, 500, 502, 503, 504])('%i is asked again, twice', async (status) => {
    let asked = 0;
    const { archive } = await archiveThat((_, response) => {
      if ((asked += 1) < 3) return response.writeHead(status).end('busy');
      return dicomJson(response, studies);
    });
    expect(await archive.findStudies({})).toHaveLength(1);
    expect(asked).toBe(3);
  });

  test.each([501, 505])('is not %i', async (status) => {
    const { archive, heard } = await archiveThat((_, response) => response.writeHead(status).end());
    await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.error', detail: `status ${status}` });
    expect(heard).toHaveLength(1);
  });

  test('is waited out until the date that the archive names', async () => {
    let refusedAt = 0;
    let waited = 0;
    const { archive } = await archiveThat((_, response) => {
      if (refusedAt > 0) {
        waited = Date.now() - refusedAt;
        return dicomJson(response, studies);
      }
      refusedAt = Date.now();
      // A date has whole seconds only.
      const at = new Date(Math.ceil((refusedAt + 1000) / 1000) * 1000);
      return response.writeHead(503, { 'retry-after': at.toUTCString() }).end();
    });
    await archive.findStudies({});
    expect(waited).toBeGreaterThanOrEqual(990);
  });

  test.each(['3600', new Date(Date.now() + 3_600_000).toUTCString()])(
    'that lasts an hour is left to the job queue: Retry-After %s',
    async (retryAfter) => {
      const { archive, heard } = await archiveThat((_, response) =>
        response.writeHead(503, { 'retry-after': retryAfter }).end(),
      );
      await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.error' });
      expect(heard).toHaveLength(1);
    },
  );

  test.each(['soon', '-5', '', 'Thu, 01 Jan 1970 00:00:00 GMT'])(
    'with the Retry-After %j is asked again as usual',
    async (retryAfter) => {
      let asked = 0;
      const { archive } = await archiveThat((_, response) => {
        if ((asked += 1) === 1) return response.writeHead(503, { 'retry-after': retryAfter }).end();
        return dicomJson(response, studies);
      });
      await archive.findStudies({});
      expect(asked).toBe(2);
    },
  );

  test('is not waited out when the job is cancelled', async () => {
    const { archive } = await archiveThat((_, response) => response.writeHead(503, { 'retry-after': '2' }).end());
    const abort = new AbortController();
    const reason = new Error('cancelled');
    setTimeout(() => abort.abort(reason), 50);
    await expect(archive.findStudies({}, abort.signal)).rejects.toBe(reason);
  });
});

describe('credentials', () => {
  test('are not carried to where an answer points', async () => {
    const elsewhere = await answering((_, response) => dicomJson(response, studies));
    for (const status of [301, 302, 303, 307, 308]) {
      const { archive, heard } = await archiveThat(
        (_, response) => response.writeHead(status, { location: `${elsewhere.url}/studies` }).end(),
        { authorization: { header: async () => 'Bearer secret' } },
      );
      await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.bad-answer' });
      expect(heard[0]?.headers.authorization).toBe('Bearer secret');
    }
    expect(elsewhere.heard).toEqual([]);
  });

  test('that were withdrawn are renewed once', async () => {
    let token = 0;
    const authorization = { header: async () => `Bearer ${token}`, refused: () => void (token += 1) };
    const { archive, heard } = await archiveThat(
      ({ headers }, response) =>
        headers.authorization === 'Bearer 1' ? dicomJson(response, studies) : response.writeHead(401).end(),
      { authorization },
    );
    expect(await archive.findStudies({})).toHaveLength(1);
    token = 5;
    await expect(archive.findStudies({})).rejects.toMatchObject({ code: 'archive.refused', detail: 'status 401' });
    expect(heard.map(({ headers }) => headers.authorization)).toEqual(['Bearer 0', 'Bearer 1', 'Bearer 5', 'Bearer 6']);
  });
});

describe('an answer', () => {
  test('that a proxy compressed all the same is read', async () => {
    const { archive } = await archiveThat((_, response) =>
      response
        .writeHead(200, { 'content-type': 'application/dicom+json', 'content-encoding': 'gzip' })
        .end(gzipSync(JSON.stringify(studies))),
    );
    expect(await archive.findStudies({})).toHaveLength(1);
  });

  test('that is a small bomb is not swallowed', async () => {
    const { archive } = await archiveThat((_, response) =>
      response
        .writeHead(200, { 'content-type': 'application/dicom+json', 'content-encoding': 'gzip' })
        .end(gzipSync(Buffer.alloc(80 * 1024 * 1024, '['))),
    );
    await expect(archive.findStudies({})).rejects.toMatchObject({
      code: 'archive.bad-answer',
      detail: 'the list is larger than any list should be',
    });
  });

  test('that is cut in the middle of its compression is incomplete', async () => {
    const { archive } = await archiveThat((_, response) =>
      response
        .writeHead(200, { 'content-type': 'application/dicom+json', 'content-encoding': 'gzip' })
        .end(gzipSync(JSON.stringify(studies)).subarray(0, 30)),
    );
    await expect(archive.findStudies({})).rejects.toMatchObject({ code: 'archive.incomplete' });
  });

  test('of another protocol is told apart', async () => {
    const { archive } = await archiveThat((_, response, request) => {
      request.socket.end('SSH-2.0-OpenSSH_9.2\r\n');
      response.destroy();
    });
    await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.bad-answer', detail: 'not HTTP' });
  });
});

test('connections are used again', async () => {
  const ports = new Set<number | undefined>();
  const { archive } = await archiveThat((_, response, request) => {
    ports.add(request.socket.remotePort);
    return ports.size > 0 ? dicomJson(response, studies) : response.writeHead(204).end();
  });
  for (let times = 0; times < 5; times += 1) await archive.findStudies({});
  expect(ports.size).toBe(1);
});
