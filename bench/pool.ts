/** Model runs per second through the pool, against ONNX Runtime called directly with the same threads on the same tensor. */
import { fileURLToPath } from 'node:url';
import { seriesUid, sopUid, studyUid } from '../src/domain/ids.ts';
import { silentLogger } from '../src/domain/log.ts';
import { loadPacks, type LoadedPack } from '../src/inference/load-packs.ts';
import { served } from '../src/inference/model-runner.ts';
import { packJob } from '../src/inference/pack-job.ts';
import { prepare } from '../src/inference/preprocess.ts';
import { processPool, type PoolJob } from '../src/inference/process-pool.ts';
import { packsFolder } from '../test/inference/fixture-pack.ts';
import { onnxFile, resnet50 } from '../test/support/onnx-graph.ts';
import { bareRuntime, processorSeconds } from './bare.ts';
import type { BenchRow } from './row.ts';

const models = fileURLToPath(new URL('../models', import.meta.url));
/** A usual film; what it shows does not change the time. */
const [rows, columns] = [1800, 1200];
const threads = 2;
/** Short rounds take turns, so that whatever else the machine does falls on both alike. */
const rounds = 24;
const runsPerRound = 4;

export async function benchPool(): Promise<BenchRow[]> {
  const packs = await loadPacks(models, silentLogger);
  const landmarks = packs.find(({ identity }) => identity.name === 'lumbar-landmarks');
  if (landmarks === undefined) throw new Error(`no pack lumbar-landmarks in ${models}`);
  const graph = resnet50(1, 3);
  const { folder, [Symbol.asyncDispose]: dispose } = await packsFolder({
    name: 'resnet50-size',
    onnx: onnxFile(graph),
    outputs: { scores: { type: 'float32', shape: ['n', 3] } },
    manifest: {
      input: {
        tensor: 'image',
        type: 'float32',
        shape: ['n', 1, 224, 224],
        preprocess: [
          { step: 'letterbox', height: 224, width: 224, filter: 'triangle' },
          { step: 'normalise', epsilon: 1e-4 },
        ],
      },
    },
  });
  try {
    const [resnet] = await loadPacks(folder, silentLogger);
    return [...(await benchPack(landmarks)), ...(await benchPack(resnet!))];
  } finally {
    await dispose();
  }
}

async function benchPack(pack: LoadedPack): Promise<BenchRow[]> {
  const film = {
    rows,
    columns,
    intensities: Float32Array.from({ length: rows * columns }, (_, at) => ((at * 7919) % 1009) / 1008),
  };
  const uids = { studyUid: studyUid('1.2'), seriesUid: seriesUid('1.2.3'), sopUid: sopUid('1.2.3.4'), sopClassUid: '' };
  const job = await packJob(pack.manifest, [{ ...uids, frame: 0, tags: {}, ...film }]);
  const pooled = await thePool(pack, job);
  const raw = await bareRuntime(pack, job, threads);
  const { name } = pack.identity;
  try {
    const seconds = { pooled: [] as number[], raw: [] as number[] };
    const worked = { pooled: 0, raw: 0 };
    const added: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const before = { pooled: pooled.processorSeconds(), raw: raw.processorSeconds() };
      seconds.raw.push(await raw.seconds(runsPerRound));
      seconds.pooled.push(await pooled.atOnce(runsPerRound));
      worked.pooled += pooled.processorSeconds() - before.pooled;
      worked.raw += raw.processorSeconds() - before.raw;
      added.push(await pooled.msAroundTheNet());
    }
    const rate = (all: number[]): number => runsPerRound / quarter(all);
    const ratio = rate(seconds.pooled) / rate(seconds.raw);
    const [steps] = Object.values(pack.manifest.networks).flatMap(({ inputs }) =>
      Object.values(inputs).map(({ preprocess = [] }) => preprocess),
    );
    const preparing = await milliseconds(() => prepare([film], steps!));
    return [
      {
        name: `model runs through the pool (${name}, ${threads} threads)`,
        value: rate(seconds.pooled),
        unit: 'runs/s',
        limit: rate(seconds.raw),
        limitName: 'onnxruntime-node alone',
        ratio,
        target: 'ratio ≥ 0.95',
        pass: ratio >= 0.95,
      },
      {
        name: `added to one run by the pool (${name})`,
        value: quarter(added),
        unit: 'ms',
        target: '≤ 3 ms',
        pass: quarter(added) <= 3,
      },
      // What a busy machine leaves alone: the work itself, both sides of the pool counted.
      {
        name: `processor time of a run through the pool (${name})`,
        value: (1000 * worked.pooled) / (rounds * runsPerRound),
        unit: 'ms',
        limit: (1000 * worked.raw) / (rounds * runsPerRound),
        limitName: 'onnxruntime-node alone',
        ratio: worked.raw / worked.pooled,
      },
      { name: `preprocessing of a ${rows} x ${columns} film (${name})`, value: preparing, unit: 'ms' },
    ];
  } finally {
    await pooled.close();
    raw.close();
  }
}

async function thePool(pack: LoadedPack, job: PoolJob) {
  const pool = processPool({ packs: [served(pack)], processes: 1, threads, provider: 'cpu', logger: silentLogger });
  await pool.ready();
  await pool.run(job);
  return {
    atOnce: (count: number) => secondsOf(() => Promise.all(Array.from({ length: count }, () => pool.run(job)))),
    /** Crossing to the process and back, and the pack's own code. */
    msAroundTheNet: async (): Promise<number> => {
      const started = performance.now();
      const { netMs } = await pool.run(job);
      return performance.now() - started - netMs;
    },
    /** Of the service's side and of the model process. */
    processorSeconds: () =>
      (process.cpuUsage().user + process.cpuUsage().system) / 1e6 + processorSeconds(pool.status().processes[0]?.pid),
    close: () => pool.close(),
  };
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index < 12; index += 1) times.push(1000 * (await secondsOf(work)));
  return quarter(times);
}

/** The first quartile: what the machine does when nothing else wants it, without trusting a single lucky run. */
const quarter = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 2]!;
