/** Bad days: damaged films, wrong views, an archive or a chart that fails, a model that is killed. Each ends in a clear state; nothing is lost, nothing doubled. */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { packsCalled } from '../support/packs.ts';
import { eventually, openWorld, type World } from './world.ts';

describe('a bad day', () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld({ WETREAD_MODELS_DIR: packsCalled('lumbar-landmarks') });
    await world.startService();
  });
  afterEach(() => world.faults({ archive: null, fhir: null }));
  afterAll(() => world.close());

  const cardSaying = (patient: string, words: RegExp) =>
    eventually(async () =>
      (await world.cards(patient)).find(({ summary, detail }) => words.test(`${summary} ${detail}`)),
    );
  const reported = (film: Parameters<World['reportsOf']>[0]) =>
    eventually(async () => {
      const reports = await world.reportsOf(film);
      return reports.length > 0 && reports;
    });

  test('a damaged film is said not to have been read, and nothing is reported', async () => {
    const film = await world.arrive('patient-brandt', 'corrupt');
    const card = await cardSaying('patient-brandt', /damaged/i);
    expect(card.summary).toMatch(/not read/i);
    expect(await world.reportsOf(film)).toEqual([]);
  });

  test('a film in a compression that nobody knows is said not to have been read', async () => {
    const film = await world.arrive('patient-brandt', 'unknown-syntax');
    await cardSaying('patient-brandt', /compressed in a way/i);
    expect(await world.reportsOf(film)).toEqual([]);
    expect(world.log()).toContain('dicom.unknown-transfer-syntax');
  });

  test('a front view under a lateral header is refused, not called normal', async () => {
    const film = await world.arrive('patient-castellano', 'wrong-view');
    const card = await cardSaying('patient-castellano', /not read/i);
    expect(card.indicator).toBe('info');
    const [report] = await reported(film);
    expect(report!.conclusion).toMatch(/not read|not assess/i);
    expect(report!.conclusion).not.toMatch(/no slip|normal/i);
  });

  test('an archive that is down while the film is announced is waited for', async () => {
    await world.faults({ archive: 'down' });
    const film = await world.arrive('patient-haddad', 'normal');
    await eventually(async () => /archive\.unreachable/.test(world.log()));
    expect((await world.cards('patient-haddad')).map(({ summary }) => summary).join()).toMatch(
      /being read|waiting|tried again/i,
    );
    await world.faults({ archive: null });
    expect(await reported(film)).toHaveLength(1);
  });

  test('a film whose transfer is cut off is fetched again and never read in part', async () => {
    await world.faults({ archive: 'truncate' });
    const film = await world.arrive('patient-lindqvist', 'l4-l5-grade-1');
    await eventually(async () => /archive\.incomplete/.test(world.log()));
    expect(await world.reportsOf(film)).toEqual([]);
    await world.faults({ archive: null });
    expect(await reported(film)).toHaveLength(1);
  });

  test('a chart that refuses for a while gets its report later, once', async () => {
    const before = world.log().length;
    // Nothing is read, and so nothing reported, until the chart refuses.
    const models = modelProcessesOf(world.servicePid);
    for (const model of models) process.kill(model, 'SIGSTOP');
    const film = await world.arrive('patient-okafor', 'l4-l5-grade-1');
    await eventually(async () => /images loaded/.test(world.log().slice(before)));
    await world.faults({ fhir: 'refuse' });
    for (const model of models) process.kill(model, 'SIGCONT');
    await eventually(async () => /chart\.refused/.test(world.log().slice(before)));
    await world.faults({ fhir: null });
    await reported(film);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(await world.reportsOf(film)).toHaveLength(1);
  });

  test('a model process that is killed in mid-run is replaced, and the film is read', async () => {
    const before = world.log().length;
    const models = modelProcessesOf(world.servicePid);
    expect(models.length).toBeGreaterThan(0);
    // Stopped, it cannot be done before it is killed.
    for (const model of models) process.kill(model, 'SIGSTOP');
    const film = await world.arrive('patient-tanabe', 'l5-s1-grade-2');
    await eventually(async () => /images loaded/.test(world.log().slice(before)));
    for (const model of models) process.kill(model, 'SIGKILL');
    expect(await reported(film)).toHaveLength(1);
    const replaced = modelProcessesOf(world.servicePid);
    expect(replaced.length).toBeGreaterThan(0);
    expect(replaced.filter((pid) => models.includes(pid))).toEqual([]);
  });

  test('the same study announced over three roads, many times, is read once', async () => {
    const film = await world.arrive('patient-whitfield', 'normal');
    const secret = readFileSync(`${world.dataDir}/secrets/events`, 'utf8').trim();
    const calls = Array.from({ length: 20 }, () =>
      fetch(`${world.serviceUrl}/events/study`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ studyUid: film.studyUid }),
      }),
    );
    const statuses = (await Promise.all(calls)).map(({ status }) => status);
    expect(statuses.every((status) => status >= 200 && status < 300)).toBe(true);
    await reported(film);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(await world.reportsOf(film)).toHaveLength(1);
    const { readings } = {
      readings: world
        .log()
        .split('\n')
        .filter((line) => line.includes('"study read"')).length,
    };
    // One per film of this file that could be read: the damaged one never was.
    expect(readings).toBe(6);
  });

  test('SIGTERM ends the service cleanly and leaves no process behind', async () => {
    const children = childrenOf(world.servicePid);
    expect(children.length).toBeGreaterThan(0);
    expect(await world.endService('SIGTERM')).toBe(0);
    await eventually(async () => children.every((pid) => !isAlive(pid)));
  });
});

const readStatus = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8') + readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
};
const childrenOf = (parent: number): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => new RegExp(String.raw`\) [^ZX] ${parent} `).test(readStatus(pid)))
    .map(Number);
const modelProcessesOf = (service: number): number[] =>
  childrenOf(service).filter((pid) => readStatus(String(pid)).includes('model-process'));
const isAlive = (pid: number): boolean => readStatus(String(pid)) !== '' && !readStatus(String(pid)).includes(') Z ');
