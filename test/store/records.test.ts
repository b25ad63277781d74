/** Orders, feedback, the audit trail, cursors, sessions and launches, and the tables under them. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FindingId } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { CardFeedback } from '../../src/domain/ports.ts';
import { openDatabase } from '../../src/store/database.ts';
import { migrate, migrations } from '../../src/store/migrate.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { testDatabase } from '../support/postgres.ts';
import { anna, otherPatient, patient, reading, study } from './samples.ts';

let url: string;
let store: Store;
let sql: Client;

beforeAll(async () => {
  url = await testDatabase();
  store = await openStore({ databaseUrl: url, dataDir: '', outputs: [], logger: silentLogger });
  sql = new Client({ connectionString: url });
  await sql.connect();
});
afterAll(async () => {
  await sql?.end();
  await store?.close();
});

describe('orders', () => {
  test('are remembered once per reference, with what was learnt later', async () => {
    const first = {
      reference: 'ServiceRequest/1',
      patientId: patient,
      region: 'lumbar-spine',
      seenAt: '2026-03-01T09:00:00.000Z',
    } as const;
    await store.orders.remember(first);
    await store.orders.remember({ ...first, accession: 'A1', seenAt: '2026-03-01T10:00:00.000Z' });
    await store.orders.remember(first);
    expect(await store.orders.forPatient(patient)).toEqual([
      { ...first, accession: 'A1', seenAt: '2026-03-01T10:00:00.000Z' },
    ]);
  });

  test('keep one draft per region, the newest first, and stay with their patient', async () => {
    const draft = (region: 'chest' | 'limb', hour: string) =>
      ({ patientId: otherPatient, region, seenAt: `2026-03-01T${hour}:00:00.000Z` }) as const;
    for (const order of [draft('chest', '09'), draft('limb', '10'), draft('chest', '11')])
      await store.orders.remember(order);
    expect(await store.orders.forPatient(otherPatient)).toEqual([draft('chest', '11'), draft('limb', '10')]);
  });
});

describe('feedback', () => {
  const [one, two] = reading(study(1)).findings.map(({ id }) => id) as [FindingId, FindingId];
  const overridden = (card: string): CardFeedback => ({
    service: 'patient-view',
    card,
    outcome: 'overridden',
    at: '2026-03-01T09:00:00.123Z',
    acceptedSuggestions: [],
    overrideReason: { code: 'known', comment: 'seen before' },
  });

  test('on a card that was never served, or by another service, is not taken', async () => {
    await store.feedback.cardServed({ uuid: 'served', service: 'order-sign', patientId: patient, findings: [one] });
    expect(await store.feedback.record(overridden('unknown'))).toBe(false);
    expect(await store.feedback.record(overridden('served'))).toBe(false);
    expect(await store.feedback.dismissed(patient, 'order-sign')).toEqual(new Set());
  });

  test('that is repeated changes nothing', async () => {
    await store.feedback.cardServed({
      uuid: 'twice',
      service: 'patient-view',
      patientId: patient,
      findings: [one, two],
    });
    const accepted: CardFeedback = { ...overridden('twice'), outcome: 'accepted', acceptedSuggestions: ['s1'] };
    for (const feedback of [accepted, accepted, overridden('twice'), overridden('twice')]) {
      expect(await store.feedback.record(feedback)).toBe(true);
    }
    const { rows } = await sql.query(
      `select outcome, accepted_suggestions, override_code from wetread.feedback where card_uuid = 'twice' order by 1`,
    );
    expect(rows).toEqual([
      { outcome: 'accepted', accepted_suggestions: ['s1'], override_code: 'known' },
      { outcome: 'overridden', accepted_suggestions: [], override_code: 'known' },
    ]);
  });

  test('keeps overridden findings from this patient’s cards of the same service only', async () => {
    expect(await store.feedback.dismissed(otherPatient, 'patient-view')).toEqual(new Set());
    await store.feedback.cardServed({
      uuid: 'other',
      service: 'patient-view',
      patientId: otherPatient,
      findings: [two],
    });
    await store.feedback.record(overridden('other'));
    expect(await store.feedback.dismissed(otherPatient, 'patient-view')).toEqual(new Set([two]));
    expect(await store.feedback.dismissed(otherPatient, 'order-sign')).toEqual(new Set());
  });

  test('finds its card although hundreds were served at once', async () => {
    const cards = Array.from({ length: 700 }, (_, index) => `many-${index}`);
    await Promise.all(
      cards.map((uuid) =>
        store.feedback.cardServed({ uuid, service: 'patient-view', patientId: patient, findings: [one] }),
      ),
    );
    const { rows } = await sql.query(`select count(*)::int from wetread.card where uuid like 'many-%'`);
    expect(rows).toEqual([{ count: 700 }]);
  });

  test('with text that cannot be stored is the sender’s fault, and hurts nobody beside it', async () => {
    await store.feedback.cardServed({ uuid: 'nul', service: 'patient-view', patientId: patient, findings: [one] });
    const broken = { ...overridden('nul'), overrideReason: { comment: 'a\u0000b' } };
    await expect(store.feedback.record(broken)).rejects.toMatchObject({ code: 'request.malformed' });
    const results = await Promise.allSettled(
      ['good-1', 'bad\u0000', 'good-2'].map((uuid) =>
        store.feedback.cardServed({ uuid, service: 'patient-view', patientId: patient, findings: [one] }),
      ),
    );
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });
});

describe('the audit trail', () => {
  test('keeps every entry with its time, and lets nobody change one', async () => {
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        store.audit.record({
          action: 'image-viewed',
          actor: anna.reference,
          patientId: patient,
          subject: `study ${index}`,
        }),
      ),
    );
    await store.audit.record({ action: 'refused', actor: 'anonymous', code: 'request.forbidden' });
    const { rows } = await sql.query(`select action, actor, patient_id, code, at <= now() as past from wetread.audit`);
    expect(rows).toHaveLength(51);
    expect(rows).toContainEqual({
      action: 'refused',
      actor: 'anonymous',
      patient_id: null,
      code: 'request.forbidden',
      past: true,
    });
    for (const change of [
      `update wetread.audit set actor = 'x'`,
      'delete from wetread.audit',
      'truncate wetread.audit',
    ]) {
      await expect(sql.query(change)).rejects.toThrow('only ever added to');
    }
    expect((await sql.query('select from wetread.audit')).rowCount).toBe(51);
  });
});

describe('cursors', () => {
  test('remember the last value of each name', async () => {
    expect(await store.cursors.get('poll')).toBeUndefined();
    await store.cursors.set('poll', 'a');
    await store.cursors.set('poll', 'b');
    await store.cursors.set('other', 'c');
    expect([await store.cursors.get('poll'), await store.cursors.get('other')]).toEqual(['b', 'c']);
  });
});

describe('sessions of the app', () => {
  const inAMinute = () => new Date(Date.now() + 60_000).toISOString();
  const aMinuteAgo = () => new Date(Date.now() - 60_000).toISOString();
  const session = (tokenHash: string, expiresAt = inAMinute()) => ({
    tokenHash,
    patientId: patient,
    reviewer: anna,
    expiresAt,
  });

  test('are found by the hash of their token until they end', async () => {
    const finding = reading(study(1)).findings[0]!.id;
    const opened = { ...session('h1'), opens: { finding } };
    await store.sessions.create(opened);
    const { tokenHash: _hash, ...seen } = opened;
    expect(await store.sessions.byTokenHash('h1')).toEqual(seen);
    await store.sessions.end('h1');
    expect(await store.sessions.byTokenHash('h1')).toBeUndefined();
  });

  test('expire, and can be extended only while they live', async () => {
    await store.sessions.create(session('alive'));
    await store.sessions.create(session('expired', aMinuteAgo()));
    const later = new Date(Date.now() + 600_000).toISOString();
    await store.sessions.extend('alive', later);
    await store.sessions.extend('expired', later);
    expect(await store.sessions.byTokenHash('alive')).toMatchObject({ expiresAt: later });
    expect(await store.sessions.byTokenHash('expired')).toBeUndefined();
  });

  test('begin with a launch that is taken once, by one of many who try', async () => {
    const launch = {
      state: 's1',
      expiresAt: inAMinute(),
      remembered: { iss: 'https://ehr', verifier: 'v', nested: { a: [1] } },
    };
    await store.sessions.rememberLaunch(launch);
    const taken = await Promise.all(Array.from({ length: 5 }, () => store.sessions.takeLaunch('s1')));
    expect(taken.filter((one) => one !== undefined)).toEqual([launch]);
    await store.sessions.rememberLaunch({ ...launch, state: 's2', expiresAt: aMinuteAgo() });
    expect(await store.sessions.takeLaunch('s2')).toBeUndefined();
  });
});

describe('the tables', () => {
  test('are made once, and left alone by the next start', async () => {
    const before = (await sql.query('select * from wetread.migration')).rows;
    expect(before.map(({ number }) => number)).toEqual(migrations().map(({ number }) => number));
    const database = openDatabase(url, silentLogger);
    await Promise.all([migrate(database), migrate(database)]);
    await database.close();
    expect((await sql.query('select * from wetread.migration')).rows).toEqual(before);
  });

  test('of a newer version stop the start', async () => {
    await sql.query(`insert into wetread.migration (number, name, sha256) values (999, 'later', '')`);
    await expect(openStore({ databaseUrl: url, dataDir: '', outputs: [], logger: silentLogger })).rejects.toMatchObject(
      { code: 'config.invalid' },
    );
    await sql.query('delete from wetread.migration where number = 999');
  });
});

describe('a database that cannot be reached', () => {
  test('stops the start with its name', async () => {
    const nowhere = 'postgres://nobody:x@127.0.0.1:1/none';
    await expect(
      openStore({ databaseUrl: nowhere, dataDir: '', outputs: [], logger: silentLogger }),
    ).rejects.toMatchObject({
      code: 'store.unreachable',
    });
  });

  test('is answered with store.unreachable, and used again when it is back', async () => {
    // Every connection is cut, and new ones are refused.
    const admin = new Client({ connectionString: url.replace(/\/test_\d+/, '/postgres') });
    await admin.connect();
    const name = (await sql.query('select current_database() as name')).rows[0].name;
    await sql.end();
    await admin.query(`alter database ${name} allow_connections false`);
    await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name]);
    await expect(store.probe()).rejects.toMatchObject({ code: 'store.unreachable' });
    await admin.query(`alter database ${name} allow_connections true`);
    await admin.end();
    await expect.poll(() => store.probe().catch(() => 'away')).toMatchObject({ kind: 'external' });
    sql = new Client({ connectionString: url });
    await sql.connect();
  });
});
