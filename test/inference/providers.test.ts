/**
 * A provider other than the processor, proved at the start: WebGPU for real, on the Vulkan that Chromium carries.
 * SwiftShader computes on the processor, but everything before it is what a GPU gets: shaders, buffers, its own kernels.
 */
import { existsSync } from 'node:fs';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { loadPacks } from '../../src/inference/load-packs.ts';
import { modelRunner, type ManagedModelRunner } from '../../src/inference/model-runner.ts';
import { differenceBetween, mustNotHaveFallenBack } from '../../src/inference/probe.ts';
import type { ExecutionProvider } from '../../src/inference/process-messages.ts';
import { onnxFile, type OnnxNode } from '../support/onnx-graph.ts';
import { numbersTold, packsFolder, picture, type FixturePack } from './fixture-pack.ts';

const vulkan = '/usr/lib/chromium';
const driver = `${vulkan}/vk_swiftshader_icd.json`;
const missing = !existsSync(driver) || !existsSync(`${vulkan}/libvulkan.so.1`);
if (missing && !process.env['CI']) process.stderr.write(`\nSKIPPED: WebGPU on ${driver}; apt-get install chromium\n`);

const graphOf = (nodes: readonly OnnxNode[]): Uint8Array =>
  onnxFile({
    inputs: { image: ['n', 1, 8, 8] },
    outputs: { same: ['n', 1, 8, 8] },
    nodes,
    weights: { kernel: { dims: [1, 1, 3, 3], data: Float32Array.of(1, 2, 1, 0, 0, 0, -1, -2, -1) } },
  });
const edges: FixturePack = {
  name: 'edges',
  onnx: graphOf([{ op: 'Conv', inputs: ['image', 'kernel'], outputs: ['same'], attributes: { pads: [1, 1, 1, 1] } }]),
  outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } },
};
const slope = picture(8, 8, (x, y) => (x * y) / 64);

const open: { runner: ManagedModelRunner; dispose: () => Promise<void> }[] = [];
afterEach(async () => {
  for (const { runner, dispose } of open.splice(0)) {
    await runner.close();
    await dispose();
  }
});

async function runnerOn(provider: ExecutionProvider, pack: FixturePack) {
  const folder = await packsFolder(pack);
  const packs = await loadPacks(folder.folder, silentLogger);
  const runner = modelRunner({ packs, processes: 1, threads: 1, provider, logger: silentLogger });
  open.push({ runner, dispose: () => folder[Symbol.asyncDispose]() });
  return { runner, run: () => runner.run(packs[0]!.identity, slope) };
}

describe.skipIf(missing && !process.env['CI'])('WebGPU', () => {
  beforeAll(() => {
    process.env['LD_LIBRARY_PATH'] = vulkan;
    process.env['VK_DRIVER_FILES'] = driver;
    process.env['VK_ICD_FILENAMES'] = driver;
  });

  test('answers as the processor does, and the start says by how much it differs', async () => {
    const [there, here] = [await runnerOn('webgpu', edges), await runnerOn('cpu', edges)];
    await there.runner.ready();
    const [{ differenceFromCpu, nodesOnCpu } = {}] = there.runner.status().networks;
    expect(differenceFromCpu).toBeLessThan(1e-3);
    expect(nodesOnCpu).toBeUndefined();
    const [answer, expected] = [await there.run(), await here.run()];
    expect(answer.executionProvider).toBe('webgpu');
    numbersTold(answer).forEach((value, at) => expect(value).toBeCloseTo(numbersTold(expected)[at]!, 4));
    expect(here.runner.status().networks[0]).not.toHaveProperty('differenceFromCpu');
  });

  test('is refused when the work would be done by the processor after all', async () => {
    // WebGPU has no kernel for it; ONNX Runtime would quietly take the processor's.
    const shrink: FixturePack = {
      ...edges,
      onnx: graphOf([{ op: 'Shrink', inputs: ['image'], outputs: ['same'] }]),
    };
    const { runner } = await runnerOn('webgpu', shrink);
    await expect(runner.ready()).rejects.toMatchObject({
      code: 'model.provider-unavailable',
      detail: expect.stringMatching(/webgpu: 1 of 1 nodes ran on the processor instead \(Shrink\)/) as string,
    });
  });
});

describe('the proof of a provider', () => {
  const tensors = (values: readonly number[]) =>
    ({ scores: { type: 'float32', dims: [values.length], data: Float32Array.from(values) } }) as const;

  test('is the largest difference, as part of the largest value', () => {
    expect(differenceBetween(tensors([1, 2, 4]), tensors([1, 2.2, 4]))).toBeCloseTo(0.05);
    expect(differenceBetween(tensors([1, Number.NaN]), tensors([1, 2]))).toBeNaN();
    expect(differenceBetween(tensors([1]), tensors([1, 2]))).toBeUndefined();
  });

  test('lets nodes that reckon with shapes stay on the processor', () => {
    expect(() => mustNotHaveFallenBack('cuda', { count: 40, of: 900, fellBack: [] })).not.toThrow();
    expect(() => mustNotHaveFallenBack('cuda', { count: 40, of: 900, fellBack: ['Conv'] })).toThrow(
      'cuda: 40 of 900 nodes ran on the processor instead (Conv)',
    );
  });

  test.each(['cuda', 'tensorrt'] as const)('is not given by %s where its libraries are not', async (provider) => {
    if (process.platform !== 'linux') return;
    const { runner } = await runnerOn(provider, edges);
    await expect(runner.ready()).rejects.toMatchObject({ code: 'model.provider-unavailable' });
  });
});
