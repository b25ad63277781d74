/**
 * `npm run bench -- fuzz`: damaged inputs of every format in bench/fuzz, a hundred thousand and more in all. None may crash its reader,
 * hang it, make it grow without end, or be read as something that it is not. FUZZ_SEED and FUZZ_SHARE change where it starts
 * and how much of it runs.
 */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Fuzzer, Verdict } from './fuzz/fuzzer.ts';
import type { BenchRow } from './row.ts';

const folder = join(import.meta.dirname, 'fuzz');
/** Longest for one input; the slowest real one takes a hundredth of it. */
const patienceMs = 20_000;
/** Memory may settle during the first half; what grows in the second would grow for ever. */
const mostGrowthMb = 48;

export type FuzzWork = {
  readonly file: string;
  readonly from: number;
  readonly count: number;
  readonly at: SharedArrayBuffer;
};
export type FuzzAnswer = {
  readonly tally: Readonly<Record<string, number>>;
  readonly faults: readonly { readonly seed: number; readonly what: string; readonly about: string }[];
  readonly slowestMs: number;
  /** Heap and buffers after collecting garbage, half way and at the end. */
  readonly megabytes: readonly [halfWay: number, end: number];
};

/** Files that offer inputs: all but those that the others share. */
export const fuzzerFiles = (): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.ts') && !['fuzzer.ts', 'damage.ts', 'worker.ts'].includes(name))
    .sort();

export async function benchFuzz(): Promise<BenchRow[]> {
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1_000_000_000);
  const share = Number(process.env['FUZZ_SHARE'] ?? 1);
  process.stderr.write(`  seed ${seed}\n`);
  const rows: BenchRow[] = [];
  let all = 0;
  for (const file of fuzzerFiles()) {
    const { default: fuzzer } = (await import(join(folder, file))) as { default: Fuzzer };
    const inputs = Math.ceil(fuzzer.inputs * share);
    const threads = Math.min(2, availableParallelism());
    const each = Math.ceil(inputs / threads);
    const started = performance.now();
    const answers = await Promise.all(
      Array.from({ length: threads }, (_, thread) => watched(file, seed + thread * each, each)),
    );
    const seconds = (performance.now() - started) / 1000;
    const faults = answers.flatMap((answer) => answer.faults);
    for (const { seed: which, what, about } of faults.slice(0, 20))
      process.stderr.write(`  ${fuzzer.name} ${which}: ${what}\n    ${about}\n`);
    const tally: Record<string, number> = {};
    for (const answer of answers)
      for (const [kind, count] of Object.entries(answer.tally)) tally[kind] = (tally[kind] ?? 0) + count;
    const done = Object.entries(tally).reduce((sum, [kind, count]) => (kind.includes('.') ? sum : sum + count), 0);
    all += done;
    process.stderr.write(
      `  ${fuzzer.name}: ${Object.entries(tally)
        .map(([kind, count]) => `${count} ${kind}`)
        .join(
          ', ',
        )}; ${seconds.toFixed(0)} s, slowest ${Math.max(...answers.map(({ slowestMs }) => slowestMs)).toFixed(0)} ms\n`,
    );
    const growth = Math.max(...answers.map(({ megabytes: [halfWay, end] }) => end - halfWay));
    rows.push(
      {
        name: `fuzz ${fuzzer.name}, faults in ${done} inputs`,
        value: faults.length,
        unit: '',
        target: '0',
        pass: faults.length === 0,
      },
      {
        name: `fuzz ${fuzzer.name}, memory grown in the second half`,
        value: growth,
        unit: 'MB',
        target: `≤ ${mostGrowthMb} MB`,
        pass: growth <= mostGrowthMb,
      },
    );
  }
  rows.push({
    name: 'fuzz, inputs in all',
    value: all,
    unit: '',
    target: `≥ ${Math.ceil(100_000 * share)}`,
    pass: all >= 100_000 * share,
  });
  return rows;
}

/** Runs them in a thread; when one hangs or ends the thread, that is a fault, and the rest runs in another. */
async function watched(file: string, from: number, count: number): Promise<FuzzAnswer> {
  const answers: FuzzAnswer[] = [];
  let next = from;
  while (next < from + count) {
    const at = new SharedArrayBuffer(4);
    const now = new Int32Array(at);
    const outcome = await inThread({ file, from: next, count: from + count - next, at }, now);
    if (typeof outcome !== 'string') {
      answers.push(outcome);
      break;
    }
    const seed = next + (now[0] as number);
    answers.push({
      tally: { fault: 1, lost: seed - next },
      faults: [{ seed, what: outcome, about: '' }],
      slowestMs: patienceMs,
      megabytes: [0, 0],
    });
    next = seed + 1;
  }
  return {
    tally: answers.reduce<Record<string, number>>((sum, { tally }) => {
      for (const [kind, many] of Object.entries(tally)) sum[kind] = (sum[kind] ?? 0) + many;
      return sum;
    }, {}),
    faults: answers.flatMap(({ faults }) => faults),
    slowestMs: Math.max(...answers.map(({ slowestMs }) => slowestMs)),
    megabytes: answers.at(-1)?.megabytes ?? [0, 0],
  };
}

function inThread(work: FuzzWork, now: Int32Array): Promise<FuzzAnswer | string> {
  return new Promise((resolve) => {
    const worker = new Worker(join(folder, 'worker.ts'), { workerData: work, stdout: true, stderr: true });
    let last = -1;
    const watch = setInterval(() => {
      const index = Atomics.load(now, 0);
      if (index === last) end(`not done within ${patienceMs} ms`);
      last = index;
    }, patienceMs);
    const end = (outcome: FuzzAnswer | string) => {
      clearInterval(watch);
      resolve(outcome);
      void worker.terminate();
    };
    worker.once('message', (answer: FuzzAnswer) => end(answer));
    worker.once('error', (error) => end(`the thread ended: ${error.message}`));
    worker.once('exit', () => end('the thread ended'));
  });
}

/** What became of inputs with these seeds; also for tests, which run a few in their own thread. */
export async function fuzzed(
  fuzzer: Fuzzer,
  from: number,
  count: number,
  onIndex: (index: number) => void | Promise<void> = () => {},
): Promise<{ tally: Record<string, number>; faults: FuzzAnswer['faults']; slowestMs: number }> {
  const tally: Record<string, number> = {};
  const faults: { seed: number; what: string; about: string }[] = [];
  let slowestMs = 0;
  for (let index = 0; index < count; index++) {
    await onIndex(index);
    const seed = from + index;
    const started = performance.now();
    const verdict: Verdict = await fuzzer.attempt(seed);
    // The first loads what it needs.
    if (index > 0) slowestMs = Math.max(slowestMs, performance.now() - started);
    tally[verdict.kind] = (tally[verdict.kind] ?? 0) + 1;
    if (verdict.kind === 'refused') tally[verdict.code] = (tally[verdict.code] ?? 0) + 1;
    if (verdict.kind === 'fault') faults.push({ seed, what: verdict.what, about: fuzzer.input(seed).about });
  }
  return { tally, faults, slowestMs };
}
