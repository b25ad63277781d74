/** Many frames without holding them: a thread takes the file over and gives one picture at a time, when it is wanted. */
import { Worker } from 'node:worker_threads';
import { WetreadError } from '../domain/errors.ts';
import type { GreyImage } from '../domain/image.ts';
import type { FrameAnswer, FrameThreadData } from './frame-thread.ts';

export type FrameStreamOptions = {
  /** Longest time for one frame. */
  readonly timeoutMs: number;
  readonly maxInstanceBytes: number;
};

/** The file is gone from the caller's memory afterwards. Throws `dicom.*` errors. */
export async function* frameStream(
  file: Uint8Array,
  only: readonly number[] | undefined,
  { timeoutMs, maxInstanceBytes }: FrameStreamOptions,
  signal: AbortSignal | undefined,
): AsyncGenerator<GreyImage, void, void> {
  signal?.throwIfAborted();
  // Moved, not copied: it may be hundreds of megabytes. A part of a larger buffer is copied, as its owner keeps the rest.
  const whole = file.byteLength === file.buffer.byteLength ? file : file.slice();
  const workerData: FrameThreadData = { file: whole, maxInstanceBytes, only };
  const worker = new Worker(new URL('./frame-thread.ts', import.meta.url), {
    workerData,
    transferList: [whole.buffer as ArrayBuffer],
    resourceLimits: { maxOldGenerationSizeMb: 512, maxYoungGenerationSizeMb: 64 },
    // Codecs write to standard output, where the command line prints its answers.
    stdout: true,
    stderr: true,
    execArgv: [],
  });
  try {
    for (;;) {
      const answer = await nextFrame(worker, timeoutMs, signal);
      if (answer.kind === 'end') return;
      if (answer.kind === 'failed') throw new WetreadError(answer.code, answer.detail);
      yield answer.image;
    }
  } finally {
    await worker.terminate();
  }
}

async function nextFrame(worker: Worker, timeoutMs: number, signal: AbortSignal | undefined): Promise<FrameAnswer> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<FrameAnswer>();
  const broken = (reason: string) => reject(new WetreadError('dicom.corrupt-pixel-data', reason));
  const deadline = setTimeout(() => broken(`not decoded within ${timeoutMs} ms`), timeoutMs);
  const onAbort = () => reject(signal?.reason);
  const onError = (error: Error) => broken(`the decoder stopped: ${error.message}`);
  const onExit = () => broken('the decoder stopped');
  signal?.addEventListener('abort', onAbort, { once: true });
  worker.once('message', resolve).once('error', onError).once('exit', onExit);
  worker.postMessage('next', []);
  return promise.finally(() => {
    clearTimeout(deadline);
    signal?.removeEventListener('abort', onAbort);
    worker.off('message', resolve).off('error', onError).off('exit', onExit);
  });
}
