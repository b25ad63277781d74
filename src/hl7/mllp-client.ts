/** Sends HL7 messages over MLLP, each answered before the next is sent. */
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { mllpFrame, mllpFramer } from './mllp.ts';

export type MllpClientOptions = {
  readonly host: string;
  readonly port: number;
  readonly tls?: ConnectionOptions;
  readonly timeoutMs?: number;
  readonly maxBytes?: number;
};

export interface MllpClient {
  /** The answer. Throws when none comes; whether the message arrived is then unknown, and it must be sent again. */
  send(message: Uint8Array | string): Promise<Buffer>;
  close(): void;
}

export async function mllpClient(options: MllpClientOptions): Promise<MllpClient> {
  const { host, port, tls, timeoutMs = 15_000, maxBytes = 1024 * 1024 } = options;
  const socket: Socket =
    tls === undefined ? connectTcp({ host, port, noDelay: true }) : connectTls({ host, port, ...tls });
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    await once(socket, tls === undefined ? 'connect' : 'secureConnect', { signal });
  } catch (error) {
    socket.destroy();
    throw error;
  }
  socket.on('error', () => socket.destroy());
  const framer = mllpFramer({ maxBytes });
  const pieces = socket[Symbol.asyncIterator]();
  let turn: Promise<unknown> = Promise.resolve();

  async function exchange(message: Uint8Array | string): Promise<Buffer> {
    const late = setTimeout(() => socket.destroy(new Error('no answer in time')), timeoutMs);
    try {
      socket.write(mllpFrame(message));
      for (;;) {
        const { value, done } = await pieces.next();
        if (done === true) throw new Error('the connection was closed without an answer');
        const answer = framer.push(value as Buffer).find(({ kind }) => kind === 'message');
        if (answer !== undefined) return answer.bytes;
      }
    } finally {
      clearTimeout(late);
    }
  }

  return {
    send(message) {
      const answer = turn.then(() => exchange(message));
      turn = answer.catch(() => undefined);
      return answer;
    },
    close: () => void socket.destroy(),
  };
}
