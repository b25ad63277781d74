/** `wetread models export`: the repository Triton is given; and packs verified on a server instead of here. */
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runCommand } from '../../src/cli/command.ts';
import { command } from '../../src/cli/models.ts';
import { onnxFile, packsFolder, type FixturePack } from '../inference/fixture-pack.ts';
import { grpcKserveServer, httpKserveServer } from '../support/kserve-server.ts';

const same: FixturePack = { name: 'same', onnx: 'same', outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } };
/** As many rows as the picture has bright spots: nothing that could be batched. */
const detector: FixturePack = {
  name: 'detector',
  onnx: 'as-many-as-bright',
  outputs: { same: { type: 'float32', shape: [4, 'found'] } },
  manifest: { version: '1.20.3' },
};

async function models(env: NodeJS.ProcessEnv, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await runCommand(command, args, { stdout, stderr, env });
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

describe('wetread models export', () => {
  let repository: string;
  beforeEach(async () => {
    repository = await mkdtemp(join(tmpdir(), 'wetread-repository-'));
  });
  afterEach(() => rm(repository, { recursive: true, force: true }));

  test('writes for each network its configuration, its version and its weights', async () => {
    await using packs = await packsFolder(same, detector);
    const { code, out } = await models(
      { WETREAD_MODELS_DIR: packs.folder },
      'export',
      '--triton',
      repository,
      '--json',
    );
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      models: [
        { name: 'detector', version: '1020003', files: ['detector/config.pbtxt', 'detector/1020003/model.onnx'] },
        { name: 'same', version: '1000000', files: ['same/config.pbtxt', 'same/1000000/model.onnx'] },
      ],
    });
    expect(await readdir(join(repository, 'same'))).toEqual(['1000000', 'config.pbtxt']);
    expect(await readFile(join(repository, 'same/1000000/model.onnx'))).toEqual(await readFile(onnxFile('same')));
    const configuration = await readFile(join(repository, 'same/config.pbtxt'), 'utf8');
    expect(configuration).toContain('backend: "onnxruntime"');
    expect(configuration).toContain('max_batch_size: 16');
    // Triton counts the axis of the batch by itself.
    expect(configuration).toMatch(/name: "image"\s+data_type: TYPE_FP32\s+dims: \[ 1, 8, 8 \]/);
    expect(configuration).toContain('max_queue_delay_microseconds: 2000');
    expect(configuration).toMatch(/key: "wetread_sha256_1000000"\s+value \{\s+string_value: "[0-9a-f]{64}"/);
  });

  test('gives a network whose tensors share no free axis whole shapes and no batching', async () => {
    await using packs = await packsFolder(detector);
    await models({ WETREAD_MODELS_DIR: packs.folder }, 'export', '--triton', repository);
    const configuration = await readFile(join(repository, 'detector/config.pbtxt'), 'utf8');
    expect(configuration).toContain('max_batch_size: 0');
    expect(configuration).toMatch(/name: "same"\s+data_type: TYPE_FP32\s+dims: \[ 4, -1 \]/);
    expect(configuration).not.toContain('dynamic_batching');
  });

  test('writes over what it wrote, and leaves other versions and models alone', async () => {
    await using packs = await packsFolder(same);
    const env = { WETREAD_MODELS_DIR: packs.folder };
    await models(env, 'export', '--triton', repository, '--queue-delay-ms', '7');
    await using newer = await packsFolder({ ...same, manifest: { version: '2.0.0' } });
    await models({ WETREAD_MODELS_DIR: newer.folder }, 'export', '--triton', repository, '--backend', 'python');
    expect(await readdir(join(repository, 'same'))).toEqual(['1000000', '2000000', 'config.pbtxt']);
    expect(await readdir(join(repository, 'same/2000000'))).toEqual(['model.onnx', 'model.py']);
  });

  test.each([
    [['export']],
    [['export', '--triton', '/tmp/x', '--backend', 'tensorflow']],
    [['export', '--triton', '/tmp/x', '--threads', '0']],
    [['export', '--triton', '/tmp/x', 'nobody']],
  ])('called wrongly (%j) exits 2', async (args) => {
    await using packs = await packsFolder(same);
    expect((await models({ WETREAD_MODELS_DIR: packs.folder }, ...args)).code).toBe(2);
  });
});

describe.each([
  ['kserve-http', httpKserveServer],
  ['kserve-grpc', grpcKserveServer],
] as const)('wetread models verify, with a server (%s)', (name, start) => {
  test('runs the packs there, with the credentials it was given', async () => {
    await using packs = await packsFolder(same);
    const server = await start({ authorization: 'Bearer of the site' });
    try {
      const env = { WETREAD_MODELS_DIR: packs.folder, WETREAD_INFERENCE_SERVER: server.url };
      const refused = await models(env, 'verify');
      expect(refused.code).toBe(1);
      expect(refused.out).toContain('The inference server refused the request.');
      const { code, out } = await models(
        { ...env, WETREAD_INFERENCE_SERVER_AUTHORIZATION: 'Bearer of the site' },
        'verify',
      );
      expect(out).toMatch(new RegExp(`ok {4} same {2}1\\.0\\.0, first run \\d+ ms on ${name}`));
      expect(code).toBe(0);
    } finally {
      await server.close();
    }
  });
});
