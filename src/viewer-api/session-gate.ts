/** Lets a request pass only with the bearer of a live session, and hands that session on. */
import type { Request, RequestHandler, Response } from 'express';
import { WetreadError } from '../domain/errors.ts';
import type { AppSession, StrangerRefusals } from '../domain/ports.ts';

/** A session with the name it may be remembered by: derived from the token's hash, of no use as a token. */
export type LiveSession = AppSession & { readonly key: string };

/** Who the launch found; held for the seconds between callback and page, never with the session. */
export type Banner = { readonly display?: string; readonly birthDate?: string; readonly sex?: string };

export type OpenedSession = {
  readonly token: string;
  readonly session: AppSession;
  readonly banner: Banner;
};

/** What the viewer's addresses need to know of sessions; `src/http/sessions.ts` makes the real one. */
export interface SessionGate {
  /** Swaps a one-time code for a session; undefined when the code is unknown, used or too old. */
  redeem(code: string): Promise<OpenedSession | undefined>;
  verify(token: string): Promise<LiveSession | undefined>;
  end(token: string): Promise<void>;
}

const bearerPattern = /^Bearer ([A-Za-z0-9._~+/-]{1,512}=*)$/i;

export const bearerOf = (request: Request): string | undefined =>
  bearerPattern.exec(request.headers.authorization ?? '')?.[1];

export function requireSession(sessions: SessionGate, strangers: StrangerRefusals): RequestHandler {
  return async (request, response, next) => {
    const token = bearerOf(request);
    const session = token === undefined ? undefined : await sessions.verify(token);
    if (session === undefined) {
      await strangers.refused(request.socket.remoteAddress, 'request.unauthenticated');
      response.setHeader('WWW-Authenticate', 'Bearer realm="wetread"');
      throw new WetreadError('request.unauthenticated');
    }
    response.locals['session'] = session;
    next();
  };
}

export const sessionOf = (response: Response): LiveSession => response.locals['session'] as LiveSession;
