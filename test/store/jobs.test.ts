/** What becomes of a study when its reading succeeds, fails, fails for ever, or is broken off. */
import { beforeEach, describe, expect, test } from 'vitest';
import { Client } from 'pg';
import { WetreadError } from '../../src/domain/errors.ts';
import type { StudyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { openStore, type Store, type StudyJob } from '../../src/store/open-store.ts';
import { testDatabase } from '../support/postgres.ts';
import { anna, arrived, otherPatient, patient, reading, study } from './samples.ts';

let url: string;
let store: Store;
let number = 0;

const open = (): Promise<Store> =>
  openStore({
    databaseUrl: url,
    dataDir: '',
    outputs: ['fhir'],
    retry: { limit: 2, delaySeconds: 1, backoff: false },
    logger: silentLogger,
  });
const stateOf = async (uid: StudyUid) => (await store.register.get(uid))?.state;
/** The queue needs its time; a failure shows after this long at the latest. */
const soon = { interval: 20 };

beforeEach(async () => {
  url = await testDatabase();
  store = await open();
  return () => store.close();
});

/** A study that nobody else in this file uses. */
const fresh = () => study(2000 + (number += 1));

describe('a study’s job', () => {
  test('is handed to one worker as soon as the study is announced, with what is known of it', async () => {
    const jobs: StudyJob[] = [];
    await store.workStudies(
      async (job) => {
        jobs.push(job);
        await store.register.begin(job.studyUid, job.attempt);
        await store.register.settle(job.studyUid, { kind: 'skipped', reason: 'no-pack-applies', selection: [] });
      },
      { concurrency: 2 },
    );
    const uid = fresh();
    await store.register.announce(arrived(uid));
    await expect.poll(async () => (await stateOf(uid))?.kind, soon).toBe('settled');
    expect(jobs).toHaveLength(1);
    expect(jobs[0]).toMatchObject({
      studyUid: uid,
      reason: 'study-arrived',
      attempt: 1,
      lastAttempt: false,
      patientId: patient,
    });
    expect(await store.counts()).toEqual({ pending: 0, reading: 0, dead: 0, owedOutputs: 0, deadOutputs: 0 });
  });

  test('is tried again when trying can help, and is pending in between', async () => {
    const attempts: number[] = [];
    await store.workStudies(
      async ({ studyUid, attempt }) => {
        attempts.push(attempt);
        await store.register.begin(studyUid, attempt);
        if (attempt === 1) throw new WetreadError('archive.unreachable');
        await store.register.settle(studyUid, { kind: 'skipped', reason: 'no-image', selection: [] });
      },
      { concurrency: 1 },
    );
    const uid = fresh();
    await store.register.announce(arrived(uid));
    await expect.poll(async () => [attempts.length, (await stateOf(uid))?.kind], soon).toEqual([1, 'pending']);
    await expect.poll(async () => (await stateOf(uid))?.kind, soon).toBe('settled');
    expect(attempts).toEqual([1, 2]);
  });

  test('says while it waits for the next try why the last one failed, and when the next comes', async () => {
    let archiveIsUp = false;
    await store.workStudies(
      async ({ studyUid, attempt }) => {
        // The archive is asked before the study is begun.
        if (!archiveIsUp) throw new WetreadError('archive.unreachable');
        await store.register.begin(studyUid, attempt);
        await store.register.settle(studyUid, { kind: 'skipped', reason: 'no-image', selection: [] });
      },
      { concurrency: 1 },
    );
    const uid = fresh();
    await store.register.announce(arrived(uid));
    expect(await stateOf(uid)).toEqual({ kind: 'pending' });
    await expect
      .poll(async () => stateOf(uid), { ...soon, interval: 5 })
      .toEqual({
        kind: 'pending',
        lastFailure: {
          code: 'archive.unreachable',
          attempt: 1,
          at: expect.stringMatching(/^\d{4}-.*Z$/) as string,
          nextTryAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
        },
      });
    archiveIsUp = true;
    await expect.poll(async () => (await stateOf(uid))?.kind, soon).toBe('settled');
    const client = new Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query('select failed_code from wetread.study where study_uid = $1', [uid]);
    await client.end();
    expect(rows).toEqual([{ failed_code: null }]);
  });

  test('ends as failed at once when trying again cannot help', async () => {
    let runs = 0;
    await store.workStudies(
      async () => {
        runs += 1;
        throw new WetreadError('dicom.truncated', 'in the pixel data');
      },
      { concurrency: 1 },
    );
    const uid = fresh();
    await store.register.announce(arrived(uid));
    await expect
      .poll(async () => stateOf(uid), soon)
      .toEqual({
        kind: 'settled',
        outcome: { kind: 'failed', code: 'dicom.truncated', detail: 'in the pixel data' },
      });
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(runs).toBe(1);
  });

  test('is dead and visible when every retry is used up, and lives again when somebody asks', async () => {
    const attempts: [number, boolean][] = [];
    let archiveIsUp = false;
    await store.workStudies(
      async ({ studyUid, attempt, lastAttempt }) => {
        attempts.push([attempt, lastAttempt]);
        await store.register.begin(studyUid, attempt);
        if (!archiveIsUp) throw new WetreadError('archive.incomplete');
        await store.register.settle(studyUid, { kind: 'skipped', reason: 'no-image', selection: [] });
      },
      { concurrency: 1 },
    );
    const uid = fresh();
    await store.register.announce(arrived(uid));
    await expect.poll(async () => (await stateOf(uid))?.kind, soon).toBe('dead');
    expect(attempts).toEqual([
      [1, false],
      [2, false],
      [3, true],
    ]);
    expect(await store.register.dead()).toMatchObject([
      { studyUid: uid, state: { kind: 'dead', outcome: { kind: 'failed', code: 'archive.incomplete' } } },
    ]);
    expect((await store.counts()).dead).toBe(1);
    // Another announcement does not wake the dead: an operator does.
    expect(await store.register.announce(arrived(uid))).toBe('known');
    archiveIsUp = true;
    await store.register.requeue(uid);
    await expect.poll(async () => (await stateOf(uid))?.kind, soon).toBe('settled');
    expect(attempts[3]).toEqual([1, false]);
    expect(await store.register.dead()).toEqual([]);
  });

  test('goes by priority, and a study a clinician waits for goes to the front', async () => {
    const [backfill, routine, stat, hurried] = [fresh(), fresh(), fresh(), fresh()];
    await store.register.announce(arrived(backfill, { priority: 'backfill' }));
    await store.register.announce(arrived(routine));
    await store.register.announce(arrived(hurried, { priority: 'backfill' }));
    await store.register.announce(arrived(stat, { priority: 'backfill' }));
    await store.register.announce(arrived(stat, { priority: 'stat', source: 'fhir-subscription' }));
    await store.register.hurry(hurried);
    await store.register.hurry(stat);
    const order: StudyUid[] = [];
    await store.workStudies(async ({ studyUid }) => void order.push(studyUid), { concurrency: 1 });
    await expect.poll(async () => order, soon).toEqual([stat, hurried, routine, backfill]);
  });

  test('leaves one place free that back-fill never takes', async () => {
    const running = new Set<StudyUid>();
    let release = () => {};
    const released = new Promise<void>((resolve) => (release = resolve));
    const past = [fresh(), fresh(), fresh()];
    for (const uid of past) await store.register.announce(arrived(uid, { priority: 'backfill', source: 'backfill' }));
    await store.workStudies(
      async ({ studyUid, attempt }) => {
        await store.register.begin(studyUid, attempt);
        running.add(studyUid);
        await released;
        await store.register.settle(studyUid, { kind: 'skipped', reason: 'no-image', selection: [] });
      },
      { concurrency: 2 },
    );
    await expect.poll(() => running.size, soon).toBe(1);
    const film = fresh();
    await store.register.announce(arrived(film));
    await expect.poll(() => running.has(film), soon).toBe(true);
    expect(past.filter((uid) => running.has(uid))).toHaveLength(1);
    release();
    await expect.poll(async () => (await store.counts()).pending, soon).toBe(0);
  });

  test('is as urgent as the order that was signed before the study came, or after it', async () => {
    const [before, after, past, other] = [fresh(), fresh(), fresh(), fresh()];
    const order = (accession: string) =>
      store.orders.remember({
        reference: `ServiceRequest/${accession}`,
        patientId: otherPatient,
        region: 'chest',
        accession,
        priority: 'stat',
        seenAt: new Date().toISOString(),
      });
    await order('A-before');
    await order('A-past');
    await store.register.announce(arrived(other));
    await store.register.announce(arrived(past, { accession: 'A-past', priority: 'backfill', source: 'backfill' }));
    await store.register.announce(arrived(after, { accession: 'A-after' }));
    await store.register.announce(arrived(before, { accession: 'A-before' }));
    await store.register.announce(arrived(before));
    await order('A-after');
    const reads: StudyUid[] = [];
    await store.workStudies(async ({ studyUid }) => void reads.push(studyUid), { concurrency: 1 });
    await expect.poll(() => reads.length, soon).toBe(4);
    expect(reads).toEqual([after, before, other, past]);
  });

  test('comes again later when more objects were announced than the archive had', async () => {
    const reasons: string[] = [];
    await store.workStudies(
      async ({ studyUid, reason }) => {
        reasons.push(reason);
        await store.register.settle(studyUid, { kind: 'skipped', reason: 'no-image', selection: [] }, 3);
      },
      { concurrency: 1 },
    );
    const uid = fresh();
    await store.register.announce(arrived(uid, { instanceCount: 7 }));
    const sql = new Client({ connectionString: url });
    await sql.connect();
    const next = async () =>
      (
        await sql.query(
          `select round(extract(epoch from start_after - now()))::int as seconds from wetread_jobs.job
           where name = 'read-study' and state = 'created' and singleton_key = $1`,
          [uid],
        )
      ).rows[0]?.seconds;
    await expect.poll(next, soon).toBeGreaterThan(20);
    expect(reasons).toEqual(['study-arrived']);
    expect((await stateOf(uid))?.kind).toBe('settled');
    // Whoever brings news does not wait for that.
    await store.register.announce(arrived(uid, { instanceCount: 8 }));
    await expect.poll(() => reasons, soon).toEqual(['study-arrived', 'look-again']);
    await expect.poll(next, soon).toBeGreaterThan(20);
    await sql.end();
  });

  test('is not lost when it is announced at any moment of its run', async () => {
    // Each reading sees how often the study was announced before it began; the last must have seen them all.
    let announced = 0;
    let seen = 0;
    await store.workStudies(
      async ({ studyUid, attempt, settled }) => {
        const now = announced;
        if (!settled) await store.register.begin(studyUid, attempt);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 15));
        await store.register.settle(studyUid, { kind: 'skipped', reason: 'no-image', selection: [] }, now);
        seen = now;
      },
      { concurrency: 2 },
    );
    const uid = fresh();
    for (let round = 1; round <= 60; round += 1) {
      announced = round;
      await store.register.announce(arrived(uid, { instanceCount: round }));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 25));
    }
    await expect.poll(() => seen, soon).toBe(60);
  });

  test('is dead, not forgotten, when its handler ends without an outcome', async () => {
    await store.workStudies(async ({ studyUid, attempt }) => store.register.begin(studyUid, attempt), {
      concurrency: 1,
    });
    const uid = fresh();
    await store.register.announce(arrived(uid));
    await expect.poll(async () => (await stateOf(uid))?.kind, soon).toBe('dead');
  });

  test('goes back unharmed when the service stops in the middle', async () => {
    const uid = fresh();
    const first = await open();
    let seen: StudyJob | undefined;
    await first.workStudies(
      async (job) => {
        seen = job;
        await first.register.begin(job.studyUid, job.attempt);
        await new Promise((_, reject) => job.signal.addEventListener('abort', () => reject(new Error('stopped'))));
      },
      { concurrency: 1 },
    );
    await store.register.announce(arrived(uid));
    await expect.poll(async () => (await stateOf(uid))?.kind, soon).toBe('reading');
    await first.close();
    expect(seen?.signal.aborted).toBe(true);
    expect((await stateOf(uid))?.kind).toBe('pending');

    const attempts: number[] = [];
    await store.workStudies(
      async ({ studyUid, attempt }) => {
        attempts.push(attempt);
        await store.register.settle(studyUid, { kind: 'skipped', reason: 'no-image', selection: [] });
      },
      { concurrency: 1 },
    );
    await expect.poll(async () => (await stateOf(uid))?.kind, soon).toBe('settled');
    expect(attempts).toEqual([1]);
  });
});

describe('an output’s job', () => {
  async function saved() {
    const uid = fresh();
    await store.register.announce(arrived(uid));
    return store.readings.save(reading(uid));
  }

  test('writes what is stored and pays the debt', async () => {
    const written: string[] = [];
    await store.workOutputs(async ({ readingId, output }) => void written.push(`${output} ${readingId}`), {
      concurrency: 2,
    });
    const { id } = await saved();
    await expect.poll(() => store.readings.owedOutputs(), soon).toEqual([]);
    expect(written).toEqual([`fhir ${id}`]);
  });

  test('writes again when a verdict comes while it writes', async () => {
    const reviews: string[] = [];
    let judged: Promise<unknown> = Promise.resolve();
    await store.workOutputs(
      async ({ readingId }) => {
        const current = await store.readings.get(readingId);
        reviews.push(current!.review.kind);
        // The verdict is stored after this writer has read: what it is writing is old by now.
        if (reviews.length === 1)
          judged = store.readings.recordVerdict(current!.findings[0]!.id, { kind: 'confirmed' }, anna);
        await judged;
      },
      { concurrency: 2 },
    );
    await saved();
    await expect.poll(() => store.readings.owedOutputs(), soon).toEqual([]);
    expect(reviews).toEqual(['open', 'final']);
  });

  test('writes the last of many verdicts, whatever the order of things', async () => {
    const lastWritten = new Map<string, string>();
    await store.workOutputs(
      async ({ readingId }) => {
        const current = await store.readings.get(readingId);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
        const [finding] = current!.findings;
        lastWritten.set(
          readingId,
          finding!.verdict.kind === 'rejected' ? finding!.verdict.reason : finding!.verdict.kind,
        );
      },
      { concurrency: 3 },
    );
    const all = await Promise.all(Array.from({ length: 6 }, saved));
    await Promise.all(
      all.map(async ({ findings }) => {
        for (let round = 0; round < 15; round += 1) {
          await store.readings.recordVerdict(findings[0]!.id, { kind: 'rejected', reason: `look ${round}` }, anna);
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 12));
        }
      }),
    );
    await expect.poll(() => store.readings.owedOutputs(), soon).toEqual([]);
    expect([...lastWritten.values()]).toEqual(all.map(() => 'look 14'));
  });

  test('is tried again, and shown as given up when trying cannot help; a verdict asks anew', async () => {
    let chart: 'down' | 'rejecting' | 'up' = 'down';
    let writes = 0;
    await store.workOutputs(
      async () => {
        writes += 1;
        if (chart === 'down') throw new WetreadError('chart.unreachable');
        if (chart === 'rejecting') throw new WetreadError('chart.rejected');
      },
      { concurrency: 1 },
    );
    const stored = await saved();
    await expect.poll(async () => writes, soon).toBe(1);
    chart = 'rejecting';
    await expect.poll(async () => (await store.counts()).deadOutputs, soon).toBe(1);
    expect(writes).toBe(2);
    expect(await store.readings.owedOutputs()).toEqual([{ readingId: stored.id, output: 'fhir' }]);
    chart = 'up';
    await store.readings.recordVerdict(stored.findings[0]!.id, { kind: 'confirmed' }, anna);
    await expect.poll(() => store.readings.owedOutputs(), soon).toEqual([]);
    expect(writes).toBe(3);
  });

  test('is written again on request after it was given up', async () => {
    let rejecting = true;
    await store.workOutputs(
      async () => {
        if (rejecting) throw new WetreadError('chart.rejected');
      },
      { concurrency: 1 },
    );
    const stored = await saved();
    await expect.poll(async () => (await store.counts()).deadOutputs, soon).toBe(1);
    rejecting = false;
    await store.register.requeue(stored.studyUid);
    await expect.poll(() => store.readings.owedOutputs(), soon).toEqual([]);
  });

  test('is found again when its job got lost', async () => {
    const stored = await saved();
    const sql = new Client({ connectionString: url });
    await sql.connect();
    await sql.query(`delete from wetread_jobs.job where name = 'write-output'`);
    await sql.end();
    const written: string[] = [];
    await store.workOutputs(async ({ readingId }) => void written.push(readingId), { concurrency: 1 });
    await expect.poll(() => store.readings.owedOutputs(), soon).toEqual([]);
    expect(written).toEqual([stored.id]);
  });
});
