/** The lumbar spine on one decoded film: corners and slips, then the whole chain, against nothing but their networks; radiomics of its vertebrae. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decoderPool } from '../src/dicom/decoder-pool.ts';
import type { Landmark } from '../src/domain/finding.ts';
import type { GreyImage } from '../src/domain/image.ts';
import { silentLogger } from '../src/domain/log.ts';
import { loadPacks, type LoadedPack } from '../src/inference/load-packs.ts';
import { modelRunner } from '../src/inference/model-runner.ts';
import { packJob } from '../src/inference/pack-job.ts';
import { bareNetwork, bareRuntime, processorSeconds } from './bare.ts';
import { radiomicsRow } from './radiomics.ts';
import type { BenchRow } from './row.ts';

const root = join(import.meta.dirname, '..');
const threads = 2;
const rounds = 30;
/** T10 to L5. */
const vertebrae = 8;
/** In turns: about a film it has just read, the corner network would not be asked again. */
const films = ['l4-l5-grade-1', 'l4-l5-grade-2', 'normal', 'l1-wedge'];

export async function benchLumbar(): Promise<BenchRow[]> {
  const packs = (await loadPacks(join(root, 'models'), silentLogger)).filter(({ identity }) =>
    ['lumbar-landmarks', 'vertebral-fracture'].includes(identity.name),
  );
  const landmarks = packs.find(({ identity }) => identity.name === 'lumbar-landmarks')!;
  const decoder = decoderPool({ threads: 1, logger: silentLogger });
  const images: GreyImage[] = [];
  for (const film of films)
    images.push((await decoder.decode(await readFile(join(root, `sandbox/films/${film}.dcm`)))).grey(0));
  const runner = modelRunner({ packs, processes: 1, threads, provider: 'cpu', logger: silentLogger });
  const bare = new Map<LoadedPack, Bare[]>();
  try {
    await runner.ready();
    for (const pack of packs) bare.set(pack, await bareNetworks(pack, images[0]!));
    const read = async (pack: LoadedPack, image: GreyImage): Promise<readonly Landmark[]> => {
      const { findings, landmarks: corners = [] } = await runner.run(pack.identity, image);
      if (findings.length < 2) throw new Error(`${pack.identity.name} read nothing`);
      return corners;
    };
    const corners: (readonly Landmark[])[] = [];
    for (const image of images) {
      for (const pack of packs) {
        const found = await read(pack, image);
        if (pack === landmarks) corners.push(found);
      }
    }
    const times = { route: [], routeNets: [], chain: [], chainNets: [] } as Record<string, number[]>;
    for (let round = 0; round < rounds; round += 1) {
      const image = images[round % images.length]!;
      const took = new Map<LoadedPack, number>();
      for (const pack of packs) took.set(pack, await milliseconds(() => read(pack, image)));
      const nets = new Map<LoadedPack, number>();
      for (const pack of packs) nets.set(pack, await runs(bare.get(pack)!));
      times['route']!.push(took.get(landmarks)!);
      times['routeNets']!.push(nets.get(landmarks)!);
      times['chain']!.push(sum([...took.values()]));
      times['chainNets']!.push(sum([...nets.values()]));
    }
    const child = runner.status().processes[0]?.pid;
    const worked = await processorMilliseconds(
      () => processorSeconds(process.pid) + processorSeconds(child),
      (round) => read(landmarks, images[round % images.length]!),
    );
    const netsWorked = await processorMilliseconds(
      () => sum(bare.get(landmarks)!.map((one) => one.processorSeconds())),
      () => runs(bare.get(landmarks)!),
    );
    const size = `${images[0]!.columns} x ${images[0]!.rows}`;
    return [
      row(`landmark route after decoding (${size})`, times['route']!, times['routeNets']!, 40),
      row(`lumbar chain, ${packs.length} packs, after decoding (${size})`, times['chain']!, times['chainNets']!, 400),
      {
        // Two threads that wait for each other count as working; beside other work this still says more than the clock.
        name: 'landmark route, processor time',
        value: worked,
        unit: 'ms',
        limit: netsWorked,
        limitName: 'its networks alone',
        ratio: worked / netsWorked,
      },
      radiomicsRow(images.map((image, at) => ({ image, corners: corners[at]! }))),
    ];
  } finally {
    for (const one of [...bare.values()].flat()) one.close();
    await runner.close();
    await decoder.close();
  }
}

async function processorMilliseconds(clock: () => number, work: (round: number) => Promise<unknown>): Promise<number> {
  const started = clock();
  for (let round = 0; round < rounds; round += 1) await work(round);
  return (1000 * (clock() - started)) / rounds;
}

type Bare = Awaited<ReturnType<typeof bareNetwork>>;

/**
 * The whole-film network on its own picture, and what reads vertebrae on as many crops as a film has. What a pack
 * borrows has run for its lender already.
 */
async function bareNetworks(pack: LoadedPack, image: GreyImage): Promise<Bare[]> {
  const own = Object.entries(pack.manifest.networks).filter(([, { weights }]) => weights.pack === undefined);
  const opened: Bare[] = [];
  for (const [network, { inputs }] of own)
    for (const [tensor, { shape, preprocess }] of Object.entries(inputs)) {
      const weightsFile = pack.weightsFiles[network];
      if (weightsFile === undefined || !existsSync(weightsFile)) continue;
      if (preprocess !== undefined && preprocess[0]?.step !== 'region') {
        opened.push(await bareRuntime(pack, await packJob(pack.manifest, [image]), threads));
        continue;
      }
      const sides = shape.slice(1).map((side) => (typeof side === 'number' ? side : 1));
      const canvas = Float32Array.from({ length: sides.reduce((a, b) => a * b, 1) }, (_, at) => Math.sin(at));
      opened.push(await bareNetwork({ weightsFile, tensor, shape: [vertebrae, ...sides], canvas, threads }));
    }
  return opened;
}

async function runs(networks: readonly Bare[]): Promise<number> {
  let seconds = 0;
  for (const network of networks) seconds += await network.seconds(1);
  return 1000 * seconds;
}

function row(name: string, took: readonly number[], nets: readonly number[], limit: number): BenchRow {
  const value = median(took);
  return {
    name,
    value,
    unit: 'ms',
    limit: median(nets),
    limitName: 'its networks alone',
    ratio: median(took.map((one, round) => one / nets[round]!)),
    target: `≤ ${limit} ms on ${threads} cores`,
    pass: value <= limit,
  };
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
