/** Sessions of the app: unguessable, hashed at rest, and over when unused or too old. */
import { createHash } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findingId, patientId } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { appSessions } from '../../src/http/sessions.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { testDatabase } from '../support/postgres.ts';

let store: Store;
let databaseUrl: string;
beforeAll(async () => {
  databaseUrl = await testDatabase();
  store = await openStore({ databaseUrl, dataDir: '.', outputs: [], logger: silentLogger });
});
afterAll(() => store?.close());

const grant = {
  patientId: patientId('ada'),
  reviewer: { reference: 'Practitioner/lin', display: 'Dr Lin Wei' },
  opens: { finding: findingId('11111111-1111-8111-8111-111111111111') },
  banner: { display: 'Ada Marsh' },
};

/** The database's own clock also counts, so the test's clock starts at now and only moves forward a little, or the limits are short. */
function sessionsAt(limits: { idleMinutes?: number; longestMinutes?: number } = {}) {
  const clock = { ms: Date.now() };
  return { clock, sessions: appSessions({ store: store.sessions, now: () => clock.ms, ...limits }) };
}

async function opened(sessions: ReturnType<typeof appSessions>): Promise<string> {
  return (await sessions.redeem(await sessions.offer(grant)))!.token;
}

async function everythingStored(): Promise<string> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  const sessions = await client.query('select * from wetread.app_session');
  const launches = await client.query('select * from wetread.app_launch');
  await client.end();
  return JSON.stringify([sessions.rows, launches.rows]);
}

describe('a one-time code', () => {
  test('opens one session with what the launch allowed', async () => {
    const { sessions } = sessionsAt();
    const code = await sessions.offer(grant);
    const first = await sessions.redeem(code);
    expect(first).toMatchObject({
      session: { patientId: 'ada', reviewer: grant.reviewer, opens: grant.opens },
      banner: { display: 'Ada Marsh' },
    });
    expect(await sessions.redeem(code)).toBeUndefined();
    expect(await sessions.verify(first!.token)).toMatchObject({ patientId: 'ada', opens: grant.opens });
  });

  test('given to two at once opens one session', async () => {
    const { sessions } = sessionsAt();
    const code = await sessions.offer(grant);
    const all = await Promise.all([1, 2, 3, 4].map(() => sessions.redeem(code)));
    expect(all.filter((one) => one !== undefined)).toHaveLength(1);
  });

  test('is too late after a minute', async () => {
    const { sessions, clock } = sessionsAt();
    const code = await sessions.offer(grant);
    clock.ms += 60_001;
    expect(await sessions.redeem(code)).toBeUndefined();
  });

  test('and a launch’s state are not exchangeable', async () => {
    const { sessions } = sessionsAt();
    await sessions.rememberLaunch({
      state: 's'.repeat(43),
      expiresAt: new Date(Date.now() + 60_000).toISOString(),
      remembered: { nonce: 'n' },
    });
    expect(await sessions.redeem('s'.repeat(43))).toBeUndefined();
    const code = await sessions.offer(grant);
    expect(await sessions.takeLaunch(code)).toBeUndefined();
  });
});

describe('a token', () => {
  test('has 256 random bits and is stored as its hash only, like the code before it', async () => {
    const { sessions } = sessionsAt();
    const code = await sessions.offer(grant);
    const waiting = await everythingStored();
    expect(waiting).not.toContain(code);
    // The patient's name is for the page only: it waits sealed, and then it is gone.
    expect(waiting).not.toContain('Ada Marsh');
    const { token } = (await sessions.redeem(code))!;
    expect(Buffer.from(token.split('.')[0]!, 'base64url')).toHaveLength(32);
    const stored = await everythingStored();
    expect(stored).not.toContain(token.split('.')[0]);
    expect(stored).toContain(createHash('sha256').update(token).digest('hex'));
    expect(stored).not.toContain('Ada Marsh');
  });

  test('cannot have its end changed', async () => {
    const { sessions } = sessionsAt();
    const token = await opened(sessions);
    const [secret, end] = token.split('.') as [string, string];
    const later = `${secret}.${(Number.parseInt(end, 36) + 86_400).toString(36)}`;
    expect(await sessions.verify(later)).toBeUndefined();
    expect(await sessions.verify(token)).toBeDefined();
  });

  test('ends when told to', async () => {
    const { sessions } = sessionsAt();
    const token = await opened(sessions);
    await sessions.end(token);
    expect(await sessions.verify(token)).toBeUndefined();
    await sessions.end('garbage');
  });

  test('ends when it is not used', async () => {
    const { sessions, clock } = sessionsAt({ idleMinutes: 10 });
    const token = await opened(sessions);
    clock.ms += 10 * 60_000 + 1;
    expect(await sessions.verify(token)).toBeUndefined();
  });

  test('lives on while it is used, but not past its end', async () => {
    const { sessions, clock } = sessionsAt({ idleMinutes: 10, longestMinutes: 60 });
    const token = await opened(sessions);
    for (let minutes = 6; minutes < 60; minutes += 6) {
      clock.ms += 6 * 60_000;
      expect(await sessions.verify(token), `after ${minutes} minutes`).toBeDefined();
    }
    clock.ms += 6 * 60_000;
    expect(await sessions.verify(token)).toBeUndefined();
  });

  test.each(['', 'x', '.', `${'A'.repeat(43)}.`, `${'A'.repeat(43)}.zz`, "' or 1=1 --"])(
    'of the form %j is none',
    async (token) => {
      expect(await sessionsAt().sessions.verify(token)).toBeUndefined();
    },
  );
});
