/** HL7 batches over a real socket into a real database: every message of one is kept, or refused by its number. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { hl7Source, type Hl7Source, type Hl7SourceOptions } from '../../src/events/hl7-mllp.ts';
import { mllpFrame } from '../../src/hl7/mllp.ts';
import { mllpClient, type MllpClient } from '../../src/hl7/mllp-client.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { testDatabase } from '../support/postgres.ts';
import { header, lines, orm, patient } from './hl7-messages.ts';

let store: Store;
/** A store whose database is gone. */
let away: Store;
let sql: Client;
let source: Hl7Source;
let client: MllpClient;
let outcomes: string[] = [];

beforeAll(async () => {
  const databaseUrl = await testDatabase();
  store = await openStore({ databaseUrl, dataDir: '.', outputs: [], logger: silentLogger });
  away = await openStore({ databaseUrl, dataDir: '.', outputs: [], logger: silentLogger });
  await away.close();
  sql = new Client({ connectionString: databaseUrl });
  await sql.connect();
});
afterAll(async () => {
  await sql?.end();
  await store?.close();
});
beforeEach(async () => {
  outcomes = [];
  await sql.query('truncate wetread.expected_exam, wetread.heard_message cascade');
  await open();
});
afterEach(close);

async function open(more: Partial<Hl7SourceOptions> = {}): Promise<void> {
  source = hl7Source({
    host: '127.0.0.1',
    port: 0,
    exams: store.exams,
    onAnswered: (outcome) => void outcomes.push(outcome),
    logger: silentLogger,
    ...more,
  });
  await source.start();
  client = await mllpClient({ host: '127.0.0.1', port: source.port! });
}
async function close(): Promise<void> {
  client.close();
  await source.stop();
}
async function reopen(more: Partial<Hl7SourceOptions>): Promise<void> {
  await close();
  await open(more);
}

const fileHeader = 'FHS|^~\\&|RIS|MAIN|WETREAD|AI|20260301||||FILE7';
const batchHeader = (id = 'BATCH1') => `BHS|^~\\&|RIS|MAIN|WETREAD|AI|20260301||||${id}`;
const order = (id: string, accession: string, more: { modes?: string } = {}) =>
  orm({ id, accession, placer: `${id}^HIS`, filler: `${id}^RIS`, ...more });
const batch = (messages: readonly string[], { id = 'BATCH1', said = messages.length } = {}) =>
  `${lines(batchHeader(id))}${messages.join('')}${lines(`BTS|${said}`)}`;

/** The answer's segments without what is new each time. */
async function answered(text: string): Promise<string[]> {
  const answer = (await client.send(text)).toString('utf8');
  expect(answer.endsWith('\r')).toBe(true);
  return answer.slice(0, -1).split('\r');
}
const names = (segments: readonly string[]) => segments.map((one) => one.slice(0, 3)).join(' ');
const acknowledged = (segments: readonly string[]) => segments.filter((one) => one.startsWith('MSA'));
const accessions = async () =>
  (await sql.query<{ accession: string }>('select accession from wetread.expected_exam order by 1')).rows.map(
    ({ accession }) => accession,
  );

describe('a batch', () => {
  it('has each message kept and acknowledged, in a batch that names the one it answers', async () => {
    const answer = await answered(batch([order('M1', 'A1'), order('M2', 'A2'), order('M3', 'A3')]));
    expect(names(answer)).toBe('BHS MSH MSA MSH MSA MSH MSA BTS');
    expect(answer[0]).toMatch(/^BHS\|\^~\\&\|WETREAD\|AI\|RIS\|MAIN\|\d{14}[+-]\d{4}\|{4}\w{20}\|BATCH1$/);
    expect(acknowledged(answer)).toEqual(['MSA|AA|M1', 'MSA|AA|M2', 'MSA|AA|M3']);
    expect(answer.at(-1)).toBe('BTS|3');
    expect(await accessions()).toEqual(['A1', 'A2', 'A3']);
    expect(outcomes).toEqual(['ok', 'ok', 'ok']);
  });

  it('in a file is answered by a file, batch by batch, also with line feeds and without trailers', async () => {
    const file = [fileHeader, batch([order('M1', 'A1')], { id: 'B1' }), batch([order('M2', 'A2')], { id: 'B2' })];
    const answer = await answered(`${file[0]}\r${file[1]}${file[2]}FTS|2\r`);
    expect(names(answer)).toBe('FHS BHS MSH MSA BTS BHS MSH MSA BTS FTS');
    expect(answer[0]).toMatch(/\|FILE7$/);
    expect([answer[1], answer[5]].map((one) => one!.split('|').at(-1))).toEqual(['B1', 'B2']);
    expect(answer.at(-1)).toBe('FTS|2');
    const windows = `${fileHeader}\r${lines(batchHeader('B3'))}${order('M3', 'A3')}`.replaceAll('\r', '\r\n');
    expect(names(await answered(windows))).toBe('FHS BHS MSH MSA BTS FTS');
    expect(await accessions()).toEqual(['A1', 'A2', 'A3']);
  });

  it('without any header is one all the same: no message is taken for a part of the one before', async () => {
    const answer = await answered(`${order('M1', 'A1')}${order('M2', 'A2')}`);
    expect(names(answer)).toBe('BHS MSH MSA MSH MSA BTS');
    expect(await accessions()).toEqual(['A1', 'A2']);
  });

  it('may hold messages with separators of their own, and texts that look like segments', async () => {
    const own =
      'MSH#:*!%#RIS#MAIN#WETREAD#AI#20260301##ORM:O01#OWN#P#2.4\rORC#NW#P9:HIS#F9:RIS\rOBR#1#P9:HIS#F9:RIS#X\r';
    const text = `${order('M1', 'A1')}NTE|1||see below\rMSH-3 says so, BTS too\r`;
    const answer = await answered(batch([text, own, order('M2', 'A2')]));
    expect(acknowledged(answer)).toEqual(['MSA|AA|M1', 'MSA#AA#OWN', 'MSA|AA|M2']);
    expect(answer.at(-1)).toBe('BTS|3');
  });

  it('with a bad message in it has the others kept, and the bad one refused with the reason', async () => {
    const bad = lines(header('ADT^A01', { version: '2.5.1', id: 'BAD' }), patient());
    const answer = await answered(batch([order('M1', 'A1'), bad, 'MSH|junk\r', order('M2', 'A2')]));
    expect(acknowledged(answer)).toEqual([
      'MSA|AA|M1',
      'MSA|AR|BAD|hl7.unsupported',
      'MSA|AR||hl7.malformed',
      'MSA|AA|M2',
    ]);
    expect(await accessions()).toEqual(['A1', 'A2']);
  });

  it('that counts more messages than are there is told so, by the number of the batch', async () => {
    const answer = await answered(batch([order('M1', 'A1')], { said: 2 }));
    expect(acknowledged(answer)).toEqual(['MSA|AA|M1', 'MSA|AR|BATCH1|hl7.malformed']);
    expect(answer.find((one) => one.startsWith('ERR'))).toContain('BTS-1 says 2 messages, 1 are there');
    const file = await answered(`${fileHeader}\r${batch([order('M2', 'A2')])}FTS|3\r`);
    expect(acknowledged(file)).toEqual(['MSA|AA|M2', 'MSA|AR|FILE7|hl7.malformed']);
    expect(await accessions()).toEqual(['A1', 'A2']);
  });

  it('with segments outside every message has them refused, not passed over', async () => {
    const answer = await answered(`${lines(batchHeader(), 'ORC|NW|P1', 'OBR|1|P1||X')}${order('M1', 'A1')}BTS|1\r`);
    expect(acknowledged(answer).slice(0, 2)).toEqual(['MSA|AR||hl7.malformed', 'MSA|AA|M1']);
  });

  it('without messages is answered by one without acknowledgements', async () => {
    expect(names(await answered(batch([])))).toBe('BHS BTS');
  });

  it('that comes again is acknowledged again and done once, also when its messages come alone', async () => {
    const text = batch([order('M1', 'A1'), order('M2', 'A2')]);
    const alone = text.split('\r').slice(1, 6).join('\r');
    await answered(text);
    const before = await sql.query('select * from wetread.heard_message order by 1');
    expect(acknowledged(await answered(text))).toEqual(['MSA|AA|M1', 'MSA|AA|M2']);
    expect(acknowledged(await answered(`${alone}\r`))).toEqual(['MSA|AA|M1']);
    expect((await sql.query('select * from wetread.heard_message order by 1')).rows).toEqual(before.rows);
  });

  it('is asked for again, message by message, while the database is away', async () => {
    await reopen({ exams: away.exams });
    const text = batch([order('M1', 'A1'), order('M2', 'A2')]);
    expect(acknowledged(await answered(text)).map((one) => one.split('|').slice(1, 3))).toEqual([
      ['AE', 'M1'],
      ['AE', 'M2'],
    ]);
    await reopen({});
    expect(acknowledged(await answered(text))).toEqual(['MSA|AA|M1', 'MSA|AA|M2']);
  });

  it('whose sender wants no answers gets none, and loses the connection when a message cannot be kept', async () => {
    const silent = batch([order('M1', 'A1', { modes: 'NE|NE' }), order('M2', 'A2', { modes: 'NE|NE' })]);
    const mixed = batch([order('M3', 'A3', { modes: 'NE|NE' }), order('M4', 'A4')]);
    const socket = connect(source.port!, '127.0.0.1');
    socket.write(Buffer.concat([mllpFrame(silent), mllpFrame(mixed)]));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(acknowledged(answer.toString().slice(1).split('\r'))).toEqual(['MSA|AA|M4']);
    socket.destroy();
    expect(await accessions()).toEqual(['A1', 'A2', 'A3', 'A4']);
    await reopen({ exams: away.exams });
    const lost = connect(source.port!, '127.0.0.1');
    lost.write(mllpFrame(silent));
    await once(lost.resume(), 'close');
  });

  it('that is too large, in bytes or in messages, is refused as a whole by its number, and nothing of it is done', async () => {
    const many = batch(Array.from({ length: 1_001 }, (_, at) => order(`M${at}`, `A${at}`)));
    const tooMany = await answered(many);
    expect(acknowledged(tooMany)).toEqual(['MSA|AR|BATCH1|request.too-large']);
    expect(acknowledged(await answered(`${lines(batchHeader())}${'BTS\r'.repeat(500_000)}`))).toEqual([
      'MSA|AR|BATCH1|request.too-large',
    ]);
    expect(names(tooMany)).toBe('BHS MSH MSA ERR BTS');
    await reopen({ maxBytes: 20_000 });
    expect(acknowledged(await answered(many))).toEqual(['MSA|AR|BATCH1|request.too-large']);
    expect(acknowledged(await answered(`${fileHeader}\r${many}`))).toEqual(['MSA|AR|FILE7|request.too-large']);
    expect(await accessions()).toEqual([]);
    expect(acknowledged(await answered(batch([order('M1', 'A1')])))).toEqual(['MSA|AA|M1']);
  });
});
