/** Requests to an archive: bounded in number and time, repeated while that is cheap, and every failure as an `archive.*` error. */
import { setTimeout as pause } from 'node:timers/promises';
import { WetreadError, type ErrorCode } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { Answer, Outgoing, Transport } from './archive-transport.ts';
import type { Circuit } from './circuit.ts';
import type { Limiter } from './limiter.ts';

export type { Answer } from './archive-transport.ts';

/** Whom Wetread is to the archive. */
export type ArchiveAuthorization = {
  /** The whole Authorization header; asked for each request, as tokens expire. */
  header(): Promise<string | undefined>;
  /** The archive answered 401 to this header: a kept token is worth nothing any more. */
  refused?(header: string): void;
};

export type ArchiveHttpOptions = {
  /** Without a slash at the end. */
  readonly baseUrl: string;
  readonly transport: Transport;
  readonly circuit: Circuit;
  readonly authorization?: ArchiveAuthorization | undefined;
  readonly onAnswer?: ((outcome: 'ok' | ErrorCode) => void) | undefined;
  readonly logger: Logger;
};

export type ArchiveRequest = {
  readonly accept: string;
  readonly signal?: AbortSignal | undefined;
  readonly limiter: Limiter;
  /** Sent by POST unless it says otherwise; made anew for each try. */
  readonly send?: Sending | undefined;
};

export type Sending = {
  readonly method?: Outgoing['method'];
  readonly contentType?: string;
  /** Where it is known beforehand; otherwise the body goes in chunks. */
  readonly length?: number;
  body(): AsyncIterable<Uint8Array>;
};

export type Get = (path: string, request: ArchiveRequest) => Promise<Answer>;

/** A few, and short: the job queue does the long waiting. */
const tries = 3;
const longestPauseMs = 3000;
/** What a busy or half-started archive says, and what passes with another try. 501 and 505 do not. */
const passing: ReadonlySet<number> = new Set([429, 500, 502, 503, 504]);

export function archiveGet(options: ArchiveHttpOptions): Get {
  const { circuit, authorization, logger } = options;
  return async (path, request) => {
    const { signal, limiter } = request;
    const leave = await limiter.enter(signal);
    try {
      const going = circuit.enter();
      let renewed = false;
      try {
        for (let attempt = 1; ; attempt++) {
          const outcome = await tryOnce(options, path, request);
          if ('answer' in outcome) {
            const { answer, header } = outcome;
            // A token may be withdrawn before its time: one new one is worth a try.
            if (answer.status === 401 && authorization?.refused !== undefined && header !== undefined && !renewed) {
              renewed = true;
              authorization.refused(header);
              await answer.body.return?.();
              attempt -= 1;
              continue;
            }
            going.answered();
            return { ...answer, body: leaving(answer.body, leave) };
          }
          const { error, pauseMs } = outcome;
          if (attempt === tries || pauseMs > longestPauseMs) throw error;
          const backoff = 150 * 2 ** attempt * (0.5 + Math.random());
          logger.debug('archive asked again', { attempt, reason: error.detail });
          await pause(Math.max(pauseMs, backoff), undefined, signal === undefined ? {} : { signal }).catch(() => {
            throw signal?.reason;
          });
        }
      } catch (thrown) {
        // One request is one failure, however often it was tried: a single broken study must not stop all others.
        if (isAway(thrown)) going.failed(thrown);
        else if (isBusy(thrown)) going.answered();
        else going.cancelled();
        throw thrown;
      }
    } catch (thrown) {
      leave();
      throw thrown;
    }
  };
}

type Outcome =
  | { readonly answer: Answer; readonly header: string | undefined }
  | { readonly pauseMs: number; readonly error: WetreadError };

async function tryOnce(options: ArchiveHttpOptions, path: string, request: ArchiveRequest): Promise<Outcome> {
  const { baseUrl, transport, authorization, onAnswer } = options;
  const { accept, signal, send } = request;
  try {
    const header = await authorization?.header();
    const answer = await transport(`${baseUrl}/${path}`, {
      method: send === undefined ? 'GET' : (send.method ?? 'POST'),
      headers: {
        accept,
        // What is not compressed is passed on to the viewer as it came, length included.
        'accept-encoding': 'identity',
        ...(header === undefined ? {} : { authorization: header }),
        ...(send?.contentType === undefined ? {} : { 'content-type': send.contentType }),
        ...(send?.length === undefined ? {} : { 'content-length': String(send.length) }),
      },
      body: send?.body(),
      signal,
    });
    if (!passing.has(answer.status)) {
      onAnswer?.('ok');
      return { answer, header };
    }
    await answer.body.return?.();
    const error = new WetreadError('archive.error', `status ${answer.status}`);
    onAnswer?.(error.code);
    return { pauseMs: retryAfterMs(answer.headers.get('retry-after')), error };
  } catch (thrown) {
    if (thrown instanceof WetreadError) onAnswer?.(thrown.code);
    // A silent archive has had all the time there was; what TLS or the token endpoint refused stays refused.
    if (!isAway(thrown) || thrown.code !== 'archive.unreachable' || thrown.detail?.startsWith('silent') === true)
      throw thrown;
    return { pauseMs: 0, error: thrown };
  }
}

/** Whatever else stops a request (its job was cancelled, a file cannot be read) is not the archive's fault. */
const isAway = (thrown: unknown): thrown is WetreadError =>
  thrown instanceof WetreadError &&
  (thrown.code === 'archive.unreachable' ||
    thrown.code === 'archive.untrusted' ||
    (thrown.code === 'archive.error' && !isBusy(thrown)));

/** 429 is the answer of an archive that is well and asks for patience. */
const isBusy = (thrown: unknown): boolean =>
  thrown instanceof WetreadError && thrown.code === 'archive.error' && thrown.detail === 'status 429';

/** Seconds or a date (RFC 9110 10.2.3). */
function retryAfterMs(header: string | null): number {
  if (header === null) return 0;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : 0;
}

/** The same body; its end, however it comes, gives the place among the concurrent requests back. */
function leaving(body: Answer['body'], leave: () => void): Answer['body'] {
  return {
    async next() {
      try {
        const piece = await body.next();
        if (piece.done === true) leave();
        return piece;
      } catch (thrown) {
        leave();
        throw thrown;
      }
    },
    async return() {
      leave();
      return (await body.return?.()) ?? { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
