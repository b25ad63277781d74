/** One film from file to findings with everything warm, against decoding it and running the net on it and nothing else. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { picturesOf } from '../src/cli/infer/inputs.ts';
import { readPicture } from '../src/cli/infer/reading.ts';
import { decoderPool } from '../src/dicom/decoder-pool.ts';
import { silentLogger } from '../src/domain/log.ts';
import { loadPack } from '../src/inference/load-packs.ts';
import { modelRunner } from '../src/inference/model-runner.ts';
import { packJob } from '../src/inference/pack-job.ts';
import { bareRuntime } from './bare.ts';
import type { BenchRow } from './row.ts';

const root = join(import.meta.dirname, '..');
const threads = 2;
const rounds = 30;

export async function benchInfer(): Promise<BenchRow[]> {
  const name = 'lumbar-landmarks';
  const film = join(root, 'sandbox/films/l4-l5-grade-1.dcm');
  const pack = await loadPack(join(root, 'models', name), name);
  const runner = modelRunner({ packs: [pack], processes: 1, threads, provider: 'cpu', logger: silentLogger });
  const decoder = decoderPool({ threads: 1, logger: silentLogger });
  const image = (await decoder.decode(await readFile(film))).grey(0);
  const bare = await bareRuntime(pack, await packJob(pack.manifest, [image]), threads);
  try {
    await runner.ready();
    const infer = async (): Promise<void> => {
      const [picture] = await picturesOf(film, {}, { decoder, maxBytes: 2 ** 30 });
      const { readings } = await readPicture(runner, picture!, { isNamed: false, viewIsSure: false });
      if (readings[0]?.findings.length === 0) throw new Error('nothing was read');
    };
    const decode = async (): Promise<void> => void (await decoder.decode(await readFile(film))).grey(0);
    await infer();
    const times = { whole: [] as number[], parts: [] as number[] };
    for (let round = 0; round < rounds; round += 1) {
      times.whole.push(await milliseconds(infer));
      times.parts.push((await milliseconds(decode)) + 1000 * (await bare.seconds(1)));
    }
    const ratio = median(times.whole.map((took, round) => took / times.parts[round]!));
    return [
      {
        name: `wetread infer on one film, warm (${image.columns} x ${image.rows})`,
        value: median(times.whole),
        unit: 'ms',
        limit: median(times.parts),
        limitName: 'decode + bare run',
        ratio,
        target: 'ratio ≤ 1.25',
        pass: ratio <= 1.25,
      },
    ];
  } finally {
    bare.close();
    await runner.close();
    await decoder.close();
  }
}

async function milliseconds(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
