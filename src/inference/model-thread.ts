/** Hosts the packs' code: opens their networks on the runtime that was asked for, and works on the jobs it is given. */
import { pathToFileURL } from 'node:url';
import { parentPort } from 'node:worker_threads';
import { asWetreadError, WetreadError } from '../domain/errors.ts';
import type { ModelPack } from '../kit/model-pack.ts';
import { lentOnce } from './lent-networks.ts';
import type { Network, Networks } from './network.ts';
import { openRuntime } from './open-runtime.ts';
import type { Fault, NetworkFacts, Order, Report, RunOrder, StartOrder } from './process-messages.ts';
import { runPack, type WarmPack } from './run-pack.ts';
import { networksOf } from './served-networks.ts';
import { readShared } from './shared-file.ts';

if (parentPort === null) throw new Error('model-thread.ts is started by model-process.ts');
const port = parentPort;

const warm = new Map<string, { readonly pack: WarmPack; readonly networks: Networks }>();

const report = (message: Report): void => port.postMessage(message);

/** In the order they came, so many at once: the service counts a job's time from the answer that made room for it. */
const waiting: RunOrder[] = [];
let atOnce = 1;
let working = 0;
port.on('message', (order: Order) => {
  if (order.kind === 'start') void start(order);
  else {
    waiting.push(order);
    begin();
  }
});

function begin(): void {
  while (working < atOnce && waiting.length > 0) {
    working += 1;
    void workOn(waiting.shift()!);
  }
}

async function workOn(order: RunOrder): Promise<void> {
  await serve(order);
  working -= 1;
  begin();
}

async function start(order: StartOrder): Promise<void> {
  const facts: NetworkFacts[] = [];
  try {
    atOnce = order.atOnce;
    const specs = order.packs.flatMap(networksOf);
    const runtime = openRuntime(order.runtime);
    // A server computes for whoever asks it; here the second run of a film would be the dearest part of it.
    const networksHere = order.runtime.kind === 'onnx-runtime' ? lentOnce(runtime, specs) : runtime;
    for (const served of order.packs) {
      const { manifest } = served;
      const networks: Record<string, Network> = {};
      for (const spec of networksOf(served)) {
        const opened = await networksHere.open(spec);
        networks[spec.network] = opened.network;
        facts.push(opened.facts);
      }
      const module = (await import(pathToFileURL(served.postprocessFile).href)) as { readonly default: ModelPack };
      warm.set(manifest.name, { pack: { manifest, pack: module.default }, networks });
    }
    report({ kind: 'ready', networks: facts });
  } catch (thrown) {
    report({ kind: 'not-ready', fault: faultOf(thrown) });
  }
}

async function serve(order: RunOrder): Promise<void> {
  const { id } = order;
  try {
    const served = warm.get(order.pack);
    if (served === undefined)
      throw new WetreadError('model.run-failed', `the pack ${order.pack} is not in this process`);
    let inOwnCode = false;
    const networks = telling(served.networks, () => {
      // In a chain the pack's code comes between two networks.
      if (inOwnCode) report({ kind: 'computing', id });
      inOwnCode = false;
    });
    const answer = await runPack(served.pack, networks, readShared(order), {
      postprocessing: () => {
        inOwnCode = true;
        report({ kind: 'postprocessing', id });
      },
    });
    report({ kind: 'answer', id, ...answer, rssBytes: process.memoryUsage.rss() });
  } catch (thrown) {
    report({ kind: 'fault', id, fault: faultOf(thrown) });
  }
}

const telling = (networks: Networks, computing: () => void): Networks =>
  Object.fromEntries(
    Object.entries(networks).map(([name, network]): [string, Network] => [
      name,
      {
        run(feeds) {
          computing();
          return network.run(feeds);
        },
      },
    ]),
  );

function faultOf(thrown: unknown): Fault {
  const error = asWetreadError(thrown);
  const words = thrown instanceof Error ? thrown.message : String(thrown);
  return { code: error.code, detail: error.detail ?? words.split('\n', 1)[0]!.slice(0, 500) };
}
