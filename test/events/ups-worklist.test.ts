/** Workitems of the demo hospital's worklist: claimed once, read, and brought to an end whatever happens in between. */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { JsonDataset } from '../../sandbox/dicom/part10.ts';
import { upsClient } from '../../src/dicom/ups-client.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { Outcome } from '../../src/domain/outcome.ts';
import { upsWorklist, type UpsWorklist, type UpsWorklistOptions } from '../../src/events/ups-worklist.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { child, endChildren } from '../support/child.ts';
import { testDatabase } from '../support/postgres.ts';
import { startWorklist, type TestWorklist } from '../support/worklist-server.ts';
import { until } from './announcements.ts';

let databaseUrl: string;
let store: Store;
let worklist: TestWorklist;
const sources: UpsWorklist[] = [];
beforeAll(async () => {
  databaseUrl = await testDatabase();
  store = await openStore({ databaseUrl, dataDir: '', outputs: [], logger: silentLogger });
  worklist = await startWorklist();
});
afterEach(async () => {
  for (const source of sources.splice(0)) await source.stop();
  await endChildren();
  worklist.trouble.deaf = false;
  worklist.trouble.losesAnswer = () => false;
});
afterAll(async () => {
  await worklist?.stop();
  await store?.close();
});

let numbers = 0;
/** A workitem and a study that no other test uses. */
const fresh = () => {
  numbers += 1;
  return { uid: `2.25.7${numbers}`, study: studyUid(`2.25.8${numbers}`) };
};
const source = (options: Partial<UpsWorklistOptions> = {}): UpsWorklist => {
  const made = upsWorklist({
    worklist: upsClient({ baseUrl: worklist.root, timeoutMs: 30_000, logger: silentLogger }),
    claims: store.workitems,
    register: store.register,
    meantFor: { station: { value: 'WETREAD' } },
    subscriber: 'WETREAD',
    everySeconds: 60,
    logger: silentLogger,
    ...options,
  });
  sources.push(made);
  return made;
};
const stateOf = (uid: string) => worklist.text(uid, '00741000');
const inside = (dataset: JsonDataset | undefined, tag: string) => dataset?.[tag]?.Value?.[0] as JsonDataset | undefined;
const settle = (study: ReturnType<typeof studyUid>, outcome: Partial<Outcome> = {}) =>
  store.register.settle(study, {
    kind: 'analysed',
    readings: ['3b6f9f40-53bb-8e7a-9a3e-111111111111'],
    selection: [],
    packFailures: [],
    ...outcome,
  } as unknown as Outcome);

describe('a workitem that names no study', () => {
  test('is complained of once for as long as it is listed, and left to others', async () => {
    const { uid } = fresh();
    await worklist.schedule({ uid, studies: [] });
    const warnings: unknown[] = [];
    const ups = source({
      logger: { ...silentLogger, warn: (message, fields) => void warnings.push([message, fields]) },
    });
    const complaints = () => warnings.filter((one) => JSON.stringify(one).includes(uid));
    for (let round = 0; round < 3; round += 1) await ups.once();
    expect(complaints()).toHaveLength(1);
    expect(await stateOf(uid)).toBe('SCHEDULED');
  });
});

describe('a workitem for Wetread', () => {
  test('is claimed, read with its priority, and completed with what was made', async () => {
    const { uid, study } = fresh();
    const before = await store.counts();
    await worklist.schedule({ uid, studies: [study], priority: 'HIGH', accession: 'ACC-7' });
    const ups = source();
    await ups.once();
    expect(await stateOf(uid)).toBe('IN PROGRESS');
    expect((await store.counts()).pending).toBe(before.pending + 1);
    expect(await store.register.get(study)).toMatchObject({ accession: 'ACC-7', state: { kind: 'pending' } });
    const progress = async () => inside(await worklist.item(uid), '00741002');
    expect(inside(await worklist.item(uid), '00741002')?.['00741006']?.Value).toEqual(['waiting to be read']);

    await store.register.begin(study, 1);
    await ups.once();
    expect((await progress())?.['00741004']?.Value).toEqual([50]);
    expect((await progress())?.['00741006']?.Value).toEqual(['being read']);

    await settle(study);
    await ups.once();
    expect(await stateOf(uid)).toBe('COMPLETED');
    const performed = inside(await worklist.item(uid), '00741216');
    expect(inside(performed, '00404028')?.['00080100']?.Value).toEqual(['WETREAD']);
    expect(inside(performed, '00404019')?.['00080100']?.Value).toEqual(['110004']);
    expect(performed?.['00400280']?.Value?.[0]).toContain('3b6f9f40-53bb-8e7a-9a3e-111111111111');
    expect(performed?.['00404050']?.Value?.[0]).toMatch(/^\d{14}\.\d{3}\+0000$/);
    expect(performed).toHaveProperty('00404033');
    expect(await store.workitems.all()).toEqual([]);
  });

  test.each([
    ['STAT', 'stat'],
    ['HIGH', 'stat'],
    ['MEDIUM', 'routine'],
    ['LOW', 'backfill'],
  ])('of priority %s is announced as %s', async (priority, announced) => {
    const { uid, study } = fresh();
    await worklist.schedule({ uid, studies: [study], priority });
    const heard: unknown[] = [];
    const register = {
      announce: async (event: unknown) => (heard.push(event), 'queued' as const),
      get: store.register.get,
    };
    await source({ register }).once();
    expect(heard).toEqual([{ source: 'ups', studyUid: study, reason: 'study-arrived', priority: announced }]);
    await worklist.changeState(uid, 'CANCELED', 'not-the-transaction');
    await store.workitems.end(uid);
  });

  test('of two studies is completed when both were read', async () => {
    const [{ uid, study }, { study: other }] = [fresh(), fresh()];
    await worklist.schedule({ uid, studies: [study, other], accession: 'ACC-8' });
    const ups = source();
    await ups.once();
    expect((await store.register.get(other))?.accession).toBeUndefined();
    await settle(study);
    await ups.once();
    expect(await stateOf(uid)).toBe('IN PROGRESS');
    await settle(other, { kind: 'skipped', reason: 'no-pack-applies', selection: [] });
    await ups.once();
    expect(await stateOf(uid)).toBe('COMPLETED');
    const comment = inside(await worklist.item(uid), '00741216')?.['00400280']?.Value?.[0];
    expect(comment).toBe('readings: 3b6f9f40-53bb-8e7a-9a3e-111111111111; not read: no-pack-applies');
  });

  test.each([
    [{ kind: 'failed', code: 'dicom.truncated' }, '110501', 'not read: dicom.truncated'],
    [{ kind: 'skipped', reason: 'no-image', selection: [] }, '110513', 'not read: no-image'],
  ])('that could not be read is given up with the reason: %j', async (outcome, code, says) => {
    const { uid, study } = fresh();
    await worklist.schedule({ uid, studies: [study] });
    const ups = source();
    await ups.once();
    await settle(study, outcome as Partial<Outcome>);
    await ups.once();
    expect(await stateOf(uid)).toBe('CANCELED');
    const progress = inside(await worklist.item(uid), '00741002');
    expect(inside(progress, '0074100E')?.['00080100']?.Value).toEqual([code]);
    expect(progress?.['00741238']?.Value).toEqual([says]);
    expect(await store.workitems.all()).toEqual([]);
  });
});

describe('a workitem that is not', () => {
  test.each([
    ['for another station', { station: 'OTHER' }],
    ['ready', { readiness: 'UNREADY' }],
    ['about any study', { studies: [] }],
  ])('%s is left alone', async (_, scheduled) => {
    const { uid, study } = fresh();
    await worklist.schedule({ uid, studies: [study], ...scheduled });
    await source().once();
    expect(await stateOf(uid)).toBe('SCHEDULED');
    expect(await store.register.get(study)).toBeUndefined();
    await worklist.requestCancel(uid, 'end of test');
  });

  test('of the configured kind of work is left alone, whatever its station', async () => {
    const [{ uid, study }, other] = [fresh(), fresh()];
    await worklist.schedule({ uid, studies: [study], code: 'LUMBAR-AI' });
    await worklist.schedule({ uid: other.uid, studies: [other.study], code: 'CHEST-AI' });
    await source({
      meantFor: { station: { value: 'WETREAD' }, code: { value: 'LUMBAR-AI', scheme: '99HOSP' } },
    }).once();
    expect([await stateOf(uid), await stateOf(other.uid)]).toEqual(['IN PROGRESS', 'SCHEDULED']);
    await worklist.requestCancel(other.uid, 'end of test');
    await settle(study);
    await source().once();
  });
});

describe('a claim', () => {
  test('is lost to whoever was faster, and nothing is read for it', async () => {
    const { uid, study } = fresh();
    await worklist.schedule({ uid, studies: [study] });
    const client = upsClient({ baseUrl: worklist.root, timeoutMs: 30_000, logger: silentLogger });
    const ups = source({
      worklist: {
        ...client,
        async claim(workitem, transaction, signal) {
          // Between our search and our claim somebody else was there.
          await worklist.changeState(workitem, 'IN PROGRESS', '2.25.999');
          return client.claim(workitem, transaction, signal);
        },
      },
    });
    await ups.once();
    expect(await store.register.get(study)).toBeUndefined();
    expect(await store.workitems.all()).toEqual([]);
    expect(await stateOf(uid)).toBe('IN PROGRESS');
  });

  test("of many claimers at once is one claimer's", async () => {
    const { uid } = fresh();
    await worklist.schedule({ uid, studies: ['2.25.5'] });
    const claimers = Array.from({ length: 6 }, (_, number) => ({
      transaction: `2.25.40${number}`,
      client: upsClient({ baseUrl: worklist.root, timeoutMs: 30_000, logger: silentLogger }),
    }));
    const won = await Promise.all(claimers.map(({ client, transaction }) => client.claim(uid, transaction)));
    expect(won.filter(Boolean)).toHaveLength(1);
    const { client, transaction } = claimers[won.indexOf(true)]!;
    // Asked again, after an answer that was lost for example, it is still the same claim.
    expect(await client.claim(uid, transaction)).toBe(true);
    const loser = claimers.find((_, number) => won[number] === false);
    expect(await loser!.client.progress(uid, loser!.transaction, { percent: 1, says: 'mine' })).toBe(false);
    expect(await client.cancel(uid, transaction, { code: { value: '110513' }, says: 'end of test' })).toBe(true);
  });

  test('whose answer was lost is found to be ours', async () => {
    const { uid, study } = fresh();
    await worklist.schedule({ uid, studies: [study] });
    let lost = 0;
    worklist.trouble.losesAnswer = (request) => request.method === 'PUT' && (lost += 1) === 1;
    const ups = source();
    await ups.once();
    expect(lost).toBeGreaterThan(1);
    expect(await stateOf(uid)).toBe('IN PROGRESS');
    await settle(study);
    await ups.once();
    expect(await stateOf(uid)).toBe('COMPLETED');
  });

  test('is not forgotten by a process that is killed, and completed by the next one', async () => {
    const { uid, study } = fresh();
    const args = [JSON.stringify({ databaseUrl, root: worklist.root })];
    const script = join(import.meta.dirname, 'worklist-process.ts');
    const doomed = child(script, args);
    await worklist.schedule({ uid, studies: [study] });
    await doomed.line(/^workitem claimed/);
    await until(async () => (await store.register.get(study)) !== undefined);
    await doomed.kill('SIGKILL');
    await settle(study);
    expect(await stateOf(uid)).toBe('IN PROGRESS');
    await child(script, args).line(/^workitem completed/);
    expect(await stateOf(uid)).toBe('COMPLETED');
    expect(await store.workitems.all()).toEqual([]);
  });

  test('that was only intended when the process was killed is made by the next one', async () => {
    const { uid, study } = fresh();
    await worklist.schedule({ uid, studies: [study] });
    await store.workitems.intend({ workitem: uid, transaction: '2.25.31', studies: [study], priority: 'routine' });
    await source().once();
    expect(await stateOf(uid)).toBe('IN PROGRESS');
    expect((await worklist.changeState(uid, 'COMPLETED', '2.25.31')).headers.get('warning')).toContain('C304');
    await settle(study);
    await source().once();
    expect(await stateOf(uid)).toBe('COMPLETED');
  });

  test('whose workitem was ended by somebody else ends too', async () => {
    const { uid, study } = fresh();
    await worklist.schedule({ uid, studies: [study] });
    await store.workitems.intend({ workitem: uid, transaction: '2.25.32', studies: [study], priority: 'routine' });
    await source().once();
    const client = upsClient({ baseUrl: worklist.root, timeoutMs: 30_000, logger: silentLogger });
    await client.cancel(uid, '2.25.32', { code: { value: '110513' }, says: 'by an administrator' });
    await settle(study);
    await source().once();
    expect(await stateOf(uid)).toBe('CANCELED');
    expect(await store.workitems.all()).toEqual([]);
  });
});

test('two processes of ours share the work and do none of it twice', async () => {
  const items = Array.from({ length: 5 }, fresh);
  for (const { uid, study } of items) await worklist.schedule({ uid, studies: [study] });
  const announced: string[] = [];
  const register = {
    announce: async (event: Parameters<Store['register']['announce']>[0]) => {
      const answer = await store.register.announce(event);
      if (answer === 'queued') announced.push(event.studyUid);
      return answer;
    },
    get: store.register.get,
  };
  const pair = [source({ register }), source({ register })];
  const both = () => Promise.all(pair.map((one) => one.once()));
  await both();
  expect(announced.toSorted()).toEqual(items.map(({ study }) => study).toSorted());
  for (const { study } of items) await settle(study);
  await both();
  expect(await Promise.all(items.map(({ uid }) => stateOf(uid)))).toEqual(items.map(() => 'COMPLETED'));
  expect(await store.workitems.all()).toEqual([]);
});

describe('events of the worklist', () => {
  /** Claimed, and its study announced. */
  const begins = async (uid: string, study: ReturnType<typeof studyUid>) => {
    await until(async () => (await stateOf(uid)) === 'IN PROGRESS');
    await until(async () => (await store.register.get(study)) !== undefined);
  };

  test('tell of a new workitem at once', async () => {
    const { uid, study } = fresh();
    const ups = source({ everySeconds: 600, evenSoSeconds: 600 });
    ups.start();
    await until(() => ups.state().channel === 'open');
    await worklist.schedule({ uid, studies: [study] });
    await begins(uid, study);
    await settle(study);
    await ups.once();
    expect(await stateOf(uid)).toBe('COMPLETED');
    expect(
      worklist.requests.some((request) =>
        request.startsWith(
          'POST /dicom-web/workitems/1.2.840.10008.5.1.4.34.5.1/subscribers/WETREAD?00404025.00080100=WETREAD',
        ),
      ),
    ).toBe(true);
  });

  test('are done without while they do not come, and come again', async () => {
    const [{ uid, study }, other] = [fresh(), fresh()];
    worklist.trouble.deaf = true;
    const ups = source({ everySeconds: 0.1, evenSoSeconds: 600 });
    ups.start();
    await worklist.schedule({ uid, studies: [study] });
    await begins(uid, study);
    await expect.poll(() => ups.state().channel).toBe('lost');
    worklist.trouble.deaf = false;
    await until(() => ups.state().channel === 'open');
    await worklist.schedule({ uid: other.uid, studies: [other.study] });
    await begins(other.uid, other.study);
    await settle(study);
    await settle(other.study);
    await until(async () => (await store.workitems.all()).length === 0);
  });

  test('that were lost with the connection are made up for', async () => {
    const { uid, study } = fresh();
    const ups = source({ everySeconds: 600, evenSoSeconds: 600 });
    ups.start();
    await until(() => ups.state().channel === 'open');
    worklist.trouble.deaf = true;
    worklist.cutEvents();
    await until(() => ups.state().channel === 'lost');
    await worklist.schedule({ uid, studies: [study] });
    worklist.trouble.deaf = false;
    await begins(uid, study);
    await settle(study);
    await ups.once();
    expect(await stateOf(uid)).toBe('COMPLETED');
  });

  test('that ask for cancellation end the workitem with the reason given', async () => {
    const { uid, study } = fresh();
    const ups = source({ everySeconds: 600, evenSoSeconds: 600 });
    ups.start();
    await until(() => ups.state().channel === 'open');
    await worklist.schedule({ uid, studies: [study] });
    await begins(uid, study);
    await worklist.requestCancel(uid, 'the patient was mixed up');
    await until(async () => (await stateOf(uid)) === 'CANCELED');
    expect(inside(await worklist.item(uid), '00741002')?.['00741238']?.Value).toEqual(['the patient was mixed up']);
    await until(async () => (await store.workitems.all()).length === 0);
  });
});

describe('a worklist that is away', () => {
  test('is said once, and worked on when it is back', async () => {
    const written: string[] = [];
    const logger = {
      ...silentLogger,
      error: (message: string) => void written.push(message),
      info: (message: string) => void written.push(message),
    };
    let down = true;
    const client = upsClient({ baseUrl: worklist.root, timeoutMs: 30_000, logger: silentLogger });
    const ups = source({
      everySeconds: 0.05,
      evenSoSeconds: 0.05,
      logger,
      worklist: {
        ...client,
        scheduled: (filter, signal) =>
          (down
            ? upsClient({ baseUrl: 'http://127.0.0.1:1', timeoutMs: 100, logger: silentLogger })
            : client
          ).scheduled(filter, signal),
      },
    });
    ups.start();
    await until(() => ups.state().error === 'archive.unreachable');
    down = false;
    await until(() => ups.state().error === undefined);
    expect(written.filter((line) => line.includes('cannot be worked on'))).toHaveLength(1);
    expect(written).toContain('the worklist answers again');
  });
});
