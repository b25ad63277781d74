/** What several messages say of one exam becomes one row; nothing that was heard is lost or done twice. On a real database. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { HeardExam } from '../../src/domain/expected-exam.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { testDatabase } from '../support/postgres.ts';

let folder: string;
let store: Store;
let pg: Client;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wetread-exams-'));
  const databaseUrl = await testDatabase();
  store = await openStore({ databaseUrl, dataDir: folder, outputs: [], logger: silentLogger });
  pg = new Client({ connectionString: databaseUrl });
  await pg.connect();
});
afterAll(async () => {
  await pg.end();
  await store.close();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  await pg.query('truncate wetread.expected_exam, wetread.heard_message, wetread.study, wetread_jobs.job cascade');
});

const uid = studyUid('1.2.3');
const heard = (more: Partial<HeardExam> = {}): HeardExam => ({
  source: 'hl7',
  numbers: ['placer:P1^HIS'],
  studyUids: [],
  region: 'other',
  state: 'ordered',
  ...more,
});
const hear = (...exams: Partial<HeardExam>[]) => store.exams.hear(exams.map(heard));
const priority = (accession?: string, study = uid) =>
  store.exams.priorityOf({ studyUid: study, ...(accession === undefined ? {} : { accession }) });

describe('expected exams', () => {
  it('an order and its result, told apart by hours and numbers, are one exam', async () => {
    await hear({ accession: 'A1', recordNumber: 'M1', priority: 'stat', region: 'lumbar-spine' });
    await hear({ numbers: ['filler:F1^RIS'], accession: 'A1', studyUids: [uid], priority: 'routine', state: 'done' });
    const due = await store.exams.due(10);
    expect(due).toHaveLength(1);
    expect(due[0]).toMatchObject({
      numbers: ['placer:P1^HIS', 'filler:F1^RIS'],
      accession: 'A1',
      recordNumber: 'M1',
      studyUids: [uid],
      region: 'lumbar-spine',
      priority: 'stat',
      state: 'done',
    });
  });

  it('a later order changes the priority; a result only raises it', async () => {
    await hear({ accession: 'A1', priority: 'stat' });
    expect(await priority('A1')).toBe('stat');
    await hear({ accession: 'A1', priority: 'routine', state: 'done' });
    expect(await priority('A1')).toBe('stat');
    await hear({ accession: 'A1', priority: 'routine' });
    expect(await priority('A1')).toBe('routine');
    await hear({ accession: 'A1' });
    await hear({ accession: 'A1', priority: 'stat', state: 'done' });
    expect(await priority('A1')).toBe('stat');
  });

  it('is found by study as well as by accession number', async () => {
    await hear({ studyUids: [uid], priority: 'stat' });
    expect(await priority()).toBe('stat');
    expect(await priority(undefined, studyUid('9.9'))).toBeUndefined();
    expect(await priority('A1', studyUid('9.9'))).toBeUndefined();
  });

  it('one order with two accession numbers is two exams, and what is said of the order holds for both', async () => {
    await hear({ accession: 'A1' }, { accession: 'A2' });
    await hear({ state: 'cancelled' });
    expect([await priority('A1'), await priority('A2')]).toEqual([undefined, undefined]);
    await hear({ accession: 'A2', priority: 'stat' });
    expect([await priority('A1'), await priority('A2')]).toEqual([undefined, 'stat']);
  });

  it('an order that gets its accession number later stays one exam', async () => {
    await hear({ priority: 'stat' });
    await hear({ numbers: ['placer:P1^HIS', 'filler:F1^RIS'] });
    await hear({ numbers: ['filler:F1^RIS'], accession: 'A1' });
    const due = await store.exams.due(10);
    expect(due.map(({ accession, priority: given, numbers }) => [accession, given, numbers.length])).toEqual([
      ['A1', 'stat', 2],
    ]);
  });

  it('the same number of another patient is another exam', async () => {
    await hear({ accession: 'A1', recordNumber: 'M1', priority: 'stat' });
    await hear({ accession: 'A1', recordNumber: 'M2', state: 'cancelled' });
    expect(await priority('A1')).toBe('stat');
    expect((await store.exams.due(10)).map(({ recordNumber }) => recordNumber)).toEqual(['M1']);
  });

  it('a cancelled order says nothing any more; pictures that were made stay made', async () => {
    await hear({ accession: 'A1', priority: 'stat' });
    await hear({ accession: 'A1', state: 'cancelled' });
    expect(await priority('A1')).toBeUndefined();
    expect(await store.exams.due(10)).toEqual([]);
    await hear({ accession: 'A2', state: 'done' });
    await hear({ accession: 'A2', state: 'cancelled' });
    expect((await store.exams.due(10)).map(({ state }) => state)).toEqual(['done']);
  });

  it('a message is heard once; the same number with another content is another message', async () => {
    const message = { sender: 'RIS|MAIN', id: '1', content: Buffer.from('a') };
    expect(await store.exams.hear([heard({ accession: 'A1', priority: 'stat' })], message)).toBe('new');
    expect(await store.exams.hear([heard({ accession: 'A1', priority: 'routine' })], message)).toBe('repeated');
    expect(await priority('A1')).toBe('stat');
    expect(
      await store.exams.hear([heard({ accession: 'A1', priority: 'routine' })], {
        ...message,
        content: Buffer.from('b'),
      }),
    ).toBe('new');
    expect(await priority('A1')).toBe('routine');
    expect(await store.exams.hear([], { ...message, sender: 'HIS|MAIN' })).toBe('new');
  });

  it('many connections that tell of one exam at once make one exam', async () => {
    await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        hear({
          numbers: [`filler:F${index % 4}^RIS`, 'placer:P1^HIS'],
          ...(index % 2 === 0 ? { accession: 'A1' } : {}),
        }),
      ),
    );
    const due = await store.exams.due(100);
    expect(due.map(({ accession }) => accession)).toEqual(['A1']);
    expect(due[0]!.numbers).toHaveLength(5);
  });

  it('each due exam is handed to one caller, and comes again when it is put back', async () => {
    await hear(
      ...Array.from({ length: 30 }, (_, index) => ({ numbers: [], accession: `A${index}`, state: 'done' as const })),
    );
    const [one, other] = await Promise.all([store.exams.due(20), store.exams.due(20)]);
    expect(new Set([...one, ...other].map(({ id }) => id)).size).toBe(30);
    expect(one.length + other.length).toBe(30);
    expect(await store.exams.due(20)).toEqual([]);
    await store.exams.again(one[0]!, 0);
    await store.exams.settled(one[1]!);
    expect((await store.exams.due(20)).map(({ id, looks }) => [id, looks])).toEqual([[one[0]!.id, 2]]);
  });

  it('what is heard while an exam is looked after is looked after as well', async () => {
    await hear({ accession: 'A1', state: 'done' });
    const [before] = await store.exams.due(1);
    await hear({ accession: 'A1', studyUids: [uid], state: 'done' });
    await store.exams.settled(before!);
    await store.exams.again(before!, 3600);
    expect((await store.exams.due(1)).map(({ studyUids, looks }) => [studyUids, looks])).toEqual([[[uid], 1]]);
  });

  it('knows which studies of an exam wait to be read', async () => {
    const announce = (study: string, accession?: string) =>
      store.register.announce({
        source: 'rest',
        studyUid: studyUid(study),
        reason: 'study-arrived',
        priority: 'routine',
        ...(accession === undefined ? {} : { accession }),
      });
    await announce('1.1', 'A1');
    await announce('1.2');
    await announce('1.3', 'A3');
    await announce('1.4', 'A1');
    await store.register.begin(studyUid('1.4'), 1);
    await hear({ accession: 'A1', studyUids: [studyUid('1.2')] });
    const [exam] = await store.exams.due(1);
    expect((await store.exams.waitingStudies(exam!)).toSorted()).toEqual(['1.1', '1.2']);
  });

  it('pruning forgets nothing that still matters', async () => {
    await hear({ accession: 'A1', priority: 'stat' });
    await store.exams.prune();
    expect(await priority('A1')).toBe('stat');
  });
});
