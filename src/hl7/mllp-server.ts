/** An MLLP listener over TCP or TLS: one message at a time per connection, answered in order, with bounds on everything. */
import { once } from 'node:events';
import { createServer, isIP, type AddressInfo, type BlockList, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { Logger } from '../domain/log.ts';
import { mllpFrame, mllpFramer, type Frame } from './mllp.ts';

export type MllpTls = {
  readonly key: string | Buffer;
  readonly cert: string | Buffer;
  /** Senders must then show a certificate of this authority. */
  readonly clientCa?: string | Buffer;
};

/** Bytes to answer with, nothing, or the end of the connection: the only way to say no to a sender that wants no answers. */
export type MllpAnswer = Uint8Array | 'nothing' | 'hang-up';

export type WholeFrame = Exclude<Frame, { readonly kind: 'unfinished' }>;

export type MllpServerOptions = {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly tls?: MllpTls;
  /** Senders' addresses. Without it everybody who reaches the port may connect. */
  readonly allowed?: BlockList;
  /** Called for every whole frame, also one that was too large to be kept. Must not throw. */
  readonly answer: (
    frame: Frame & { readonly kind: 'message' | 'too-large' },
    signal: AbortSignal,
  ) => Promise<MllpAnswer>;
  readonly maxBytes?: number;
  readonly maxConnections?: number;
  /** Longest silence between messages; senders keep connections open for hours. */
  readonly idleMs?: number;
  /** Longest silence within a message. */
  readonly stalledMs?: number;
  readonly logger: Logger;
};

export interface MllpServer {
  readonly port: number;
  /** Connections now. */
  readonly connections: number;
  /** Messages under way are answered first. */
  close(): Promise<void>;
}

const defaults = { maxBytes: 8 * 1024 * 1024, maxConnections: 64, idleMs: 3_600_000, stalledMs: 30_000 };
const handshakeMs = 10_000;
/** How long a message under way may hold up the end of the service. */
const farewellMs = 10_000;

export async function mllpServer(options: MllpServerOptions): Promise<MllpServer> {
  const { logger, tls, allowed, maxConnections, idleMs, stalledMs, maxBytes } = { ...defaults, ...options };
  const sockets = new Set<Socket>();
  const conversations = new Set<Promise<void>>();
  const closing = new AbortController();

  // A sender may close its side after the last message and still wait for the answer.
  const accept = (socket: Socket) => {
    const conversation = converse(socket).finally(() => conversations.delete(conversation));
    conversations.add(conversation);
  };
  const server: Server =
    tls === undefined
      ? createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, accept)
      : createTlsServer(
          {
            allowHalfOpen: true,
            noDelay: true,
            keepAlive: true,
            key: tls.key,
            cert: tls.cert,
            handshakeTimeout: handshakeMs,
            minVersion: 'TLSv1.2',
            ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
          },
          accept,
        );
  server.maxConnections = maxConnections;
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    if (allowed !== undefined && !isAllowed(allowed, socket.remoteAddress)) {
      logger.warn('an HL7 sender was turned away', { reason: 'address' });
      socket.destroy();
    }
  });
  server.on('drop', () => logger.warn('an HL7 sender was turned away', { reason: 'connections', maxConnections }));
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
    logger.warn('an HL7 sender was turned away', { reason: 'tls', code: error.code });
    socket.destroy();
  });

  async function converse(socket: Socket | TLSSocket): Promise<void> {
    const framer = mllpFramer({ maxBytes });
    let answering = false;
    socket.on('error', () => socket.destroy());
    socket.on('timeout', () => {
      if (answering) return;
      logger.info('a silent HL7 connection was closed', { inMessage: framer.inside });
      socket.destroy();
    });
    const stop = () => void (answering || socket.destroy());
    closing.signal.addEventListener('abort', stop);
    try {
      socket.setTimeout(idleMs);
      // Reading waits while a message is answered: what a sender pushes meanwhile stays in the network's buffers.
      // The iterator must not destroy the socket when the sender has closed its side: the answer may still be under way.
      for await (const piece of socket.iterator({ destroyOnReturn: false })) {
        for (const frame of framer.push(piece as Buffer)) {
          if (frame.kind === 'unfinished') {
            logger.warn('an HL7 message had no end and was left out', { bytes: frame.bytes.length });
            continue;
          }
          answering = true;
          const answer = await options.answer(frame, closing.signal);
          if (answer === 'hang-up' || socket.destroyed) return;
          if (answer !== 'nothing' && !socket.write(mllpFrame(answer))) await drained(socket);
          answering = false;
          if (closing.signal.aborted) return;
        }
        socket.setTimeout(framer.inside ? stalledMs : idleMs);
      }
      if (framer.inside) logger.warn('an HL7 connection ended within a message', { bytes: framer.held });
    } catch (error) {
      // A connection that breaks is the sender's to open again; what was not acknowledged comes again.
      logger.debug('an HL7 connection broke', { cause: error });
    } finally {
      closing.signal.removeEventListener('abort', stop);
      if (socket.writable) await Promise.race([new Promise<void>((resolve) => socket.end(resolve)), pause(1000)]);
      socket.destroy();
    }
  }

  server.listen(options.port, options.host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return sockets.size;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      closing.abort();
      await Promise.race([Promise.all(conversations), pause(farewellMs)]);
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function isAllowed(allowed: BlockList, address = ''): boolean {
  // An IPv4 sender on a dual-stack port.
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  return allowed.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
}

/** A sender that does not read its answers is not waited for longer than one that does not write. */
async function drained(socket: Socket): Promise<void> {
  await Promise.race([once(socket, 'drain'), once(socket, 'close'), pause(handshakeMs)]);
  if (socket.writableNeedDrain) socket.destroy();
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms).unref());
}
