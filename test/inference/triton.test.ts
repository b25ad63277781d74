/** A real Triton instead of the own processes: the same findings by HTTP and by gRPC, and every way a server can be the wrong one. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { decoderPool } from '../../src/dicom/decoder-pool.ts';
import type { FindingDraft } from '../../src/domain/finding.ts';
import type { GreyImage } from '../../src/domain/image.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { exportToTriton } from '../../src/inference/export-triton.ts';
import { kserveRuntime } from '../../src/inference/kserve.ts';
import { loadPacks, type LoadedPack } from '../../src/inference/load-packs.ts';
import { modelRunner, served, type ManagedModelRunner } from '../../src/inference/model-runner.ts';
import type { NetworkSpec } from '../../src/inference/network.ts';
import { networksOf } from '../../src/inference/served-networks.ts';
import { startTriton, withoutTriton, type RunningTriton } from '../support/triton.ts';
import { numbersTold, packsFolder, picture, type FixturePack } from './fixture-pack.ts';

const models = join(import.meta.dirname, '../../models');
const cases = join(models, 'lumbar-landmarks/cases');
const films = existsSync(cases) ? readdirSync(cases).filter((file) => file.endsWith('.dcm')) : [];
const options = { backend: 'python', threads: 2, queueDelayMs: 50 } as const;

const same: FixturePack = { name: 'same', onnx: 'same', outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } };
const tiny: readonly FixturePack[] = [
  same,
  { ...same, name: 'not-a-number', onnx: 'not-a-number' },
  { ...same, name: 'of-other-weights' },
  { ...same, name: 'of-another-shape' },
  // Their runs are counted, so that no other test's picture may be among them: Triton counts after it has answered.
  { ...same, name: 'counted-by-http' },
  { ...same, name: 'counted-by-grpc' },
];
const dark = picture(8, 8, (x) => x / 100);

describe.skipIf(withoutTriton())('models on Triton', () => {
  let triton: RunningTriton;
  let repository: string;
  let landmarks: LoadedPack;
  let small: { readonly packs: LoadedPack[]; dispose(): Promise<void> };
  const open: ManagedModelRunner[] = [];
  const decoder = decoderPool({ threads: 1, logger: silentLogger });

  beforeAll(async () => {
    repository = await mkdtemp(join(tmpdir(), 'wetread-repository-'));
    landmarks = (await loadPacks(models, silentLogger)).find(({ identity }) => identity.name === 'lumbar-landmarks')!;
    const folder = await packsFolder(...tiny);
    small = { packs: await loadPacks(folder.folder, silentLogger), dispose: () => folder[Symbol.asyncDispose]() };
    for (const pack of [landmarks, ...small.packs])
      for (const spec of networksOf(served(pack))) await exportToTriton(spec, repository, options);
    const others = join(repository, 'of-other-weights/config.pbtxt');
    await writeFile(
      others,
      (await readFile(others, 'utf8')).replace(/string_value: "[0-9a-f]{64}"/, `string_value: "${'0'.repeat(64)}"`),
    );
    triton = await startTriton(repository);
  });
  afterEach(async () => {
    for (const runner of open.splice(0)) await runner.close();
  });
  afterAll(async () => {
    await triton?.stop();
    await small?.dispose();
    await rm(repository, { recursive: true, force: true });
    await decoder.close();
  });

  const addressOf = (protocol: 'http' | 'grpc'): string => triton[protocol];
  function runnerOn(packs: readonly LoadedPack[], url?: string): ManagedModelRunner {
    const runner = modelRunner({
      packs,
      processes: 1,
      threads: 2,
      provider: 'cpu',
      logger: silentLogger,
      ...(url !== undefined && { server: { url, requestsAtOnce: 8 } }),
    });
    open.push(runner);
    return runner;
  }
  const packCalled = (name: string): LoadedPack => small.packs.find(({ identity }) => identity.name === name)!;
  const specOf = (name: string): NetworkSpec => networksOf(served(packCalled(name)))[0]!;

  describe.each(['http', 'grpc'] as const)('by %s', (protocol) => {
    test('reads films as the own processes do', async () => {
      const there = runnerOn([landmarks], addressOf(protocol));
      const here = runnerOn([landmarks]);
      await Promise.all([there.ready(), here.ready()]);
      expect(films.length).toBeGreaterThanOrEqual(4);
      for (const film of films) {
        const image: GreyImage = (await decoder.decode(readFileSync(join(cases, film)))).grey(0);
        const remote = await there.run(landmarks.identity, image);
        const local = await here.run(landmarks.identity, image);
        expect(remote.executionProvider).toBe(`kserve-${protocol}`);
        expect(remote.findings.map(inWords), `${film}`).toEqual(local.findings.map(inWords));
        for (const [place, finding] of local.findings.entries())
          for (const [at, { quantity, value }] of finding.measurements.entries())
            // Another build of ONNX Runtime adds up in another order.
            expect(remote.findings[place]!.measurements[at]!.value, `${film}: ${quantity}`).toBeCloseTo(value, 2);
      }
    });

    test('says which server it is, and that its weights are proven by their hash', async () => {
      const runner = runnerOn([packCalled('same')], addressOf(protocol));
      await runner.ready();
      expect(runner.status()).toMatchObject({
        provider: `kserve-${protocol}`,
        networks: [{ pack: 'same', network: 'main', server: { name: 'triton', provenBy: 'sha256' } }],
      });
    });

    test('refuses a server that holds other weights', async () => {
      const runner = runnerOn([packCalled('of-other-weights')], addressOf(protocol));
      await expect(runner.ready()).rejects.toMatchObject({
        code: 'model.server-mismatch',
        detail: expect.stringContaining('sha256 there 000000000000…') as string,
      });
    });

    test('refuses a server that has the model in another version only', async () => {
      const pack = packCalled('same');
      const newer = { ...pack, manifest: { ...pack.manifest, version: '1.0.1' } };
      await expect(runnerOn([newer], addressOf(protocol)).ready()).rejects.toMatchObject({
        code: 'model.server-mismatch',
        detail: expect.stringContaining('version 1000001 (that is 1.0.1)') as string,
      });
    });

    test('refuses a server whose tensors are not those of the manifest', async () => {
      const spec = specOf('of-another-shape');
      const declared = {
        ...spec,
        outputs: { same: { type: 'float32' as const, shape: ['n', 1, 8, 9], field: 'outputs.same' } },
      };
      const runtime = kserveRuntime({ kind: 'kserve', url: addressOf(protocol), requestsAtOnce: 1 });
      await expect(runtime.open(declared)).rejects.toMatchObject({
        code: 'model.server-mismatch',
        detail: 'of-another-shape: same is float32 [free, 1, 8, 8] there, float32 [n, 1, 8, 9] in the manifest',
      });
    });

    test('refuses an answer that is not a number, and goes on', async () => {
      const runner = runnerOn([packCalled('same'), packCalled('not-a-number')], addressOf(protocol));
      await runner.ready();
      await expect(runner.run(packCalled('not-a-number').identity, dark)).rejects.toMatchObject({
        code: 'model.bad-output',
      });
      expect(numbersTold(await runner.run(packCalled('same').identity, dark))[1]).toBeCloseTo(0.01);
    });

    test('sends a batch of 200 in as many parts as the server takes, and puts the answer together', async () => {
      const runtime = kserveRuntime({ kind: 'kserve', url: addressOf(protocol), requestsAtOnce: 2 });
      const { network } = await runtime.open(specOf('same'));
      const data = Float32Array.from({ length: 200 * 64 }, (_, at) => (at * 7919) % 1009);
      const { same: answer } = await network.run({ image: { type: 'float32', dims: [200, 1, 8, 8], data } });
      expect(answer).toEqual({ type: 'float32', dims: [200, 1, 8, 8], data });
    });

    test('lets pictures that come at the same time share a run, each with its own answer', async () => {
      const pack = packCalled(`counted-by-${protocol}`);
      const runner = runnerOn([pack], addressOf(protocol));
      await runner.ready();
      const answers = await Promise.all(
        Array.from({ length: 24 }, (_, index) =>
          runner.run(
            pack.identity,
            picture(8, 8, () => index / 24),
          ),
        ),
      );
      answers.forEach((answer, index) => expect(numbersTold(answer)[0]).toBeCloseTo(index / 24));
      // One picture more than were sent: the run by which a runner makes itself ready.
      await expect.poll(async () => (await runsOf(pack.identity.name)).pictures).toBe(25);
      expect((await runsOf(pack.identity.name)).runs).toBeLessThan(25);
    });
  });

  test('a server that goes away costs the runs of that time, and none after it is back', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'wetread-repository-'));
    await exportToTriton(specOf('same'), folder, options);
    let server = await startTriton(folder);
    const ports = {
      http: Number(new URL(server.http).port),
      grpc: Number(new URL(server.grpc.replace('grpc', 'http')).port),
    };
    const runners = [runnerOn([packCalled('same')], server.http), runnerOn([packCalled('same')], server.grpc)];
    try {
      for (const runner of runners) await runner.ready();
      await server.stop();
      for (const runner of runners)
        await expect(runner.run(packCalled('same').identity, dark)).rejects.toMatchObject({
          code: 'model.server-unreachable',
        });
      server = await startTriton(folder, ports);
      for (const runner of runners) {
        expect(numbersTold(await runner.run(packCalled('same').identity, dark))[1]).toBeCloseTo(0.01);
        expect(runner.status().deaths).toBe(0);
      }
    } finally {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });

  async function runsOf(model: string): Promise<{ pictures: number; runs: number }> {
    const answer = await fetch(`${triton.http}/v2/models/${model}/stats`);
    const { model_stats: stats } = (await answer.json()) as {
      model_stats: { inference_count: number; execution_count: number }[];
    };
    return { pictures: stats[0]!.inference_count, runs: stats[0]!.execution_count };
  }
});

const inWords = ({ concept, site, result, summary }: FindingDraft): object => ({ concept, site, result, summary });
