/** One request to the archive and the beginning of its answer, over Node's own HTTP: it takes a private CA, a client certificate and a streamed body. */
import { once } from 'node:events';
import { request as httpRequest, Agent as HttpAgent, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, Agent as HttpsAgent } from 'node:https';
import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { WetreadError } from '../domain/errors.ts';
import type { TlsMaterial } from './tls-material.ts';

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  /** Must be read to its end or returned from, or its connection and its place among the concurrent requests stay taken. */
  readonly body: AsyncIterableIterator<Uint8Array, void, void>;
};

export type Outgoing = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: AsyncIterable<Uint8Array> | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type Transport = (url: string, outgoing: Outgoing) => Promise<Answer>;

/**
 * Throws `archive.unreachable`, `archive.untrusted` (TLS), `archive.bad-answer` (not HTTP), or the signal's reason; the
 * body throws `archive.incomplete`. Redirects are answers like others: followed blindly, they take credentials and
 * patients' data wherever the answer says.
 */
export function archiveTransport({ timeoutMs, tls = {} }: { timeoutMs: number; tls?: TlsMaterial }): Transport {
  const agents = { 'http:': new HttpAgent({ keepAlive: true }), 'https:': new HttpsAgent({ keepAlive: true, ...tls }) };

  return async (url, { method, headers, body, signal }) => {
    signal?.throwIfAborted();
    const secure = url.startsWith('https:');
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method,
      headers: { ...headers },
      agent: agents[secure ? 'https:' : 'http:'],
    });
    let silent = false;
    const timer = setTimeout(() => {
      silent = true;
      request.destroy();
    }, timeoutMs);
    const abort = () => request.destroy();
    signal?.addEventListener('abort', abort, { once: true });
    /** What the body itself threw: a file that cannot be read is no fault of the archive. */
    const bodyFaults: unknown[] = [];
    try {
      const watched = body === undefined ? undefined : watching(body, bodyFaults);
      const message = await answerTo(request, watched, () => timer.refresh());
      return { status: message.statusCode ?? 0, ...contentOf(message, request, timeoutMs, signal, abort) };
    } catch (thrown) {
      signal?.removeEventListener('abort', abort);
      request.destroy();
      if (signal?.aborted) throw signal.reason;
      if (bodyFaults.length > 0) throw bodyFaults[0];
      if (silent) throw new WetreadError('archive.unreachable', `silent for ${timeoutMs} ms`, { cause: thrown });
      throw translated(thrown);
    } finally {
      clearTimeout(timer);
    }
  };
}

async function* watching(body: AsyncIterable<Uint8Array>, faults: unknown[]): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (thrown) {
    faults.push(thrown);
    throw thrown;
  }
}

/** Sends the body as fast as it is taken. An answer that comes earlier (413, 401) ends the sending. */
async function answerTo(
  request: ClientRequest,
  body: AsyncIterable<Uint8Array> | undefined,
  progress: () => void,
): Promise<IncomingMessage> {
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    // Stays for good: after an early answer the rest of the body fails, and nobody wants to hear of it.
    request.on('error', reject);
    request.once('close', () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
  });
  if (body === undefined) {
    request.end();
    return answered;
  }
  let over = false;
  const end = answered.then(
    () => (over = true),
    () => (over = true),
  );
  const sending = (async () => {
    for await (const piece of body) {
      if (over) return;
      progress();
      if (!request.write(piece)) await Promise.race([once(request, 'drain').catch(() => {}), end]);
    }
    if (!over) request.end();
  })();
  // When the body throws, the answer is not waited for any more.
  return Promise.race([answered, sending.then(() => answered)]);
}

const decoders: Readonly<Record<string, () => ReturnType<typeof createGunzip>>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/** By hand and not as a generator, because a generator that was never started cannot let go of its connection. */
function contentOf(
  message: IncomingMessage,
  request: ClientRequest,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  abort: () => void,
): Pick<Answer, 'headers' | 'body'> {
  const headers = headersOf(message);
  let stream: Readable = message;
  // `identity` was asked for; some proxies compress all the same.
  const decoder = decoders[headers.get('content-encoding')?.toLowerCase() ?? ''];
  if (decoder !== undefined) {
    const plain = decoder();
    message.on('error', (error) => plain.destroy(error));
    stream = message.pipe(plain);
    headers.delete('content-encoding');
    headers.delete('content-length');
  }
  // Until it is read, a failure waits for its reader instead of ending the process.
  stream.on('error', () => {});
  const pieces = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  let ended = false;
  const end = (whole: boolean) => {
    if (ended) return;
    ended = true;
    signal?.removeEventListener('abort', abort);
    // A body that was still being sent, or an answer that nobody reads on, leaves no connection for another request.
    if (!whole || !request.writableFinished) request.destroy();
  };
  return {
    headers,
    body: {
      async next() {
        if (ended) return { done: true, value: undefined };
        let silent = false;
        // The clock runs only while the archive is waited for: the consumer may take its time.
        const timer = setTimeout(() => {
          silent = true;
          message.destroy(new Error('silent'));
        }, timeoutMs);
        try {
          const piece = await pieces.next();
          if (piece.done !== true) return { done: false, value: piece.value };
          end(true);
          return { done: true, value: undefined };
        } catch (cause) {
          end(false);
          if (signal?.aborted) throw signal.reason;
          const detail = silent ? `silent for ${timeoutMs} ms in the middle of the answer` : 'the connection was lost';
          throw new WetreadError('archive.incomplete', detail, { cause });
        } finally {
          clearTimeout(timer);
        }
      },
      async return() {
        // Nothing was left to come (204): the connection is as good as new.
        if (message.complete) message.resume();
        end(message.complete);
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    },
  };
}

function headersOf({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    // Values that no header may have are dropped with their header; none that is read here has such.
    try {
      headers.append(rawHeaders[at] as string, rawHeaders[at + 1] as string);
    } catch {
      continue;
    }
  }
  return headers;
}

/** OpenSSL's verdicts on certificates, and its alerts when the other side refuses ours. */
const tlsFaults =
  /^(CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_(CA|PURPOSE)|EPROTO$)/;

function translated(thrown: unknown): WetreadError {
  const { code, errors } = thrown as { code?: string; errors?: { code?: string }[] };
  // A list: one for each address tried.
  const reason = code ?? errors?.[0]?.code ?? 'no connection';
  if (reason.startsWith('HPE_')) return new WetreadError('archive.bad-answer', 'not HTTP', { cause: thrown });
  if (tlsFaults.test(reason)) return new WetreadError('archive.untrusted', reason, { cause: thrown });
  return new WetreadError('archive.unreachable', reason, { cause: thrown });
}
