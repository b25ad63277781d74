/** A film ordered through a worklist: the service claims the workitem, reads the film, reports, and says that it is done. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonDataset } from '../../sandbox/dicom/part10.ts';
import { packsCalled } from '../support/packs.ts';
import { eventually, openWorld, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  // No other road: without the worklist nobody would hear of the film.
  world = await openWorld({
    WETREAD_MODELS_DIR: packsCalled('lumbar-landmarks'),
    WETREAD_SUBSCRIPTION_TOPIC: '',
    WETREAD_POLL_SECONDS: '0',
    WETREAD_UPS_STATION: 'WETREAD^99HOSP',
    WETREAD_UPS_POLL_SECONDS: '1',
  });
  await world.startService();
});
afterAll(() => world?.close());

const codes = (value: string) => ({
  vr: 'SQ',
  Value: [{ '00080100': { vr: 'SH', Value: [value] }, '00080102': { vr: 'SH', Value: ['99HOSP'] } }],
});
const workitems = () => `${world.hospitalUrl}/dicom-web/workitems`;
async function schedule(uid: string, study: string): Promise<void> {
  const dataset = {
    '00404021': { vr: 'SQ', Value: [{ '0020000D': { vr: 'UI', Value: [study] } }] },
    '00404025': codes('WETREAD'),
    '00404041': { vr: 'CS', Value: ['READY'] },
    '00741000': { vr: 'CS', Value: ['SCHEDULED'] },
    '00741200': { vr: 'CS', Value: ['HIGH'] },
    '00741204': { vr: 'LO', Value: ['Lumbar spine, AI reading'] },
  };
  const made = await fetch(`${workitems()}?${uid}`, {
    method: 'POST',
    headers: { 'content-type': 'application/dicom+json' },
    body: JSON.stringify([dataset]),
  });
  expect(made.status).toBe(201);
}
async function workitem(uid: string): Promise<JsonDataset> {
  const [found] = (await (await fetch(`${workitems()}/${uid}`)).json()) as [JsonDataset];
  return found;
}
const ended = (uid: string, state: string) =>
  eventually(async () => {
    const found = await workitem(uid);
    return found['00741000']?.Value?.[0] === state && found;
  });

test('a scheduled workitem ends with a report in the chart', async () => {
  const patients = await world.ehr<{ id: string }[]>('patients');
  const film = await world.arrive(patients[0]!.id, 'l4-l5-grade-1');
  await schedule('2.25.501', film.studyUid);
  const done = await ended('2.25.501', 'COMPLETED');
  const performed = done['00741216']?.Value?.[0] as JsonDataset;
  expect(performed['00400280']?.Value?.[0]).toMatch(/^readings: [0-9a-f-]{36}/);
  expect(await eventually(async () => (await world.reportsOf(film))[0])).toMatchObject({
    resourceType: 'DiagnosticReport',
  });
});

test('a workitem whose film cannot be read is given up, with the code', async () => {
  const patients = await world.ehr<{ id: string }[]>('patients');
  const film = await world.arrive(patients[1]!.id, 'unknown-syntax');
  await schedule('2.25.502', film.studyUid);
  const given = await ended('2.25.502', 'CANCELED');
  const progress = given['00741002']?.Value?.[0] as JsonDataset;
  expect(progress['00741238']?.Value).toEqual(['not read: dicom.unknown-transfer-syntax']);
});

test('a claim outlives the service that made it', async () => {
  const patients = await world.ehr<{ id: string }[]>('patients');
  const film = await world.arrive(patients[0]!.id, 'l5-s1-grade-2');
  await schedule('2.25.503', film.studyUid);
  // Killed as soon as the claim is seen, or the film was read in the meantime.
  await eventually(async () => (await workitem('2.25.503'))['00741000']?.Value?.[0] !== 'SCHEDULED');
  await world.endService('SIGKILL');
  await world.startService();
  expect((await ended('2.25.503', 'COMPLETED'))['00741216']).toBeDefined();
});
