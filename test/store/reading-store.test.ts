/** The PostgreSQL reading store: its contract, and the outbox that comes with each change. */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { readingStoreContract } from '../contracts/reading-store.contract.ts';
import { testDatabase } from '../support/postgres.ts';
import { anna, arrived, otherPatient, patient, reading, study } from './samples.ts';

let url: string;
let store: Store;
let sql: Client;

beforeAll(async () => {
  url = await testDatabase();
  store = await openStore({ databaseUrl: url, dataDir: '', outputs: ['fhir', 'dicom-sr'], logger: silentLogger });
  sql = new Client({ connectionString: url });
  await sql.connect();
});
afterAll(async () => {
  await sql?.end();
  await store?.close();
});

readingStoreContract('PostgreSQL', async () => store);

const owedFor = async (id: string) =>
  (await store.readings.owedOutputs()).filter(({ readingId }) => readingId === id).map(({ output }) => output);

describe('the reading store', () => {
  test('owes each output from the moment a reading is saved, once however often it is saved', async () => {
    const uid = study(1);
    await store.register.announce(arrived(uid));
    const saved = await Promise.all(Array.from({ length: 10 }, () => store.readings.save(reading(uid))));
    expect(new Set(saved.map(({ id }) => id)).size).toBe(1);
    expect(await owedFor(saved[0]!.id)).toEqual(['dicom-sr', 'fhir']);
    const { rows } = await sql.query(
      `select from wetread_jobs.job where name = 'write-output' and data ->> 'readingId' = $1`,
      [saved[0]!.id],
    );
    expect(rows).toHaveLength(2);
    expect((await store.counts()).owedOutputs).toBeGreaterThanOrEqual(2);
  });

  test('owes the open readings of later films anew when a verdict is given: they are compared with this one', async () => {
    const taken = async (number: number, startedAt: string, of = patient) => {
      const uid = study(number);
      await store.register.announce(arrived(uid, { patientId: of }));
      await store.register.describe({ studyUid: uid, startedAt, modalities: ['DX'] }, { patientId: of });
      return store.readings.save({ ...reading(uid), patientId: of });
    };
    const before = await taken(951, '1999-01-01T09:00:00');
    const first = await taken(952, '2000-01-01T09:00:00');
    const later = await taken(953, '2001-01-01T09:00:00');
    const released = await taken(954, '2002-01-01T09:00:00');
    const somebodyElses = await taken(955, '2003-01-01T09:00:00', otherPatient);
    await store.readings.recordVerdict(released.findings[0]!.id, { kind: 'confirmed' }, anna);
    const ids = [before, first, later, released, somebodyElses].map(({ id }) => id);
    await sql.query('delete from wetread.owed_output where reading_id = any($1)', [ids]);
    await store.readings.recordVerdict(first.findings[0]!.id, { kind: 'rejected', reason: 'an overlap' }, anna);
    const owed = new Set((await store.readings.owedOutputs()).map(({ readingId }) => readingId));
    expect(ids.filter((id) => owed.has(id))).toEqual([first.id, later.id]);
    // A film from between that is read only now is compared with as well.
    await sql.query('delete from wetread.owed_output where reading_id = any($1)', [ids]);
    await taken(956, '2000-06-01T09:00:00');
    const owedNow = new Set((await store.readings.owedOutputs()).map(({ readingId }) => readingId));
    expect(ids.filter((id) => owedNow.has(id))).toEqual([later.id]);
  });

  test('stores the reading, its findings and its debts together or not at all', async () => {
    const uid = study(2);
    await store.register.announce(arrived(uid));
    await sql.query(`alter table wetread.owed_output add constraint none check (output <> 'dicom-sr') not valid`);
    await expect(store.readings.save(reading(uid))).rejects.toMatchObject({ code: 'internal.unexpected' });
    await sql.query('alter table wetread.owed_output drop constraint none');
    expect(await store.readings.forStudy(uid)).toEqual([]);
    expect(await owedFor(reading(uid).id)).toEqual([]);
  });

  test('shows a verdict of one process to a process that had read the patient before', async () => {
    const uid = study(3);
    await store.register.announce(arrived(uid));
    const { id, findings } = await store.readings.save(reading(uid));
    const second = await openStore({ databaseUrl: url, dataDir: '', outputs: [], logger: silentLogger });
    try {
      const reviewOf = async (which: Store) =>
        (await which.readings.forPatient(patient)).find((one) => one.id === id)?.review.kind;
      expect([await reviewOf(store), await reviewOf(second)]).toEqual(['open', 'open']);
      await store.readings.recordVerdict(findings[0]!.id, { kind: 'confirmed' }, anna);
      expect(await reviewOf(store)).toBe('final');
      await expect.poll(() => reviewOf(second), { interval: 5 }).toBe('final');
    } finally {
      await second.close();
    }
  });
});
