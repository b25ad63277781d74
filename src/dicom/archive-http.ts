/** GET requests to an archive: bounded in number and time, repeated while that is cheap, and every failure as an `archive.*` error. */
import { setTimeout as pause } from 'node:timers/promises';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { Limiter } from './limiter.ts';

export type ArchiveHttpOptions = {
  /** Without a slash at the end. */
  readonly baseUrl: string;
  /** The whole Authorization header; asked for each request, as tokens expire. */
  readonly authorization?: (() => Promise<string | undefined>) | undefined;
  /** Longest silence: until the answer begins, and between two pieces of it. */
  readonly timeoutMs: number;
  readonly logger: Logger;
};

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  /** Must be read to its end or returned from, or the place among the concurrent requests stays taken. */
  readonly body: AsyncIterableIterator<Uint8Array, void, void>;
};

export type Get = (
  path: string,
  request: { accept: string; signal?: AbortSignal | undefined; limiter: Limiter },
) => Promise<Answer>;

/** A few, and short: the job queue does the long waiting. */
const tries = 3;
const longestPauseMs = 3000;

export function archiveGet(options: ArchiveHttpOptions): Get {
  return async (path, { accept, signal, limiter }) => {
    const leave = await limiter.enter(signal);
    try {
      for (let attempt = 1; ; attempt++) {
        const outcome = await tryOnce(options, path, accept, signal);
        if (outcome instanceof Response) {
          const { status, headers } = outcome;
          return { status, headers, body: bodyOf(outcome, options.timeoutMs, signal, leave) };
        }
        if (attempt === tries || outcome.pauseMs > longestPauseMs) throw outcome.error;
        const backoff = 150 * 2 ** attempt * (0.5 + Math.random());
        options.logger.debug('archive asked again', { attempt, reason: outcome.error.detail });
        await pause(Math.max(outcome.pauseMs, backoff), undefined, signal === undefined ? {} : { signal }).catch(() => {
          throw signal?.reason;
        });
      }
    } catch (thrown) {
      leave();
      throw thrown;
    }
  };
}

type Again = { readonly pauseMs: number; readonly error: WetreadError };

async function tryOnce(
  options: ArchiveHttpOptions,
  path: string,
  accept: string,
  signal: AbortSignal | undefined,
): Promise<Response | Again> {
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), options.timeoutMs);
  const either = signal === undefined ? silence.signal : AbortSignal.any([signal, silence.signal]);
  try {
    const authorization = await options.authorization?.();
    const response = await fetch(`${options.baseUrl}/${path}`, {
      // What is not compressed is passed on to the viewer as it came, length included.
      headers: { accept, 'accept-encoding': 'identity', ...(authorization === undefined ? {} : { authorization }) },
      // Followed blindly, a redirect takes credentials and patients' data wherever the answer says.
      redirect: 'manual',
      signal: either,
    });
    if (response.status === 429 || response.status === 503) {
      await response.body?.cancel();
      return {
        pauseMs: retryAfterMs(response.headers.get('retry-after')),
        error: new WetreadError('archive.error', `status ${response.status}`),
      };
    }
    return response;
  } catch (thrown) {
    if (signal?.aborted) throw signal.reason;
    if (thrown instanceof WetreadError) throw thrown;
    if (silence.signal.aborted)
      throw new WetreadError('archive.unreachable', `silent for ${options.timeoutMs} ms`, { cause: thrown });
    const reason = connectionFault(thrown);
    if (reason.startsWith('HPE_')) throw new WetreadError('archive.bad-answer', 'not HTTP', { cause: thrown });
    return { pauseMs: 0, error: new WetreadError('archive.unreachable', reason, { cause: thrown }) };
  } finally {
    clearTimeout(timer);
  }
}

/** fetch hides what happened in the cause, which may itself be a list: one for each address tried. */
function connectionFault(thrown: unknown): string {
  const cause = (thrown as { cause?: { code?: string; errors?: { code?: string }[] } }).cause;
  return cause?.code ?? cause?.errors?.[0]?.code ?? 'no connection';
}

/** Seconds or a date (RFC 9110 10.2.3). */
function retryAfterMs(header: string | null): number {
  if (header === null) return 0;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : 0;
}

/** By hand and not as a generator, because a generator that was never started cannot let go of its connection. */
function bodyOf(
  response: Response,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  leave: () => void,
): AsyncIterableIterator<Uint8Array, void, void> {
  const reader = response.body?.getReader();
  const end = async () => {
    leave();
    await reader?.cancel().catch(() => {});
  };
  return {
    async next() {
      let silent = false;
      // The clock runs only while the archive is waited for: the consumer may take its time.
      const timer = setTimeout(() => {
        silent = true;
        void reader?.cancel();
      }, timeoutMs);
      try {
        const piece = await reader?.read();
        if (silent) throw new Error('silent');
        if (piece !== undefined && !piece.done) return { done: false, value: piece.value };
        await end();
        return { done: true, value: undefined };
      } catch (cause) {
        await end();
        if (signal?.aborted) throw signal.reason;
        const detail = silent ? `silent for ${timeoutMs} ms in the middle of the answer` : 'the connection was lost';
        throw new WetreadError('archive.incomplete', detail, { cause });
      } finally {
        clearTimeout(timer);
      }
    },
    async return() {
      await end();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
