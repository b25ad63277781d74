/** A flood of calls without a session against the viewer's addresses, and the audit that it leaves in a real database. */
import express from 'express';
import { request } from 'node:http';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { errorHandler, notFound } from '../../src/http/errors.ts';
import { listen, type RunningServer } from '../../src/http/server.ts';
import { appSessions } from '../../src/http/sessions.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { dicomwebProxy } from '../../src/viewer-api/dicomweb-proxy.ts';
import { viewerRouter } from '../../src/viewer-api/routes.ts';
import { testDatabase } from '../support/postgres.ts';
import { ada, lin } from './api-under-test.ts';

let store: Store;
let server: RunningServer;
let sql: Client;
let token: string;

beforeAll(async () => {
  const databaseUrl = await testDatabase();
  store = await openStore({ databaseUrl, dataDir: '.', outputs: [], logger: silentLogger });
  sql = new Client({ connectionString: databaseUrl });
  await sql.connect();
  const sessions = appSessions({ store: store.sessions });
  const { readings, register: studies, audit, strangers } = store;
  const app = express();
  app.use('/app/api', viewerRouter({ readings, studies, packs: [], sessions, audit, strangers, logger: silentLogger }));
  const forward = () => Promise.reject(new Error('no archive'));
  app.use('/dicom-web', dicomwebProxy({ forward, studies, sessions, audit, strangers, logger: silentLogger }));
  app.use(notFound, errorHandler(silentLogger));
  server = await listen(app, { host: '127.0.0.1', port: 0 });
  const opened = await sessions.redeem(await sessions.offer({ patientId: ada, reviewer: lin, banner: {} }));
  token = opened!.token;
});
afterAll(async () => {
  await sql?.end();
  await server?.close();
  await store?.close();
});

/** The status, for a call from this address of the loopback network. */
const ask = (path: string, from: string, bearer?: string, body?: string): Promise<number> =>
  new Promise((resolve, reject) => {
    request({
      host: '127.0.0.1',
      port: server.port,
      path,
      localAddress: from,
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
    })
      .on('response', (response) => response.resume().on('end', () => resolve(response.statusCode ?? 0)))
      .on('error', reject)
      .end(body);
  });

test('a flood without a session is refused each time and audited in a few rows, with every call counted at the end', async () => {
  const flood = 300;
  for (let call = 0; call < flood; call += 1) {
    const path = call % 2 === 0 ? '/app/api/studies' : '/dicom-web/studies/1.2.3/series';
    expect(await ask(path, '127.0.0.1', call % 3 === 0 ? undefined : `guess-${call}`)).toBe(401);
  }
  for (let call = 0; call < 30; call += 1)
    expect(await ask('/app/api/session', '127.0.0.1', undefined, `{"code":"${'x'.repeat(40)}${call}"}`)).not.toBe(201);
  expect(await ask('/app/api/studies', '127.0.0.2')).toBe(401);
  // Who has a session is audited call by call, also in the middle of a flood.
  for (let call = 0; call < 25; call += 1)
    expect(await ask(`/dicom-web/studies/1.2.${call}/series`, '127.0.0.1', token)).toBe(404);

  await server.close();
  await store.close();
  const { rows } = await sql.query<{ actor: string; subject: string | null; code: string }>(
    'select actor, subject, code from wetread.audit',
  );
  const known = rows.filter(({ actor }) => actor === lin.reference);
  expect(known).toHaveLength(25);
  const strangers = rows.filter(({ actor }) => actor === 'anonymous');
  const told = (wanted: string) =>
    strangers
      .filter(({ code }) => code === wanted)
      .reduce((sum, { subject }) => sum + (subject === null ? 1 : Number.parseInt(subject, 10)), 0);
  expect(told('request.unauthenticated')).toBe(flood + 1);
  expect(told('smart.launch-expired')).toBe(30);
  // Ten one by one and a sum for each of two reasons, and the one of the other address.
  expect(strangers).toHaveLength(11 + 11 + 1);
  expect(JSON.stringify(rows)).not.toMatch(/guess|xxxx/);
});
