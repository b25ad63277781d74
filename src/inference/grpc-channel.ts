/** gRPC calls of one message there and one back, over one HTTP/2 connection that is made anew when it is lost. */
import { connect, constants, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import { WetreadError } from '../domain/errors.ts';
import { largestAnswer } from './kserve-tensors.ts';
import { connectionFault, type ServerChoice } from './kserve-transport.ts';
import type { ProtoWriter } from './protobuf.ts';

export type GrpcAnswer =
  | { readonly status: 'ok'; readonly message: Uint8Array }
  | { readonly status: 'not-found' | 'failed'; readonly fault: WetreadError };

export type GrpcCall = (path: string, message: ProtoWriter, signal: AbortSignal) => Promise<GrpcAnswer>;

/** Of the gRPC specification. */
const status = { ok: 0, notFound: 5, permissionDenied: 7, resourceExhausted: 8, unavailable: 14, unauthenticated: 16 };
/** A film's tensors fit, so that no answer waits for permission to go on. */
const windowBytes = 2 ** 24;
const prefixBytes = 5;

export function grpcChannel({ url, authorization, requestsAtOnce }: ServerChoice): GrpcCall {
  const origin = url.replace(/^grpc(s?):/, 'http$1:').replace(/\/+$/, '');
  const waiting: (() => void)[] = [];
  let running = 0;
  let session: ClientHttp2Session | undefined;

  function connection(): ClientHttp2Session {
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    const opened = connect(origin, { settings: { initialWindowSize: windowBytes, enablePush: false } });
    opened.on('connect', () => opened.setLocalWindowSize(windowBytes));
    const forget = (): void => {
      if (session === opened) session = undefined;
    };
    // Each call hears of it by its own stream.
    opened.on('error', forget);
    opened.on('goaway', forget);
    opened.on('close', forget);
    session = opened;
    return opened;
  }

  /** So many at once and no more: the next waits here instead of in the server's queue. */
  async function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    if (running >= requestsAtOnce) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await work();
    } finally {
      // The place is handed on, so that nobody comes in between.
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  }

  function ask(path: string, message: ProtoWriter, signal: AbortSignal): Promise<GrpcAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<GrpcAnswer>();
    const used = connection();
    const fail = (thrown: unknown): void => reject(connectionFault(url, thrown));
    const stream = used.request(
      {
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...(authorization !== undefined && { authorization }),
      },
      { signal },
    );
    const pieces: Buffer[] = [];
    let received = 0;
    let headers: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    // An answer without a message has its status in the only headers there are.
    stream.on('response', (found) => (headers = found));
    stream.on('trailers', (found) => (trailers = found));
    stream.on('data', (piece: Buffer) => {
      received += piece.length;
      if (received > largestAnswer) stream.destroy(new Error(`the answer is larger than ${largestAnswer} bytes`));
      else pieces.push(piece);
    });
    stream.on('error', (error) => {
      // A connection that is silent until the deadline may be dead without knowing it.
      if (signal.aborted) used.destroy();
      fail(error);
    });
    // The connection's own fault comes without one of the stream when it never stood.
    used.once('error', fail);
    stream.on('close', () => used.off('error', fail));
    stream.on('end', () => {
      try {
        resolve(answerOf({ ...headers, ...trailers }, Buffer.concat(pieces, received), path));
      } catch (error) {
        reject(error as Error);
      }
    });
    const body = message.done();
    const prefix = Buffer.alloc(prefixBytes);
    prefix.writeUInt32BE(message.length, 1);
    stream.write(prefix);
    for (const piece of body) stream.write(piece);
    stream.end();
    return promise;
  }

  function answerOf(headers: IncomingHttpHeaders, body: Buffer, path: string): GrpcAnswer {
    const http = Number(headers[':status']);
    const told = headers['grpc-status'];
    const method = path.slice(path.lastIndexOf('/') + 1);
    if (told === undefined) {
      const code = http === 401 || http === 403 ? 'model.server-refused' : 'model.server-unreachable';
      throw new WetreadError(code, `${url}: HTTP ${http} where gRPC was expected`);
    }
    const code = Number(told);
    if (code === status.ok) {
      if (body.length < prefixBytes || body[0] !== 0 || body.readUInt32BE(1) !== body.length - prefixBytes)
        throw new WetreadError('model.server-unreachable', `${url}: the answer to ${method} is cut off`);
      return { status: 'ok', message: body.subarray(prefixBytes) };
    }
    const words = `${url}: ${method}: gRPC status ${code} ${wordsOf(headers['grpc-message'])}`;
    if (code === status.unavailable || code === status.resourceExhausted)
      throw new WetreadError('model.server-unreachable', words);
    if (code === status.unauthenticated || code === status.permissionDenied)
      throw new WetreadError('model.server-refused', words);
    return {
      status: code === status.notFound ? 'not-found' : 'failed',
      fault: new WetreadError('model.run-failed', words),
    };
  }

  return (path, message, signal) => inTurn(() => ask(path, message, signal));
}

/** Percent-encoded, as the specification has it. */
function wordsOf(message: string | string[] | undefined): string {
  const text = String(message ?? '');
  try {
    return decodeURIComponent(text).split('\n', 1)[0]!.slice(0, 300);
  } catch {
    return text.slice(0, 300);
  }
}
