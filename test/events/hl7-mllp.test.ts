/** HL7 over MLLP into the database and out again as announcements: what is acknowledged is never lost, and done once. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WetreadError } from '../../src/domain/errors.ts';
import { patientId, studyUid } from '../../src/domain/ids.ts';
import { silentLogger, type Logger } from '../../src/domain/log.ts';
import type { StudySummary } from '../../src/domain/study.ts';
import { examWatch, withOrderedPriority } from '../../src/events/expected-exams.ts';
import { hl7Source, type Hl7Source, type Hl7SourceOptions } from '../../src/events/hl7-mllp.ts';
import { mllpFrame, mllpFramer } from '../../src/hl7/mllp.ts';
import { mllpClient, type MllpClient } from '../../src/hl7/mllp-client.ts';
import { parseMessage } from '../../src/hl7/message.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { testDatabase } from '../support/postgres.ts';
import { header, lines, omi, orm, oru, patient } from './hl7-messages.ts';

let folder: string;
let store: Store;
/** A store whose database is gone. */
let away: Store;
let databaseUrl: string;
let source: Hl7Source;
let client: MllpClient;
let archive: StudySummary[] = [];
let archiveDown = false;
let logged = '';
const logger: Logger = {
  debug: log,
  info: log,
  warn: log,
  error: log,
  with: () => logger,
};
function log(message: string, fields?: Readonly<Record<string, unknown>>): void {
  logged += `${message} ${JSON.stringify(fields)}\n`;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wetread-hl7-'));
  databaseUrl = await testDatabase();
  store = await openStore({ databaseUrl, dataDir: folder, outputs: [], logger: silentLogger });
  away = await openStore({ databaseUrl, dataDir: folder, outputs: [], logger: silentLogger });
  await away.close();
});
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  archive = [];
  archiveDown = false;
  logged = '';
  await inDatabase('truncate wetread.expected_exam, wetread.heard_message, wetread.study, wetread_jobs.job cascade');
  await open();
});
afterEach(async () => {
  client.close();
  await source.stop();
});

async function open(more: Partial<Hl7SourceOptions> = {}): Promise<void> {
  source = hl7Source({ host: '127.0.0.1', port: 0, exams: store.exams, logger, ...more });
  await source.start();
  client = await mllpClient({ host: '127.0.0.1', port: source.port! });
}
async function reopen(more: Partial<Hl7SourceOptions>): Promise<void> {
  client.close();
  await source.stop();
  await open(more);
}

const findStudies = async ({ accession }: { accession?: string }) => {
  if (archiveDown) throw new WetreadError('archive.unreachable');
  return archive.filter((study) => study.accession === accession);
};
const announce = withOrderedPriority((event) => store.register.announce(event), {
  priorityOf: (study) => store.exams.priorityOf(study),
});
const watch = (more: Partial<Parameters<typeof examWatch>[0]> = {}) =>
  examWatch({ exams: store.exams, archive: { findStudies }, announce, orders: store.orders, logger, ...more });
const inArchive = (uid: string, accession: string, more: Partial<StudySummary> = {}) =>
  void archive.push({ studyUid: studyUid(uid), accession, modalities: ['DX'], ...more });
async function inDatabase<Row extends object>(query: string): Promise<Row[]> {
  const pg = new Client({ connectionString: databaseUrl });
  await pg.connect();
  try {
    return (await pg.query<Row>(query)).rows;
  } finally {
    await pg.end();
  }
}
/** As queued: 30 is STAT, 10 routine. */
const priorityIn = async (uid: string) =>
  (await inDatabase<{ priority: number }>(`select priority from wetread.study where study_uid = '${uid}'`))[0]
    ?.priority;
/** Lets the wait before the next look pass. */
const dueNow = () => inDatabase('update wetread.expected_exam set look_at = now() where look_at is not null');

async function acknowledged(text: string | Buffer) {
  const answer = parseMessage(await client.send(text));
  const segment = (name: string) => answer.segments.find((one) => one.name === name);
  return {
    code: segment('MSA')!.text(1),
    id: segment('MSA')!.text(2),
    type: answer.header.text(9, 1),
    error: segment('ERR')?.text(5, 1),
    condition: segment('ERR')?.text(3, 1),
    answer,
  };
}

describe('orders and results', () => {
  it('a STAT order, then a result: the study is announced as STAT', async () => {
    expect(await acknowledged(orm({ accession: 'RG1', priority: 'S', id: 'M1' }))).toMatchObject({
      code: 'AA',
      id: 'M1',
      type: 'ACK',
    });
    expect(await watch().lookOnce()).toBe(0);
    inArchive('1.2.3', 'RG1');
    expect((await acknowledged(oru({ accession: 'RG1' }))).code).toBe('AA');
    expect(await watch().lookOnce()).toBe(1);
    expect(await store.register.get(studyUid('1.2.3'))).toMatchObject({ accession: 'RG1', state: { kind: 'pending' } });
    expect(await priorityIn('1.2.3')).toBe(30);
  });

  it('a result that names its study needs no archive', async () => {
    archiveDown = true;
    await acknowledged(oru({ studyUid: '1.2.4' }));
    expect(await watch().lookOnce()).toBe(1);
    expect(await priorityIn('1.2.4')).toBe(10);
  });

  it('an accession number may lead to several studies; those of another patient are not in a hurry', async () => {
    inArchive('1.1', 'RG1', { dicomPatientId: '100234' });
    inArchive('1.2', 'RG1');
    inArchive('1.3', 'RG1', { dicomPatientId: 'SOMEBODY-ELSE' });
    inArchive('1.4', 'OTHER');
    await acknowledged(orm({ accession: 'RG1', priority: 'S', control: 'SC', status: 'CM' }));
    // Straight to the register: the order must not give its priority to the third study on the way.
    const direct = watch({ announce: (event) => store.register.announce(event) });
    expect(await direct.lookOnce()).toBe(3);
    expect(await Promise.all(['1.1', '1.2', '1.3'].map(priorityIn))).toEqual([30, 30, 10]);
    expect(await store.register.get(studyUid('1.4'))).toBeUndefined();
  });

  it('no study yet: it is looked for again, also by another process, until it is there', async () => {
    await acknowledged(omi({ accession: 'RG2', priority: 'S', control: 'SC', status: 'CM' }));
    expect(await watch().lookOnce()).toBe(0);
    archiveDown = true;
    await dueNow();
    expect(await watch().lookOnce()).toBe(0);
    archiveDown = false;
    inArchive('1.2.5', 'RG2', { instanceCount: 2 });
    await dueNow();
    expect(await watch().lookOnce()).toBe(1);
    expect(await priorityIn('1.2.5')).toBe(30);
    await dueNow();
    expect(await watch().lookOnce()).toBe(0);
  });

  it('a study that others announce gets the priority of its order, before or after', async () => {
    await acknowledged(orm({ accession: 'RG1', priority: 'S' }));
    await announce({
      source: 'dicomweb-poll',
      studyUid: studyUid('1.1'),
      reason: 'study-arrived',
      priority: 'routine',
      accession: 'RG1',
    });
    await announce({
      source: 'dicomweb-poll',
      studyUid: studyUid('1.2'),
      reason: 'study-arrived',
      priority: 'routine',
      accession: 'RG2',
    });
    expect(await Promise.all(['1.1', '1.2'].map(priorityIn))).toEqual([30, 10]);
    await acknowledged(orm({ accession: 'RG2', priority: 'S', placer: 'P2^HIS', filler: 'F2^RIS' }));
    await watch().lookOnce();
    expect(await priorityIn('1.2')).toBe(30);
    await announce({
      source: 'backfill',
      studyUid: studyUid('1.3'),
      reason: 'study-arrived',
      priority: 'backfill',
      accession: 'RG1',
    });
    expect(await priorityIn('1.3')).toBe(0);
  });

  it('a cancelled order gives no priority', async () => {
    await acknowledged(orm({ accession: 'RG1', priority: 'S' }));
    expect((await acknowledged(orm({ accession: 'RG1', control: 'CA' }))).code).toBe('AA');
    await announce({
      source: 'dicomweb-poll',
      studyUid: studyUid('1.1'),
      reason: 'study-arrived',
      priority: 'routine',
      accession: 'RG1',
    });
    expect(await priorityIn('1.1')).toBe(10);
  });

  it('an order is put in the book when the chart knows it, so that its study is linked to it', async () => {
    await acknowledged(orm({ accession: 'RG1' }));
    let known = false;
    const inChart = async () => (known ? { patientId: patientId('p1'), order: 'ServiceRequest/s1' } : undefined);
    await watch({ inChart }).lookOnce();
    expect(await store.orders.forPatient(patientId('p1'))).toEqual([]);
    known = true;
    await dueNow();
    await watch({ inChart }).lookOnce();
    expect(await store.orders.forPatient(patientId('p1'))).toMatchObject([
      { reference: 'ServiceRequest/s1', accession: 'RG1', region: 'lumbar-spine' },
    ]);
  });

  it('the listener wakes whoever looks for studies', async () => {
    let woken = 0;
    await reopen({ onHeard: () => void (woken += 1) });
    await acknowledged(oru({ studyUid: '1.2.4', id: 'SAME' }));
    expect(woken).toBe(1);
  });
});

describe('acknowledgements', () => {
  it('a repeated message is acknowledged again and done once', async () => {
    const text = orm({ accession: 'RG1', priority: 'S', id: 'M9' });
    expect((await acknowledged(text)).code).toBe('AA');
    await acknowledged(orm({ accession: 'RG1', control: 'CA', id: 'M10' }));
    expect(await acknowledged(text)).toMatchObject({ code: 'AA', id: 'M9' });
    expect(await store.exams.priorityOf({ studyUid: studyUid('9.9'), accession: 'RG1' })).toBeUndefined();
  });

  it('when the database is away the sender is told to repeat, and nothing was done', async () => {
    const text = orm({ accession: 'RG1', priority: 'S', id: 'M1' });
    await reopen({ exams: away.exams });
    expect(await acknowledged(text)).toMatchObject({ code: 'AE', id: 'M1' });
    await reopen({});
    expect((await acknowledged(text)).code).toBe('AA');
    expect(await store.exams.priorityOf({ studyUid: studyUid('9.9'), accession: 'RG1' })).toBe('stat');
  });

  it.each([
    ['ADT^A01', 'AR', 'hl7.unsupported', '200'],
    ['ORU^R03', 'AR', 'hl7.unsupported', '201'],
  ])('%s is refused', async (type, code, error, condition) => {
    expect(await acknowledged(lines(header(type, { version: '2.5.1', id: 'X1' }), patient()))).toMatchObject({
      code,
      id: 'X1',
      error,
      condition,
    });
  });

  it('what is not HL7, has no number, no order or nothing to know it by is refused with the reason', async () => {
    expect(await acknowledged('{"resourceType":"Bundle"}')).toMatchObject({
      code: 'AR',
      id: '',
      error: 'hl7.malformed',
    });
    expect(await acknowledged(lines('MSH|^~\\&|RIS||||||ORM^O01||P|2.5', 'ORC|NW|P1'))).toMatchObject({
      code: 'AR',
      condition: '101',
    });
    expect(await acknowledged(lines(header('ORM^O01', { version: '2.5' }), patient()))).toMatchObject({
      code: 'AR',
      condition: '100',
    });
    expect(
      await acknowledged(lines(header('ORM^O01', { version: '2.5' }), patient(), 'ORC|NW', 'OBR|1|||X')),
    ).toMatchObject({ code: 'AR', condition: '101' });
  });

  it('before version 2.5 the error stands in ERR-1', async () => {
    const { answer } = await acknowledged(lines(header('ADT^A01', { version: '2.3.1' }), patient()));
    const error = answer.segments.find(({ name }) => name === 'ERR')!;
    expect([1, 2, 3].map((part) => error.text(1, part))).toEqual(['MSH', '1', '9']);
    expect([error.text(1, 4, 1), error.text(1, 4, 3)]).toEqual(['200', 'HL70357']);
    expect(answer.header.text(9, 3)).toBe('ACK');
    const old = await acknowledged(lines(header('ADT^A01', { version: '2.3' }), patient()));
    expect(old.answer.header.text(9, 3)).toBe('');
  });

  it('uses the sender’s separators and number to the letter, and swaps who is who', async () => {
    const raw = await client.send(
      'MSH#:*!%#RIS#MAIN#WETREAD#AI#20260301##ORM:O01#N!F!R 1%2#P#2.4\rORC#NW#P1\rOBR#1#P1##X:Chest X-ray\r',
    );
    expect(raw.toString()).toMatch(
      /^MSH#:\*!%#WETREAD#AI#RIS#MAIN#\d{14}[+-]\d{4}##ACK:O01:ACK#\w{20}#P#2\.4\rMSA#AA#N!F!R 1%2\r$/,
    );
  });

  it.each([
    ['AL|NE', 'CA'],
    ['AL|AL', 'CA'],
    ['SU|NE', 'CA'],
    ['NE|AL', 'AA'],
    ['|AL', 'AA'],
    ['ER|AL', 'AA'],
  ])('enhanced mode %s is answered with %s', async (modes, code) => {
    expect((await acknowledged(orm({ accession: 'RG1', modes }))).code).toBe(code);
  });

  it('enhanced mode refuses with CR and fails with CE', async () => {
    const refused = lines(header('ADT^A01', { version: '2.5', modes: 'AL|NE' }), patient());
    expect((await acknowledged(refused)).code).toBe('CR');
    await reopen({ exams: away.exams });
    expect((await acknowledged(orm({ accession: 'RG1', modes: 'ER|NE' }))).code).toBe('CE');
  });

  it('a sender that wants no answers gets none; when its message cannot be kept it loses the connection', async () => {
    const silent = orm({ accession: 'RG1', modes: 'NE|NE' });
    const socket = await rawSocket();
    socket.write(Buffer.concat([mllpFrame(silent), mllpFrame(orm({ accession: 'RG1', id: 'LOUD' }))]));
    expect(parseMessage((await read(socket, 1))[0]!).segments[1]!.text(2)).toBe('LOUD');
    socket.destroy();
    await reopen({ exams: away.exams });
    const lost = await rawSocket();
    lost.write(mllpFrame(silent));
    await once(lost.resume(), 'close');
  });

  it('a message that is too large is refused by its number', async () => {
    await reopen({ maxBytes: 20_000 });
    expect(await acknowledged(`${orm({ accession: 'RG1', id: 'BIG' })}NTE|1||${'x'.repeat(100_000)}\r`)).toMatchObject({
      code: 'AR',
      id: 'BIG',
    });
    expect((await acknowledged(orm({ accession: 'RG1' }))).code).toBe('AA');
  });
});

describe('who may send', () => {
  it('only senders on the list are heard', async () => {
    await reopen({ senders: ['HIS', 'RIS@MAIN'] });
    const from = (sender: string) =>
      acknowledged(lines(header('ORM^O01', { version: '2.5', sender }), 'ORC|NW|P1', 'OBR|1|P1||X'));
    expect((await from('RIS|MAIN')).code).toBe('AA');
    expect((await from('HIS|ANYWHERE')).code).toBe('AA');
    expect(await from('RIS|OTHER')).toMatchObject({ code: 'AR', error: 'hl7.sender-not-allowed' });
    expect(await from('|')).toMatchObject({ code: 'AR', error: 'hl7.sender-not-allowed' });
  });

  it('addresses off the list are not even read', async () => {
    await reopen({ addresses: ['127.0.0.1'] });
    expect((await acknowledged(orm({ accession: 'RG1' }))).code).toBe('AA');
    await reopen({ addresses: ['10.0.0.0/8', '2001:db8::/32'] });
    await expect(client.send(orm({ accession: 'RG1' }))).rejects.toThrow(/without an answer|ECONNRESET|EPIPE/);
    await expect(
      hl7Source({ host: '127.0.0.1', port: 0, exams: store.exams, addresses: ['here'], logger }).start(),
    ).rejects.toMatchObject({ code: 'config.invalid' });
  });

  it('nothing of a patient is ever logged', async () => {
    await acknowledged(orm({ accession: 'SECRET-ACC', number: 'SECRET-MRN', placer: 'SECRET-PLACER' }));
    await acknowledged(orm({ accession: 'SECRET-ACC', control: 'CA', number: 'SECRET-MRN' }));
    await acknowledged(lines(header('ADT^A01'), patient('SECRET-MRN')));
    await watch({ inChart: async () => Promise.reject(new WetreadError('chart.unreachable')) }).lookOnce();
    await acknowledged(oru({ accession: 'SECRET-ACC', number: 'SECRET-MRN' }));
    await watch().lookOnce();
    expect(logged).toContain('HL7 message heard');
    expect(logged).not.toMatch(/SECRET|TESTPERSON/);
  });
});

async function rawSocket(): Promise<Socket> {
  const socket = connect(source.port!, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}
async function read(socket: Socket, count: number): Promise<Buffer[]> {
  const framer = mllpFramer({ maxBytes: 100_000 });
  const found: Buffer[] = [];
  for await (const piece of socket.iterator({ destroyOnReturn: false })) {
    found.push(...framer.push(piece as Buffer).map(({ bytes }) => bytes));
    if (found.length >= count) break;
  }
  return found;
}
