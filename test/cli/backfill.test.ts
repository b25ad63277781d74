/** `wetread backfill` and `wetread studies re-read` as an operator runs them: processes that are stopped, killed, and started again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { archiveServer } from '../../sandbox/archive/server.ts';
import { openFilmStore } from '../../sandbox/archive/store.ts';
import { progressShown } from '../../src/cli/backfill.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { serving } from '../events/announcements.ts';
import { packsFolder } from '../inference/fixture-pack.ts';
import { arrived, reading, study } from '../store/samples.ts';
import { testFilm } from '../support/films.ts';
import { testDatabase } from '../support/postgres.ts';
import { endWetread, startWetread, wetread } from '../support/wetread.ts';

const days = 30;
const uids: string[] = [];
let served: Awaited<ReturnType<typeof serving>>;
let folder: string;
let databaseUrl: string;
let store: Store;

beforeAll(async () => {
  const films = openFilmStore();
  for (let day = 1; day <= days; day += 1) {
    const film = testFilm(undefined, 'grey12', [
      ['00080020', 'DA', `202604${String(day).padStart(2, '0')}`],
      ['00080060', 'CS', day % 3 === 0 ? 'CT' : 'DX'],
    ]);
    films.add(film.file);
    uids.push(film.study);
  }
  served = await serving(
    archiveServer({ films, root: 'http://archive', faults: { archive: null, fhir: null }, logger: silentLogger }),
  );
  folder = mkdtempSync(join(tmpdir(), 'wetread-backfill-'));
});
afterAll(async () => {
  await served.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  databaseUrl = await testDatabase();
  store = await openStore({ databaseUrl, dataDir: '', outputs: [], logger: silentLogger });
});
afterEach(async () => {
  endWetread();
  await store.close();
});

const env = () => ({ DATABASE_URL: databaseUrl, WETREAD_DATA_DIR: folder, WETREAD_DICOMWEB_URL: served.url });
const args = (...more: string[]) => ['backfill', '--from', '2026-04-01', '--to', '2026-04-30', ...more];
const known = async () =>
  (await Promise.all(uids.map((uid) => store.register.get(studyUid(uid))))).filter((record) => record !== undefined)
    .length;

describe('progress off a terminal', () => {
  test('is a line for every twentieth of the days, however many there are', () => {
    const lines: string[] = [];
    const stderr = { write: (text: string) => lines.push(text) > 0 } as unknown as NodeJS.WriteStream;
    const { progress } = progressShown({ stderr }, false);
    for (let daysDone = 0; daysDone <= 3650; daysDone += 1)
      progress({ day: `day ${daysDone}`, days: 3650, daysDone, found: daysDone, queued: 0, known: 0 });
    expect(lines.length).toBeGreaterThanOrEqual(20);
    expect(lines.length).toBeLessThanOrEqual(21);
    expect(lines[0]).toBe('day 0  3650 of 3650 days left, 0 found, 0 queued, 0 known\n');
  });
});

describe('wetread backfill', () => {
  test('goes on where Ctrl+C and kill -9 have stopped it, until every study of its days is queued once', async () => {
    // So slow that it is far from its end when it is stopped, however late this process notices.
    const first = startWetread(args('--rate', '2/s'), env());
    await expect.poll(known).toBeGreaterThanOrEqual(5);
    process.kill(first.pid, 'SIGINT');
    const stopped = await first.ended;
    expect(stopped.code).toBe(130);
    expect(stopped.out).toMatch(/Stopped at 2026-04-\d\d; the same command goes on from there\./);
    expect(stopped.err).toMatch(/^2026-04-01 {2}30 of 30 days left, 0 found, 0 queued, 0 known$/m);
    const after = await known();
    expect(after).toBeLessThan(days);

    const second = startWetread(args('--rate', '2/s'), env());
    await expect.poll(known).toBeGreaterThanOrEqual(after + 5);
    process.kill(second.pid, 'SIGKILL');
    expect((await second.ended).code).toBe('SIGKILL');

    const { code, out } = await wetread(args('--rate', '1000/s', '--json'), env());
    expect([code, JSON.parse(out)]).toMatchObject([0, { done: true, day: '2026-04-30' }]);
    // It did not begin at the beginning.
    expect((JSON.parse(out) as { found: number }).found).toBeLessThanOrEqual(days - 9);
    expect(await known()).toBe(days);
    expect((await store.counts()).pending).toBe(days);
    expect((await wetread(args(), env())).out).toBe('0 studies found, 0 queued, 0 known. Done until 2026-04-30.\n');
  });

  test('asks for the modalities it is told, and can only look', async () => {
    const dry = await wetread(args('--modality', 'ct', '--dry-run'), env());
    expect([dry.code, dry.out]).toEqual([
      0,
      '10 studies found, 10 would be queued, 0 known in 30 days. Nothing was queued.\n',
    ]);
    expect(await known()).toBe(0);
  });

  test('tells what is wrong with the call', async () => {
    for (const [given, why] of [
      [['backfill'], 'say --from'],
      [['backfill', '--from', '2026-02-30'], '"2026-02-30" is no day'],
      [args('--rate', 'fast'), '"fast" is no rate'],
      [args('--modality', 'D X'), 'is no modality'],
      [['backfill', '--from', '2026-02-02', '--to', '2026-02-01'], 'lies before'],
    ] as const) {
      const { code, err } = await wetread(given, env());
      expect([code, err.includes(why)]).toEqual([2, true]);
    }
  });
});

describe('wetread studies re-read', () => {
  test('queues what a model has not read in its installed version, behind all other work', async () => {
    const packs = await packsFolder({
      name: 'lumbar',
      onnx: 'same',
      outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } },
      manifest: { version: '1.1.0' },
    });
    try {
      const [old, never, fresh] = [study(1), study(2), study(3)];
      for (const uid of [old, never, fresh]) await store.register.announce(arrived(uid));
      await store.readings.save(reading(old));
      const { pack } = reading(fresh);
      await store.readings.save(reading(fresh, [], { pack: { ...pack, version: '1.1.0' } }));
      for (const uid of [old, never, fresh])
        await store.register.settle(uid, { kind: 'analysed', readings: [], selection: [], packFailures: [] });
      const studies = (...more: string[]) =>
        wetread(['studies', 're-read', ...more], { ...env(), WETREAD_MODELS_DIR: packs.folder });

      expect((await studies('--pack', 'lumbar', '--dry-run')).out).toBe('2 would be read again by lumbar 1.1.0\n');
      expect((await studies('--pack', 'lumbar', '--older-than', '1.1.0', '--json')).out).toBe(
        `${JSON.stringify({ reRead: [old] })}\n`,
      );
      const unknown = await studies('--pack', 'nobody');
      expect([unknown.code, unknown.err]).toEqual([2, expect.stringContaining('no model "nobody" here, but lumbar')]);
      expect((await studies(fresh)).out).toBe('1 queued to be read again\n');
      expect((await store.register.get(fresh))?.state.kind).toBe('pending');
      expect((await studies('2.25.404')).code).toBe(2);
    } finally {
      await packs[Symbol.asyncDispose]();
    }
  });
});
