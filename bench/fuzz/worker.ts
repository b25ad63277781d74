/** The thread that runs one format's inputs, and measures its own memory. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { fuzzed, type FuzzAnswer, type FuzzWork } from '../fuzz.ts';
import type { Fuzzer } from './fuzzer.ts';

const { file, from, count, at } = workerData as FuzzWork;
const now = new Int32Array(at);
const { default: fuzzer } = (await import(`./${file}`)) as { default: Fuzzer };

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
/** This thread's own: what it holds in objects, in buffers, and in the codecs' memory. */
async function megabytes(): Promise<number> {
  // A codec's module that was let go takes its 50 MB with it in a second round only.
  collectGarbage();
  await new Promise((resolve) => setTimeout(resolve, 100));
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}

let halfWay = 0;
const half = Math.floor(count / 2);
const { tally, faults, slowestMs } = await fuzzed(fuzzer, from, count, async (index) => {
  Atomics.store(now, 0, index);
  if (index === half) halfWay = await megabytes();
});
const answer: FuzzAnswer = { tally, faults, slowestMs, megabytes: [halfWay, await megabytes()] };
parentPort?.postMessage(answer, []);
