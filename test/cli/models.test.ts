/** `wetread models` on real packs: exit codes, text and JSON, and a new pack that compiles. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import { runCommand } from '../../src/cli/command.ts';
import { command } from '../../src/cli/models.ts';
import { onnxFile, packsFolder, type FixturePack } from '../inference/fixture-pack.ts';

const root = join(import.meta.dirname, '../..');
const run = promisify(execFile);
const same: FixturePack = { name: 'same', onnx: 'same', outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } };

async function models(folder: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await runCommand(command, args, { stdout, stderr, env: { WETREAD_MODELS_DIR: folder } });
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

describe('wetread models', () => {
  test('lists packs, as text and as JSON', async () => {
    await using packs = await packsFolder(same);
    const { code, out } = await models(packs.folder, 'list');
    expect(code).toBe(0);
    expect(out).toContain('same 1.0.0  A tiny net');
    expect(out).toContain('demonstration model');
    const json = JSON.parse((await models(packs.folder, 'list', '--json')).out) as unknown;
    expect(json).toMatchObject([{ name: 'same', version: '1.0.0', modalities: ['DX'] }]);
  });

  test('lists which packs need more memory than their process may have', async () => {
    const wanting = (name: string, memoryMb: number) => ({ ...same, name, manifest: { hardware: { memoryMb } } });
    await using packs = await packsFolder(wanting('large', 1e9), wanting('small', 100), same);
    const { out } = await models(packs.folder, 'list');
    expect(out).toMatch(
      /^large 1\.0\.0 .*\n( .*\n)* {2}NEEDS 1000000000 MB of memory in its model process, which may have \d+ MB here\n/,
    );
    expect(out.match(/NEEDS/g)).toHaveLength(1);
  });

  test('verifies each pack by running it, and tells the broken from the whole', async () => {
    await using packs = await packsFolder(same, {
      ...same,
      name: 'wrong',
      manifest: { outputs: { other: { type: 'float32', shape: [1] } } },
    });
    const { code, out } = await models(packs.folder, 'verify', '--json');
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject([
      { name: 'same', ok: true },
      { name: 'wrong', ok: false, says: expect.stringContaining('outputs.other') as string },
    ]);
    expect((await models(packs.folder, 'verify', 'same')).code).toBe(0);
  });

  test.each([
    [[]],
    [['verify', 'nobody']],
    [['new']],
    [['new', 'Bad_Name']],
    [['list', '--onnx', 'x']],
    [['list', '--colour']],
  ])('called wrongly (%j) exits 2 and says how', async (args) => {
    await using packs = await packsFolder(same);
    const { code, err } = await models(packs.folder, ...args);
    expect(code).toBe(2);
    expect(err).toContain('wetread models --help');
  });

  test('explains itself', async () => {
    const { code, out } = await models('/nowhere', '--help');
    expect(code).toBe(0);
    expect(out).toMatch(/list[\s\S]*verify[\s\S]*new[\s\S]*seal/);
  });
});

describe('a new pack', () => {
  let house: string;
  let folder: string;
  beforeEach(async () => {
    // As at a site that keeps its packs in a folder of its own.
    house = await mkdtemp(join(tmpdir(), 'wetread-house-'));
    folder = join(house, 'models');
    await mkdir(folder);
    await writeFile(join(house, 'package.json'), '{"type":"module"}');
    const compilerOptions = { typeRoots: [join(root, 'node_modules/@types')] };
    await writeFile(
      join(house, 'tsconfig.json'),
      JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: ['models'] }),
    );
    return () => rm(house, { recursive: true, force: true });
  });
  const compile = () => run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', house]);

  test('made from weights is whole: it compiles, loads, and runs', async () => {
    expect(await models(folder, 'new', 'my-model', '--onnx', onnxFile('moments'))).toMatchObject({ code: 0, err: '' });
    const manifest = JSON.parse(await readFile(join(folder, 'my-model/manifest.json'), 'utf8')) as Record<
      string,
      object
    >;
    expect(manifest['input']).toMatchObject({ tensor: 'image', shape: ['n', 1, 8, 8] });
    expect(manifest['outputs']).toEqual({ moments: { type: 'float32', shape: ['n', 2] } });
    await compile();
    const verified = await models(folder, 'verify', 'my-model');
    expect(verified.out).toMatch(/^ok {5}my-model {2}0\.1\.0, first run \d+ ms on cpu/);
    expect(verified.code).toBe(0);
  });

  test('made without weights compiles, and says what is missing until it is sealed', async () => {
    expect((await models(folder, 'new', 'my-model')).out).toContain('models seal my-model');
    await compile();
    expect(await models(folder, 'verify')).toMatchObject({
      code: 1,
      out: expect.stringContaining('weights.file') as string,
    });
    await copyFile(onnxFile('moments'), join(folder, 'my-model/model.onnx'));
    expect(await models(folder, 'verify')).toMatchObject({
      code: 1,
      out: expect.stringContaining('weights.bytes') as string,
    });
    expect((await models(folder, 'seal', 'my-model')).code).toBe(0);
    // The weights are in order now; what is left is the manifest, which describes other tensors.
    expect(await models(folder, 'verify')).toMatchObject({
      code: 1,
      out: expect.stringContaining('input.shape') as string,
    });
  });

  test('never overwrites one that is there', async () => {
    await models(folder, 'new', 'my-model');
    const again = await models(folder, 'new', 'my-model');
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining('is there already') as string });
  });

  test('is not made from a file that is no model', async () => {
    expect(await models(folder, 'new', 'my-model', '--onnx', join(root, 'package.json'))).toMatchObject({ code: 1 });
    expect(existsSync(join(folder, 'my-model'))).toBe(false);
  });
});
