/** Decoding away from the main thread: a file that hangs or breaks a decoder costs that one file. */
import { availableParallelism } from 'node:os';
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { DecodedInstance, ImageDecoder } from '../domain/ports.ts';
import type { DecodeAnswer, DecodeOrder } from './decoder-worker.ts';
import type { InstanceDescription } from './describe.ts';
import { deflatedLittleEndian, readDataset } from './dataset.ts';
import { frameStream } from './frame-stream.ts';
import { framesIn } from './grey-frames.ts';
import { instanceOf } from './instance.ts';

export type DecoderPoolOptions = {
  readonly threads?: number;
  /** Longest time for one file. */
  readonly timeoutMs?: number;
  /** Limit for a file and for its pixels decoded. */
  readonly maxInstanceBytes?: number;
  readonly logger: Logger;
  /** Another thread's code, for tests of what becomes of one that hangs or dies. */
  readonly workerUrl?: URL;
};

type Order = { readonly task: 'decode' | 'describe'; readonly file: Uint8Array };
type Answer = Exclude<DecodeAnswer, { kind: 'failed' | 'free' }>;
type Job = {
  readonly order: Order;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal | undefined;
  readonly onAbort: () => void;
};

type Helper = { readonly worker: Worker; readonly loan: number };
/** A thread decodes a file, or is lent to one that does, for a part of its picture. */
type Task = {
  readonly deadline: NodeJS.Timeout;
  readonly work: { readonly job: Job; readonly helpers: readonly Helper[] } | { readonly loan: number };
};

export type DecoderPool = ImageDecoder & {
  /** What the file holds, for an engineer; also of files that lack what the service needs to know whose they are. */
  describe(file: Uint8Array): Promise<InstanceDescription>;
  close(): Promise<void>;
};

/** Each strip costs a transformation of the whole picture: with more threads than these, they do nearly nothing else. */
const mostStrips = 4;
/** Below this, what a second thread saves is lost on the way to it. */
const worthSharingBytes = 1_000_000;

export function decoderPool(options: DecoderPoolOptions): DecoderPool {
  const { logger, timeoutMs = 60_000, maxInstanceBytes = 512 * 1024 * 1024 } = options;
  const threads = options.threads ?? Math.min(4, availableParallelism());
  const workerUrl = options.workerUrl ?? new URL('./decoder-worker.ts', import.meta.url);
  const idle: Worker[] = [];
  const busy = new Map<Worker, Task>();
  let loans = 0;
  const waiting: Job[] = [];
  let closed = false;

  function start(): Worker {
    const worker = new Worker(workerUrl, {
      workerData: { maxInstanceBytes },
      // Objects made of a file; its bytes, pixels and the codecs' memory lie outside and have limits of their own.
      resourceLimits: { maxOldGenerationSizeMb: 512, maxYoungGenerationSizeMb: 64 },
      // Codecs write to standard output, where the command line prints its answers.
      stdout: true,
      stderr: true,
      execArgv: [],
    });
    worker.unref();
    worker.on('message', (answer: DecodeAnswer) => settle(worker, answer));
    worker.on('error', (error) => replace(worker, `the decoder stopped: ${error.message}`));
    worker.on('exit', () => replace(worker, 'the decoder stopped'));
    return worker;
  }

  /** Takes a broken thread out of service. The next job that finds none idle starts another. */
  function replace(worker: Worker, reason: string): void {
    const at = idle.indexOf(worker);
    if (at >= 0) idle.splice(at, 1);
    const task = busy.get(worker);
    if (task === undefined) return;
    busy.delete(worker);
    clearTimeout(task.deadline);
    void worker.terminate();
    logger.error('decoder replaced', { reason });
    // The thread that a lent one worked for sees their port closed.
    if ('job' in task.work) fail(task.work.job, new WetreadError('dicom.corrupt-pixel-data', reason));
    next();
  }

  function next(): void {
    while (waiting.length > 0 && (idle.length > 0 || busy.size < threads))
      run(idle.pop() ?? start(), waiting.shift() as Job);
  }

  function run(worker: Worker, job: Job): void {
    const { helpers, lent } = lendTo(job);
    occupy(worker, { job, helpers });
    worker.ref();
    const order: DecodeOrder = { ...job.order, lent };
    // The file is copied: its memory stays the caller's, and small files share theirs with others (Buffer's pool).
    worker.postMessage(order, lent);
  }

  function occupy(worker: Worker, work: Task['work']): void {
    const deadline = setTimeout(() => replace(worker, `not decoded within ${timeoutMs} ms`), timeoutMs);
    busy.set(worker, { work, deadline });
  }

  function release(worker: Worker): void {
    const task = busy.get(worker);
    if (task === undefined) return;
    busy.delete(worker);
    clearTimeout(task.deadline);
    idle.push(worker);
  }

  /** The lent thread says it, and the answer for which it was lent says it too; whichever comes later finds it at other work. */
  function endLoan({ worker, loan }: Helper): void {
    const work = busy.get(worker)?.work;
    if (work !== undefined && 'loan' in work && work.loan === loan) release(worker);
  }

  /** A film alone gets the threads that nobody else waits for; among many films each has one, which costs the least in all. */
  function lendTo({ order }: Job): { helpers: Helper[]; lent: MessagePort[] } {
    const helpers: Helper[] = [];
    const lent: MessagePort[] = [];
    if (waiting.length > 0 || !canBeShared(order.file)) return { helpers, lent };
    while (idle.length > 0 && lent.length < mostStrips - 1) {
      const helper = idle.pop() as Worker;
      const { port1, port2 } = new MessageChannel();
      loans += 1;
      const help: DecodeOrder = { task: 'help', port: port2, loan: loans };
      occupy(helper, { loan: loans });
      helper.postMessage(help, [port2]);
      helpers.push({ worker: helper, loan: loans });
      lent.push(port1);
    }
    return { helpers, lent };
  }

  function settle(worker: Worker, answer: DecodeAnswer): void {
    const task = busy.get(worker);
    // An answer that crossed its own deadline: the job has been answered.
    if (task === undefined) return;
    const { work } = task;
    if (answer.kind === 'free') {
      endLoan({ worker, loan: answer.loan });
      return next();
    }
    if ('loan' in work) return;
    release(worker);
    worker.unref();
    const { job, helpers } = work;
    job.signal?.removeEventListener('abort', job.onAbort);
    if (answer.kind === 'failed') job.reject(new WetreadError(answer.code, answer.detail));
    else {
      // Helpers have given their parts. After a failure one may still be at it: it says itself when it is free.
      for (const helper of helpers) endLoan(helper);
      job.resolve(answer);
    }
    next();
  }

  function fail(job: Job, error: unknown): void {
    job.signal?.removeEventListener('abort', job.onAbort);
    job.reject(error);
  }

  // Loading a thread takes a fifth of a second, which the first film need not wait for.
  for (let count = 0; count < threads; count++) idle.push(start());

  function order(order: Order, signal?: AbortSignal): Promise<Answer> {
    const { length } = order.file;
    return new Promise((resolve, reject) => {
      if (closed) return reject(new WetreadError('internal.unexpected', 'the decoder is closed'));
      if (signal?.aborted) return reject(signal.reason);
      if (length > maxInstanceBytes) return reject(new WetreadError('dicom.too-large', `${length} bytes`));
      const job: Job = {
        order,
        resolve,
        reject,
        signal,
        onAbort: () => {
          const at = waiting.indexOf(job);
          if (at >= 0) waiting.splice(at, 1);
          // One that is being decoded ends soon by itself or by its deadline; nobody waits for it any more.
          reject(signal?.reason);
        },
      };
      signal?.addEventListener('abort', job.onAbort, { once: true });
      waiting.push(job);
      next();
    });
  }

  return {
    async decode(file, signal): Promise<DecodedInstance> {
      const answer = await order({ task: 'decode', file }, signal);
      if (answer.kind !== 'decoded') throw new TypeError(`${answer.kind} instead of decoded`);
      return instanceOf(answer.parts);
    },
    async *frames(file, only, signal) {
      if (file.length > maxInstanceBytes) throw new WetreadError('dicom.too-large', `${file.length} bytes`);
      if (mayHaveFrames(file, maxInstanceBytes)) {
        yield* frameStream(file, only, { timeoutMs, maxInstanceBytes }, signal);
        return;
      }
      const instance = await this.decode(file, signal);
      if (only === undefined || only.includes(0)) yield instance.grey(0);
    },
    async describe(file) {
      const answer = await order({ task: 'describe', file });
      if (answer.kind !== 'described') throw new TypeError(`${answer.kind} instead of described`);
      return answer.description;
    },
    async close() {
      closed = true;
      const stopping = [...idle, ...busy.keys()];
      for (const { deadline } of busy.values()) clearTimeout(deadline);
      const begun = [...busy.values()].flatMap(({ work }) => ('job' in work ? work.job : []));
      const unanswered = [...waiting.splice(0), ...begun];
      for (const job of unanswered) fail(job, new WetreadError('internal.unexpected', 'the decoder is closed'));
      busy.clear();
      idle.length = 0;
      await Promise.all(stopping.map((worker) => worker.terminate()));
    },
  };
}

/** JPEG 2000 Part 1, of a size that takes its time. */
function canBeShared(file: Uint8Array): boolean {
  if (file.length < worthSharingBytes) return false;
  const beginning = Buffer.from(file.buffer, file.byteOffset, 2048);
  return beginning.includes('1.2.840.10008.1.2.4.90') || beginning.includes('1.2.840.10008.1.2.4.91');
}

/** Read here only as far as the pixels, which takes a fraction of a millisecond; a deflated file is not even inflated here. */
function mayHaveFrames(file: Uint8Array, maxBytes: number): boolean {
  const beginning = Buffer.from(file.buffer, file.byteOffset, Math.min(file.length, 2048));
  return beginning.includes(deflatedLittleEndian) || framesIn(readDataset(file, { maxBytes })) > 1;
}
