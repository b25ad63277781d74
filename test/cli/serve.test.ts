/** `wetread serve` and `bin/wetread.mjs` as an operator meets them: a port that is taken, another Node, Ctrl+C. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { readPostmasterFile, stopLeftoverPostgres } from '../../src/store/postgres-process.ts';
import { packsFolder } from '../inference/fixture-pack.ts';
import { endWetread, startWetread, wetread, wetreadBin } from '../support/wetread.ts';

const pack = { name: 'same', onnx: 'same', outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } } as const;
const systemNode = '/usr/bin/node';
const otherNode = existsSync(systemNode) ? execFileSync(systemNode, ['--version'], { encoding: 'utf8' }).trim() : '';
if (otherNode === '') console.warn('SKIPPED: bin/wetread.mjs under another Node; the system has none at /usr/bin/node');

let packs: Awaited<ReturnType<typeof packsFolder>>;
let dataDir: string;
/** A port that somebody has. */
let taken: Server;

beforeAll(async () => {
  packs = await packsFolder(pack);
  taken = createServer();
  await new Promise<void>((ready) => taken.listen(0, '127.0.0.1', ready));
});
afterAll(async () => {
  taken.close();
  await packs?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'wetread-serve-'));
});
afterEach(async () => {
  endWetread();
  await stopLeftoverPostgres(join(dataDir, 'postgres'), silentLogger);
  rmSync(dataDir, { recursive: true, force: true });
});

const settings = (port: number) => ({
  WETREAD_PORT: String(port),
  WETREAD_DATA_DIR: dataDir,
  WETREAD_MODELS_DIR: packs.folder,
  WETREAD_DICOMWEB_URL: 'http://127.0.0.1:1/dicom-web',
  WETREAD_FHIR_URL: 'http://127.0.0.1:1/fhir',
  WETREAD_POLL_SECONDS: '0',
});

describe('wetread serve', () => {
  test('on a port that is taken names it and the setting, exits 1 and leaves nothing running', async () => {
    const { port } = taken.address() as AddressInfo;
    const { code, out, err } = await wetread(['serve'], settings(port));
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(new RegExp(`WETREAD_PORT.*127\\.0\\.0\\.1:${port} cannot be opened \\(EADDRINUSE\\)`));
    expect(readPostmasterFile(join(dataDir, 'postgres'))).toBeUndefined();
    expect(existsSync(join(dataDir, 'wetread.lock'))).toBe(false);
  });

  test('without an archive names the setting that is missing', async () => {
    const { WETREAD_DICOMWEB_URL: _, ...rest } = settings(0);
    const { code, err } = await wetread(['serve'], rest);
    expect(code).toBe(1);
    expect(err).toContain('WETREAD_DICOMWEB_URL is not set');
  });

  test.skipIf(otherNode === '')(
    `bin/wetread.mjs under ${otherNode} runs the service, and Ctrl+C in the terminal ends all of it in order`,
    async () => {
      const running = startWetread(['serve', '--json'], settings(0), [systemNode, wetreadBin]);
      expect(JSON.parse(await running.says(/\n/))).toMatchObject({ ready: true });
      expect(readPostmasterFile(join(dataDir, 'postgres'))).toBeDefined();
      // The whole group hears a terminal's Ctrl+C, and the wrapper passes its own on: the service hears it again while it stops.
      process.kill(-running.pid, 'SIGINT');
      await running.logs(/"stopping"/);
      process.kill(-running.pid, 'SIGINT');
      const { code, err } = await running.ended;
      expect(code).toBe(0);
      expect(err).toContain('"stopped"');
      expect(readPostmasterFile(join(dataDir, 'postgres'))).toBeUndefined();
      expect(existsSync(join(dataDir, 'wetread.lock'))).toBe(false);
    },
  );

  test.skipIf(otherNode === '')('bin/wetread.mjs passes SIGTERM and the exit code on', async () => {
    const command = [systemNode, wetreadBin] as const;
    expect((await startWetread(['serv'], {}, command).ended).code).toBe(2);
    expect((await startWetread(['worker'], {}, command).ended).code).toBe(1);
    const running = startWetread(['serve'], settings(0), command);
    await running.says(/Wetread is ready/);
    process.kill(running.pid, 'SIGTERM');
    expect((await running.ended).code).toBe(0);
    expect(existsSync(join(dataDir, 'wetread.lock'))).toBe(false);
  });
});
