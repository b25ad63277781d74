/** Talks to the service. The session's token lives in this module's memory only: a reload or a closed tab forgets it. */
import { z } from 'zod';
import {
  errorAnswer,
  packView,
  readingView,
  sessionAnswer,
  studiesAnswer,
  type ErrorAnswer,
  type PackView,
  type ReadingView,
  type SessionAnswer,
  type StudyView,
  type VerdictRequest,
} from '../../src/viewer-api/contract.ts';

/** A refusal or a failure, in words for the reader: what is wrong and what to do next. */
export class ServiceError extends Error {
  readonly code: string;
  readonly next: string;

  constructor({ code, message, next }: Pick<ErrorAnswer, 'code' | 'message' | 'next'>) {
    super(message);
    this.name = 'ServiceError';
    this.code = code;
    this.next = next;
  }

  get sessionIsOver(): boolean {
    return this.code === 'request.unauthenticated';
  }
}

export const inWords = (thrown: unknown): ServiceError =>
  thrown instanceof ServiceError
    ? thrown
    : new ServiceError({
        code: 'app.unexpected',
        message: 'Something went wrong in this page.',
        next: 'Open the app from the chart again.',
      });

export type Service = {
  readonly session: SessionAnswer;
  studies(): Promise<readonly StudyView[]>;
  pack(name: string): Promise<PackView>;
  giveVerdict(findingId: string, verdict: VerdictRequest): Promise<ReadingView>;
  verify(readingId: string): Promise<ReadingView>;
  dicomweb(path: string, signal?: AbortSignal): Promise<Response>;
  /** Forgets the session at the service too; works while the page is being left. */
  end(): void;
};

/** Addresses are found from the page's own, so that a service behind a path prefix works. */
const root = new URL('..', document.baseURI);

export async function openSession(code: string): Promise<Service> {
  const session = sessionAnswer.parse(
    await (await ask('app/api/session', { method: 'POST', body: JSON.stringify({ code }) })).json(),
  );
  const authorized = (path: string, init: RequestInit = {}) =>
    ask(path, { ...init, headers: { ...init.headers, authorization: `Bearer ${session.token}` } });
  const read = async <Schema extends z.ZodType>(schema: Schema, path: string, init?: RequestInit) =>
    schema.parse(await (await authorized(`app/api/${path}`, init)).json());

  return {
    session,
    studies: async () => (await read(studiesAnswer, 'studies')).studies,
    pack: (name) => read(packView, `packs/${encodeURIComponent(name)}`),
    giveVerdict: (id, verdict) =>
      read(readingView, `findings/${id}/verdict`, { method: 'POST', body: JSON.stringify(verdict) }),
    verify: (id) => read(readingView, `readings/${id}/verify`, { method: 'POST' }),
    end: () => void authorized('app/api/session', { method: 'DELETE', keepalive: true }).catch(() => undefined),
    dicomweb: (path, signal) => authorized(`dicom-web${path}`, signal ? { signal } : {}),
  };
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(new URL(path, root), {
      ...init,
      headers: { ...(init.body === undefined ? {} : { 'content-type': 'application/json' }), ...init.headers },
      credentials: 'omit',
      cache: 'no-store',
      redirect: 'error',
    });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ServiceError({
      code: 'app.unreachable',
      message: 'The imaging service does not answer.',
      next: 'Check the network and try again.',
    });
  }
  if (response.ok) return response;
  const parsed = errorAnswer.safeParse(await response.json().catch(() => undefined));
  throw new ServiceError(
    parsed.data ?? {
      code: `http.${response.status}`,
      message: 'The imaging service gave no usable answer.',
      next: 'Try again; if it stays so, tell your IT team.',
    },
  );
}
