/** Runs of one network that are asked for at the same time are joined along their first axis, and their answers taken apart again. */
import { WetreadError } from '../domain/errors.ts';
import { joinRows, rowsOf, runInParts } from './rows.ts';
import type { Network, NetworkSpec, Tensors } from './network.ts';
import type { BatchRule } from './process-messages.ts';

type Waiting = {
  readonly feeds: Tensors;
  readonly rows: number;
  readonly resolve: (answer: Tensors) => void;
  readonly reject: (fault: unknown) => void;
};

/** Whether the manifest leaves the first axis free, by the same word in every tensor: anything else is no batch. */
export function hasBatchAxis({ inputs, outputs }: Pick<NetworkSpec, 'inputs' | 'outputs'>): boolean {
  const [word, ...others] = [...Object.values(inputs), ...Object.values(outputs)].map(({ shape }) => shape[0]);
  return typeof word === 'string' && others.every((other) => other === word);
}

/** A network without a batch axis stays as it is. */
export function batched(network: Network, spec: NetworkSpec, { most: mostOfRule, waitMs }: BatchRule): Network {
  const most = Math.min(mostOfRule, spec.most ?? mostOfRule);
  if (most < 2 || !hasBatchAxis(spec)) return network;
  let waiting: Waiting[] = [];
  let timer: NodeJS.Timeout | undefined;
  let running = false;

  function next(): void {
    if (running || waiting.length === 0) return;
    const full = waiting.reduce((sum, { rows }) => sum + rows, 0) >= most;
    if (full) void runJoined();
    else timer ??= setTimeout(() => void runJoined(), waitMs);
  }

  async function runJoined(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const together = take();
    running = true;
    try {
      await answer(together);
    } finally {
      running = false;
      next();
    }
  }

  /** The first that waits, and whatever came after it that fits beside it. */
  function take(): Waiting[] {
    const [first, ...others] = waiting;
    if (first === undefined) return [];
    const together = [first];
    let rows = first.rows;
    for (const other of others) {
      if (rows + other.rows > most || !alike(first.feeds, other.feeds)) continue;
      together.push(other);
      rows += other.rows;
    }
    waiting = waiting.filter((one) => !together.includes(one));
    return together;
  }

  async function answer(together: readonly Waiting[]): Promise<void> {
    const [first] = together;
    if (first === undefined) return;
    if (together.length > 1) {
      try {
        const answers = await network.run(joinRows(together.map(({ feeds }) => feeds)));
        let from = 0;
        const parts = together.map(({ rows }) => rowsOf(answers, from, (from += rows)));
        together.forEach(({ resolve }, place) => resolve(parts[place]!));
        return;
      } catch {
        // One picture may have spoilt it for the others: each by itself shows which.
      }
    }
    for (const { feeds, resolve, reject } of together) await runInParts(network, feeds, most).then(resolve, reject);
  }

  return {
    run(feeds) {
      const rows = Object.values(feeds)[0]?.dims[0] ?? 0;
      if (Object.values(feeds).some(({ dims }) => dims[0] !== rows))
        return Promise.reject(new WetreadError('model.run-failed', `${spec.network}: inputs of different batch sizes`));
      return new Promise((resolve, reject) => {
        waiting.push({ feeds, rows, resolve, reject });
        next();
      });
    },
  };
}

/** The same tensors, but for their number of rows. */
const alike = (one: Tensors, other: Tensors): boolean =>
  Object.entries(one).every(([name, { type, dims }]) => {
    const twin = other[name];
    return twin !== undefined && twin.type === type && twin.dims.slice(1).join() === dims.slice(1).join();
  });
