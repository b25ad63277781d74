/** `wetread dicom`, run as the command line runs it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { PNG } from 'pngjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from '../../src/cli/command.ts';
import { command } from '../../src/cli/dicom.ts';
import { expectations } from '../dicom/fixtures.ts';

const path = (name: string) => fileURLToPath(new URL(`../fixtures/dicom/${name}.dcm`, import.meta.url));

async function run(...args: string[]) {
  const said = { stdout: '', stderr: '' };
  const into = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(text, _, done) {
        said[name] += String(text);
        done();
      },
    });
  const exitCode = await runCommand(command, args, { stdout: into('stdout'), stderr: into('stderr'), env: {} });
  return { exitCode, ...said };
}

describe('wetread dicom', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'wetread-dicom-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  test('describes a file as JSON', async () => {
    const { exitCode, stdout } = await run('--json', path('grey12-jpeg-ls'));
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toEqual([
      {
        file: path('grey12-jpeg-ls'),
        sopClassUid: '1.2.840.10008.5.1.4.1.1.1.1',
        transferSyntaxUid: '1.2.840.10008.1.2.4.80',
        rows: 61,
        columns: 43,
        frames: 1,
        samplesPerPixel: 1,
        bitsAllocated: 16,
        bitsStored: 12,
        signed: false,
        photometric: 'MONOCHROME2',
        spacing: { rowMm: 0.2, columnMm: 0.2, plane: 'detector' },
        minimum: 13,
        maximum: 4095,
        sha256: expectations['grey12']?.sha256,
      },
    ]);
  });

  test('says what is wrong with one file and still describes the other', async () => {
    const broken = join(folder, 'broken.dcm');
    await writeFile(broken, (await readFile(path('grey12'))).subarray(0, 3000));
    const { exitCode, stdout } = await run(broken, path('rgb'), '--json');
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject([{ error: { code: 'dicom.truncated' } }, { photometric: 'RGB' }]);
    const plain = await run(broken, path('rgb'));
    expect(plain.stdout).toContain('dicom.truncated');
    expect(plain.stdout).toContain(expectations['rgb']?.sha256);
  });

  test('describes the others when a path is wrong', async () => {
    const { exitCode, stdout } = await run('/no/such/file', path('rgb'), folder, '--json');
    expect(exitCode).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject([
      { file: '/no/such/file', error: { code: 'unreadable', message: 'cannot be opened: ENOENT' } },
      { sha256: expectations['rgb']?.sha256 },
      { error: { code: 'unreadable', message: 'cannot be opened: it is a folder (name its files, or say --stack)' } },
    ]);
  });

  test('tells where a slice lies', async () => {
    const { stdout } = await run('--json', path('enhanced-mr'));
    expect(JSON.parse(stdout)).toMatchObject([
      { frames: 3, position: [0, -80, 120], orientation: [0, 1, 0, 0, 0, -1], spacing: { rowMm: 0.5 } },
    ]);
    expect((await run(path('enhanced-mr'))).stdout).toContain('position         0, \u221280, 120 mm');
  });

  test('draws the picture as a reader would see it', async () => {
    const out = join(folder, 'out.png');
    expect((await run(path('grey8-monochrome1'), '--png', out)).exitCode).toBe(0);
    const png = PNG.sync.read(await readFile(out));
    expect([png.width, png.height]).toEqual([41, 50]);
    // 4 and 255 are the least and greatest stored values, and this film is MONOCHROME1.
    const bytes = (await readFile(path('grey8-monochrome1'))).subarray(-50 * 41);
    const brightest = bytes.indexOf(4);
    expect([png.data[brightest * 4], png.data[bytes.indexOf(255) * 4]]).toEqual([255, 0]);
  });

  test('refuses a damaged file on which a decoder would never end, and still describes the next', async () => {
    const hangs = path('damaged-htj2k-hangs-decoder');
    const { exitCode, stdout } = await run(hangs, path('rgb'), '--json', '--seconds', '5');
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject([
      {
        file: hangs,
        error: { code: 'dicom.unsupported-pixels', message: expect.stringContaining('subsampled') as string },
      },
      { photometric: 'RGB', sha256: expectations['rgb']?.sha256 },
    ]);
  });

  test('called wrongly says so and exits 2', async () => {
    expect((await run()).exitCode).toBe(2);
    expect((await run('--unknown')).exitCode).toBe(2);
    expect((await run(path('rgb'), '--seconds', 'soon')).exitCode).toBe(2);
    expect((await run('/no/such/file')).exitCode).toBe(2);
    expect((await run(path('rgb'), path('rgb'), '--png', 'x.png')).exitCode).toBe(2);
    expect((await run('--help')).stdout).toContain('Usage: wetread dicom');
  });
});
