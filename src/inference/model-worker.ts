/** The service's side of one model process: hands it pictures, keeps its deadlines, tells how it ended. */
import { fork, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { ExecutionProvider, Order, Report, RunOrder, ServedPack } from './process-messages.ts';
import type { PackAnswer } from './run-pack.ts';

export type PoolJob = Omit<RunOrder, 'kind' | 'id'>;
export type PoolAnswer = PackAnswer;

/** One picture and whoever waits for its answer. */
export type Task = {
  readonly job: PoolJob;
  readonly deadlineMs: number;
  readonly resolve: (answer: PoolAnswer) => void;
  readonly reject: (error: Error) => void;
  /** Nobody waits any more. */
  abandoned: boolean;
};

export type WorkerEnd =
  | { readonly kind: 'closed' | 'retired'; readonly unbegun: Task[] }
  | { readonly kind: 'died'; readonly reason: string; readonly unbegun: Task[] }
  | { readonly kind: 'not-started'; readonly error: WetreadError; readonly unbegun: Task[] };

export type ModelWorkerOptions = {
  readonly packs: readonly ServedPack[];
  readonly provider: ExecutionProvider;
  readonly threads: number;
  readonly logger: Logger;
  readonly onFree: () => void;
  readonly onEnd: (how: WorkerEnd) => void;
};

export interface ModelWorker {
  readonly pid: number | undefined;
  readonly state: 'starting' | 'ready' | 'retiring' | 'ended';
  readonly startedAt: number;
  readonly runs: number;
  readonly rssBytes: number;
  readonly load: number;
  readonly hasRoom: boolean;
  /** With the time of each pack's first run. */
  readonly ready: Promise<Readonly<Record<string, number>>>;
  take(task: Task): void;
  /** Finishes what it has, then ends. */
  retire(): void;
  close(): Promise<void>;
}

/** One picture is read while the next crosses the boundary; a third would only wait there where nobody can reorder it. */
const depth = 2;
/** Opening sessions and the first runs; a GPU's first kernel compilation takes tens of seconds. */
const startDeadlineMs = 120_000;
const processFile = fileURLToPath(new URL('./model-process.ts', import.meta.url));

export function modelWorker({ packs, provider, threads, logger, onFree, onEnd }: ModelWorkerOptions): ModelWorker {
  const child = fork(processFile, {
    serialization: 'advanced',
    execArgv: ['--disable-warning=ExperimentalWarning'],
    env: environmentForModels(process.env),
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  passOn(child, logger);
  const startedAt = Date.now();
  const ready = Promise.withResolvers<Readonly<Record<string, number>>>();
  ready.promise.catch(() => undefined);
  const gone = Promise.withResolvers<void>();
  const tasks: { readonly id: number; readonly task: Task }[] = [];
  let state: ModelWorker['state'] = 'starting';
  let deadline: NodeJS.Timeout | undefined;
  let inPostprocess = false;
  let nextId = 0;
  let runs = 0;
  let rssBytes = 0;
  /** Set when the service itself ends the process. */
  let ended: 'closed' | 'retired' | WetreadError | undefined;

  const kill = (why: NonNullable<typeof ended>): void => {
    ended ??= why;
    child.kill('SIGKILL');
  };
  const send = (order: Order): void => {
    // An error here means the process is going; its exit is what counts.
    child.send(order, () => undefined);
  };

  /** The deadline is each picture's own: it starts when the one before is answered. */
  function watch(): void {
    clearTimeout(deadline);
    inPostprocess = false;
    const current = tasks[0];
    if (current === undefined) return;
    const { deadlineMs } = current.task;
    deadline = setTimeout(() => {
      const error = inPostprocess
        ? new WetreadError('model.postprocess-failed', `postprocess did not return within ${deadlineMs} ms`)
        : new WetreadError('model.deadline-exceeded', `${current.task.job.pack}: ${deadlineMs} ms`);
      kill(error);
    }, deadlineMs);
  }

  function settle(id: number, settleTask: (task: Task) => void): void {
    const [done] = tasks.splice(
      tasks.findIndex((one) => one.id === id),
      1,
    );
    runs += 1;
    watch();
    if (done !== undefined) settleTask(done.task);
    if (state === 'retiring' && tasks.length === 0) kill('retired');
    else onFree();
  }

  const startTimer = setTimeout(() => {
    kill(new WetreadError('model.provider-unavailable', `${provider}: not ready after ${startDeadlineMs / 1000} s`));
  }, startDeadlineMs);

  child.on('message', (report: Report) => {
    switch (report.kind) {
      case 'ready':
        clearTimeout(startTimer);
        if (state === 'starting') state = 'ready';
        ready.resolve(report.probeMs);
        break;
      case 'not-ready':
        kill(new WetreadError(report.fault.code, report.fault.detail));
        break;
      case 'postprocessing':
        inPostprocess = tasks[0]?.id === report.id;
        break;
      case 'answer': {
        const { kind: _, id, rssBytes: bytes, ...answer } = report;
        rssBytes = bytes;
        settle(id, (task) => task.resolve(answer));
        break;
      }
      case 'fault': {
        const { code, detail } = report.fault;
        settle(report.id, (task) => task.reject(new WetreadError(code, detail)));
        break;
      }
    }
  });

  const finish = (reason: string): void => {
    if (state === 'ended') return;
    const wasStarting = state === 'starting';
    state = 'ended';
    clearTimeout(deadline);
    clearTimeout(startTimer);
    const [current, ...behind] = tasks.splice(0);
    const unbegun = behind.map(({ task }) => task).filter(({ abandoned }) => !abandoned);
    const died = new WetreadError('model.process-died', reason);
    const error = ended instanceof WetreadError ? ended : died;
    current?.task.reject(error);
    ready.reject(error);
    gone.resolve();
    if (ended === 'closed' || ended === 'retired') onEnd({ kind: ended, unbegun });
    else if (wasStarting) onEnd({ kind: 'not-started', error, unbegun });
    else onEnd({ kind: 'died', reason: error.message, unbegun });
  };
  child.on('exit', (code, signal) => finish(signal === null ? `exit code ${code}` : signal));
  child.on('error', (error) => finish(error.message));

  send({ kind: 'start', packs, provider, threads });

  return {
    pid: child.pid,
    get state() {
      return state;
    },
    startedAt,
    get runs() {
      return runs;
    },
    get rssBytes() {
      return rssBytes;
    },
    get load() {
      return tasks.length;
    },
    get hasRoom() {
      return state === 'ready' && tasks.length < depth;
    },
    ready: ready.promise,
    take(task) {
      const id = nextId;
      nextId += 1;
      tasks.push({ id, task });
      if (tasks.length === 1) watch();
      send({ kind: 'run', id, ...task.job });
    },
    retire() {
      if (state === 'ready') state = 'retiring';
      if (tasks.length === 0) kill('retired');
    },
    close() {
      kill('closed');
      return gone.promise;
    },
  };
}

/** A model process has no business with the service's secrets: pack code runs there. */
function environmentForModels(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const secret = /^(WETREAD_|DATABASE_URL$|PG)|SECRET|TOKEN|PASSWORD|AUTHORIZATION/i;
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !secret.test(name)));
}

/** The runtime's own words, into the log. */
function passOn(child: ChildProcess, logger: Logger): void {
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on('line', (line) => {
      // Terminal colours do not belong in a log.
      const text = stripVTControlCharacters(line).trim();
      if (text !== '') logger.warn('model process says', { pid: child.pid, text: text.slice(0, 500) });
    });
  }
}
