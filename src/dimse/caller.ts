/** An association from the side that calls: C-ECHO and C-STORE, with the dataset's bytes as they are. */
import { once } from 'node:events';
import { connect as tcpConnect, type Socket } from 'node:net';
import { connect as tlsConnect, type ConnectionOptions } from 'node:tls';
import { echoRequest, readCommand, storeRequest, verificationClass } from './command.ts';
import {
  contextResult,
  pduType,
  pdvHeader,
  pdvOverhead,
  readAssociateAccept,
  readPdus,
  readPdvs,
  readReject,
  writeAbort,
  writeAssociateRequest,
  writeReleaseRequest,
  type AssociateRequest,
  type RawPdu,
} from './pdu.ts';
import { sent } from './sent.ts';

export type Proposal = { readonly sopClassUid: string; readonly transferSyntaxUid: string };

export type CallOptions = {
  readonly host: string;
  readonly port: number;
  readonly callingAe: string;
  readonly calledAe: string;
  /** What will be sent: each pair is proposed in a context of its own, so that nothing has to be converted. */
  readonly proposals: readonly Proposal[];
  readonly implementation: AssociateRequest['implementation'];
  readonly tls?: ConnectionOptions;
  /** Longest silence of the other side. */
  readonly timeoutMs?: number;
};

export type StoredObject = Proposal & {
  readonly sopUid: string;
  /** Of the dataset, without file meta information. */
  readonly bytes: number;
  pieces(): AsyncIterable<Uint8Array>;
};

export type Call = {
  accepts(proposal: Proposal): boolean;
  /** Status codes: 0 is success. */
  echo(): Promise<number>;
  store(object: StoredObject): Promise<number>;
  release(): Promise<void>;
  abort(): void;
};

/** Why no association came to be, or why it ended. */
export class CallError extends Error {}

const ourMaxPdu = 128 * 1024;
/** PS3.8 7.1.1.13: identifiers are odd and at most 255. */
export const mostProposals = 127;

export async function call(options: CallOptions): Promise<Call> {
  const { timeoutMs = 30_000 } = options;
  const socket = await connected(options, timeoutMs);
  let silent = false;
  socket.setTimeout(timeoutMs, () => {
    silent = true;
    socket.destroy();
  });
  // Heard of where it matters: by whoever waits for an answer.
  socket.on('error', () => {});
  const units = readPdus(socket.iterator({ destroyOnReturn: false }), { maxPduLength: ourMaxPdu });
  const next = async (): Promise<RawPdu> => {
    let unit: IteratorResult<RawPdu, void>;
    try {
      unit = await units.next();
    } catch (cause) {
      throw new CallError(silent ? 'it does not answer' : 'the connection was lost', { cause });
    }
    if (unit.done === true) throw new CallError(silent ? 'it does not answer' : 'it closed the connection');
    if (unit.value.type === pduType.abort) throw new CallError('it aborted the association');
    return unit.value;
  };

  const contexts = options.proposals.slice(0, mostProposals).map((proposal, index) => ({
    id: index * 2 + 1,
    abstractSyntax: proposal.sopClassUid,
    transferSyntaxes: [proposal.transferSyntaxUid],
  }));
  const echoId = contexts.length * 2 + 1;
  socket.write(
    writeAssociateRequest({
      ...options,
      maxPduLength: ourMaxPdu,
      contexts: [
        ...contexts,
        { id: echoId, abstractSyntax: verificationClass, transferSyntaxes: ['1.2.840.10008.1.2'] },
      ],
    }),
  );
  const answer = await next();
  if (answer.type === pduType.associateReject) {
    socket.destroy();
    throw new CallError(`it rejected the association: ${rejectionInWords(readReject(answer.body))}`);
  }
  if (answer.type !== pduType.associateAccept) {
    socket.destroy();
    throw new CallError('it does not speak DICOM');
  }
  const accept = readAssociateAccept(answer.body);
  const accepted = new Set(
    accept.contexts.filter(({ result }) => result === contextResult.accepted).map(({ id }) => id),
  );
  const largest = accept.maxPduLength === 0 ? ourMaxPdu : Math.min(accept.maxPduLength, ourMaxPdu);
  const fragment = Math.max(64, largest) - pdvOverhead;
  let messageId = 0;

  const contextOf = ({ sopClassUid, transferSyntaxUid }: Proposal): number | undefined =>
    contexts.find(
      ({ id, abstractSyntax, transferSyntaxes }) =>
        accepted.has(id) && abstractSyntax === sopClassUid && transferSyntaxes[0] === transferSyntaxUid,
    )?.id;

  async function put(contextId: number, command: boolean, last: boolean, data: Uint8Array): Promise<void> {
    await sent(socket, pdvHeader({ contextId, command, last }, data.length), data);
    if (socket.destroyed) throw new CallError(silent ? 'it does not answer' : 'the connection was lost');
  }

  async function statusOfResponse(): Promise<number> {
    const fragments: Uint8Array[] = [];
    for (;;) {
      const { type, body } = await next();
      if (type !== pduType.data) throw new CallError('it answers with something else');
      for (const pdv of readPdvs(body)) {
        if (!pdv.command) throw new CallError('it answers with something else');
        fragments.push(pdv.data);
        if (pdv.last) {
          const { status, respondsTo } = readCommand(Buffer.concat(fragments));
          if (respondsTo !== messageId) throw new CallError('it answers another message');
          return status;
        }
      }
    }
  }

  return {
    accepts: (proposal) => contextOf(proposal) !== undefined,
    async echo() {
      if (!accepted.has(echoId)) throw new CallError('it does not accept C-ECHO');
      messageId = (messageId % 0xffff) + 1;
      await put(echoId, true, true, echoRequest(messageId));
      return statusOfResponse();
    },
    async store(object) {
      const contextId = contextOf(object);
      if (contextId === undefined) throw new CallError('it accepts no such object in this transfer syntax');
      messageId = (messageId % 0xffff) + 1;
      await put(contextId, true, true, storeRequest({ ...object, messageId }));
      let left = object.bytes;
      for await (const piece of object.pieces()) {
        for (let at = 0; at < piece.length; at += fragment) {
          const part = piece.subarray(at, at + fragment);
          left -= part.length;
          await put(contextId, false, left === 0, part);
        }
      }
      if (left !== 0) throw new CallError('the file changed while it was sent');
      return statusOfResponse();
    },
    async release() {
      socket.write(writeReleaseRequest());
      try {
        // Answers to nothing may still come; the release's own is the last.
        while ((await next()).type !== pduType.releaseResponse);
      } finally {
        socket.destroy();
      }
    },
    abort() {
      if (!socket.destroyed) socket.write(writeAbort(0, 0));
      socket.destroy();
    },
  };
}

async function connected({ host, port, tls }: CallOptions, timeoutMs: number): Promise<Socket> {
  const socket = tls === undefined ? tcpConnect({ host, port }) : tlsConnect({ host, port, ...tls });
  const patience = setTimeout(() => socket.destroy(new Error('ETIMEDOUT')), timeoutMs);
  try {
    await once(socket, tls === undefined ? 'connect' : 'secureConnect');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new CallError(`no connection to ${host}:${port} (${code ?? message})`, { cause });
  } finally {
    clearTimeout(patience);
  }
  return socket;
}

/** PS3.8 table 9-21. */
function rejectionInWords({ source, reason }: { source: number; reason: number }): string {
  const words: Readonly<Record<string, string>> = {
    '1.1': 'no reason given',
    '1.2': 'another application context',
    '1.3': 'it does not know the calling AE title',
    '1.7': 'its AE title is another',
    '2.2': 'another protocol version',
    '3.1': 'it is congested',
    '3.2': 'its limit is reached',
  };
  return words[`${source}.${reason}`] ?? `source ${source}, reason ${reason}`;
}
