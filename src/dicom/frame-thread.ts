/** The thread of one object with many frames: holds its file, decodes a frame whenever it is asked for the next. */
import { parentPort, workerData } from 'node:worker_threads';
import { WetreadError, type ErrorCode } from '../domain/errors.ts';
import type { GreyImage } from '../domain/image.ts';
import { greyFrames } from './grey-frames.ts';

export type FrameThreadData = {
  readonly file: Uint8Array;
  readonly maxInstanceBytes: number;
  readonly only: readonly number[] | undefined;
};
export type FrameAnswer =
  | { readonly kind: 'frame'; readonly image: GreyImage }
  | { readonly kind: 'end' }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail: string | undefined };

const { file, maxInstanceBytes, only } = workerData as FrameThreadData;
const frames = greyFrames(file, maxInstanceBytes, only);

parentPort?.on('message', async () => {
  try {
    const next = await frames.next();
    const answer: FrameAnswer = next.done === true ? { kind: 'end' } : { kind: 'frame', image: next.value };
    const moved = next.done === true ? [] : [next.value.intensities.buffer as ArrayBuffer];
    parentPort?.postMessage(answer, moved);
  } catch (thrown) {
    const { code, detail } =
      thrown instanceof WetreadError ? thrown : new WetreadError('dicom.corrupt-pixel-data', String(thrown));
    const answer: FrameAnswer = { kind: 'failed', code, detail };
    parentPort?.postMessage(answer, []);
  }
});
