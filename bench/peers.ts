/** Films read per second from file to findings, against the same pipeline written the usual way in Python, at equal threads. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { decoderPool } from '../src/dicom/decoder-pool.ts';
import { silentLogger } from '../src/domain/log.ts';
import type { Landmark } from '../src/domain/finding.ts';
import { loadPack } from '../src/inference/load-packs.ts';
import { modelRunner } from '../src/inference/model-runner.ts';
import { prepare } from '../src/inference/preprocess.ts';
import type { BenchRow } from './row.ts';

const root = join(import.meta.dirname, '..');
/** Of ONNX Runtime, in both. */
const threads = 2;
const rounds = 7;
const filmsPerRound = 8;
/** Two films of the demo hospital, 992 x 1600, with each pixel repeated: 6.3 million pixels of 0.12 mm, a usual detector's. */
const sources = ['l4-l5-grade-1.dcm', 'normal.dcm'];

export async function benchPeers(): Promise<BenchRow[]> {
  const python = process.env['PYTHON'] ?? 'python3';
  const packages = spawnSync(python, ['-c', 'import numpy, onnxruntime, PIL, pydicom']);
  if (packages.status !== 0) {
    process.stderr.write(`peers: SKIPPED: ${python} with numpy, onnxruntime, pillow and pydicom is not here\n`);
    return [];
  }
  const folder = await mkdtemp(join(tmpdir(), 'wetread-peers-'));
  const peer = thePeer(python);
  const name = 'lumbar-landmarks';
  const pack = await loadPack(join(root, 'models', name), name);
  const runner = modelRunner({ packs: [pack], processes: 1, threads, provider: 'cpu', logger: silentLogger });
  const decoder = decoderPool({ threads: 1, logger: silentLogger });
  try {
    const films: string[] = [];
    for (const source of sources) {
      const film = join(root, 'sandbox/films', source);
      const { values } = (await decoder.decode(await readFile(film))).pixels;
      // The demo's films are JPEG-LS, which pydicom alone does not decode.
      await writeFile(join(folder, 'values'), Uint16Array.from(values));
      films.push(join(folder, source));
      await peer.ask({ larger: [film, join(folder, 'values'), films.at(-1), 2] });
    }
    const [[network, model]] = Object.entries(pack.weightsFiles) as [[string, string]];
    const [, , rows, columns] = pack.manifest.networks[network]!.inputs['image']!.shape;
    const { landmarks } = await peer.ask({ films, model, threads, rows, columns });
    await runner.ready();

    const read = async (file: string): Promise<readonly Landmark[]> => {
      const image = (await decoder.decode(await readFile(file))).grey(0);
      return (await runner.run(pack.identity, image)).landmarks ?? [];
    };
    // Both give the same corners, or the comparison means nothing.
    let apart = 0;
    for (const [index, film] of films.entries())
      for (const [place, { at }] of (await read(film)).entries()) {
        const [x, y] = landmarks![index]![place]!;
        apart = Math.max(apart, Math.hypot(at[0] - x, at[1] - y));
      }

    const seconds = { ours: [] as number[], theirs: [] as number[] };
    for (let round = 0; round < rounds; round += 1) {
      const started = performance.now();
      // As the service reads a study: while one film is with the model, the next is unpacked.
      let next = 0;
      const one = async (): Promise<void> => {
        while (next < filmsPerRound) await read(films[next++ % films.length]!);
      };
      await Promise.all([one(), one()]);
      seconds.ours.push((performance.now() - started) / 1000);
      seconds.theirs.push((await peer.ask({ run: filmsPerRound })).seconds!);
    }
    const shown = (await decoder.decode(await readFile(films[0]!))).grey(0);
    const film = { rows: shown.rows, columns: shown.columns, intensities: shown.intensities };
    const { preprocess = [] } = pack.manifest.networks[network]!.inputs['image']!;
    const preparing = { ours: [] as number[], theirs: [] as number[] };
    for (let round = 0; round < rounds; round += 1) {
      const started = performance.now();
      for (let index = 0; index < 5; index += 1) await prepare([film], preprocess);
      preparing.ours.push((performance.now() - started) / 5);
      preparing.theirs.push((1000 * (await peer.ask({ prepare: 5 })).seconds!) / 5);
    }
    const rate = (all: readonly number[]): number => filmsPerRound / median(all);
    // Of each round, as whatever else the machine does changes between rounds.
    const ratio = median(seconds.ours.map((took, round) => seconds.theirs[round]! / took));
    return [
      {
        name: `films of 6.3 megapixels read, file to findings (${threads} threads)`,
        value: rate(seconds.ours),
        unit: 'films/s',
        limit: rate(seconds.theirs),
        limitName: 'pydicom + numpy + Pillow + onnxruntime',
        ratio,
        target: 'ratio ≥ 1.20',
        pass: ratio >= 1.2,
      },
      {
        name: 'from the grey film to the tensor',
        value: median(preparing.ours),
        unit: 'ms',
        limit: median(preparing.theirs),
        limitName: 'Pillow + numpy',
        ratio: median(preparing.theirs.map((took, round) => took / preparing.ours[round]!)),
      },
      {
        name: 'corners apart from theirs, at most (picture pixels)',
        value: apart,
        unit: 'px',
        target: '≤ 1 px',
        pass: apart <= 1,
      },
    ];
  } finally {
    peer.close();
    await runner.close();
    await decoder.close();
    await rm(folder, { recursive: true, force: true });
  }
}

type Answer = { readonly seconds?: number; readonly landmarks?: readonly (readonly (readonly [number, number])[])[] };

function thePeer(python: string) {
  const child = spawn(python, [join(import.meta.dirname, 'peers/python_pipeline.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(order: object): Promise<Answer> {
      child.stdin.write(`${JSON.stringify(order)}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error('the Python pipeline ended');
      return JSON.parse(value) as Answer;
    },
    close: () => void child.kill(),
  };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
