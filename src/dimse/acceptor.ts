/** One association from the side that is called (PS3.8 section 9.2, PS3.7): verification and storage, one message at a time. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { commandField, readCommand, response, status, verificationClass, type Command } from './command.ts';
import {
  abortReason,
  contextResult,
  pduType,
  pdvHeader,
  ProtocolError,
  readAssociateRequest,
  readPdus,
  readPdvs,
  writeAbort,
  writeAssociateAccept,
  writeReject,
  writeReleaseResponse,
  type AnsweredContext,
  type AssociateRequest,
  type Pdv,
  type ProposedContext,
  type Rejection,
} from './pdu.ts';
import { sent } from './sent.ts';

/** Where the dataset of one C-STORE goes. */
export type StoreSink = {
  /** The next piece is read from the connection when this resolves. */
  write(piece: Uint8Array): Promise<void>;
  /** The whole dataset has come: what the sender is told. */
  end(): Promise<StoreAnswer>;
  /** The rest will never come. */
  discard(): Promise<void>;
};
export type StoreAnswer = { readonly status: number; readonly comment?: string };

export type StoreRequest = {
  readonly callingAe: string;
  readonly sopClassUid: string;
  readonly sopUid: string;
  readonly transferSyntaxUid: string;
};

export type AcceptorOptions = {
  readonly implementation: AssociateRequest['implementation'];
  /** Largest P-DATA-TF that is taken. */
  readonly maxPduLength: number;
  /** Undefined lets the caller in. */
  judge(request: AssociateRequest): Rejection | undefined;
  readonly storageClasses: ReadonlySet<string>;
  readonly transferSyntaxes: ReadonlySet<string>;
  store(request: StoreRequest): Promise<StoreSink>;
  /** Something came. */
  heard?(): void;
  /** Longest wait for the request, and for the other side to close at the end (ARTIM, PS3.8 9.1.5). */
  readonly artimMs: number;
  /** Longest silence in between. */
  readonly idleMs: number;
};

export type AssociationEnd = {
  readonly how: 'released' | 'rejected' | 'aborted by the caller' | 'silent' | 'lost' | 'broke the protocol';
  readonly callingAe?: string;
  readonly objects: number;
  readonly why?: string;
};

const implicitLittleEndian = '1.2.840.10008.1.2';
/** A command set has some two hundred bytes. */
const maxCommandBytes = 64 * 1024;
/** Of a fragment's own header. */
const fragmentBytes = 6;

export async function serveAssociation(socket: Socket, options: AcceptorOptions): Promise<AssociationEnd> {
  let request: AssociateRequest | undefined;
  let contexts: ReadonlyMap<number, { abstractSyntax: string; transferSyntax: string }> = new Map();
  let message: Message | undefined;
  let objects = 0;
  let silent = false;
  const hangUp = () => {
    silent = true;
    if (request !== undefined) socket.write(writeAbort(2, abortReason.notSpecified));
    socket.destroy();
  };
  socket.setTimeout(options.idleMs, hangUp);
  const artim = setTimeout(hangUp, options.artimMs);
  const ended = (how: AssociationEnd['how'], why?: string): AssociationEnd => ({
    how,
    objects,
    ...(request === undefined ? {} : { callingAe: request.callingAe }),
    ...(why === undefined ? {} : { why }),
  });

  async function dealWith(pdv: Pdv): Promise<void> {
    const context = contexts.get(pdv.contextId);
    if (context === undefined)
      throw new ProtocolError(abortReason.invalidParameter, 'a fragment in a context that was not accepted');
    message ??= { contextId: pdv.contextId, fragments: [], size: 0 };
    if (message.contextId !== pdv.contextId || pdv.command !== (message.command === undefined))
      throw new ProtocolError(abortReason.unexpectedPdu, 'fragments of two messages are mixed');
    if (message.command === undefined) {
      // Empty fragments count too: millions of them would fit between two that say something.
      message.size += pdv.data.length + fragmentBytes;
      if (message.size > maxCommandBytes)
        throw new ProtocolError(abortReason.invalidParameter, 'a command set without end');
      // The unit's memory is used again for nothing, but a copy lets go of a large unit around a small command.
      message.fragments.push(Buffer.from(pdv.data));
      if (!pdv.last) return;
      message.command = readCommand(Buffer.concat(message.fragments));
      await begin(message, context);
      if (!message.command.hasDataset) await finish(message);
      return;
    }
    await message.sink?.write(pdv.data);
    if (pdv.last) await finish(message);
  }

  async function begin(begun: Message, context: { abstractSyntax: string; transferSyntax: string }): Promise<void> {
    const command = begun.command!;
    if (command.field === commandField.cancelRequest) return;
    if (command.field === commandField.echoRequest) return void (begun.answer = { status: status.success });
    if (command.field !== commandField.storeRequest)
      return void (begun.answer = { status: status.unrecognizedOperation, comment: 'only C-STORE and C-ECHO' });
    if (!command.hasDataset) throw new ProtocolError(abortReason.invalidParameter, 'C-STORE without an object');
    if (command.sopClassUid !== context.abstractSyntax || context.abstractSyntax === verificationClass)
      return void (begun.answer = { status: status.sopClassNotSupported, comment: 'not the class of this context' });
    begun.sink = await options.store({
      callingAe: request!.callingAe,
      sopClassUid: command.sopClassUid,
      sopUid: command.sopUid,
      transferSyntaxUid: context.transferSyntax,
    });
  }

  async function finish(whole: Message): Promise<void> {
    const { command, sink, contextId } = whole;
    const answer = sink === undefined ? whole.answer : await sink.end();
    message = undefined;
    if (answer === undefined) return;
    if (sink !== undefined && answer.status === status.success) objects += 1;
    const bytes = response(command!, answer.status, answer.comment);
    await sent(socket, pdvHeader({ contextId, command: true, last: true }, bytes.length), bytes);
  }

  try {
    for await (const { type, body } of readPdus(incoming(socket), options)) {
      options.heard?.();
      if (type === pduType.abort) return ended('aborted by the caller');
      if (request === undefined) {
        if (type !== pduType.associateRequest)
          throw new ProtocolError(abortReason.unexpectedPdu, `unit ${type} before the association`);
        request = readAssociateRequest(body);
        const rejection = options.judge(request);
        if (rejection !== undefined) {
          await sent(socket, writeReject(rejection));
          return ended('rejected', `source ${rejection.source}, reason ${rejection.reason}`);
        }
        clearTimeout(artim);
        const answers = request.contexts.map((context) => answered(context, options));
        contexts = acceptedContexts(request, answers);
        await sent(socket, writeAssociateAccept({ ...request, ...options, contexts: answers }));
      } else if (type === pduType.data) {
        for (const pdv of readPdvs(body)) await dealWith(pdv);
      } else if (type === pduType.releaseRequest) {
        await sent(socket, writeReleaseResponse());
        return ended('released');
      } else throw new ProtocolError(abortReason.unexpectedPdu, `unit ${type} within the association`);
    }
    return ended(silent ? 'silent' : 'lost');
  } catch (thrown) {
    if (silent) return ended('silent');
    if (!(thrown instanceof ProtocolError)) {
      if (socket.destroyed) return ended('lost');
      // A fault on this side: the caller learns that nothing came of it.
      socket.write(writeAbort(0, abortReason.notSpecified));
      throw thrown;
    }
    if (!socket.destroyed) socket.write(writeAbort(2, thrown.reason));
    return ended('broke the protocol', thrown.message);
  } finally {
    clearTimeout(artim);
    await message?.sink?.discard();
    await closed(socket, options.artimMs);
  }
}

type Message = {
  readonly contextId: number;
  readonly fragments: Buffer[];
  size: number;
  command?: Command;
  sink?: StoreSink;
  /** What is said when the whole message has come, where no sink says it. */
  answer?: StoreAnswer;
};

function answered(context: ProposedContext, options: AcceptorOptions): AnsweredContext {
  const { id, abstractSyntax, transferSyntaxes } = context;
  const refused = (result: number): AnsweredContext => ({ id, result, transferSyntax: transferSyntaxes[0] ?? '' });
  const echo = abstractSyntax === verificationClass;
  if (!echo && !options.storageClasses.has(abstractSyntax)) return refused(contextResult.abstractSyntax);
  // The caller's order: whoever has an object compressed names that first, and it need not be unpacked for us. Implicit VR,
  // which everybody must propose, only when there is nothing else: it loses the types of what the maker added.
  const readable = transferSyntaxes.filter((one) => options.transferSyntaxes.has(one));
  const transferSyntax = readable.find((one) => one !== implicitLittleEndian) ?? readable[0];
  if (transferSyntax === undefined) return refused(contextResult.transferSyntaxes);
  return { id, result: contextResult.accepted, transferSyntax };
}

function acceptedContexts({ contexts }: AssociateRequest, answers: readonly AnsweredContext[]) {
  return new Map(
    answers
      .filter(({ result }) => result === contextResult.accepted)
      .map(({ id, transferSyntax }) => {
        const { abstractSyntax = '' } = contexts.find((one) => one.id === id) ?? {};
        return [id, { abstractSyntax, transferSyntax }];
      }),
  );
}

const incoming = (socket: Socket): AsyncIterable<Uint8Array> => socket.iterator({ destroyOnReturn: false });

/** Waits for the other side to close, as it should after a release, an abort or a rejection; then does it for it. */
async function closed(socket: Socket, artimMs: number): Promise<void> {
  if (socket.destroyed) return;
  socket.setTimeout(0);
  socket.end();
  socket.resume();
  const patience = setTimeout(() => socket.destroy(), artimMs);
  await once(socket, 'close').catch(() => {});
  clearTimeout(patience);
}
