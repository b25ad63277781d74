/** A service in small, run as a process of its own so that tests can kill it: reads studies slowly, writes their reports to a table. */
import { silentLogger } from '../../src/domain/log.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { openStore } from '../../src/store/open-store.ts';
import { arrived, reading } from './samples.ts';

const { databaseUrl, dataDir, announce, readMs } = JSON.parse(process.argv[2] ?? '{}') as {
  databaseUrl?: string;
  dataDir?: string;
  announce: string[];
  readMs: number;
};
const say = (...words: readonly unknown[]) => console.log(words.join(' '));
const pause = () => new Promise((resolve) => setTimeout(resolve, readMs));

try {
  const store = await openStore({
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    dataDir: dataDir ?? '',
    outputs: ['fhir'],
    retry: { limit: 3, delaySeconds: 1, backoff: true },
    logger: silentLogger,
  });
  say('open');
  for (const uid of announce) await store.register.announce(arrived(studyUid(uid)));

  await store.workStudies(
    async ({ studyUid, attempt }) => {
      await store.register.begin(studyUid, attempt);
      say('begin', studyUid, attempt);
      await pause();
      const saved = await store.readings.save(reading(studyUid));
      say('saved', studyUid);
      await pause();
      await store.register.settle(studyUid, {
        kind: 'analysed',
        readings: [saved.id],
        selection: [],
        packFailures: [],
      });
      say('settled', studyUid);
    },
    { concurrency: 2 },
  );
  await store.workOutputs(
    async ({ readingId }) => {
      await pause();
      say('written', readingId);
    },
    { concurrency: 2 },
  );

  process.on('SIGTERM', () => void store.close().then(() => process.exit(0)));
  setInterval(() => {
    Promise.all([store.counts(), store.register.forPatient(arrived(studyUid('1.2')).patientId!)]).then(
      ([{ pending, reading: read, owedOutputs }, studies]) =>
        say('counts', pending + read + owedOutputs, studies.filter(({ state }) => state.kind === 'settled').length),
      () => say('counts unknown'),
    );
  }, 100);
} catch (error) {
  say('refused', (error as { code?: string }).code, (error as Error).message);
  process.exit(1);
}
