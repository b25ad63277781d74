/**
 * 10,000 announcements of 1,000 studies over four roads at once, while workers are killed at random: 1,000 reads.
 * The service, its workers, the hospital and PostgreSQL are processes of their own, as in a site; `STORM_STUDIES` makes it smaller.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mllpClient } from '../../src/hl7/mllp-client.ts';
import { oru } from '../events/hl7-messages.ts';
import { packsFolder } from '../inference/fixture-pack.ts';
import { child, endChildren, type Child } from '../support/child.ts';
import { freePort } from '../support/free-port.ts';
import { testDatabase } from '../support/postgres.ts';
import { endWetread, startWetread, type Running } from '../support/wetread.ts';
import { accessionOf, studyUidOf, type StormCounts } from './storm-hospital.ts';

const studies = Number(process.env['STORM_STUDIES'] ?? 1000);
/** Over REST, FHIR and HL7 each; the poll adds one for each study. */
const perRoad = 3 * studies;
const workersAtOnce = 2;
const topic = 'http://storm.example/topics/imaging-study';

let folder: string;
let packs: Awaited<ReturnType<typeof packsFolder>>;
let hospital: Child;
let databaseUrl: string;
let hospitalUrl: string;
let env: NodeJS.ProcessEnv;
let port: number;
let hl7Port: number;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'wetread-storm-'));
  packs = await packsFolder({
    name: 'tiny',
    onnx: 'moments',
    outputs: { moments: { type: 'float32', shape: ['n', 2] } },
    postprocess: `
      const [sum] = output.outputs.moments.data;
      return [{ concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'not-detected' }, measurements: [],
        summary: 'The sum is ' + sum.toFixed(3) }];`,
  });
  databaseUrl = await testDatabase();
  hospital = child(join(import.meta.dirname, 'storm-hospital.ts'), [JSON.stringify({ studies })]);
  hospitalUrl = (await hospital.line(/^open/)).slice('open '.length);
  [port, hl7Port] = [await freePort(), await freePort()];
  env = {
    DATABASE_URL: databaseUrl,
    WETREAD_PORT: String(port),
    WETREAD_DATA_DIR: folder,
    WETREAD_MODELS_DIR: packs.folder,
    WETREAD_DICOMWEB_URL: `${hospitalUrl}/dicom-web`,
    WETREAD_FHIR_URL: `${hospitalUrl}/fhir`,
    WETREAD_SUBSCRIPTION_TOPIC: topic,
    WETREAD_HL7_PORT: String(hl7Port),
    WETREAD_POLL_SECONDS: '1',
    WETREAD_EVENT_SECRET: 'a-secret-for-the-storm',
    WETREAD_INFERENCE_THREADS: '1',
    WETREAD_STUDIES_AT_ONCE: '4',
    WETREAD_LOG_LEVEL: 'warn',
    WETREAD_RETRY_SECONDS: '1',
  };
});
afterAll(async () => {
  endWetread();
  await endChildren();
  await packs?.[Symbol.asyncDispose]();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

/** Numbers of studies, each `times` times, in an order that a failure can be repeated with. */
function shuffled(times: number, seed: number): number[] {
  const random = seeded(seed);
  const all = Array.from({ length: times * studies }, (_, index) => 1 + (index % studies));
  for (let at = all.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    [all[at], all[other]] = [all[other]!, all[at]!];
  }
  return all;
}

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Several senders share the work; each sends its next when the last was taken, as hospitals' systems do. */
async function inLanes(numbers: readonly number[], lanes: number, send: (number: number, at: number) => Promise<void>) {
  let next = 0;
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      for (let at = next; at < numbers.length; at = next) {
        next += 1;
        await send(numbers[at]!, at);
      }
    }),
  );
}

const overRest = () =>
  inLanes(shuffled(3, 1), 4, async (number) => {
    const response = await fetch(`http://127.0.0.1:${port}/events/study`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer a-secret-for-the-storm' },
      // Integration engines often do not count; some of these do.
      body: JSON.stringify({
        studyUid: studyUidOf(number),
        ...(number % 2 === 0 ? { accession: accessionOf(number) } : {}),
      }),
    });
    expect(response.status).toBe(202);
  });

const overFhir = () => {
  const secret = readFileSync(join(folder, 'secrets', 'subscription'), 'utf8').trim();
  return inLanes(shuffled(3, 2), 2, async (number, at) => {
    const response = await fetch(`http://127.0.0.1:${port}/events/fhir`, {
      method: 'POST',
      headers: { 'content-type': 'application/fhir+json', authorization: `Bearer ${secret}` },
      body: JSON.stringify({
        resourceType: 'Bundle',
        type: 'history',
        entry: [
          {
            resource: {
              resourceType: 'Parameters',
              parameter: [
                { name: 'type', valueCode: 'event-notification' },
                { name: 'topic', valueCanonical: topic },
                { name: 'events-since-subscription-start', valueString: String(at + 1) },
                {
                  name: 'notification-event',
                  part: [
                    { name: 'event-number', valueString: String(at + 1) },
                    { name: 'focus', valueReference: { reference: `ImagingStudy/study-${number}` } },
                  ],
                },
              ],
            },
          },
        ],
      }),
    });
    expect([response.status, await response.text()]).toEqual([200, '']);
  });
};

async function overHl7(): Promise<void> {
  const lanes = await Promise.all([0, 1].map(() => mllpClient({ host: '127.0.0.1', port: hl7Port })));
  await inLanes(shuffled(3, 3), lanes.length, async (number, at) => {
    const message = oru({ accession: accessionOf(number), studyUid: studyUidOf(number), id: `S${at}` });
    const answer = await lanes[at % lanes.length]!.send(message);
    expect(answer.toString()).toContain('MSA|AA');
  });
  for (const lane of lanes) lane.close();
}

async function sql<Row extends object>(text: string): Promise<Row[]> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

type Standing = { readonly known: number; readonly settled: number; readonly owed: number; readonly living: number };
const standing = async (): Promise<Standing> =>
  (
    await sql<Standing>(
      `select count(*)::int as known, count(*) filter (where state = 'settled')::int as settled,
         (select count(*)::int from wetread.owed_output) as owed,
         (select count(*)::int from wetread_jobs.job where state < 'completed' and name in ('read-study', 'write-output')) as living
       from wetread.study`,
    )
  )[0]!;

/** Kills a worker every few seconds and starts another in its place, until told to stop. Returns how many died. */
async function killing(stop: AbortSignal): Promise<number> {
  const random = seeded(20_261_121);
  const start = async (): Promise<Running> => {
    const worker = startWetread(['worker', '--json'], env);
    await worker.says(/"ready":true/);
    return worker;
  };
  const crew = await Promise.all(Array.from({ length: workersAtOnce }, start));
  let deaths = 0;
  while (!stop.aborted) {
    await wait(2_000 + random() * 5_000, undefined, { signal: stop }).catch(() => undefined);
    if (stop.aborted) break;
    const victim = Math.floor(random() * crew.length);
    process.kill(crew[victim]!.pid, 'SIGKILL');
    await crew[victim]!.ended;
    deaths += 1;
    crew[victim] = await start();
  }
  for (const { pid } of crew) process.kill(pid, 'SIGTERM');
  await Promise.all(crew.map(({ ended }) => ended));
  return deaths;
}

describe('a storm of announcements', () => {
  test(
    `over four roads at once ends with exactly one reading and one report for each of ${studies} studies`,
    { timeout: 900_000 },
    async () => {
      const web = startWetread(['serve', '--web-only', '--json'], env);
      await web.says(/"ready":true/);
      const began = performance.now();
      const calm = new AbortController();
      const killed = killing(calm.signal);
      await Promise.all([overRest(), overFhir(), overHl7()]).catch(async (error: unknown) => {
        process.kill(web.pid, 'SIGTERM');
        throw new Error(`the web side said:\n${(await web.ended).err.slice(0, 4000)}`, { cause: error });
      });
      const announced = performance.now();
      for (;;) {
        const { known, settled, owed, living } = await standing();
        if (known === studies && settled === studies && owed === 0 && living === 0) break;
        await wait(250);
      }
      const seconds = (from: number) => ((performance.now() - from) / 1000).toFixed(1);
      const calmAfter = seconds(began);
      calm.abort();
      const deaths = await killed;
      console.info(
        `${3 * perRoad + studies} announcements in ${((announced - began) / 1000).toFixed(1)} s; all quiet after ${calmAfter} s and ${deaths} deaths`,
      );

      expect(
        await sql(
          `select coalesce(outcome ->> 'code', outcome ->> 'kind') as outcome, count(*)::int from wetread.study group by 1`,
        ),
      ).toEqual([{ outcome: 'analysed', count: studies }]);
      expect(
        await sql('select count(*)::int as readings, count(distinct study_uid)::int as studies from wetread.reading'),
      ).toEqual([{ readings: studies, studies }]);
      const written = (await (await fetch(`${hospitalUrl}/counts`)).json()) as StormCounts;
      expect(written).toMatchObject({
        reports: studies,
        removed: 0,
        made: { DiagnosticReport: studies, Observation: studies, Provenance: studies, Device: 1 },
      });
      expect(written.changed).not.toHaveProperty('DiagnosticReport');
      // Otherwise nothing was shown; a small storm on a fast machine is over before anybody dies.
      const [{ interruptions } = { interruptions: 0 }] = await sql<{ interruptions: number }>(
        'select sum(interruptions)::int as interruptions from wetread.study',
      );
      expect(Math.min(deaths, interruptions)).toBeGreaterThanOrEqual(studies >= 1000 ? 1 : 0);
      process.kill(web.pid, 'SIGTERM');
      expect((await web.ended).code).toBe(0);
    },
  );
});
