/** `wetread doctor` against a real hospital, a dead one, and a service that is running. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startHospital, type Hospital } from '../../sandbox/hospital.ts';
import type { Check } from '../../src/check-up.ts';
import { settings } from '../../src/config.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { serviceKeys, type ServiceKeys } from '../../src/fhir/service-keys.ts';
import { openStore } from '../../src/store/open-store.ts';
import { packsFolder } from '../inference/fixture-pack.ts';
import { arrived, study } from '../store/samples.ts';
import { endWetread, wetread } from '../support/wetread.ts';

const pack = { name: 'same', onnx: 'same', outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } } as const;

let dataDir: string;
let keys: ServiceKeys;
/** Publishes the service's keys, as the service does; the hospital believes nobody else. */
let published: Server;
let hospital: Hospital;
let packs: Awaited<ReturnType<typeof packsFolder>>;
const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

beforeAll(async () => {
  published = createServer((_request, response) => void response.end(JSON.stringify(keys.publicJwks())));
  await new Promise<void>((ready) => published.listen(0, '127.0.0.1', ready));
  packs = await packsFolder(pack);
});
afterAll(async () => {
  published.close();
  await packs?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'wetread-doctor-'));
  keys = await serviceKeys({ dataDir, logger: silentLogger });
  hospital = await startHospital({ port: 0, wetreadUrl: urlOf(published), logger: silentLogger });
});
afterEach(async () => {
  endWetread();
  await hospital?.close();
  rmSync(dataDir, { recursive: true, force: true });
});

const configured = () => ({
  WETREAD_DATA_DIR: dataDir,
  WETREAD_MODELS_DIR: packs.folder,
  WETREAD_DICOMWEB_URL: `${hospital.url}/dicom-web`,
  WETREAD_FHIR_URL: `${hospital.url}/fhir`,
  WETREAD_FHIR_CLIENT_ID: 'wetread',
  WETREAD_CDS_CLIENTS: JSON.stringify([{ issuer: hospital.url, jwksUrl: `${hospital.url}/auth/jwks` }]),
  WETREAD_SMART_ISSUERS: JSON.stringify([{ iss: `${hospital.url}/fhir`, clientId: 'wetread-app' }]),
});
const doctor = async (env: NodeJS.ProcessEnv) => {
  const { code, out, err } = await wetread(['doctor', '--json'], env);
  expect(err).toBe('');
  const { checks } = JSON.parse(out) as { checks: Check[] };
  return { code, of: (name: string) => checks.find((check) => check.name === name), checks };
};

describe('wetread doctor', () => {
  test('finds nothing wrong where archive, chart, models and database answer', async () => {
    const { code, of, checks } = await doctor(configured());
    expect(checks.filter(({ state }) => state === 'fault')).toEqual([]);
    expect(code).toBe(0);
    for (const name of ['database', 'models', 'hooks', 'archive', 'chart', 'cds clients', 'smart launch'])
      expect(of(name)).toMatchObject({ state: 'ok' });
    expect(of('subscription')).toMatchObject({ state: 'off' });
    expect(of('database')?.says).toMatch(/^PostgreSQL \d+\.\d+ \(embedded\); 0 waiting, 0 given up/);
    expect(of('models')?.says).toMatch(/^same 1\.0\.0 \(\d+ ms\) on cpu$/);
    expect(of('archive')?.says).toBe(`${hospital.url}/dicom-web answers`);
  });

  test('names the archive that is down with the next step, exits 1, and still says that the rest is well', async () => {
    const env = { ...configured(), WETREAD_DICOMWEB_URL: 'http://127.0.0.1:1/dicom-web' };
    const { code, of, checks } = await doctor(env);
    expect(code).toBe(1);
    expect(checks.filter(({ state }) => state === 'fault').map(({ name }) => name)).toEqual(['archive']);
    expect(of('archive')).toMatchObject({
      says: expect.stringContaining('archive.unreachable') as string,
      next: expect.stringContaining('check the archive and the network') as string,
    });
    const plain = await wetread(['doctor'], env);
    expect(plain.code).toBe(1);
    expect(plain.out).toMatch(/FAULT +archive .+\n +→ .+network/);
    expect(plain.out).toMatch(/1 of \d+ need attention\.\n$/);
  });

  test('asks the database of the service that is running', async () => {
    const store = await openStore({ dataDir, outputs: ['fhir-report'], logger: silentLogger });
    try {
      await store.register.announce(arrived(study(1)));
      const { code, of } = await doctor(configured());
      expect(of('database')).toMatchObject({ state: 'ok', says: expect.stringContaining('1 waiting') as string });
      expect(code).toBe(0);
      expect((await store.register.get(study(1)))?.state).toEqual({ kind: 'pending' });
    } finally {
      await store.close();
    }
  });

  test('warns of a service that answers everybody', async () => {
    const { code, of } = await doctor({ ...configured(), WETREAD_CDS_OPEN: 'true' });
    expect(code).toBe(1);
    expect(of('cds clients')).toMatchObject({ state: 'fault' });
  });

  test('shows every setting, and no secret', async () => {
    const secret = 'Basic c2VjcmV0OnNlY3JldA==';
    const { code, out } = await wetread(['doctor', '--settings', '--json'], { WETREAD_DICOMWEB_AUTHORIZATION: secret });
    expect(code).toBe(0);
    expect(out).not.toContain(secret);
    const shown = JSON.parse(out) as { name: string; value: string }[];
    expect(shown.map(({ name }) => name)).toEqual(settings.map(({ name }) => name));
    expect(shown.find(({ name }) => name === 'WETREAD_DICOMWEB_AUTHORIZATION')?.value).toBe('(set)');
  });

  test('looks into the worklist, and tells that a service has stopped asking the archive', async () => {
    const store = await openStore({ dataDir, outputs: [], logger: silentLogger });
    const retryAt = new Date(Date.now() + 30_000).toISOString();
    await store.cursors.set(
      'archive-circuit',
      JSON.stringify({ kind: 'open', failures: 5, code: 'archive.unreachable', retryAt }),
    );
    await store.close();
    const { of } = await doctor({ ...configured(), WETREAD_UPS_STATION: 'WETREAD' });
    expect(of('worklist')).toEqual({ name: 'worklist', state: 'ok', says: 'answers; 0 scheduled, 0 claimed' });
    expect(of('archive circuit')).toMatchObject({
      state: 'fault',
      says: 'the service has stopped asking after 5 failures in a row (archive.unreachable)',
    });
    const nowhere = await doctor({
      ...configured(),
      WETREAD_UPS_STATION: 'WETREAD',
      WETREAD_UPS_URL: 'http://127.0.0.1:1',
    });
    expect(nowhere.of('worklist')).toMatchObject({ state: 'fault' });
  });
});
