/** The DICOM storage receiver: modalities and archives without DICOMweb send here (C-STORE; C-ECHO to try the connection). */
import { createServer as tcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as tlsServer, type TLSSocket } from 'node:tls';
import { serveAssociation, type AcceptorOptions, type StoreSink } from '../dimse/acceptor.ts';
import { status } from '../dimse/command.ts';
import type { AssociateRequest, Rejection } from '../dimse/pdu.ts';
import { imageStorageClasses } from '../dimse/storage-classes.ts';
import { asWetreadError, type ErrorCode } from '../domain/errors.ts';
import type { Inbox } from '../domain/inbox.ts';
import type { Logger } from '../domain/log.ts';
import { allowedCallers, type Caller } from './dimse-callers.ts';
import { failureReasonOf } from './failure-reason.ts';
import { stillComing, type Sending } from './still-coming.ts';

export type DimseSourceOptions = {
  readonly host: string;
  readonly port: number;
  /** Ours: who calls another one is wrong here. */
  readonly aeTitle: string;
  readonly callers: readonly Caller[];
  readonly inbox: Inbox;
  readonly transferSyntaxes: readonly string[];
  readonly implementation: AcceptorOptions['implementation'];
  readonly maxAssociations?: number;
  readonly tls?: {
    readonly cert: string | Buffer;
    readonly key: string | Buffer;
    /** Callers must show a certificate of this authority. */
    readonly clientCa?: string | Buffer;
  };
  readonly artimMs?: number;
  readonly idleMs?: number;
  readonly onObject?: (road: 'dimse', outcome: 'ok' | ErrorCode) => void;
  readonly logger: Logger;
};

export interface DimseSource {
  /** Returns the port. */
  start(): Promise<number>;
  stop(): Promise<void>;
}

/** As large as dcmtk goes: fewer units for the same pictures. */
const maxPduLength = 128 * 1024;
/** Connections that are only there to be told that there are too many. */
const spareConnections = 8;
const maxErrorComment = 64;

/** PS3.8 table 9-21. */
const rejection = {
  calledAeUnknown: { result: 1, source: 1, reason: 7 },
  callingAeUnknown: { result: 1, source: 1, reason: 3 },
  limitReached: { result: 2, source: 3, reason: 2 },
} as const satisfies Record<string, Rejection>;

export function dimseSource(options: DimseSourceOptions): DimseSource {
  const { inbox, aeTitle, maxAssociations = 16, artimMs = 10_000, idleMs = 60_000, logger } = options;
  const allowed = allowedCallers(options.callers);
  const storageClasses = new Set(Object.keys(imageStorageClasses));
  const transferSyntaxes = new Set(options.transferSyntaxes);
  const open = new Map<Socket, Promise<void>>();
  let associations = 0;

  async function serve(socket: Socket): Promise<void> {
    const address = socket.remoteAddress ?? '';
    if (!allowed.knows(address)) {
      logger.warn('a DICOM caller from an unknown address was turned away', { peer: address });
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    const sending = stillComing(inbox, { everyMs: 5000, logger });
    let counted = false;
    try {
      const end = await serveAssociation(socket, {
        implementation: options.implementation,
        maxPduLength,
        storageClasses,
        transferSyntaxes,
        artimMs,
        idleMs,
        heard: sending.heard,
        judge(request) {
          const refused = judged(request, address);
          counted = refused === undefined;
          if (counted) associations += 1;
          return refused;
        },
        store: async ({ callingAe, ...dataset }) => {
          const about = {
            sopClassUid: dataset.sopClassUid,
            sopUid: dataset.sopUid,
            transferSyntaxUid: dataset.transferSyntaxUid,
          };
          try {
            const object = await inbox.receive({ road: 'dimse', name: callingAe }, { dataset: about });
            return sinkOf(object, callingAe, sending);
          } catch (thrown) {
            return refusing(thrown, callingAe);
          }
        },
      });
      const fields = { source: 'dimse', how: end.how, caller: end.callingAe, peer: address, objects: end.objects };
      if (end.how === 'released' && end.objects === 0) logger.debug('association ended', fields);
      else if (end.how === 'released') logger.info('objects received', fields);
      else logger.warn('association ended', { ...fields, ...(end.why === undefined ? {} : { why: end.why }) });
    } catch (thrown) {
      logger.error('an association failed', { peer: address, cause: thrown });
    } finally {
      if (counted) associations -= 1;
    }
  }

  function judged({ calledAe, callingAe }: AssociateRequest, address: string): Rejection | undefined {
    if (calledAe !== aeTitle) return rejection.calledAeUnknown;
    if (!allowed.allows(callingAe, address)) return rejection.callingAeUnknown;
    return associations >= maxAssociations ? rejection.limitReached : undefined;
  }

  function sinkOf(object: Awaited<ReturnType<Inbox['receive']>>, callingAe: string, sending: Sending): StoreSink {
    return {
      write: object.write,
      discard: object.discard,
      async end() {
        try {
          const { object: kept } = await object.keep();
          sending.studies.add(kept.studyUid);
          options.onObject?.('dimse', 'ok');
          return { status: status.success };
        } catch (thrown) {
          return answerTo(thrown, callingAe);
        }
      },
    };
  }

  /** The dataset is on its way whatever we think of it: it is let through, and the sender is told at the end. */
  const refusing = (thrown: unknown, callingAe: string): StoreSink => ({
    write: async () => {},
    discard: async () => {},
    end: async () => answerTo(thrown, callingAe),
  });

  function answerTo(thrown: unknown, callingAe: string): { status: number; comment: string } {
    const error = asWetreadError(thrown);
    const ours = error.row.status >= 500;
    options.onObject?.('dimse', error.code);
    logger[ours ? 'error' : 'warn']('an object was refused', {
      source: 'dimse',
      caller: callingAe,
      code: error.code,
      ...(ours ? { cause: error } : {}),
    });
    return { status: failureReasonOf(error.code), comment: error.row.says.slice(0, maxErrorComment) };
  }

  const onConnection = (socket: Socket) => {
    // Whatever goes wrong on it ends the reading, which says so.
    socket.on('error', () => {});
    const serving = serve(socket).finally(() => open.delete(socket));
    open.set(socket, serving);
  };
  const server: Server =
    options.tls === undefined
      ? tcpServer(onConnection)
      : tlsServer(
          {
            cert: options.tls.cert,
            key: options.tls.key,
            handshakeTimeout: artimMs,
            ...(options.tls.clientCa === undefined
              ? {}
              : { ca: options.tls.clientCa, requestCert: true, rejectUnauthorized: true }),
          },
          (socket: TLSSocket) => onConnection(socket),
        );
  server.maxConnections = maxAssociations + spareConnections;
  // Before TLS begins: strangers who never finish it would take the places of all others.
  if (options.tls !== undefined)
    server.on('connection', (socket: Socket) => {
      if (!allowed.knows(socket.remoteAddress ?? '')) socket.destroy();
    });
  server.on('tlsClientError', (error: Error) =>
    logger.warn('a DICOM caller could not agree on TLS', { why: (error as NodeJS.ErrnoException).code }),
  );

  return {
    async start() {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(options.port, options.host, () => {
          server.off('error', reject);
          resolve();
        });
      });
      return (server.address() as AddressInfo).port;
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // An object that is being kept is kept; the sender repeats what was not answered.
      for (const socket of open.keys()) socket.destroy();
      await Promise.all([closed, ...open.values()]);
    },
  };
}
