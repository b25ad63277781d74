/** A chain of networks through the whole way: loaded from its folder, run in a model process, with the picture's own pixels there. */
import { createHash } from 'node:crypto';
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { loadPacks } from '../../src/inference/load-packs.ts';
import { modelRunner } from '../../src/inference/model-runner.ts';
import { onnxFile, packsFolder, picture } from './fixture-pack.ts';

const outputs = { same: { type: 'float32', shape: ['n', 1, 8, 8] } } as const;
let packs: Awaited<ReturnType<typeof packsFolder>>;
beforeEach(async () => {
  packs = await packsFolder({ name: 'chain', onnx: 'same', outputs }, { name: 'other', onnx: 'same', outputs });
});
afterEach(() => packs[Symbol.asyncDispose]());

async function makeChain(code: string): Promise<void> {
  const folder = join(packs.folder, 'chain');
  const file = join(folder, 'manifest.json');
  const {
    weights: _,
    input: __,
    outputs: ___,
    ...rest
  } = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  await rm(join(folder, 'model.onnx'));
  const networkOf = async (onnx: string, step: object, gives: object) => {
    const bytes = await readFile(onnxFile(onnx));
    await copyFile(onnxFile(onnx), join(folder, `${onnx}.onnx`));
    const weights = {
      file: `${onnx}.onnx`,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      bytes: bytes.length,
    };
    return {
      weights,
      inputs: { image: { type: 'float32', shape: ['n', 1, 8, 8], preprocess: [step] } },
      outputs: gives,
    };
  };
  const networks = {
    router: await networkOf(
      'moments',
      { step: 'resize', height: 8, width: 8 },
      { moments: { type: 'float32', shape: ['n', 2] } },
    ),
    crops: await networkOf('same', { step: 'region', height: 8, width: 8 }, outputs),
  };
  await writeFile(file, JSON.stringify({ ...rest, networks, deadlineMs: 1_500 }));
  await writeFile(join(folder, 'postprocess.ts'), `export default { async read(reading) { ${code} } };\n`);
}

const told = (words: string): string =>
  `[{ concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'measured' }, measurements: [], summary: ${words} }]`;
const ramp = picture(900, 700, (x, y) => (x + 700 * y) / 630_000);

async function read(code: string) {
  await makeChain(code);
  const loaded = await loadPacks(packs.folder, silentLogger);
  const runner = modelRunner({ packs: loaded, processes: 1, threads: 1, provider: 'cpu', logger: silentLogger });
  try {
    const chain = await runner.run(loaded[0]!.identity, ramp).catch((error: unknown) => error);
    // Whatever became of it, the next pack reads on.
    const other = await runner.run(loaded[1]!.identity, ramp);
    return { chain, other, sha256: loaded[0]!.identity.sha256 };
  } finally {
    await runner.close();
  }
}

test('is run in its process on parts of the picture at full resolution, and has one hash for all its weights', async () => {
  const { chain, other, sha256 } = await read(`
    const { outputs: { moments } } = await reading.run('router');
    const regions = [{ centre: [604, 804], width: 8, height: 8 }, { centre: [12, 20], width: 8, height: 8 }];
    const { outputs: { same }, items } = await reading.run('crops', { regions });
    return { findings: ${told("items + ' ' + Math.round(same.data[0] * 630000) + ' ' + Math.round(same.data[64] * 630000) + ' ' + (moments.data[0] > 1)")},
      landmarks: [{ name: 'first', at: [604, 804], confidence: 0.5 }] };`);
  expect(chain).toMatchObject({
    findings: [{ summary: `2 ${600 + 700 * 800} ${8 + 700 * 16} true` }],
    landmarks: [{ name: 'first', at: [604, 804], confidence: 0.5 }],
  });
  expect(other.findings).toHaveLength(1);
  expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  const hashes = await Promise.all(
    ['moments', 'same'].map(async (name) =>
      createHash('sha256')
        .update(await readFile(onnxFile(name)))
        .digest('hex'),
    ),
  );
  expect(hashes).not.toContain(sha256);
});

test.each([
  [
    'throws between two networks',
    `await reading.run('router'); throw new Error('lost the spine');`,
    'model.postprocess-failed',
    'lost the spine',
  ],
  [
    'waits for the world',
    `await reading.run('router'); await new Promise(() => {});`,
    'model.postprocess-failed',
    'did not return',
  ],
  [
    'answers nonsense',
    `return { findings: [], landmarks: [{ name: 'x', at: [NaN, 1] }] };`,
    'model.postprocess-failed',
    'landmarks.0.at.0',
  ],
])('that %s is recorded, and other packs go on', async (_, code, wanted, words) => {
  const { chain, other } = await read(code);
  expect(chain).toMatchObject({ code: wanted, message: expect.stringContaining(words) as string });
  expect(other.findings).toHaveLength(1);
});

test('demands code that says what runs when', async () => {
  await makeChain('');
  await writeFile(join(packs.folder, 'chain', 'postprocess.ts'), 'export default { postprocess: () => [] };');
  await expect(loadPacks(packs.folder, silentLogger)).rejects.toMatchObject({
    code: 'model.pack-invalid',
    message: expect.stringContaining('2 networks need defineChain') as string,
  });
});
