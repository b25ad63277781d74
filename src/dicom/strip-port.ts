/** Between two decoding threads: one asks for a strip of its picture, the other decodes it. Closing the port ends the loan. */
import type { MessagePort } from 'node:worker_threads';
import { WetreadError, type ErrorCode } from '../domain/errors.ts';
import { corrupt, type Strip, type StripDecoder } from './decode/frame.ts';
import { decodeStrip } from './decode/jpeg2000.ts';

type Answer =
  | { readonly kind: 'rows'; readonly values: Uint8Array | Uint16Array }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail: string | undefined };

export function stripDecoderAt(port: MessagePort): StripDecoder {
  let closed = false;
  port.on('close', () => (closed = true));
  return (strip) => {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | Uint16Array>();
    const onMessage = (answer: Answer) =>
      answer.kind === 'rows' ? resolve(answer.values) : reject(new WetreadError(answer.code, answer.detail));
    const onClose = () => reject(corrupt('the thread that decoded a part of it stopped'));
    if (closed) onClose();
    port.once('message', onMessage).once('close', onClose);
    port.postMessage(strip, [strip.codestream.buffer as ArrayBuffer]);
    return promise.finally(() => port.off('message', onMessage).off('close', onClose));
  };
}

export function answerStrips(port: MessagePort, onEnd: () => void): void {
  port.on('message', async (strip: Strip) => {
    try {
      const values = await decodeStrip(strip);
      const answer: Answer = { kind: 'rows', values };
      port.postMessage(answer, [values.buffer as ArrayBuffer]);
    } catch (thrown) {
      const { code, detail } = thrown instanceof WetreadError ? thrown : corrupt(String(thrown));
      const answer: Answer = { kind: 'failed', code, detail };
      port.postMessage(answer, []);
    }
  });
  port.once('close', onEnd);
}
