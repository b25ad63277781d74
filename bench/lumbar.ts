/** The lumbar spine on one decoded film: corners and slips, then the whole chain, against nothing but their networks. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decoderPool } from '../src/dicom/decoder-pool.ts';
import type { GreyImage } from '../src/domain/image.ts';
import { silentLogger } from '../src/domain/log.ts';
import { loadPacks, type LoadedPack } from '../src/inference/load-packs.ts';
import { modelRunner } from '../src/inference/model-runner.ts';
import { packJob } from '../src/inference/pack-job.ts';
import { bareNetwork, bareRuntime } from './bare.ts';
import type { BenchRow } from './row.ts';

const root = join(import.meta.dirname, '..');
const threads = 2;
const rounds = 30;
/** T10 to L5. */
const vertebrae = 8;

export async function benchLumbar(): Promise<BenchRow[]> {
  const packs = (await loadPacks(join(root, 'models'), silentLogger)).filter(({ identity }) =>
    ['lumbar-landmarks', 'vertebral-fracture'].includes(identity.name),
  );
  const landmarks = packs.find(({ identity }) => identity.name === 'lumbar-landmarks')!;
  const decoder = decoderPool({ threads: 1, logger: silentLogger });
  const image = (await decoder.decode(await readFile(join(root, 'sandbox/films/l4-l5-grade-1.dcm')))).grey(0);
  const runner = modelRunner({ packs, processes: 1, threads, provider: 'cpu', logger: silentLogger });
  const bare = new Map<LoadedPack, Bare[]>();
  try {
    await runner.ready();
    for (const pack of packs) bare.set(pack, await bareNetworks(pack, image));
    const read = async (pack: LoadedPack): Promise<void> => {
      const { findings } = await runner.run(pack.identity, image);
      if (findings.length < 2) throw new Error(`${pack.identity.name} read nothing`);
    };
    const times = {
      route: [] as number[],
      routeNets: [] as number[],
      chain: [] as number[],
      chainNets: [] as number[],
    };
    for (const pack of packs) await read(pack);
    for (let round = 0; round < rounds; round += 1) {
      const took = new Map<LoadedPack, number>();
      for (const pack of packs) took.set(pack, await milliseconds(() => read(pack)));
      const nets = new Map<LoadedPack, number>();
      for (const pack of packs) nets.set(pack, await runs(bare.get(pack)!));
      times.route.push(took.get(landmarks)!);
      times.routeNets.push(nets.get(landmarks)!);
      times.chain.push(sum([...took.values()]));
      times.chainNets.push(sum([...nets.values()]));
    }
    const size = `${image.columns} x ${image.rows}`;
    return [
      row(`landmark route after decoding (${size})`, times.route, times.routeNets, 40),
      row(`lumbar chain, ${packs.length} packs, after decoding (${size})`, times.chain, times.chainNets, 400),
    ];
  } finally {
    for (const one of [...bare.values()].flat()) one.close();
    await runner.close();
    await decoder.close();
  }
}

type Bare = Awaited<ReturnType<typeof bareNetwork>>;

/** The whole-film network on its own picture, and what reads vertebrae on as many crops as a film has. */
async function bareNetworks(pack: LoadedPack, image: GreyImage): Promise<Bare[]> {
  const first = await bareRuntime(pack, await packJob(pack.manifest, [image]), threads);
  const crops = Object.entries(pack.manifest.networks).flatMap(([network, { inputs }]) =>
    Object.entries(inputs).flatMap(([tensor, { shape, preprocess }]) => {
      const wholeFilm = preprocess !== undefined && preprocess[0]?.step !== 'region';
      const weightsFile = pack.weightsFiles[network];
      if (wholeFilm || weightsFile === undefined || !existsSync(weightsFile)) return [];
      const sides = shape.slice(1).map((side) => (typeof side === 'number' ? side : 1));
      const canvas = Float32Array.from({ length: sides.reduce((a, b) => a * b, 1) }, (_, at) => Math.sin(at));
      return [{ weightsFile, tensor, shape: [vertebrae, ...sides], canvas, threads }];
    }),
  );
  return [first, ...(await Promise.all(crops.map(bareNetwork)))];
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

async function milliseconds(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
