/** Runs that share a batch: the same answers as one by one, and one picture's fault stays its own. */
import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WetreadError } from '../../src/domain/errors.ts';
import { batched, hasBatchAxis } from '../../src/inference/batched.ts';
import { openOnnxNetwork } from '../../src/inference/onnx-runtime.ts';
import type { Network, NetworkSpec, Tensors } from '../../src/inference/network.ts';
import { onnxFile } from '../support/onnx-graph.ts';

/** A convolution, a bend and a mean: what of one picture may not leak into another's answer. */
const weights = { dims: [4, 1, 3, 3], data: Float32Array.from({ length: 36 }, (_, at) => Math.sin(at)) };
const graph = onnxFile({
  inputs: { image: ['n', 1, 16, 16] },
  outputs: { means: ['n', 4, 1, 1] },
  weights: { weights },
  nodes: [
    { op: 'Conv', inputs: ['image', 'weights'], outputs: ['edges'], attributes: { pads: [1, 1, 1, 1] } },
    { op: 'Relu', inputs: ['edges'], outputs: ['bent'] },
    { op: 'GlobalAveragePool', inputs: ['bent'], outputs: ['means'] },
  ],
});

const pictures = (rows: number, seed: number): Tensors => ({
  image: {
    type: 'float32',
    dims: [rows, 1, 16, 16],
    data: Float32Array.from({ length: rows * 256 }, (_, at) => Math.sin(seed + at / 7)),
  },
});

describe('runs that share a batch', () => {
  let folder: string;
  let spec: NetworkSpec;
  let network: Network;
  /** Rows of each run that the network was really asked for. */
  let asked: number[] = [];
  let counted: Network;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'wetread-batch-'));
    const weightsFile = join(folder, 'model.onnx');
    await writeFile(weightsFile, graph);
    spec = {
      pack: 'edges',
      version: '1.0.0',
      network: 'main',
      weightsFile,
      sha256: '',
      manifestFile: join(folder, 'manifest.json'),
      batch: 1,
      deadlineMs: 10_000,
      inputs: { image: { type: 'float32', shape: ['n', 1, 16, 16], field: 'input' } },
      outputs: { means: { type: 'float32', shape: ['n', 4, 1, 1], field: 'outputs.means' } },
    };
    const choice = { kind: 'onnx-runtime', provider: 'cpu', threads: 1, batch: { most: 1, waitMs: 0 } } as const;
    ({ network } = await openOnnxNetwork(spec, choice));
    counted = {
      run(feeds) {
        asked.push(feeds['image']!.dims[0]!);
        return network.run(feeds);
      },
    };
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('give each picture the answer it has by itself', async () => {
    asked = [];
    const joined = batched(counted, spec, { most: 8, waitMs: 5 });
    const sizes = [1, 3, 2, 1, 2, 1, 1, 4, 1];
    const answers = await Promise.all(sizes.map((rows, seed) => joined.run(pictures(rows, seed))));
    for (const [seed, rows] of sizes.entries()) {
      const alone = await network.run(pictures(rows, seed));
      const [one, other] = [answers[seed]!['means']!, alone['means']!];
      expect(one.dims).toEqual([rows, 4, 1, 1]);
      expect(one.data).toHaveLength(other.data.length);
      one.data.forEach((value, at) => expect(value).toBeCloseTo(Number(other.data[at]), 6));
    }
    expect(asked.reduce((sum, rows) => sum + rows, 0)).toBe(16);
    expect(asked.length).toBeLessThan(sizes.length);
    expect(Math.max(...asked)).toBeLessThanOrEqual(8);
  });

  test('do not wait for company when the batch is full', async () => {
    asked = [];
    const joined = batched(counted, spec, { most: 2, waitMs: 60_000 });
    await Promise.all([joined.run(pictures(1, 1)), joined.run(pictures(1, 2))]);
    expect(asked).toEqual([2]);
  });

  test('take 200 pictures in parts, in their order', async () => {
    asked = [];
    const joined = batched(counted, spec, { most: 16, waitMs: 0 });
    const answer = await joined.run(pictures(200, 3));
    expect(asked).toEqual([...Array.from({ length: 12 }, () => 16), 8]);
    const all = await network.run(pictures(200, 3));
    expect(answer['means']!.dims).toEqual([200, 4, 1, 1]);
    expect(
      Math.max(
        ...[...answer['means']!.data].map((value, at) => Math.abs(Number(value) - Number(all['means']!.data[at]))),
      ),
    ).toBeLessThan(1e-6);
  });

  test('leave a fault to the picture that has it', async () => {
    const touchy: Network = {
      run(feeds) {
        const { data } = feeds['image']!;
        if (data.includes(-7 as never)) return Promise.reject(new WetreadError('model.run-failed', 'minus seven'));
        return network.run(feeds);
      },
    };
    const joined = batched(touchy, spec, { most: 8, waitMs: 5 });
    const bad = pictures(1, 2);
    bad['image']!.data[0] = -7;
    const [first, second, third] = await Promise.allSettled([pictures(1, 1), bad, pictures(1, 3)].map(joined.run));
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'model.run-failed' } });
    const alone = await network.run(pictures(1, 3));
    expect(first?.status).toBe('fulfilled');
    expect(third).toEqual({ status: 'fulfilled', value: alone });
  });

  test('keep pictures of different sizes apart', async () => {
    asked = [];
    const joined = batched(counted, { ...spec, inputs: spec.inputs }, { most: 8, waitMs: 5 });
    const small: Tensors = { image: { type: 'float32', dims: [1, 1, 8, 8], data: new Float32Array(64) } };
    const [whole, other] = await Promise.allSettled([joined.run(pictures(1, 1)), joined.run(small)]);
    expect(whole.status).toBe('fulfilled');
    expect(other).toMatchObject({ status: 'rejected', reason: { code: 'model.run-failed' } });
    expect(asked).toEqual([1, 1]);
  });

  test.each([
    ['a fixed first axis', [2, 1, 16, 16], ['n', 4, 1, 1], false],
    ['an answer counted by something else', ['n', 1, 16, 16], ['boxes', 4], false],
    ['one word for all first axes', ['n', 1, 16, 16], ['n', 4, 1, 1], true],
  ] as const)('are shared only where the manifest leaves the axis free: %s', (_, input, output, expected) => {
    const one = { type: 'float32', field: '' } as const;
    expect(hasBatchAxis({ inputs: { a: { ...one, shape: input } }, outputs: { b: { ...one, shape: output } } })).toBe(
      expected,
    );
  });
});
