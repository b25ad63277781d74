/** The same films through the own processes and through a real Triton, by HTTP and by gRPC: rate with many waiting, time of one alone. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { seriesUid, sopUid, studyUid } from '../src/domain/ids.ts';
import { silentLogger } from '../src/domain/log.ts';
import { exportToTriton } from '../src/inference/export-triton.ts';
import { loadPacks, type LoadedPack } from '../src/inference/load-packs.ts';
import { served } from '../src/inference/model-runner.ts';
import { packJob } from '../src/inference/pack-job.ts';
import { processPool, type PoolJob, type PoolOptions } from '../src/inference/process-pool.ts';
import { networksOf } from '../src/inference/served-networks.ts';
import { howToInstallTriton, startTriton, tritonInstalled } from '../test/support/triton.ts';
import type { BenchRow } from './row.ts';

const models = fileURLToPath(new URL('../models', import.meta.url));
const threads = 2;
/** Short rounds take turns, so that whatever else the machine does falls on all alike. */
const rounds = 6;
const filmsAtOnce = 4;

type Way = { readonly name: string; readonly options: Partial<PoolOptions> };

export async function benchTriton(): Promise<BenchRow[]> {
  if (!tritonInstalled) {
    process.stderr.write(`SKIPPED: Triton is not installed: ${howToInstallTriton}\n`);
    return [];
  }
  const packs = await loadPacks(models, silentLogger);
  const pack = packs.find(({ identity }) => identity.name === 'lumbar-landmarks');
  if (pack === undefined) throw new Error(`no pack lumbar-landmarks in ${models}`);
  const repository = await mkdtemp(join(tmpdir(), 'wetread-repository-'));
  try {
    for (const spec of networksOf(served(pack)))
      await exportToTriton(spec, repository, { backend: 'python', threads, queueDelayMs: 2 });
    const triton = await startTriton(repository);
    try {
      return await compare(pack, [
        { name: 'own processes', options: {} },
        { name: 'own processes, up to 8 pictures in a run', options: { batch: { most: 8, waitMs: 2 } } },
        { name: 'Triton by gRPC', options: { server: { url: triton.grpc, requestsAtOnce: filmsAtOnce } } },
        { name: 'Triton by HTTP', options: { server: { url: triton.http, requestsAtOnce: filmsAtOnce } } },
      ]);
    } finally {
      await triton.stop();
    }
  } finally {
    await rm(repository, { recursive: true, force: true });
  }
}

async function compare(pack: LoadedPack, ways: readonly Way[]): Promise<BenchRow[]> {
  const job = await aFilm(pack);
  const measured = ways.map(({ name, options }) => ({
    name,
    pool: processPool({
      packs: [served(pack)],
      processes: 1,
      threads,
      provider: 'cpu',
      logger: silentLogger,
      ...options,
    }),
    seconds: [] as number[],
    alone: [] as number[],
  }));
  try {
    for (const { pool } of measured) {
      await pool.ready();
      await pool.run(job);
    }
    for (let round = 0; round < rounds; round += 1)
      for (const { pool, seconds, alone } of measured) {
        seconds.push(await secondsOf(() => Promise.all(Array.from({ length: filmsAtOnce }, () => pool.run(job)))));
        alone.push(1000 * (await secondsOf(() => pool.run(job))));
      }
    const [own] = measured;
    return measured.flatMap(({ name, seconds, alone }): BenchRow[] => {
      const rate = filmsAtOnce / quarter(seconds);
      const limits = { limit: filmsAtOnce / quarter(own!.seconds), limitName: 'own processes' };
      const beside = name === own!.name ? {} : { ...limits, ratio: rate / limits.limit };
      return [
        { name: `films with ${filmsAtOnce} waiting (${name})`, value: rate, unit: 'films/s', ...beside },
        { name: `one film alone (${name})`, value: quarter(alone), unit: 'ms' },
      ];
    });
  } finally {
    for (const { pool } of measured) await pool.close();
  }
}

async function aFilm(pack: LoadedPack): Promise<PoolJob> {
  const [rows, columns] = [1800, 1200];
  const intensities = Float32Array.from({ length: rows * columns }, (_, at) => ((at * 7919) % 1009) / 1008);
  const uids = { studyUid: studyUid('1.2'), seriesUid: seriesUid('1.2.3'), sopUid: sopUid('1.2.3.4'), sopClassUid: '' };
  return packJob(pack.manifest, [{ ...uids, frame: 0, tags: {}, rows, columns, intensities }]);
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/** The first quartile: what the machine does when nothing else wants it, without trusting a single lucky run. */
const quarter = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 2]!;
