/** The PostgreSQL study register: its contract, and what only a real database under load can show. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Client } from 'pg';
import { silentLogger } from '../../src/domain/log.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { studyRegisterContract } from '../contracts/study-register.contract.ts';
import { testDatabase } from '../support/postgres.ts';
import { arrived, otherPatient, patient, reading, study } from './samples.ts';

let url: string;
let store: Store;
let sql: Client;

beforeAll(async () => {
  url = await testDatabase();
  store = await openStore({ databaseUrl: url, dataDir: '', outputs: ['fhir'], logger: silentLogger });
  sql = new Client({ connectionString: url });
  await sql.connect();
});
afterAll(async () => {
  await sql?.end();
  await store?.close();
});

studyRegisterContract('PostgreSQL', async () => store.register);

describe('the study register', () => {
  test('makes exactly one job per study of 200 announcements over three sources and two processes at once', async () => {
    const second = await openStore({ databaseUrl: url, dataDir: '', outputs: ['fhir'], logger: silentLogger });
    const studies = Array.from({ length: 20 }, (_, index) => study(100 + index));
    const sources = ['fhir-subscription', 'dicomweb-poll', 'rest'] as const;
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) => {
        const uid = studies[index % 20]!;
        const register = index % 3 === 0 ? second.register : store.register;
        return register.announce(arrived(uid, { source: sources[index % sources.length]! }));
      }),
    );
    await second.close();
    expect(answers.filter((answer) => answer === 'queued')).toHaveLength(20);
    expect(answers.filter((answer) => answer === 'known')).toHaveLength(180);
    const { rows } = await sql.query(
      `select data ->> 'studyUid' as uid from wetread_jobs.job where name = 'read-study' and data ->> 'studyUid' = any($1) order by 1`,
      [studies],
    );
    expect(rows.map(({ uid }) => uid)).toEqual(studies.toSorted());
  });

  test('stores the study and its job together or not at all', async () => {
    await sql.query(`alter table wetread_jobs.job add constraint no_job check (data ->> 'studyUid' <> '2.25.1000500')`);
    await expect(store.register.announce(arrived(study(500)))).rejects.toMatchObject({ code: 'internal.unexpected' });
    await sql.query('alter table wetread_jobs.job drop constraint no_job');
    expect(await store.register.get(study(500))).toBeUndefined();
    expect(await store.register.announce(arrived(study(500)))).toBe('queued');
  });

  test('moves the readings along when a study turns out to be another patient’s, and owes their outputs again', async () => {
    const uid = study(501);
    await store.register.announce(arrived(uid));
    const saved = await store.readings.save(reading(uid));
    expect(saved.patientId).toBe(patient);
    await sql.query('delete from wetread.owed_output');
    await store.register.describe({ studyUid: uid, modalities: ['DX'] }, { patientId: otherPatient });
    expect((await store.readings.forPatient(otherPatient)).map(({ id }) => id)).toContain(saved.id);
    expect((await store.readings.forPatient(patient)).map(({ id }) => id)).not.toContain(saved.id);
    expect(await store.readings.owedOutputs()).toEqual([{ readingId: saved.id, output: 'fhir' }]);
  });

  test('finds a patient’s studies by an index', async () => {
    await sql.query(
      `insert into wetread.study (study_uid, patient_id, priority) select '2.25.7' || n, 'bulk-' || n % 1000, 0 from generate_series(1, 20000) n`,
    );
    await sql.query('analyze wetread.study');
    const { rows } = await sql.query(
      `explain select * from wetread.study where patient_id = 'bulk-7' order by started_at desc nulls last`,
    );
    expect(rows.map((row) => row['QUERY PLAN']).join('\n')).toContain('study_of_patient');
  });
});
