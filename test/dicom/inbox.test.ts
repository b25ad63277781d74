/** Received objects: durable and whole, or not there; once, however often they are sent. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { withElements } from '../../sandbox/dicom/part10.ts';
import { readDataset } from '../../src/dicom/dataset.ts';
import { inboxUpkeep } from '../../src/dicom/inbox-upkeep.ts';
import { datasetStart } from '../../src/dicom/part10.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { archiveContract } from '../contracts/archive.contract.ts';
import { aSender, openInbox, serveInbox, type InboxUnderTest } from '../support/inbox.ts';
import { fixture } from './fixtures.ts';

archiveContract('the inbox', async (files) => {
  const room = await openInbox();
  for (const file of files) await room.put(file);
  const server = await serveInbox(room);
  return {
    baseUrl: server.baseUrl,
    async stop() {
      await server.stop();
      await room.close();
    },
  };
});

const study = studyUid('1.2.826.0.1.3680043.10.1561.1');
const film = fixture('grey12');

describe('an inbox', () => {
  let room: InboxUnderTest;
  beforeAll(async () => {
    room = await openInbox();
  });
  afterAll(() => room.close());
  beforeEach(async () => {
    for (const name of readdirSync(room.folder))
      if (name === 'incoming' || name === 'objects') rmSync(join(room.folder, name), { recursive: true });
    await forgetAll();
  });

  /** Settles and lets go of whatever an earlier test received. */
  async function forgetAll(): Promise<void> {
    for (const { studyUid: one, instances } of await room.objects.takeQuiet(-1)) {
      await room.objects.announced(one, instances);
    }
    for (const { studyUid: one } of await room.objects.findStudies({})) {
      await room.store.register.announce({
        source: 'stow',
        studyUid: one,
        reason: 'study-arrived',
        priority: 'routine',
      });
      await room.store.register.settle(one, { kind: 'skipped', reason: 'no-image', selection: [] });
    }
    await room.objects.forgetSettled(new Date(Date.now() + 1000), 100);
    expect(await room.objects.findStudies({})).toEqual([]);
  }

  const filesIn = (folder: string): string[] =>
    existsSync(join(room.folder, folder))
      ? readdirSync(join(room.folder, folder), { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => entry.name)
      : [];

  it('keeps an object byte for byte, with what a search needs to know of it', async () => {
    const { object, state } = await room.put(film);
    expect(state).toBe('new');
    expect(Buffer.compare(readFileSync(join(room.folder, object.file)), film)).toBe(0);
    const start = datasetStart(film) as number;
    expect(object).toMatchObject({
      studyUid: study,
      bytes: film.length,
      transferSyntaxUid: '1.2.840.10008.1.2.1',
      sha256: createHash('sha256').update(film.subarray(start)).digest('hex'),
    });
    const [row] = await room.objects.find({ study });
    expect(row).toEqual({ ...object, sender: aSender });
    expect(row?.header['00100020']).toEqual({ vr: 'LO', Value: ['FIX-1'] });
    // Names are nobody's business here.
    expect(JSON.stringify(row)).not.toContain('00100010');
    expect(filesIn('incoming')).toEqual([]);
  });

  it('takes the same object again without a second copy, even twice at once', async () => {
    const kept = await Promise.all([room.put(film), room.put(film), room.put(film)]);
    expect(kept.map(({ state }) => state).sort()).toEqual(['again', 'again', 'new']);
    expect(new Set(kept.map(({ object }) => object.file)).size).toBe(1);
    expect(filesIn('objects')).toHaveLength(1);
    expect(await room.objects.findStudies({})).toMatchObject([{ instances: 1, series: 1, modalities: ['DX'] }]);
  });

  it('shows its files and folders to nobody else', async () => {
    const { object } = await room.put(film, room.with({ folder: join(room.folder, 'new') }));
    const paths = ['', 'incoming', 'objects', dirname(object.file), object.file].map((one) =>
      join(room.folder, 'new', one),
    );
    expect(paths.map((path) => (statSync(path).mode & 0o777).toString(8))).toEqual(['700', '700', '700', '700', '600']);
  });

  it('puts no picture of another patient into a study, and fills in who it is', async () => {
    const of = (patient: string, sop: string) =>
      withElements(film, [
        ['00100020', 'LO', patient],
        ['00080018', 'UI', `${study}.77.${sop}`],
      ]);
    await room.put(of('', '1'));
    await room.put(of('M-1', '2'));
    await expect(room.put(of('M-2', '3'))).rejects.toMatchObject({ code: 'inbox.other-patient' });
    await room.put(of('M-1', '4'));
    expect(await room.objects.find({ study })).toHaveLength(3);
    expect(filesIn('objects')).toHaveLength(3);
    expect(await room.objects.findStudies({ patientId: 'M-1' })).toMatchObject([{ instances: 3 }]);
  });

  it('knows an object again that comes without its file meta information', async () => {
    await room.put(film);
    const { sopUid, sopClassUid, transferSyntaxUid } = (await room.objects.find({ study }))[0]!;
    const object = await room.inbox.receive(
      { road: 'dimse', name: 'CT1' },
      { dataset: { sopUid, sopClassUid, transferSyntaxUid } },
    );
    await object.write(film.subarray(datasetStart(film) as number));
    expect(await object.keep()).toMatchObject({ state: 'again' });
  });

  it('knows an object again whose sequences another program has written anew', async () => {
    // dcmjs writes sequences with lengths; the demo film has them without.
    const demo = new Uint8Array(readFileSync(new URL('../../sandbox/films/normal.dcm', import.meta.url)));
    const rewritten = withElements(demo, []);
    const datasets = [demo, rewritten].map((file) => Buffer.from(file.subarray(datasetStart(file) as number)));
    expect(Buffer.compare(datasets[0]!, datasets[1]!)).not.toBe(0);
    await room.put(demo);
    expect(await room.put(rewritten)).toMatchObject({ state: 'again' });
    const brighter = withElements(demo, [['00281050', 'DS', '1234']]);
    await expect(room.put(brighter)).rejects.toMatchObject({ code: 'inbox.conflict' });
    const damaged = demo.slice();
    damaged[demo.length - 5000]! ^= 0xff;
    await expect(room.put(damaged)).rejects.toMatchObject({ code: 'inbox.conflict' });
  });

  it('writes file meta information in front of a bare dataset', async () => {
    const dataset = readDataset(film);
    const object = await room.inbox.receive(
      { road: 'dimse', name: 'CT1' },
      {
        dataset: {
          sopUid: dataset.text('SOPInstanceUID')!,
          sopClassUid: dataset.text('SOPClassUID')!,
          transferSyntaxUid: dataset.transferSyntaxUid,
        },
      },
    );
    await object.write(film.subarray(datasetStart(film) as number));
    const { object: kept } = await object.keep();
    const file = new Uint8Array(readFileSync(join(room.folder, kept.file)));
    expect(readDataset(file).transferSyntaxUid).toBe('1.2.840.10008.1.2.1');
    expect(
      Buffer.compare(file.subarray(datasetStart(file) as number), film.subarray(datasetStart(film) as number)),
    ).toBe(0);
  });

  it('keeps the first of two objects under one UID and refuses the other', async () => {
    const first = await room.put(film);
    const changed = withElements(film, [['0008103E', 'LO', 'another description']]);
    await expect(room.put(changed)).rejects.toMatchObject({ code: 'inbox.conflict' });
    expect(filesIn('objects')).toHaveLength(1);
    expect(Buffer.compare(readFileSync(join(room.folder, first.object.file)), film)).toBe(0);
    const elsewhere = withElements(film, [['0020000D', 'UI', '1.2.3.99']]);
    await expect(room.put(elsewhere)).rejects.toMatchObject({ code: 'inbox.conflict' });
    expect(await room.objects.holds(studyUid('1.2.3.99'))).toBe(false);
  });

  it('brings a file back that went missing when its object is sent again', async () => {
    const { object } = await room.put(film);
    rmSync(join(room.folder, object.file));
    expect(await room.put(film)).toMatchObject({ state: 'again' });
    expect(Buffer.compare(readFileSync(join(room.folder, object.file)), film)).toBe(0);
  });

  it('refuses what is not DICOM, cut off, without UIDs, or not what was announced, and leaves nothing of it', async () => {
    const cases: [string, Uint8Array, string][] = [
      ['text', Buffer.from('not DICOM at all'.repeat(100)), 'dicom.not-a-dicom-file'],
      ['nothing', new Uint8Array(), 'dicom.not-a-dicom-file'],
      ['half the pixels', film.subarray(0, film.length - 1000), 'dicom.truncated'],
      ['half a header', film.subarray(0, 400), 'dicom.truncated'],
      ['no dataset before', film.subarray(datasetStart(film) as number), 'dicom.not-a-dicom-file'],
      ['no study', withElements(film, [['0020000D', 'UI', '']]), 'dicom.not-a-dicom-file'],
    ];
    for (const [what, file, code] of cases) {
      const refusal = await room.put(file).catch((error: unknown) => error);
      expect({ what, refusal }).toMatchObject({ what, refusal: { code } });
    }

    const wrong = await room.inbox.receive(
      { road: 'dimse', name: 'CT1' },
      {
        dataset: {
          sopUid: '1.2.3',
          sopClassUid: '1.2.840.10008.5.1.4.1.1.1',
          transferSyntaxUid: '1.2.840.10008.1.2.1',
        },
      },
    );
    await wrong.write(film.subarray(datasetStart(film) as number));
    await expect(wrong.keep()).rejects.toMatchObject({ code: 'inbox.other-object' });
    const other = await room.inbox.receive(aSender, { expectedStudy: studyUid('1.2.3') });
    await other.write(film);
    await expect(other.keep()).rejects.toMatchObject({ code: 'inbox.other-object' });

    expect([...filesIn('incoming'), ...filesIn('objects')]).toEqual([]);
    expect(await room.objects.findStudies({})).toEqual([]);
  });

  it('has limits for an object, a study and the disk', async () => {
    await expect(room.put(film, room.with({ maxInstanceBytes: 3000 }))).rejects.toMatchObject({
      code: 'dicom.too-large',
    });
    await expect(room.put(film, room.with({ keepFreeBytes: 2 ** 60 }))).rejects.toMatchObject({ code: 'inbox.full' });
    const small = room.with({ maxStudyBytes: film.length });
    await room.put(film, small);
    await expect(room.put(fixture('signed12-overlay'), small)).rejects.toMatchObject({ code: 'inbox.study-too-large' });
    expect(filesIn('objects')).toHaveLength(1);
    expect(await room.objects.findStudies({})).toMatchObject([{ instances: 1 }]);
  });

  it('lends out a quiet study once, and again when more has come', async () => {
    await room.put(film);
    expect(await room.objects.takeQuiet(60)).toEqual([]);
    const quiet = { studyUid: study, accession: 'ACC-1', road: 'stow', instances: 1 };
    expect(await room.objects.takeQuiet(0)).toEqual([quiet]);
    // Lent out: nobody else announces it meanwhile.
    expect(await room.objects.takeQuiet(0)).toEqual([]);
    await room.put(fixture('signed12-overlay'));
    await room.objects.announced(study, 1);
    expect(await room.objects.takeQuiet(0)).toEqual([{ ...quiet, instances: 2 }]);
    await room.objects.announced(study, 2);
    await room.put(film);
    expect(await room.objects.takeQuiet(0)).toEqual([]);
  });

  it('does not lend out a study whose sender goes on sending', async () => {
    await room.put(film);
    const quietForAnHour = () =>
      room.inDatabase(`update wetread.received_study set last_received_at = now() - interval '1 hour'`);
    await quietForAnHour();
    await room.inbox.stillComing([study]);
    expect(await room.objects.takeQuiet(600)).toEqual([]);
    await quietForAnHour();
    expect(await room.objects.takeQuiet(600)).toMatchObject([{ studyUid: study }]);
    await room.objects.announced(study, 1);
  });

  it('sweeps what a crash left, and nothing that is kept or on its way', async () => {
    const { object } = await room.put(film);
    mkdirSync(join(room.folder, 'objects/1.2.3'), { recursive: true });
    const old = ['incoming/crashed.part', 'objects/1.2.3/1.2.3.4.abcd1234.dcm', object.file];
    const young = ['incoming/under-way.part', 'objects/1.2.3/1.2.3.5.abcd1234.dcm'];
    for (const file of [...old, ...young].filter((one) => one !== object.file))
      writeFileSync(join(room.folder, file), 'half');
    for (const file of old) utimesSync(join(room.folder, file), new Date(0), new Date(0));

    const upkeep = inboxUpkeep({ ...room, keepDays: 1, logger: silentLogger });
    expect(await upkeep.sweep()).toBe(2);
    expect(filesIn('incoming')).toEqual(['under-way.part']);
    expect(filesIn('objects').sort()).toEqual(['1.2.3.5.abcd1234.dcm', object.file.split('/').at(-1)].sort());
  });

  it('lets go of pictures of studies settled long ago, of no others', async () => {
    const { object } = await room.put(film);
    const inDays = (days: number) => new Date(Date.now() + days * 24 * 3600_000);
    const upkeep = (days: number, keepDays = 30) =>
      inboxUpkeep({ ...room, keepDays, logger: silentLogger, now: () => inDays(days) });
    expect(await upkeep(100).letGo()).toBe(0);
    await room.store.register.announce({
      source: 'stow',
      studyUid: study,
      reason: 'study-arrived',
      priority: 'routine',
    });
    for (const quiet of await room.objects.takeQuiet(0)) await room.objects.announced(quiet.studyUid, quiet.instances);
    await room.store.register.settle(study, { kind: 'skipped', reason: 'no-image', selection: [] });
    expect(await upkeep(29).letGo()).toBe(0);
    expect(await upkeep(31, 0).letGo()).toBe(0);
    expect(existsSync(join(room.folder, object.file))).toBe(true);
    expect(await upkeep(31).letGo()).toBe(1);
    expect(filesIn('objects')).toEqual([]);
    expect(await room.objects.holds(study)).toBe(false);
  });
});
