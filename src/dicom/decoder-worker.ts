/** The decoding thread: one file in; out come pixels and grey values, or a description of them. */
import { parentPort, workerData } from 'node:worker_threads';
import { WetreadError, type ErrorCode } from '../domain/errors.ts';
import { describeInstance, type InstanceDescription } from './describe.ts';
import { decodeInstance, type InstanceParts } from './instance.ts';

export type DecodeOrder = { readonly task: 'decode' | 'describe'; readonly file: Uint8Array };

export type DecodeAnswer =
  | { readonly kind: 'decoded'; readonly parts: InstanceParts }
  | { readonly kind: 'described'; readonly description: InstanceDescription }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail: string | undefined };

const { maxInstanceBytes } = workerData as { maxInstanceBytes: number };

parentPort?.on('message', async ({ task, file }: DecodeOrder) => {
  try {
    if (task === 'describe') {
      const answer: DecodeAnswer = { kind: 'described', description: await describeInstance(file, maxInstanceBytes) };
      parentPort?.postMessage(answer, []);
      return;
    }
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
