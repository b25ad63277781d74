/** The built app as it is served: the page always fresh, its parts for ever, framed only by the EHRs that launch it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { appAssets } from '../../src/http/app-assets.ts';
import { errorHandler, notFound } from '../../src/http/errors.ts';
import { listen, type RunningServer } from '../../src/http/server.ts';

const folder = mkdtempSync(join(tmpdir(), 'wetread-assets-'));
let server: RunningServer;
let url: string;

beforeAll(async () => {
  mkdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, 'index.html'), '<!doctype html><title>Wetread</title>');
  writeFileSync(join(folder, 'assets', 'main-abc.js'), 'export {}');
  writeFileSync(join(folder, 'assets', 'codec-abc.wasm'), '\0asm');
  const issuers = [
    { iss: 'https://fhir.one.example/r4' },
    { iss: 'https://fhir.two.example/r4', frameOrigins: ['https://ehr.two.example'] },
  ];
  const app = express();
  app.use('/app', appAssets({ folder, issuers }), notFound, errorHandler(silentLogger));
  server = await listen(app, { host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${server.port}`;
});
afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const ask = (path: string) => fetch(`${url}${path}`, { redirect: 'manual' });

test('the page is asked for again each time, and its parts never', async () => {
  expect((await ask('/app/')).headers.get('cache-control')).toBe('no-cache');
  expect((await ask('/app/assets/main-abc.js')).headers.get('cache-control')).toBe(
    'public, max-age=31536000, immutable',
  );
});

test('the codecs are sent as WebAssembly, so that they can be compiled while they arrive', async () => {
  expect((await ask('/app/assets/codec-abc.wasm')).headers.get('content-type')).toBe('application/wasm');
});

test('an address without its slash leads to the page', async () => {
  const answer = await ask('/app');
  expect([answer.status, answer.headers.get('location')]).toEqual([301, '/app/']);
});

test('only pages of the EHRs may frame it, by where their pages live', async () => {
  const policy = (await ask('/app/')).headers.get('content-security-policy') ?? '';
  expect(policy).toContain('frame-ancestors https://fhir.one.example https://ehr.two.example');
  expect(policy).not.toMatch(/'unsafe-inline'|'unsafe-eval'|\*/);
});

test.each(['/app/../package.json', '/app/%2e%2e/package.json', '/app/assets/', '/app/.env', '/app/nothing.js'])(
  'nothing but the app is served: %s',
  async (path) => {
    expect((await ask(path)).status).toBe(404);
  },
);
