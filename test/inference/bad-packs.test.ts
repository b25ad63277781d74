/** Packs that do harm: refused or recorded with a code, while the others go on. */
import { afterEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { loadPacks } from '../../src/inference/load-packs.ts';
import { modelRunner, type ManagedModelRunner, type ModelRunnerOptions } from '../../src/inference/model-runner.ts';
import { onnxFile, type OnnxNode } from '../support/onnx-graph.ts';
import { numbersTold, packsFolder, picture, type FixturePack } from './fixture-pack.ts';

const same: FixturePack = { name: 'same', onnx: 'same', outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } };
const dark = picture(8, 8, (x) => x / 100);
const bright = picture(8, 8, () => 1);

const graphOf = (nodes: readonly OnnxNode[], more: Partial<Parameters<typeof onnxFile>[0]> = {}): Uint8Array =>
  onnxFile({ inputs: { image: ['n', 1, 8, 8] }, outputs: { same: ['n', 1, 8, 8] }, nodes, ...more });

/** Takes 32 MB for each unit of light in the picture. */
const hungry = graphOf(
  [
    { op: 'ReduceSum', inputs: ['image'], outputs: ['light'], attributes: { keepdims: 0 } },
    { op: 'Mul', inputs: ['light', 'each'], outputs: ['size'] },
    { op: 'Cast', inputs: ['size'], outputs: ['whole'], attributes: { to: 7 } },
    { op: 'Reshape', inputs: ['whole', 'one'], outputs: ['shape'] },
    { op: 'ConstantOfShape', inputs: ['shape'], outputs: ['much'] },
    { op: 'ReduceMax', inputs: ['much'], outputs: ['nothing'], attributes: { keepdims: 0 } },
    { op: 'Add', inputs: ['image', 'nothing'], outputs: ['same'] },
  ],
  {
    weights: {
      each: { dims: [1], data: Float32Array.of(8 * 2 ** 20) },
      one: { dims: [1], data: BigInt64Array.of(1n) },
    },
  },
);

const open: { runner: ManagedModelRunner; dispose: () => Promise<void> }[] = [];
afterEach(async () => {
  for (const { runner, dispose } of open.splice(0)) {
    await runner.close();
    await dispose();
  }
});

async function runnerOf(packs: FixturePack[], options: Partial<ModelRunnerOptions> = {}) {
  const folder = await packsFolder(...packs);
  const loaded = await loadPacks(folder.folder, silentLogger);
  const base = { packs: loaded, processes: 1, threads: 1, provider: 'cpu', logger: silentLogger } as const;
  const runner = modelRunner({ ...base, ...options });
  open.push({ runner, dispose: () => folder[Symbol.asyncDispose]() });
  return {
    runner,
    run: (name: string, image = dark) =>
      runner.run(loaded.find((pack) => pack.identity.name === name)!.identity, image),
  };
}

describe('a pack that does harm', () => {
  test('is refused by the name of its operator when that is not one of ONNX', async () => {
    const onnx = graphOf([{ op: 'Blur', domain: 'com.example', inputs: ['image'], outputs: ['same'] }], {
      domains: ['com.example'],
    });
    const { runner } = await runnerOf([same, { ...same, name: 'blurred', onnx }]);
    await expect(runner.ready()).rejects.toMatchObject({
      code: 'model.pack-invalid',
      detail: expect.stringMatching(/blurred.model\.onnx: uses the operator com\.example:Blur,/) as string,
    });
  });

  test('is refused when its file is cut off', async () => {
    const whole = graphOf([{ op: 'Relu', inputs: ['image'], outputs: ['same'] }]);
    const { runner } = await runnerOf([{ ...same, onnx: whole.subarray(0, whole.length - 20) }]);
    await expect(runner.ready()).rejects.toMatchObject({ code: 'model.pack-invalid' });
  });

  test('is stopped when it takes too much memory, before the system ends something else', async () => {
    const { run, runner } = await runnerOf([same, { ...same, name: 'hungry', onnx: hungry }], {
      maxRssBytes: 500 * 2 ** 20,
    });
    expect(numbersTold(await run('hungry'))[1]).toBeCloseTo(0.01);
    const [eaten, next] = await Promise.allSettled([run('hungry', bright), run('same')]);
    expect(eaten).toMatchObject({ status: 'rejected', reason: { code: 'model.memory-exceeded' } });
    expect(next.status).toBe('fulfilled');
    expect(runner.status().deaths).toBe(1);
  });

  test.each([
    ['does not finish', { ...same, name: 'bad', onnx: 'endless' } as const, 'model.deadline-exceeded'],
    [
      'has a postprocess that does not return',
      { ...same, name: 'bad', postprocess: 'for (;;);' },
      'model.postprocess-failed',
    ],
    [
      'has a postprocess that throws',
      { ...same, name: 'bad', postprocess: 'throw new Error();' },
      'model.postprocess-failed',
    ],
    ['answers with no number', { ...same, name: 'bad', onnx: 'not-a-number' } as const, 'model.bad-output'],
  ])('takes nobody with it where pictures share a process: it %s', async (_, bad, code) => {
    const { run, runner } = await runnerOf([same, { ...bad, deadlineMs: 500 }], { batch: { most: 4, waitMs: 5 } });
    await runner.ready();
    const spoilt = run('bad', bright);
    const beside = Array.from({ length: 8 }, (_one, index) =>
      run(
        'same',
        picture(8, 8, () => index / 8),
      ),
    );
    await expect(spoilt).rejects.toMatchObject({ code });
    for (const [index, one] of beside.entries()) expect(numbersTold(await one)[9]).toBeCloseTo(index / 8);
  });

  test('fails alone when the process falls with others in it', async () => {
    const { run, runner } = await runnerOf([same, { ...same, name: 'hungry', onnx: hungry }], {
      maxRssBytes: 500 * 2 ** 20,
      batch: { most: 4, waitMs: 5 },
    });
    await runner.ready();
    const [eaten, ...beside] = await Promise.allSettled([
      run('hungry', bright),
      run('same'),
      run('same'),
      run('hungry'),
    ]);
    expect(eaten).toMatchObject({ status: 'rejected', reason: { code: 'model.memory-exceeded' } });
    expect(beside.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled']);
    // Once together, once by itself.
    expect(runner.status().deaths).toBe(2);
  });

  test('sees only its own pictures where pictures share a run', async () => {
    const { run } = await runnerOf([{ ...same, bothFacings: true }], { batch: { most: 6, waitMs: 20 } });
    const images = Array.from({ length: 12 }, (_, index) => picture(8, 8, (x) => (index + 1) / (x + 1)));
    const answers = await Promise.all(images.map((image) => run('same', image)));
    for (const [index, answer] of answers.entries()) {
      const numbers = numbersTold(answer);
      expect(numbers).toHaveLength(128);
      expect(numbers[1]).toBeCloseTo((index + 1) / 2);
      expect(numbers[64]).toBeCloseTo((index + 1) / 8);
    }
  });
});
