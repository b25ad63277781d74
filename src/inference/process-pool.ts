/** Model processes kept warm: each picture goes to one of them, and one that hangs or crashes is replaced. */
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import {
  modelWorker,
  type ModelWorker,
  type PoolAnswer,
  type PoolJob,
  type Task,
  type WorkerEnd,
} from './model-worker.ts';
import type { BatchRule, ExecutionProvider, NetworkFacts, RuntimeChoice, ServedPack } from './process-messages.ts';

export type { PoolAnswer, PoolJob } from './model-worker.ts';

export type PoolOptions = {
  readonly packs: readonly ServedPack[];
  readonly processes: number;
  /** Of each process. */
  readonly threads: number;
  readonly provider: ExecutionProvider;
  /** Waiting pictures share a run where a network has a batch axis. */
  readonly batch?: BatchRule;
  /** A KServe v2 server that computes the networks; provider and threads are then its own affair. */
  readonly server?: InferenceServer;
  readonly logger: Logger;
  /** Pictures that may wait; one more is refused with `model.queue-full`. */
  readonly queueLimit?: number;
  /** A process is replaced after this many runs, this long, or above this size: runtimes and drivers leak. */
  readonly maxRuns?: number;
  readonly maxAgeMs?: number;
  readonly maxRssBytes?: number;
};

export type InferenceServer = {
  readonly url: string;
  readonly authorization?: string;
  /** Of each process. */
  readonly requestsAtOnce: number;
};

export type PoolStatus = {
  /** The execution provider, or the protocol of the server. */
  readonly provider: string;
  readonly threads: number;
  readonly processes: readonly {
    readonly pid: number | undefined;
    readonly state: 'starting' | 'ready';
    readonly runs: number;
    readonly rssBytes: number;
  }[];
  readonly waiting: number;
  readonly running: number;
  /** Ends in mid-run, deadlines included. */
  readonly deaths: number;
  /** First run of each pack at the start, in ms; proof that the provider works. */
  readonly probeMs: Readonly<Record<string, number>>;
  readonly networks: readonly NetworkFacts[];
  /** Why no process can be started, while that is so. */
  readonly fault?: string;
};

export interface ProcessPool {
  run(job: PoolJob, signal?: AbortSignal): Promise<PoolAnswer>;
  /** Settles with the first start: every process ready, or the reason why not. */
  ready(): Promise<void>;
  status(): PoolStatus;
  close(): Promise<void>;
}

/** Waits between starts that fail, in ms; the last one repeats. */
const startDelays = [0, 200, 1_000, 5_000, 15_000];

export function processPool(options: PoolOptions): ProcessPool {
  const { packs, processes, threads, logger } = options;
  const runtime = runtimeOf(options);
  const provider = providerName(options);
  const atOnce = runtime.kind === 'kserve' ? runtime.requestsAtOnce : Math.max(1, runtime.batch.most);
  const { queueLimit = 64, maxRuns = 5_000, maxAgeMs = 12 * 3_600_000, maxRssBytes = 4 * 1024 ** 3 } = options;
  const deadlines = new Map(packs.map(({ manifest }) => [manifest.name, manifest.deadlineMs]));
  const workers = new Set<ModelWorker>();
  const waiting: Task[] = [];
  const delayed = new Set<NodeJS.Timeout>();
  let deaths = 0;
  let failedStarts = 0;
  let fault: WetreadError | undefined;
  let closed = false;
  let networks: readonly NetworkFacts[] = [];

  async function start(): Promise<void> {
    const worker = modelWorker({
      packs,
      runtime,
      atOnce,
      // Above the one limit it is replaced between two runs; far above it, in the middle of one.
      maxRssBytes: maxRssBytes * 1.5,
      logger,
      onFree: dispatch,
      onEnd: (how) => replace(worker, how),
    });
    workers.add(worker);
    networks = await worker.ready;
    failedStarts = 0;
    fault = undefined;
    logger.info('model process ready', { pid: worker.pid, executionProvider: provider, threads, networks });
    dispatch();
  }

  function replace(worker: ModelWorker, how: WorkerEnd): void {
    workers.delete(worker);
    // What was not begun goes to another process, before anything that came later.
    waiting.unshift(...how.unbegun);
    if (closed) return;
    if (how.kind === 'died') {
      deaths += 1;
      logger.error('model process ended', { pid: worker.pid, reason: how.reason });
    }
    if (how.kind === 'not-started') {
      failedStarts += 1;
      fault = how.error;
      logger.error('model process does not start', { code: how.error.code, detail: how.error.detail });
      // Nobody is left to do the work: those who wait learn why, and their jobs' retries come back later.
      if (![...workers].some(({ state }) => state === 'ready'))
        for (const task of waiting.splice(0)) task.reject(how.error);
    }
    const delay = startDelays[Math.min(failedStarts, startDelays.length - 1)]!;
    const timer = setTimeout(() => {
      delayed.delete(timer);
      start().catch(() => {
        // Told by onEnd.
      });
    }, delay);
    delayed.add(timer);
  }

  function dispatch(): void {
    while (waiting.length > 0) {
      const worker = leastBusy();
      if (worker === undefined || (waiting[0]!.suspect && worker.load > 0)) return;
      worker.take(waiting.shift()!);
      if (wornOut(worker)) worker.retire();
    }
  }

  function leastBusy(): ModelWorker | undefined {
    return [...workers].filter(({ hasRoom }) => hasRoom).toSorted((a, b) => a.load - b.load)[0];
  }

  const wornOut = ({ runs, rssBytes, startedAt }: ModelWorker): boolean =>
    runs >= maxRuns || rssBytes > maxRssBytes || Date.now() - startedAt > maxAgeMs;

  const firstStart = Promise.all(Array.from({ length: processes }, start)).then(() => undefined);
  // Whoever asks `ready()` hears of it; without this line a start that nobody awaits would end the service.
  firstStart.catch(() => undefined);

  return {
    ready: () => firstStart,
    run(job, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<PoolAnswer>();
      const deadlineMs = deadlines.get(job.pack);
      if (closed) reject(new WetreadError('model.process-died', 'the service is stopping'));
      else if (deadlineMs === undefined)
        reject(new WetreadError('model.run-failed', `there is no pack called ${job.pack}`));
      else if (signal?.aborted === true) reject(signal.reason as Error);
      else if (fault !== undefined && workers.size === 0) reject(fault);
      else if (waiting.length >= queueLimit) reject(new WetreadError('model.queue-full', `${queueLimit} are waiting`));
      else {
        const task: Task = { job, deadlineMs, resolve, reject, abandoned: false, suspect: false };
        const abandon = (): void => {
          // A run that has begun is not stopped: it ends at its deadline anyway, and a new process costs more.
          task.abandoned = true;
          const place = waiting.indexOf(task);
          if (place >= 0) waiting.splice(place, 1);
          reject(signal!.reason as Error);
        };
        signal?.addEventListener('abort', abandon, { once: true });
        const settled = (): void => signal?.removeEventListener('abort', abandon);
        promise.then(settled, settled);
        waiting.push(task);
        dispatch();
      }
      return promise;
    },
    status: () => ({
      provider,
      threads,
      processes: [...workers].map(({ pid, state, runs, rssBytes }) => ({
        pid,
        state: state === 'starting' ? 'starting' : 'ready',
        runs,
        rssBytes,
      })),
      waiting: waiting.length,
      running: [...workers].reduce((sum, { load }) => sum + load, 0),
      deaths,
      probeMs: probeMsOf(networks),
      networks,
      ...(fault && { fault: fault.message }),
    }),
    async close() {
      closed = true;
      for (const timer of delayed) clearTimeout(timer);
      for (const task of waiting.splice(0))
        task.reject(new WetreadError('model.process-died', 'the service is stopping'));
      await Promise.all([...workers].map((worker) => worker.close()));
      for (const task of waiting.splice(0))
        task.reject(new WetreadError('model.process-died', 'the service is stopping'));
    },
  };
}

const runtimeOf = ({ server, provider, threads, batch }: PoolOptions): RuntimeChoice =>
  server === undefined
    ? { kind: 'onnx-runtime', provider, threads, batch: batch ?? { most: 1, waitMs: 0 } }
    : { kind: 'kserve', ...server };

/** As cards' provenance, logs and metrics name it. */
export const providerName = ({ server, provider }: Pick<PoolOptions, 'server' | 'provider'>): string =>
  server === undefined ? provider : /^grpcs?:/.test(server.url) ? 'kserve-grpc' : 'kserve-http';

/** Of each pack: all its networks together. */
function probeMsOf(networks: readonly NetworkFacts[]): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const { pack, probeMs } of networks) sums[pack] = (sums[pack] ?? 0) + probeMs;
  return sums;
}
