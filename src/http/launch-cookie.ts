/** Ties a launch to the browser that began it: without this, somebody could finish their own login in another's frame (RFC 9700, 4.7). */
import { createHash, randomBytes } from 'node:crypto';
import type { Request, Response } from 'express';

const hashOf = (value: string): string => createHash('sha256').update(value).digest('hex');

/** One cookie per launch, so that two charts open side by side do not disturb each other. */
const nameOf = (state: string): string => `wetread_launch_${hashOf(state).slice(0, 12)}`;

export function launchCookie(publicUrl: string, maxAgeMs: number) {
  const { protocol, pathname } = new URL(publicUrl);
  const base = { httpOnly: true, path: `${pathname.replace(/\/$/, '')}/app`, maxAge: maxAgeMs };
  // In a frame of another site only a partitioned cookie survives; it must be Secure, which browsers other than
  // Safari accept from loopback without TLS too. Safari there gets the plain one, which same-site frames send.
  const inFrames = { ...base, secure: true, sameSite: 'none', partitioned: true } as const;
  const sameSiteOnly = { ...base, secure: false, sameSite: 'lax' } as const;
  const kinds =
    protocol === 'https:'
      ? [{ suffix: '', options: inFrames }]
      : [
          { suffix: '', options: inFrames },
          { suffix: '_lax', options: sameSiteOnly },
        ];

  return {
    /** Returns what the callback must find again. */
    set(response: Response, state: string): string {
      const value = randomBytes(16).toString('base64url');
      for (const { suffix, options } of kinds) response.cookie(nameOf(state) + suffix, value, options);
      return hashOf(value);
    },

    isFrom(request: Request, state: string, expected: unknown): boolean {
      const sent = (request.headers.cookie ?? '').split(/;\s*/);
      return kinds.some(({ suffix }) => {
        const value = sent.find((pair) => pair.startsWith(`${nameOf(state)}${suffix}=`))?.split('=')[1];
        return value !== undefined && hashOf(value) === expected;
      });
    },

    clear(response: Response, state: string): void {
      for (const { suffix, options } of kinds) response.clearCookie(nameOf(state) + suffix, options);
    },
  };
}
