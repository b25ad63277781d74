/** Who sits at the EHR: one cookie, and the first of the staff until somebody else is chosen. */
import { randomBytes } from 'node:crypto';
import type { Request, Response } from 'express';

const cookieName = 'ehr-session';

export type EhrSessions = {
  /** The practitioner's id; the default one for callers without a session (tests, curl). */
  userOf(request: Request): string;
  /** Whether this is a page that was opened here. */
  isOpen(request: Request): boolean;
  /** Begins a session when there is none. */
  open(request: Request, response: Response): void;
  become(request: Request, response: Response, practitioner: string): void;
};

export function ehrSessions(defaultUser: string): EhrSessions {
  const users = new Map<string, string>();
  const idOf = (request: Request): string | undefined => {
    const cookie = String(request.headers.cookie ?? '')
      .split(';')
      .map((part) => part.trim().split('='))
      .find(([name]) => name === cookieName);
    return cookie?.[1];
  };
  const begin = (response: Response, user: string): void => {
    const id = randomBytes(24).toString('base64url');
    users.set(id, user);
    response.cookie(cookieName, id, { httpOnly: true, sameSite: 'strict', path: '/' });
  };
  const isOpen = (request: Request): boolean => users.has(idOf(request) ?? '');
  return {
    isOpen,
    userOf: (request) => users.get(idOf(request) ?? '') ?? defaultUser,
    open(request, response) {
      if (!isOpen(request)) begin(response, defaultUser);
    },
    become(request, response, practitioner) {
      const id = idOf(request);
      if (id !== undefined && users.has(id)) users.set(id, practitioner);
      else begin(response, practitioner);
    },
  };
}
