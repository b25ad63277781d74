/** The proxy to the archive: one patient's pictures, read only, and nothing of the caller or of the archive's secrets passes through. */
import { request as rawRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dicomwebTarget } from '../../src/viewer-api/dicomweb-proxy.ts';
import { ada, adasStudy, apiUnderTest, ben, bensStudy, lin, type ApiUnderTest } from './api-under-test.ts';
import { listen, type RunningServer } from '../../src/http/server.ts';

const instance = `/dicom-web/studies/${adasStudy}/series/1.5/instances/1.6`;
let api: ApiUnderTest;
let archive: RunningServer;
let token: string;
/** What the archive was asked, and how it answers next. */
const heard: { url: string; headers: Record<string, unknown> }[] = [];
let answering: 'whole' | 'cut off' | 'missing' | 'forbidden' | 'broken' | 'html' | 'nothing' | 'endless' = 'whole';
let leftEarly = 0;
const body = Buffer.concat([Buffer.from('--edge\r\n\r\n'), Buffer.alloc(300_000, 7), Buffer.from('\r\n--edge--\r\n')]);

beforeAll(async () => {
  archive = await listen(
    (request, response) => {
      heard.push({ url: request.url ?? '', headers: request.headers });
      response.setHeader('Set-Cookie', 'archive=secret');
      response.setHeader('WWW-Authenticate', 'Basic realm="archive"');
      response.setHeader('X-Powered-By', 'the archive');
      response.setHeader('Cache-Control', 'public, max-age=86400');
      const picture = /\/instances\/[\d.]+$/.test(request.url ?? '') || /frames/.test(request.url ?? '');
      const type = picture ? 'multipart/related; type="application/dicom"; boundary=edge' : 'application/dicom+json';
      switch (answering) {
        case 'missing':
          return void response.writeHead(404).end('no such thing');
        case 'forbidden':
          return void response.writeHead(401).end('who are you');
        case 'broken':
          return void response.writeHead(500).end('stack trace with secrets');
        case 'nothing':
          return void response.writeHead(204).end();
        case 'html':
          return void response.writeHead(200, { 'Content-Type': 'text/html' }).end('<script>alert(1)</script>');
        case 'cut off':
          response.writeHead(200, { 'Content-Type': type, 'Content-Length': body.length });
          return void response.write(body.subarray(0, 100_000), () => response.destroy());
        case 'endless': {
          response.writeHead(200, { 'Content-Type': type });
          const more = () => {
            while (!response.destroyed && response.write(Buffer.alloc(65_536)));
          };
          response.on('drain', more).on('close', () => (leftEarly += 1));
          return more();
        }
        case 'whole':
          return void response.writeHead(200, { 'Content-Type': type }).end(picture ? body : '[]');
      }
    },
    { host: '127.0.0.1', port: 0 },
  );
  api = await apiUnderTest((path, { accept, signal }) =>
    fetch(`http://127.0.0.1:${archive.port}/dicom-web/${path}`, {
      headers: { accept, authorization: 'Basic c2VydmljZTpzZWNyZXQ=' },
      signal,
    }),
  );
  await api.keep(adasStudy, ada, true);
  await api.keep(bensStudy, ben, true);
  token = await api.login(ada);
});
afterAll(async () => {
  await api?.close();
  await archive?.close();
});

describe('a picture', () => {
  test('arrives byte by byte, private, with only the headers it needs', async () => {
    const answer = await api.ask(instance, { token });
    expect(answer.status).toBe(200);
    expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true);
    const headers = Object.fromEntries(answer.headers);
    expect(headers['content-type']).toBe('multipart/related; type="application/dicom"; boundary=edge');
    expect(headers['cache-control']).toBe('private, no-store');
    expect(headers['x-content-type-options']).toBe('nosniff');
    for (const secret of ['set-cookie', 'www-authenticate']) expect(headers[secret]).toBeUndefined();
    expect(JSON.stringify(headers)).not.toContain('the archive');
  });

  test('is asked for with the service’s credentials only; nothing of the caller’s goes on', async () => {
    heard.length = 0;
    await (
      await api.ask(instance, {
        token,
        headers: { cookie: 'session=stolen', 'x-forwarded-for': '6.6.6.6', accept: 'image/jpeg', range: 'bytes=0-9' },
      })
    ).arrayBuffer();
    expect(heard).toHaveLength(1);
    const { headers } = heard[0]!;
    expect(headers['authorization']).toBe('Basic c2VydmljZTpzZWNyZXQ=');
    expect(headers['accept']).toBe('multipart/related; type="application/dicom"; transfer-syntax=*');
    for (const name of ['cookie', 'x-forwarded-for', 'range']) expect(headers[name]).toBeUndefined();
    expect(JSON.stringify(headers)).not.toContain(token);
  });

  test('is in the audit once for each session and study', async () => {
    const fresh = await api.login(ada);
    const before = api.audited.length;
    for (let time = 0; time < 3; time++) await (await api.ask(instance, { token: fresh })).arrayBuffer();
    expect(api.audited.slice(before)).toEqual([
      { action: 'image-viewed', actor: lin.reference, patientId: ada, subject: `study/${adasStudy}` },
    ]);
  });

  test('that the archive cuts off ends in a broken connection, not in a short picture', async () => {
    answering = 'cut off';
    const whole = api.ask(instance, { token }).then((answer) => answer.arrayBuffer());
    await expect(whole).rejects.toThrow('terminated');
    answering = 'whole';
  });

  test('nobody waits for any more is not fetched to its end', async () => {
    answering = 'endless';
    const leaving = new AbortController();
    const answer = await api.ask(instance, { token, signal: leaving.signal });
    await answer.body!.getReader().read();
    const before = leftEarly;
    leaving.abort();
    await expect.poll(() => leftEarly).toBe(before + 1);
    answering = 'whole';
  });
});

test.each([
  ['missing', 404, 'archive.not-found'],
  ['forbidden', 502, 'archive.refused'],
  ['broken', 502, 'archive.error'],
  ['html', 502, 'archive.bad-answer'],
] as const)('an archive that answers "%s" becomes %i %s, without its own words', async (kind, status, code) => {
  answering = kind;
  const answer = await api.ask(instance, { token });
  const text = await answer.text();
  expect([answer.status, JSON.parse(text)]).toMatchObject([status, { code }]);
  expect(text).not.toMatch(/secret|who are you|alert/);
  answering = 'whole';
});

test('nothing found is an empty list', async () => {
  answering = 'nothing';
  const answer = await api.ask(`/dicom-web/studies/${adasStudy}/series`, { token });
  expect([answer.status, await answer.json()]).toEqual([200, []]);
  answering = 'whole';
});

describe('what is not the session’s patient’s', () => {
  test('cannot be told apart from what does not exist, never reaches the archive, and is in the audit', async () => {
    heard.length = 0;
    const before = api.audited.length;
    const paths = [bensStudy, '1.2.3.404'].map((study) => `/dicom-web/studies/${study}/series/1.5/instances/1.6`);
    const answers = await Promise.all(paths.map(async (path) => (await api.ask(path, { token })).json()));
    expect(answers[0]).toMatchObject({ code: 'request.not-found' });
    expect(answers[0]).toEqual(answers[1]);
    expect(heard).toEqual([]);
    expect(api.audited.slice(before).map(({ action, code }) => [action, code])).toEqual([
      ['refused', 'request.not-found'],
      ['refused', 'request.not-found'],
    ]);
  });

  test('is not had without a session either', async () => {
    expect((await api.ask(instance)).status).toBe(401);
    expect((await api.ask(instance, { token: 'x.y' })).status).toBe(401);
  });
});

describe('only a few addresses are passed on', () => {
  const inside = `/studies/${adasStudy}`;
  test.each([
    [`${inside}/series`, `studies/${adasStudy}/series`],
    [`${inside}/instances?SOPInstanceUID=1.6&limit=5`, `studies/${adasStudy}/instances?SOPInstanceUID=1.6&limit=5`],
    [`${inside}/series/1.5/instances?offset=0`, `studies/${adasStudy}/series/1.5/instances?offset=0`],
    [`${inside}/series/1.5/instances/1.6`, `studies/${adasStudy}/series/1.5/instances/1.6`],
    [`${inside}/series/1.5/instances/1.6/metadata`, `studies/${adasStudy}/series/1.5/instances/1.6/metadata`],
    [`${inside}/series/1.5/instances/1.6/frames/12`, `studies/${adasStudy}/series/1.5/instances/1.6/frames/12`],
  ])('%s', (url, path) => expect(dicomwebTarget(url)?.path).toBe(path));

  const crooked = [
    '/studies',
    '/studies?PatientID=*',
    `${inside}`,
    `${inside}/metadata`,
    `${inside}/series/1.5`,
    `${inside}/../${bensStudy}/series`,
    `${inside}/series/../../${bensStudy}/series/1.5/instances`,
    '/studies/../series',
    '/studies/..%2f..%2fadmin/series',
    '/studies/%2e%2e/series',
    `${inside}%2f..%2f${bensStudy}/series`,
    `${inside}/series/1.5/instances/..`,
    `${inside}/series/./instances/1.6`,
    `${inside}//series`,
    `/${inside}/series`,
    `${inside}/series/`,
    `${inside}/series/1.5/instances/1.6/frames/0`,
    `${inside}/series/1.5/instances/1.6/frames/1,2`,
    `${inside}/series/1.5/instances/1.6/rendered`,
    `${inside}/series/1.5/instances/1.6/bulkdata/x`,
    `${inside}/series/1.5/instances/1.6?accept=text/html`,
    `${inside}/series?PatientID=ben`,
    `${inside}/series?limit=-1`,
    `${inside}/series?limit=5&includefield=all`,
    `${inside}/series#@evil`,
    `${inside}/series\\..\\..`,
    `${inside}/series%00`,
    `${inside}/series/01.5/instances`,
    `${inside}/series/${'1.'.repeat(40)}1/instances`,
    '/studies/1.2.3.10@evil.example/series',
    'http://evil.example/studies/1.2.3.10/series',
  ];
  test.each(crooked)('and not %s', (url) => expect(dicomwebTarget(url)).toBeUndefined());

  test('however they are sent: as written on the wire, none reaches the archive', async () => {
    heard.length = 0;
    // fetch tidies such paths up before sending; a raw request does not.
    const sent = await Promise.all(
      crooked
        .filter((path) => !/[\s\\#]/.test(path) && path.startsWith('/'))
        .map((path) => rawStatus(`/dicom-web${path}`)),
    );
    expect(sent.length).toBeGreaterThan(25);
    expect(new Set(sent)).toEqual(new Set([404]));
    expect(heard).toEqual([]);
  });

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])('and not with %s', async (method) => {
    heard.length = 0;
    const answer = await api.ask(instance, { method, token });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET']);
    expect(heard).toEqual([]);
  });
});

function rawStatus(path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = rawRequest(
      { host: '127.0.0.1', port: api.port, path, headers: { authorization: `Bearer ${token}` } },
      (response) => {
        response.resume();
        resolve(response.statusCode);
      },
    );
    sent.on('error', reject).end();
  });
}
