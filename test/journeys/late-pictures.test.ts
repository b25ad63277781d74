/** The lateral film comes minutes after the front view: nobody says so, and chart, cards and report are right in the end. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withElements } from '../../sandbox/dicom/part10.ts';
import { multipartOf } from '../support/dicomweb-server.ts';
import { packsCalled } from '../support/packs.ts';
import { eventually, openWorld, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld({ WETREAD_MODELS_DIR: packsCalled('lumbar-landmarks') });
  await world.startService();
});
afterAll(() => world?.close());

test('a late picture is found by the poll, read, and takes the place of what was said before', async () => {
  const patient = 'patient-brandt';
  const film = await world.arrive(patient, 'wrong-view');
  const before = await eventually(async () => (await world.reportsOf(film))[0]);
  expect(before.conclusion).toContain('Not assessable');
  expect((await world.cards(patient)).map(({ summary }) => summary).join()).not.toContain('L4/L5 anterolisthesis');

  const archive = `${world.hospitalUrl}/dicom-web/studies`;
  const [study] = (await (await fetch(`${archive}?StudyInstanceUID=${film.studyUid}`)).json()) as [
    Record<string, { Value: [string] }>,
  ];
  const late = withElements(readFileSync(join(import.meta.dirname, '../../sandbox/films/l4-l5-grade-1.dcm')), [
    ['0020000D', 'UI', film.studyUid],
    ['0020000E', 'UI', `${film.studyUid}.2`],
    ['00080018', 'UI', `${film.studyUid}.2.1`],
    ['00100020', 'LO', study['00100020']!.Value[0]],
  ]);
  const { contentType, body } = multipartOf([late]);
  const stored = await fetch(archive, {
    method: 'POST',
    headers: { 'content-type': contentType },
    body: new Uint8Array(body),
  });
  expect(stored.status).toBe(200);

  const report = await eventually(async () =>
    (await world.reportsOf(film)).find(({ conclusion }) => conclusion?.includes('Suspected L4/L5')),
  );
  expect(report).toMatchObject({ id: before.id, status: 'partial' });
  expect(report.conclusion).toContain('Updated after 1 more picture arrived.');
  expect(await world.reportsOf(film)).toHaveLength(1);
  const cards = await eventually(async () => {
    const all = await world.cards(patient);
    return all.some(({ summary }) => summary.includes('L4/L5 anterolisthesis')) && all;
  });
  const card = cards.find(({ summary }) => summary.includes('L4/L5 anterolisthesis'))!;
  expect(card.detail).toContain('Updated after 1 more picture arrived');
  expect(cards.filter(({ summary }) => summary.startsWith('Not read'))).toEqual([]);
});
