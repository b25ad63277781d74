/** The HTTP edge: every thrown error becomes its row of the table, and nothing else of it gets out. */
import { once } from 'node:events';
import { connect } from 'node:net';
import express from 'express';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WetreadError } from '../../src/domain/errors.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { errorHandler, notFound } from '../../src/http/errors.ts';
import { listen, type RunningServer } from '../../src/http/server.ts';

describe('the HTTP edge', () => {
  let server: RunningServer;
  let base: string;

  beforeAll(async () => {
    const app = express();
    app.get('/known', () => {
      throw new WetreadError('archive.incomplete', 'three of five parts came');
    });
    app.get('/surprise', () => {
      throw new Error('row of Ada Byron is broken');
    });
    app.get('/half', (_request, response) => {
      response.write('{"entry":[');
      throw new Error('broke in the middle');
    });
    app.post('/json', express.json({ limit: 1000 }), (_request, response) => void response.json({}));
    app.use(notFound, errorHandler(silentLogger));
    server = await listen(app, { host: '127.0.0.1', port: 0, largeBodies: '/big' });
    base = `http://127.0.0.1:${server.port}`;
  });
  afterAll(() => server.close());

  test('answers a known error with its code, sentence and next step', async () => {
    const response = await fetch(`${base}/known`);
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({
      code: 'archive.incomplete',
      detail: 'three of five parts came',
      next: expect.stringContaining('again'),
    });
  });

  test('keeps what an unexpected error says to itself', async () => {
    const response = await fetch(`${base}/surprise`);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('Byron');
  });

  test('does not go on listening to a sender that was answered and never ends', async () => {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    const said: string[] = [];
    socket.on('data', (piece) => said.push(String(piece)));
    socket.write('POST /big/absent HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n');
    const dribble = setInterval(() => socket.write('a'), 100);
    await once(socket, 'close');
    clearInterval(dribble);
    expect(said.join('')).toContain('404 Not Found');
  });

  test('breaks the connection rather than let half an answer pass for a whole one', async () => {
    await expect(fetch(`${base}/half`).then((response) => response.text())).rejects.toThrow(/terminated|closed|reset/i);
  });

  test.each([
    ['{"a":', 400, 'request.malformed'],
    [JSON.stringify({ a: 'x'.repeat(2000) }), 413, 'request.too-large'],
  ])('blames the sender for a body it cannot take', async (body, status, code) => {
    const response = await fetch(`${base}/json`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ code });
  });

  test('says that there is nothing at an unknown address', async () => {
    expect((await fetch(`${base}/nowhere`)).status).toBe(404);
  });
});
