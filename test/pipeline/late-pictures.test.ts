/** A study that grows: real archive, decoder, model and database; what is read, what is not read again, and what stands in the end. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { archiveServer } from '../../sandbox/archive/server.ts';
import { openFilmStore, type FilmStore } from '../../sandbox/archive/store.ts';
import { decoderPool } from '../../src/dicom/decoder-pool.ts';
import { dicomwebArchive } from '../../src/dicom/dicomweb-archive.ts';
import { arrangeSeries } from '../../src/dicom/volume/arrange.ts';
import type { StudyEvent } from '../../src/domain/event.ts';
import { contentHashOf } from '../../src/domain/identity.ts';
import { patientId, sopUid, studyUid, type StudyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { Chart, ModelRunner } from '../../src/domain/ports.ts';
import { loadPacks } from '../../src/inference/load-packs.ts';
import { modelRunner, type ManagedModelRunner } from '../../src/inference/model-runner.ts';
import { analyseStudy } from '../../src/pipeline/analyse-study.ts';
import { openStore, type Store, type StudyJob } from '../../src/store/open-store.ts';
import { serving } from '../events/announcements.ts';
import { packsFolder } from '../inference/fixture-pack.ts';
import { testFilm, type TestFilm } from '../support/films.ts';
import { testDatabase } from '../support/postgres.ts';

const anna = { reference: 'Practitioner/anna', display: 'Dr. A' };
const patient = patientId('patient-late');
const chart: Chart = { locate: async () => ({ patientId: patient }), probe: async () => {} };
/** A suspicion on each picture, at the level that the pack is told. */
const suspicion = (level: string) => `
  return [{ concept: 'spondylolisthesis', site: { kind: 'segment', level: '${level}' }, result: { kind: 'detected' }, measurements: [],
    summary: 'Suspected ${level}', evidence: { sopUid: output.sopUid, frame: output.frame, shapes: [] } }];`;
const outputs = { moments: { type: 'float32', shape: ['n', 2] } } as const;

let films: FilmStore;
let served: Awaited<ReturnType<typeof serving>>;
let packs: Awaited<ReturnType<typeof packsFolder>>;
let models: ManagedModelRunner;
const decoder = decoderPool({ threads: 1, logger: silentLogger });
let store: Store;
/** `pack picture`, each time a model runs. */
let runs: string[] = [];

beforeAll(async () => {
  packs = await packsFolder(
    { name: 'films', onnx: 'moments', outputs, postprocess: suspicion('L4/L5') },
    {
      name: 'slices',
      onnx: 'moments',
      outputs,
      postprocess: suspicion('L5/S1'),
      manifest: {
        selection: { modalities: ['CT'], regions: ['lumbar-spine'], views: ['lateral'], spacing: 'optional' },
      },
    },
  );
  models = modelRunner({
    packs: await loadPacks(packs.folder, silentLogger),
    processes: 1,
    threads: 1,
    provider: 'cpu',
    logger: silentLogger,
  });
  await models.ready();
});
afterAll(async () => {
  await models?.close();
  await decoder.close();
  await packs?.[Symbol.asyncDispose]();
});

let databaseUrl: string;
const open = (): Promise<Store> =>
  openStore({
    databaseUrl,
    dataDir: '',
    outputs: [],
    retry: { limit: 1, delaySeconds: 1, backoff: false },
    logger: silentLogger,
  });

beforeEach(async () => {
  films = openFilmStore();
  served = await serving(
    archiveServer({ films, root: 'http://archive', faults: { archive: null, fhir: null }, logger: silentLogger }),
  );
  databaseUrl = await testDatabase();
  store = await open();
  runs = [];
});
afterEach(async () => {
  await store.close();
  await served.close();
});

const counted = (): ModelRunner => ({
  packs: models.packs,
  run(pack, image, signal) {
    const picture = Array.isArray(image) ? image[0] : image;
    runs.push(`${pack.name} ${(picture as { sopUid: string }).sopUid}`);
    return models.run(pack, image, signal);
  },
});

/** Runs what is queued; `meanwhile` happens in the middle of the first reading. */
async function work(using = counted(), meanwhile?: () => Promise<unknown>): Promise<StudyJob[]> {
  const jobs: StudyJob[] = [];
  let once = meanwhile;
  const archive = dicomwebArchive({ baseUrl: served.url, logger: silentLogger });
  await store.workStudies(
    async (job) => {
      jobs.push(job);
      const { register, orders, readings } = store;
      const parts = {
        archive,
        arrange: arrangeSeries,
        decoder,
        chart,
        register,
        orders,
        readings,
        logger: silentLogger,
      };
      await analyseStudy(
        {
          ...parts,
          models: {
            packs: using.packs,
            async run(...call) {
              const answer = await using.run(...call);
              await once?.();
              once = undefined;
              return answer;
            },
          },
        },
        job,
      );
    },
    { concurrency: 2 },
  );
  return jobs;
}

const announce = (film: Pick<TestFilm, 'study'>, more: Partial<StudyEvent> = {}) =>
  store.register.announce({
    source: 'rest',
    studyUid: studyUid(film.study),
    reason: 'study-arrived',
    priority: 'routine',
    ...more,
  });
const keep = (film: TestFilm) => expect(films.add(film.file)).toHaveProperty('kept');
const dx: Parameters<typeof testFilm>[2] = [['00080060', 'CS', 'DX']];
const ct: Parameters<typeof testFilm>[2] = [['00080060', 'CS', 'CT']];
const standing = async (study: string) => store.readings.forStudy(study as StudyUid);
const contents = async (study: string) =>
  (await standing(study)).map(({ pack, contentHash }) => [pack.name, contentHash]).toSorted();
const hash = (...made: readonly TestFilm[]) => contentHashOf(made.map(({ sop }) => sopUid(sop)));
const soon = { interval: 20 };
async function settledWith(study: string, count: number): Promise<void> {
  await expect
    .poll(async () => {
      const record = await store.register.get(study as StudyUid);
      return [record?.state.kind, record?.instanceCount];
    }, soon)
    .toEqual(['settled', count]);
}

describe('a study that was read', () => {
  test('is not touched by announcements that count what was read, and not read again by those that count nothing', async () => {
    const film = testFilm(undefined, 'grey12', dx);
    keep(film);
    await announce(film);
    const jobs = await work();
    await settledWith(film.study, 1);
    expect(runs).toEqual([`films ${film.sop}`]);

    expect(await announce(film, { instanceCount: 1, source: 'dicomweb-poll' })).toBe('known');
    await expect.poll(async () => (await store.counts()).pending, soon).toBe(0);
    expect(jobs).toHaveLength(1);
    const before = await store.register.get(film.study as StudyUid);
    for (let echo = 0; echo < 5; echo += 1) expect(await announce(film)).toBe('known');
    await expect.poll(() => jobs.length, soon).toBe(2);
    expect(jobs[1]).toMatchObject({ reason: 'look-again', settled: true });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect([jobs.length, runs.length]).toEqual([2, 1]);
    expect(await store.register.get(film.study as StudyUid)).toEqual(before);
  });

  test('is read again when late pictures join its series, and the later reading stands', async () => {
    const first = testFilm(undefined, 'grey12', dx);
    keep(first);
    await announce(first);
    await work();
    await settledWith(first.study, 1);
    const [early] = await standing(first.study);

    const late = testFilm(first.study, 'grey12', dx);
    keep(late);
    expect(await announce(first, { instanceCount: 2 })).toBe('queued');
    await settledWith(first.study, 2);
    const [reading, ...others] = await standing(first.study);
    expect(others).toEqual([]);
    expect(reading).toMatchObject({
      contentHash: hash(first, late),
      pictures: 2,
      replaces: { reading: early!.id, pictures: 1 },
    });
    expect(await store.readings.get(early!.id)).toMatchObject({ superseded: { by: reading!.id } });
    expect((await store.readings.forPatient(patient)).map(({ id }) => id)).toEqual([reading!.id]);
  });

  test('of films is not read again when a CT series joins it: only the CT is', async () => {
    const film = testFilm(undefined, 'grey12', dx);
    keep(film);
    await announce(film);
    await work();
    await settledWith(film.study, 1);
    const slice = testFilm(film.study, 'grey12', [...ct, ['0020000E', 'UI', `${film.study}.7`]]);
    keep(slice);
    await announce(film);
    await settledWith(film.study, 2);
    expect(runs).toEqual([`films ${film.sop}`, `slices ${slice.sop}`]);
    expect(await contents(film.study)).toEqual([
      ['films', hash(film)],
      ['slices', hash(slice)],
    ]);
  });

  test('is looked at again for pictures that came while it was read', async () => {
    const film = testFilm(undefined, 'grey12', dx);
    const late = testFilm(film.study, 'grey12', dx);
    keep(film);
    await announce(film);
    const jobs = await work(counted(), async () => {
      keep(late);
      await announce(film, { source: 'hl7' });
    });
    await settledWith(film.study, 2);
    expect(jobs.map(({ reason }) => reason)).toEqual(['study-arrived', 'look-again']);
    expect(await contents(film.study)).toEqual([['films', hash(film, late)]]);
  });

  test('lets the earlier reading stand again when the late picture is taken back, without running a model', async () => {
    const film = testFilm(undefined, 'grey12', dx);
    const late = testFilm(film.study, 'grey12', dx);
    keep(film);
    await announce(film);
    await work();
    await settledWith(film.study, 1);
    const [early] = await standing(film.study);
    await store.readings.recordVerdict(early!.findings[0]!.id, { kind: 'confirmed' }, anna);
    keep(late);
    await announce(film, { instanceCount: 2 });
    await settledWith(film.study, 2);
    const ran = runs.length;

    films = openFilmStore();
    keep(film);
    await served.close();
    served = await serving(
      archiveServer({ films, root: 'http://archive', faults: { archive: null, fhir: null }, logger: silentLogger }),
      served.port,
    );
    await announce(film, { instanceCount: 1 });
    await settledWith(film.study, 1);
    expect(runs).toHaveLength(ran);
    expect(await standing(film.study)).toMatchObject([{ id: early!.id, review: { kind: 'final', by: anna } }]);
  });
});

describe('a newer version of a model', () => {
  test('leaves what an older one has read until somebody asks, and then reads it once, quietly', async () => {
    const film = testFilm(undefined, 'grey12', dx);
    keep(film);
    await announce(film);
    await work();
    await settledWith(film.study, 1);
    // A site that has installed a new model.
    await store.close();
    store = await open();

    const newer: ModelRunner = {
      packs: models.packs.map((pack) => ({ ...pack, version: '2.0.0' })),
      run: (pack, image, signal) => counted().run({ ...pack, version: '1.0.0' }, image, signal),
    };
    await work(newer);
    await announce(film);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect((await standing(film.study)).map(({ pack }) => pack.version)).toEqual(['1.0.0']);

    const query = { pack: 'films', version: '2.0.0', olderThan: '2.0.0' };
    expect(await store.studiesToReadAgain(query)).toEqual([film.study]);
    expect(await store.studiesToReadAgain({ ...query, olderThan: '1.0.0' })).toEqual([]);
    await announce(film, { source: 'backfill', reason: 're-read', priority: 'backfill', packs: ['films'] });
    // Nobody is told to wait for it.
    expect((await store.register.get(film.study as StudyUid))?.state.kind).toBe('settled');
    await expect
      .poll(async () => (await standing(film.study)).map(({ pack }) => pack.version), soon)
      .toEqual(['2.0.0']);
    expect(runs).toHaveLength(2);
    expect(await store.studiesToReadAgain(query)).toEqual([]);
    await announce(film, { source: 'backfill', reason: 're-read', priority: 'backfill', packs: ['films'] });
    await expect.poll(async () => (await store.counts()).pending, soon).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(runs).toHaveLength(2);
  });
});

describe('a study whose late pictures cannot be had', () => {
  test('keeps the reading it has, and stays settled while the archive is away', async () => {
    const film = testFilm(undefined, 'grey12', dx);
    keep(film);
    await announce(film);
    await work();
    await settledWith(film.study, 1);
    const before = await store.register.get(film.study as StudyUid);
    await served.close();
    await announce(film, { instanceCount: 2 });
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(await store.register.get(film.study as StudyUid)).toEqual(before);
    expect(await standing(film.study)).toHaveLength(1);
  });
});
