/** The decoding thread: one file in, pixels and grey values out. */
import { parentPort, workerData } from 'node:worker_threads';
import { WetreadError, type ErrorCode } from '../domain/errors.ts';
import { decodeInstance, type InstanceParts } from './instance.ts';

export type DecodeAnswer =
  | { readonly kind: 'decoded'; readonly parts: InstanceParts }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail: string | undefined };

const { maxInstanceBytes } = workerData as { maxInstanceBytes: number };

parentPort?.on('message', async (file: Uint8Array) => {
  try {
    const parts = await decodeInstance(file, maxInstanceBytes);
    const answer: DecodeAnswer = { kind: 'decoded', parts };
    parentPort?.postMessage(answer, [parts.pixels.values.buffer as ArrayBuffer, parts.firstGrey.buffer as ArrayBuffer]);
  } catch (thrown) {
    // Whatever else a decoder throws, this file made it: trying again would not help.
    const { code, detail } =
      thrown instanceof WetreadError ? thrown : new WetreadError('dicom.corrupt-pixel-data', String(thrown));
    const answer: DecodeAnswer = { kind: 'failed', code, detail };
    parentPort?.postMessage(answer, []);
  }
});
