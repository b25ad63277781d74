/** The service's side of one model process: hands it pictures, keeps its deadlines, tells how it ended. */
import { fork, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { NetworkFacts, Order, Report, RunOrder, RuntimeChoice, ServedPack } from './process-messages.ts';
import { sharedFile } from './shared-file.ts';
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
  /** It was in a process that fell, beside others: it is tried again by itself, so that only the one at fault fails. */
  suspect: boolean;
};

export type WorkerEnd =
  | { readonly kind: 'closed' | 'retired'; readonly unbegun: Task[] }
  | { readonly kind: 'died'; readonly reason: string; readonly unbegun: Task[] }
  | { readonly kind: 'not-started'; readonly error: WetreadError; readonly unbegun: Task[] };

export type ModelWorkerOptions = {
  readonly packs: readonly ServedPack[];
  readonly runtime: RuntimeChoice;
  /** Jobs that the process works on side by side. */
  readonly atOnce: number;
  readonly maxRssBytes: number;
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
  readonly ready: Promise<readonly NetworkFacts[]>;
  take(task: Task): void;
  /** Finishes what it has, then ends. */
  retire(): void;
  close(): Promise<void>;
}

type TakenTask = {
  readonly id: number;
  readonly task: Task;
  readonly stretch: number;
  deadline: NodeJS.Timeout | undefined;
};

/** A server's silence is told by the process itself, which is ended only when it does not. */
const remoteGraceMs = 5_000;
/** Opening sessions and the first runs; a GPU's first kernel compilation takes tens of seconds. */
const startDeadlineMs = 120_000;
/**
 * Pictures lie outside V8's heap, yet count towards its limit, which follows the 15 MB that live inside: a full
 * collection came every three or four films, with 10 to 20 ms of processor time each (--trace-gc).
 */
const roomForPictures = ['--heap-growing-percent=400'];
const processFile = fileURLToPath(new URL('./model-process.ts', import.meta.url));

export function modelWorker(options: ModelWorkerOptions): ModelWorker {
  const { packs, runtime, atOnce, maxRssBytes, logger, onFree, onEnd } = options;
  /** While some are read the next crosses the boundary; one more would only wait there, where nobody can reorder it. */
  const depth = atOnce + 1;
  const shared = sharedFile();
  const child = fork(processFile, {
    serialization: 'advanced',
    execArgv: ['--disable-warning=ExperimentalWarning', ...roomForPictures],
    env: environmentForModels(process.env),
    stdio: ['ignore', 'pipe', 'pipe', 'ipc', ...(shared === undefined ? [] : [shared.descriptor])],
  });
  passOn(child, logger);
  const startedAt = Date.now();
  const ready = Promise.withResolvers<readonly NetworkFacts[]>();
  ready.promise.catch(() => undefined);
  const gone = Promise.withResolvers<void>();
  const tasks: TakenTask[] = [];
  let state: ModelWorker['state'] = 'starting';
  /** The picture whose networks have answered; the pack's own code holds the thread until it returns. */
  let inPostprocess: number | undefined;
  /** What the process was ended for, when it is one picture's fault. */
  let culprit: number | undefined;
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

  /** The deadline is each picture's own: it starts when it is begun, which is when one before it is answered. */
  function watch(): void {
    for (const taken of tasks.slice(0, atOnce))
      taken.deadline ??= setTimeout(() => overdue(taken), allowedMs(taken.task));
  }

  /** Jobs that take turns on one processor wait for each other; those that wait for a server do not. */
  const allowedMs = ({ deadlineMs }: Task): number =>
    runtime.kind === 'kserve' ? deadlineMs + remoteGraceMs : deadlineMs * atOnce;

  function overdue({ id, task }: TakenTask): void {
    // Code that does not return stops every picture of this process; only its own is at fault.
    culprit = inPostprocess ?? id;
    const allowed = allowedMs(task);
    const error =
      inPostprocess === undefined
        ? new WetreadError('model.deadline-exceeded', `${task.job.pack}: ${allowed} ms`)
        : new WetreadError('model.postprocess-failed', `postprocess did not return within ${allowed} ms`);
    kill(error);
  }

  function settle(id: number, settleTask: (task: Task) => void): void {
    const [done] = tasks.splice(
      tasks.findIndex((one) => one.id === id),
      1,
    );
    clearTimeout(done?.deadline);
    if (inPostprocess === id) inPostprocess = undefined;
    runs += 1;
    watch();
    if (done !== undefined) settleTask(done.task);
    if (state === 'retiring' && tasks.length === 0) kill('retired');
    else onFree();
  }

  /** Of the shared file: as many as there are places. */
  function freeStretch(): number {
    const used = new Set(tasks.map(({ stretch }) => stretch));
    return Array.from({ length: depth }, (_, stretch) => stretch).find((stretch) => !used.has(stretch)) ?? depth;
  }

  const startTimer = setTimeout(() => {
    const where = runtime.kind === 'kserve' ? runtime.url : runtime.provider;
    kill(new WetreadError('model.provider-unavailable', `${where}: not ready after ${startDeadlineMs / 1000} s`));
  }, startDeadlineMs);

  child.on('message', (report: Report) => {
    switch (report.kind) {
      case 'ready':
        clearTimeout(startTimer);
        if (state === 'starting') state = 'ready';
        ready.resolve(report.networks);
        break;
      case 'not-ready':
        kill(new WetreadError(report.fault.code, report.fault.detail));
        break;
      case 'postprocessing':
        inPostprocess = report.id;
        break;
      case 'answer': {
        const { kind: _, id, rssBytes: bytes, ...answer } = report;
        rssBytes = bytes;
        settle(id, (task) => task.resolve(answer));
        break;
      }
      case 'computing':
        if (inPostprocess === report.id) inPostprocess = undefined;
        break;
      case 'too-large':
        culprit = undefined;
        kill(new WetreadError('model.memory-exceeded', `${mb(report.rssBytes)} of ${mb(report.limitBytes)} MB`));
        break;
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
    clearTimeout(startTimer);
    shared?.close();
    for (const { deadline } of tasks) clearTimeout(deadline);
    // Who is at fault is known when a deadline passed; when the process fell, it may be any that was begun.
    const begun = tasks.slice(0, atOnce);
    const atFault = culprit === undefined ? begun : begun.filter(({ id }) => id === culprit);
    if (atFault.length > 1 && ended !== 'closed') for (const { task } of atFault.splice(0)) task.suspect = true;
    const unbegun = tasks.filter((one) => !atFault.includes(one) && !one.task.abandoned).map(({ task }) => task);
    tasks.length = 0;
    const died = new WetreadError('model.process-died', reason);
    const error = ended instanceof WetreadError ? ended : died;
    for (const { task } of atFault) task.reject(error);
    ready.reject(error);
    gone.resolve();
    if (ended === 'closed' || ended === 'retired') onEnd({ kind: ended, unbegun });
    else if (wasStarting) onEnd({ kind: 'not-started', error, unbegun });
    else onEnd({ kind: 'died', reason: error.message, unbegun });
  };
  child.on('exit', (code, signal) => finish(signal === null ? `exit code ${code}` : signal));
  child.on('error', (error) => finish(error.message));

  send({ kind: 'start', packs, runtime, atOnce, maxRssBytes });

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
      return state === 'ready' && tasks.length < depth && !tasks.some(({ task }) => task.suspect);
    },
    ready: ready.promise,
    take(task) {
      const id = nextId;
      nextId += 1;
      const stretch = freeStretch();
      tasks.push({ id, task, stretch, deadline: undefined });
      watch();
      const order: RunOrder = { kind: 'run', id, ...task.job };
      send(shared?.write(order, stretch) ?? order);
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

const mb = (bytes: number): number => Math.round(bytes / 2 ** 20);

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
