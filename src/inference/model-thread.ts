/** Hosts the packs' code: opens their networks on the runtime that was asked for, and runs one job after the other. */
import { pathToFileURL } from 'node:url';
import { parentPort } from 'node:worker_threads';
import { asWetreadError, WetreadError } from '../domain/errors.ts';
import type { ModelPack } from '../kit/model-pack.ts';
import type { Network, Networks } from './network.ts';
import { openNetwork, verifyProvider } from './onnx-runtime.ts';
import type { Fault, Order, Report, RunOrder, StartOrder } from './process-messages.ts';
import { runPack, type WarmPack } from './run-pack.ts';
import { networksOf } from './served-networks.ts';

if (parentPort === null) throw new Error('model-thread.ts is started by model-process.ts');
const port = parentPort;

const warm = new Map<string, { readonly pack: WarmPack; readonly networks: Networks }>();

const report = (message: Report): void => port.postMessage(message);

/** One after the other: the service counts a picture's time from the answer to the one before it. */
let turn: Promise<void> = Promise.resolve();
port.on('message', (order: Order) => {
  turn = turn.then(() => (order.kind === 'start' ? start(order) : serve(order)));
});

async function start({ packs, provider, threads }: StartOrder): Promise<void> {
  const probeMs: Record<string, number> = {};
  try {
    verifyProvider(provider);
    for (const served of packs) {
      const { manifest } = served;
      const networks: Record<string, Network> = {};
      probeMs[manifest.name] = 0;
      for (const spec of networksOf(served)) {
        const opened = await openNetwork(spec, { provider, threads });
        networks[spec.network] = opened.network;
        probeMs[manifest.name]! += opened.probeMs;
      }
      const module = (await import(pathToFileURL(served.postprocessFile).href)) as { readonly default: ModelPack };
      warm.set(manifest.name, { pack: { manifest, pack: module.default }, networks });
    }
    report({ kind: 'ready', probeMs });
  } catch (thrown) {
    report({ kind: 'not-ready', fault: faultOf(thrown) });
  }
}

async function serve(job: RunOrder): Promise<void> {
  const { id } = job;
  try {
    const served = warm.get(job.pack);
    if (served === undefined) throw new WetreadError('model.run-failed', `the pack ${job.pack} is not in this process`);
    const answer = await runPack(served.pack, served.networks, job, {
      postprocessing: () => report({ kind: 'postprocessing', id }),
    });
    report({ kind: 'answer', id, ...answer, rssBytes: process.memoryUsage.rss() });
  } catch (thrown) {
    report({ kind: 'fault', id, fault: faultOf(thrown) });
  }
}

function faultOf(thrown: unknown): Fault {
  const error = asWetreadError(thrown);
  const words = thrown instanceof Error ? thrown.message : String(thrown);
  return { code: error.code, detail: error.detail ?? words.split('\n', 1)[0]!.slice(0, 500) };
}
