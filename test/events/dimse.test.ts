/** The storage receiver against dcmtk, gdcm and dcmjs-dimse, and against callers that do not keep to the protocol. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import dcmjsDimse from 'dcmjs-dimse';
import { array, assert, asyncProperty, integer, nat, record } from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeInstance } from '../../src/dicom/describe.ts';
import { readableTransferSyntaxes } from '../../src/dicom/decode/index.ts';
import { datasetStart, implementationClassUid, implementationVersionName } from '../../src/dicom/part10.ts';
import { readDataset } from '../../src/dicom/dataset.ts';
import { call, type CallOptions, type StoredObject } from '../../src/dimse/caller.ts';
import { pdvHeader, writeAssociateRequest } from '../../src/dimse/pdu.ts';
import { storeRequest } from '../../src/dimse/command.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { dimseSource, type DimseSourceOptions } from '../../src/events/dimse.ts';
import { expectations, fixture } from '../dicom/fixtures.ts';
import { haveTools, runTool } from '../support/dicom-tools.ts';
import { newStudy, testFilm, type TestFilm } from '../support/films.ts';
import { openInbox, type InboxUnderTest } from '../support/inbox.ts';

const implementation = { classUid: implementationClassUid, versionName: implementationVersionName };
let room: InboxUnderTest;
let folder: string;
let port: number;
let source: ReturnType<typeof dimseSource>;

const receiver = (options: Partial<DimseSourceOptions> = {}) =>
  dimseSource({
    host: '127.0.0.1',
    port: 0,
    aeTitle: 'WETREAD',
    callers: [
      { aeTitle: 'CT1', from: '127.0.0.1' },
      { aeTitle: 'MR1', from: '10.0.0.0/8' },
    ],
    inbox: room.inbox,
    transferSyntaxes: readableTransferSyntaxes,
    implementation,
    artimMs: 2000,
    idleMs: 5000,
    logger: silentLogger,
    ...options,
  });

beforeAll(async () => {
  room = await openInbox();
  folder = mkdtempSync(join(tmpdir(), 'wetread-dimse-'));
  source = receiver();
  port = await source.start();
});
afterAll(async () => {
  await source?.stop();
  await room?.close();
  rmSync(folder, { recursive: true, force: true });
});

const onDisk = ({ file, sop }: TestFilm): string => {
  const path = join(folder, `${sop}.dcm`);
  writeFileSync(path, file);
  return path;
};
const received = async (study: string) =>
  (await room.objects.find({ study })).map((one) => ({
    ...one,
    bytesOnDisk: new Uint8Array(readFileSync(join(room.folder, one.file))),
  }));
const holds = (study: string) => room.objects.holds(studyUid(study));
const incoming = () => (existsSync(join(room.folder, 'incoming')) ? readdirSync(join(room.folder, 'incoming')) : []);
const datasetOf = (file: Uint8Array) => file.subarray(datasetStart(file) as number);

function storable({ file }: TestFilm): StoredObject {
  const dataset = readDataset(file);
  const bytes = datasetOf(file);
  return {
    sopClassUid: dataset.text('SOPClassUID')!,
    sopUid: dataset.text('SOPInstanceUID')!,
    transferSyntaxUid: dataset.transferSyntaxUid,
    bytes: bytes.length,
    async *pieces() {
      for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
    },
  };
}
const calling = (options: Partial<CallOptions> = {}) =>
  call({
    host: '127.0.0.1',
    port,
    callingAe: 'CT1',
    calledAe: 'WETREAD',
    proposals: [],
    implementation,
    timeoutMs: 10_000,
    ...options,
  });

const dcmtk = haveTools('storescu', 'echoscu');
const gdcm = haveTools('gdcmscu');

describe.skipIf(!dcmtk)('dcmtk', () => {
  const target = () => ['-aet', 'CT1', '-aec', 'WETREAD', '127.0.0.1', String(port)];

  it('finds the receiver', async () => {
    expect((await runTool('echoscu', ...target())).code).toBe(0);
  });

  // Uncompressed, and in every compression that storescu can propose.
  it.each([
    ['-xe', 'grey12'],
    ['-xi', 'grey12-implicit'],
    ['-xb', 'grey12-big-endian'],
    ['-xr', 'grey12-rle'],
    ['-xs', 'grey12-jpeg-lossless-sv1'],
    ['-xt', 'grey12-jpeg-ls'],
    ['-xv', 'grey12-jpeg2000'],
  ])('stores (%s) %s with the pixels it was sent with', async (proposal, name) => {
    const film = testFilm(undefined, name);
    expect(await runTool('storescu', '-R', proposal, ...target(), onDisk(film))).toMatchObject({ code: 0 });
    const [kept, ...others] = await received(film.study);
    expect(others).toEqual([]);
    expect(kept?.transferSyntaxUid).toBe(readDataset(film.file).transferSyntaxUid);
    expect(kept?.sender).toEqual({ road: 'dimse', name: 'CT1' });
    expect((await describeInstance(kept!.bytesOnDisk)).sha256).toBe(expectations['grey12']?.sha256);
  });

  it('stores a deflated object', async () => {
    const path = join(folder, 'deflated.dcm');
    writeFileSync(path, fixture('grey12-deflated'));
    expect(await runTool('storescu', '-R', '-xd', ...target(), path)).toMatchObject({ code: 0 });
    const [kept] = await received('1.2.826.0.1.3680043.10.1561.1');
    expect((await describeInstance(kept!.bytesOnDisk)).sha256).toBe(expectations['grey12']?.sha256);
  });

  it('stores fifty objects over four associations at once', async () => {
    const study = newStudy();
    const paths = Array.from({ length: 50 }, () => onDisk(testFilm(study)));
    const runs = await Promise.all(
      [0, 1, 2, 3].map((lane) =>
        runTool('storescu', '-R', ...target(), ...paths.filter((_, index) => index % 4 === lane)),
      ),
    );
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(await room.objects.findStudies({ studyUid: study })).toMatchObject([{ instances: 50 }]);
    for (const { bytesOnDisk } of await received(study))
      expect((await describeInstance(bytesOnDisk)).sha256).toBe(expectations['grey12']?.sha256);
  });

  it('is told when it calls another AE title, under an unknown one, or from elsewhere', async () => {
    const film = testFilm();
    const tried = async (aet: string, aec: string) =>
      (await runTool('storescu', '-v', '-aet', aet, '-aec', aec, '127.0.0.1', String(port), onDisk(film))).said;
    expect(await tried('CT1', 'OTHER')).toMatch(/Called AE Title Not Recognized/);
    expect(await tried('STRANGER', 'WETREAD')).toMatch(/Calling AE Title Not Recognized/);
    expect(await tried('MR1', 'WETREAD')).toMatch(/Calling AE Title Not Recognized/);
    expect(await holds(film.study)).toBe(false);
  });

  it('is told why an object was not kept', async () => {
    const film = testFilm();
    const run = (...paths: string[]) => runTool('storescu', '-v', '-R', ...target(), ...paths);
    expect((await run(onDisk(film))).said).toMatch(/Status: 0x0000|\(Success\)/);
    writeFileSync(join(folder, 'changed.dcm'), testFilm(film.study, 'grey12', [['00080018', 'UI', film.sop]]).file);
    expect((await run(join(folder, 'changed.dcm'))).said).toMatch(/\(Success\)/);
    writeFileSync(
      join(folder, 'changed.dcm'),
      testFilm(film.study, 'grey12', [
        ['00080018', 'UI', film.sop],
        ['0008103E', 'LO', 'changed'],
      ]).file,
    );
    expect((await run(join(folder, 'changed.dcm'))).said).toMatch(/0x0?111|DuplicateSOPInstance/i);

    const full = receiver({ inbox: room.with({ keepFreeBytes: 2 ** 60 }) });
    const fullPort = await full.start();
    const other = testFilm();
    const refused = await runTool(
      'storescu',
      '-v',
      '-R',
      '-aet',
      'CT1',
      '-aec',
      'WETREAD',
      '127.0.0.1',
      String(fullPort),
      onDisk(other),
    );
    expect(refused.said).toMatch(/0xa700|OutOfResources/i);
    await full.stop();
    expect(await holds(other.study)).toBe(false);
  });
});

describe.skipIf(!gdcm)('gdcm', () => {
  it('finds the receiver and stores', async () => {
    const target = ['-H', '127.0.0.1', '-p', String(port), '--aetitle', 'CT1', '--call', 'WETREAD'];
    // Debian's gdcmscu 3.0.21 aborts after its release, whoever it called (dcmtk's storescp as well): only what came counts.
    expect((await runTool('gdcmscu', '--echo', ...target)).said).not.toMatch(/Assertion|rejected/i);
    const film = testFilm();
    await runTool('gdcmscu', '--store', ...target, '-i', onDisk(film));
    const [kept] = await received(film.study);
    expect((await describeInstance(kept!.bytesOnDisk)).sha256).toBe(expectations['grey12']?.sha256);
  });
});

describe('dcmjs-dimse', () => {
  it('stores several objects on one association, after an echo', async () => {
    dcmjsDimse.log.setLevel('silent');
    const study = newStudy();
    const films = [testFilm(study), testFilm(study), testFilm(study, 'grey12-jpeg-ls')];
    const client = new dcmjsDimse.Client();
    const statuses: number[] = [];
    const requests = [
      new dcmjsDimse.requests.CEchoRequest(),
      ...films.map((film) => new dcmjsDimse.requests.CStoreRequest(onDisk(film))),
    ];
    for (const request of requests) {
      request.on('response', (response) => statuses.push(response.getStatus()));
      client.addRequest(request);
    }
    const closed = new Promise((resolve, reject) => {
      client.on('closed', () => resolve(undefined));
      client.on('networkError', reject);
    });
    client.send('127.0.0.1', port, 'CT1', 'WETREAD');
    await closed;
    expect(statuses).toEqual([0, 0, 0, 0]);
    expect(await room.objects.findStudies({ studyUid: study })).toMatchObject([{ instances: 3 }]);
  });
});

describe('over TLS', () => {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const pem = (name: string) => readFileSync(join(folder, name));
  beforeAll(() => {
    for (const name of ['receiver', 'modality', 'stranger'])
      openssl(
        ...`req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ${name}.key -out ${name}.pem`.split(
          ' ',
        ),
        '-subj',
        `/CN=${name}`,
        '-addext',
        'subjectAltName=IP:127.0.0.1',
      );
  });
  const identity = (name: string) => ({ cert: pem(`${name}.pem`), key: pem(`${name}.key`) });

  it('takes objects from callers that show a certificate of the authority, from no others', async () => {
    const secure = receiver({ tls: { ...identity('receiver'), clientCa: pem('modality.pem') } });
    const to = await secure.start();
    const film = testFilm();
    const object = storable(film);
    const trusting = { ca: pem('receiver.pem') };
    for (const tls of [trusting, { ...trusting, ...identity('stranger') }])
      await expect(calling({ port: to, proposals: [object], tls })).rejects.toThrow(/connection/);
    await expect(calling({ port: to, proposals: [object] })).rejects.toThrow(/connection/);
    const association = await calling({ port: to, proposals: [object], tls: { ...trusting, ...identity('modality') } });
    expect(await association.store(object)).toBe(0);
    await association.release();
    expect(await holds(film.study)).toBe(true);
    await secure.stop();
  });

  it.skipIf(!dcmtk)('is understood by dcmtk', async () => {
    const secure = receiver({ tls: identity('receiver') });
    const to = String(await secure.start());
    const run = (...tls: string[]) => runTool('echoscu', ...tls, '-aet', 'CT1', '-aec', 'WETREAD', '127.0.0.1', to);
    expect(await run('+tla', '+cf', join(folder, 'receiver.pem'))).toMatchObject({ code: 0 });
    expect((await run()).code).not.toBe(0);
    await secure.stop();
  });
});

describe('a stranger', () => {
  it('takes no place by never finishing TLS', async () => {
    const unread = receiver({
      callers: [{ aeTitle: '*', from: '10.0.0.0/8' }],
      tls: { cert: '', key: '' },
      artimMs: 600_000,
    });
    const socket = connect(await unread.start(), '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'close');
    expect(socket.bytesRead).toBe(0);
    await unread.stop();
  });
});

describe('the own caller', () => {
  it('delivers a dataset byte for byte, in units of the size the receiver takes', async () => {
    const films = ['grey12', 'grey12-htj2k', 'rgb-jpeg-baseline'].map((name) => testFilm(undefined, name));
    const objects = films.map(storable);
    const association = await calling({ proposals: objects });
    expect(await association.echo()).toBe(0);
    for (const object of objects) expect(await association.store(object)).toBe(0);
    await association.release();
    for (const { file, study } of films) {
      const [kept] = await received(study);
      expect(Buffer.compare(datasetOf(kept!.bytesOnDisk), datasetOf(file))).toBe(0);
    }
  });

  it('is told which transfer syntaxes and classes are not taken', async () => {
    const mpeg = { sopClassUid: '1.2.840.10008.5.1.4.1.1.7.4', transferSyntaxUid: '1.2.840.10008.1.2.4.100' };
    const report = { sopClassUid: '1.2.840.10008.5.1.4.1.1.88.33', transferSyntaxUid: '1.2.840.10008.1.2.1' };
    const association = await calling({ proposals: [mpeg, report] });
    expect([association.accepts(mpeg), association.accepts(report)]).toEqual([false, false]);
    await association.release();
  });

  it('learns that the limit of associations is reached, and gets through when one ends', async () => {
    const one = receiver({ maxAssociations: 1 });
    const onePort = await one.start();
    const first = await calling({ port: onePort });
    await expect(calling({ port: onePort })).rejects.toThrow('its limit is reached');
    await first.release();
    await expect
      .poll(() =>
        calling({ port: onePort }).then(
          (next) => next.release().then(() => 'through'),
          () => 'not yet',
        ),
      )
      .toBe('through');
    await one.stop();
  });
});

describe('a caller that does not keep to the protocol', () => {
  const rawSocket = async (to = port): Promise<Socket> => {
    const socket = connect(to, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  const answered = async (socket: Socket): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    socket.on('data', (piece: Buffer) => pieces.push(piece));
    await once(socket, 'close');
    return Buffer.concat(pieces);
  };
  const association = (film: TestFilm, callingAe = 'CT1') => {
    const { sopClassUid, transferSyntaxUid } = storable(film);
    return writeAssociateRequest({
      calledAe: 'WETREAD',
      callingAe,
      maxPduLength: 16384,
      implementation,
      contexts: [{ id: 1, abstractSyntax: sopClassUid, transferSyntaxes: [transferSyntaxUid] }],
    });
  };
  const data = (bytes: Uint8Array, command: boolean, last: boolean, contextId = 1) =>
    Buffer.concat([pdvHeader({ contextId, command, last }, bytes.length), bytes]);
  const storing = (film: TestFilm) => storeRequest({ ...storable(film), messageId: 1 });
  const stillThere = async () => {
    const association = await calling();
    expect(await association.echo()).toBe(0);
    await association.release();
  };

  it('leaves nothing behind when it aborts, or vanishes, in the middle of an object', async () => {
    for (const end of ['abort', 'vanish'] as const) {
      const film = testFilm();
      const socket = await rawSocket();
      socket.write(association(film));
      await once(socket, 'data');
      socket.write(data(storing(film), true, true));
      socket.write(data(datasetOf(film.file).subarray(0, 2000), false, false));
      await expect.poll(() => incoming().length).toBe(1);
      if (end === 'abort') socket.write(Buffer.from([7, 0, 0, 0, 0, 4, 0, 0, 0, 0]));
      else socket.resetAndDestroy();
      await expect.poll(() => incoming().length).toBe(0);
      socket.destroy();
      expect(await holds(film.study)).toBe(false);
    }
    await stillThere();
  });

  it('cannot store after it was rejected', async () => {
    const film = testFilm();
    const socket = await rawSocket();
    const all = answered(socket);
    socket.write(association(film, 'STRANGER'));
    socket.write(data(storing(film), true, true));
    socket.write(data(datasetOf(film.file), false, true));
    expect((await all)[0]).toBe(3);
    expect(await holds(film.study)).toBe(false);
  });

  it.each([
    ['garbage', () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 7],
    ['a unit of four gigabytes', () => Buffer.from([1, 0, 0xff, 0xff, 0xff, 0xff]), 7],
    ['an object before an association', () => data(storing(testFilm()), true, true), 7],
    ['two associations at once', () => Buffer.concat([association(testFilm()), association(testFilm())]), 2],
    [
      'a fragment in no context',
      () => Buffer.concat([association(testFilm()), data(Buffer.alloc(10), true, true, 9)]),
      2,
    ],
    [
      'an object without a command',
      () => Buffer.concat([association(testFilm()), data(Buffer.alloc(10), false, true)]),
      2,
    ],
    ['a broken command', () => Buffer.concat([association(testFilm()), data(Buffer.alloc(11, 1), true, true)]), 2],
  ])('is hung up on: %s', async (_what, bytes, first) => {
    const socket = await rawSocket();
    const all = answered(socket);
    socket.write(bytes());
    const answer = await all;
    expect(answer[0]).toBe(first);
    // In the end it hears A-ABORT from the provider.
    expect([...answer.subarray(-10)].slice(0, 9)).toEqual([7, 0, 0, 0, 0, 4, 0, 0, 2]);
    await stillThere();
  });

  it('cannot fill the memory with fragments that hold nothing', async () => {
    const empty = Buffer.from([0, 0, 0, 2, 1, 1]);
    const unit = Buffer.concat([Buffer.from([4, 0, 0, 0, 0, 0]), ...Array.from({ length: 20_000 }, () => empty)]);
    unit.writeUInt32BE(unit.length - 6, 2);
    const socket = await rawSocket();
    const all = answered(socket);
    socket.write(association(testFilm()));
    socket.write(unit);
    // A-ABORT for what it sent, and not for its silence afterwards.
    expect([...(await all).subarray(-10)]).toEqual([7, 0, 0, 0, 0, 4, 0, 0, 2, 6]);
    await stillThere();
  });

  it('is not waited for for ever, before the association and within it', async () => {
    const impatient = receiver({ artimMs: 200, idleMs: 300 });
    const to = await impatient.start();
    const mute = await rawSocket(to);
    expect(await answered(mute)).toHaveLength(0);
    const film = testFilm();
    const sleepy = await rawSocket(to);
    const all = answered(sleepy);
    sleepy.write(association(film));
    sleepy.write(data(storing(film), true, true));
    expect([...(await all).subarray(-10)].slice(0, 6)).toEqual([7, 0, 0, 0, 0, 4]);
    await impatient.stop();
    await expect.poll(() => incoming().length).toBe(0);
  });

  it('never brings the receiver down, whatever bytes it changes', async () => {
    const film = testFilm();
    const whole = Buffer.concat([
      association(film),
      data(storing(film), true, true),
      data(datasetOf(film.file).subarray(0, 3000), false, true),
      Buffer.from([5, 0, 0, 0, 0, 4, 0, 0, 0, 0]),
    ]);
    const change = record({ at: nat(whole.length - 1), to: integer({ min: 0, max: 255 }) });
    await assert(
      asyncProperty(array(change, { minLength: 1, maxLength: 6 }), nat(whole.length), async (changes, cut) => {
        const bytes = Buffer.from(whole);
        for (const { at, to } of changes) bytes[at] = to;
        const socket = await rawSocket();
        const all = answered(socket);
        socket.end(cut % 3 === 0 ? bytes.subarray(0, cut) : bytes);
        await all;
      }),
      { numRuns: 150 },
    );
    await stillThere();
    expect(await holds(film.study)).toBe(false);
    await expect.poll(() => incoming().length).toBe(0);
  });
});
