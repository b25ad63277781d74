/** Sessions of the app: opaque bearers of 256 random bits, known to the database only by their hash, for one patient and one person. */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import type { AppSession, PendingLaunch, SessionStore } from '../domain/ports.ts';

/** Who the launch found; held for the seconds between callback and page, never with the session. */
export type Banner = { readonly display?: string; readonly birthDate?: string; readonly sex?: string };

/** What a finished launch allows. */
export type Grant = Omit<AppSession, 'expiresAt'> & { readonly banner: Banner };

export interface AppSessions {
  /** A code for the page's address: good once, for a minute. */
  offer(grant: Grant): Promise<string>;
  redeem(code: string): Promise<
    | {
        readonly token: string;
        readonly session: AppSession;
        readonly banner: Banner;
      }
    | undefined
  >;
  /** The live session of a bearer; asking is what keeps it from becoming idle. */
  verify(token: string): Promise<(AppSession & { readonly key: string }) | undefined>;
  end(token: string): Promise<void>;
  rememberLaunch(launch: PendingLaunch): Promise<void>;
  takeLaunch(state: string): Promise<PendingLaunch | undefined>;
}

export type SessionOptions = {
  readonly store: SessionStore;
  readonly now?: () => number;
  /** A session nobody uses for so long is over. */
  readonly idleMinutes?: number;
  /** However busy, a session ends after so long. */
  readonly longestMinutes?: number;
};

const codeSeconds = 60;
const random = (): string => randomBytes(32).toString('base64url');
const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** The end is part of the token, and so of its hash: it cannot be changed without becoming another, unknown token. */
const tokenPattern = /^[A-Za-z0-9_-]{43}\.([0-9a-z]{6,10})$/;

export function appSessions({
  store,
  now = Date.now,
  idleMinutes = 30,
  longestMinutes = 8 * 60,
}: SessionOptions): AppSessions {
  const idleMs = idleMinutes * 60_000;
  const iso = (ms: number): string => new Date(ms).toISOString();

  return {
    async offer(grant) {
      const code = random();
      // A launch waiting for its page is kept like a launch waiting for its login: taken once, gone when late.
      await store.rememberLaunch({
        state: codeKey(code),
        expiresAt: iso(now() + codeSeconds * 1000),
        remembered: { sealed: seal(grant, code) },
      });
      return code;
    },

    async redeem(code) {
      const taken = await store.takeLaunch(codeKey(code));
      if (taken === undefined || Date.parse(taken.expiresAt) <= now()) return undefined;
      const { banner, ...allowed } = unseal(String(taken.remembered['sealed']), code);
      const end = now() + longestMinutes * 60_000;
      const token = `${random()}.${Math.floor(end / 1000).toString(36)}`;
      const session: AppSession = { ...allowed, expiresAt: iso(Math.min(now() + idleMs, end)) };
      await store.create({ ...session, tokenHash: hashOf(token) });
      // The page is told the end that no use can move.
      return { token, session: { ...session, expiresAt: iso(end) }, banner };
    },

    async verify(token) {
      const parts = tokenPattern.exec(token);
      if (parts === null) return undefined;
      const end = Number.parseInt(parts[1]!, 36) * 1000;
      if (end <= now()) return undefined;
      const tokenHash = hashOf(token);
      const session = await store.byTokenHash(tokenHash);
      if (session === undefined || Date.parse(session.expiresAt) <= now()) return undefined;
      const wanted = Math.min(now() + idleMs, end);
      // A picture is many requests: the expiry is moved in steps, not at each of them.
      if (wanted - Date.parse(session.expiresAt) > idleMs / 10) await store.extend(tokenHash, iso(wanted));
      return { ...session, key: tokenHash.slice(0, 16) };
    },

    end: (token) => (tokenPattern.test(token) ? store.end(hashOf(token)) : Promise.resolve()),
    rememberLaunch: (launch) => store.rememberLaunch(launch),
    takeLaunch: (state) => store.takeLaunch(state),
  };
}

/** What waits in the database names a patient: only the code that opens it, which is not there, can read it. */
const sealKey = (code: string): Buffer => createHash('sha256').update(`seal:${code}`).digest();
const cipher = 'aes-256-gcm';

function seal(grant: Grant, code: string): string {
  const iv = randomBytes(12);
  const sealing = createCipheriv(cipher, sealKey(code), iv);
  const sealed = Buffer.concat([sealing.update(JSON.stringify(grant), 'utf8'), sealing.final()]);
  return Buffer.concat([iv, sealing.getAuthTag(), sealed]).toString('base64');
}

function unseal(text: string, code: string): Grant {
  const bytes = Buffer.from(text, 'base64');
  const opening = createDecipheriv(cipher, sealKey(code), bytes.subarray(0, 12), { authTagLength: 16 });
  opening.setAuthTag(bytes.subarray(12, 28));
  return JSON.parse(Buffer.concat([opening.update(bytes.subarray(28)), opening.final()]).toString('utf8')) as Grant;
}

/** Kept apart from launch states, which are in the same place: a state can never be used as a code. */
const codeKey = (code: string): string => `code:${hashOf(code)}`;
