/** The decoding thread: one file in; out come pixels and grey values, or a description of them. Or it helps another with strips. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { WetreadError, type ErrorCode } from '../domain/errors.ts';
import { describeInstance, type InstanceDescription } from './describe.ts';
import { decodeInstance, type InstanceParts } from './instance.ts';
import { answerStrips, stripDecoderAt } from './strip-port.ts';

export type DecodeOrder =
  | {
      readonly task: 'decode' | 'describe';
      readonly file: Uint8Array;
      /** To threads lent for this file, which are given back by closing. */
      readonly lent: readonly MessagePort[];
    }
  | { readonly task: 'help'; readonly port: MessagePort; readonly loan: number };

export type DecodeAnswer =
  | { readonly kind: 'decoded'; readonly parts: InstanceParts }
  | { readonly kind: 'described'; readonly description: InstanceDescription }
  /** No longer needed by the thread it was lent to. */
  | { readonly kind: 'free'; readonly loan: number }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail: string | undefined };

const { maxInstanceBytes } = workerData as { maxInstanceBytes: number };

parentPort?.on('message', async (order: DecodeOrder) => {
  if (order.task === 'help') {
    const free: DecodeAnswer = { kind: 'free', loan: order.loan };
    answerStrips(order.port, () => parentPort?.postMessage(free, []));
    return;
  }
  const { task, file, lent } = order;
  const others = lent.map(stripDecoderAt);
  try {
    if (task === 'describe') {
      const description = await describeInstance(file, maxInstanceBytes, others);
      const answer: DecodeAnswer = { kind: 'described', description };
      parentPort?.postMessage(answer, []);
      return;
    }
    const parts = await decodeInstance(file, maxInstanceBytes, others);
    const answer: DecodeAnswer = { kind: 'decoded', parts };
    parentPort?.postMessage(answer, [parts.pixels.values.buffer as ArrayBuffer, parts.firstGrey.buffer as ArrayBuffer]);
  } catch (thrown) {
    // Whatever else a decoder throws, this file made it: trying again would not help.
    const { code, detail } =
      thrown instanceof WetreadError ? thrown : new WetreadError('dicom.corrupt-pixel-data', String(thrown));
    const answer: DecodeAnswer = { kind: 'failed', code, detail };
    parentPort?.postMessage(answer, []);
  } finally {
    for (const port of lent) port.close();
  }
});
