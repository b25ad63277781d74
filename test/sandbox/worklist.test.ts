/** The demo hospital's worklist: the states of a workitem and who hears of them (PS3.18 chapter 11, PS3.4 annex CC). */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { filteredSubscription, globalSubscription } from '../../sandbox/archive/worklist.ts';
import type { JsonDataset } from '../../sandbox/dicom/part10.ts';
import { startTestHospital, type TestHospital } from './hospital.ts';
import { startWorklist, type TestWorklist } from '../support/worklist-server.ts';

let worklist: TestWorklist;
const channels: WebSocket[] = [];
beforeAll(async () => {
  worklist = await startWorklist();
});
afterEach(() => {
  for (const channel of channels.splice(0)) channel.terminate();
});
afterAll(() => worklist?.stop());

let numbers = 0;
const newItem = () => `2.25.60${(numbers += 1)}`;
const send = (method: string, path: string, dataset?: object) =>
  fetch(`${worklist.root}${path}`, {
    method,
    headers: { 'content-type': 'application/dicom+json' },
    ...(dataset === undefined ? {} : { body: JSON.stringify([dataset]) }),
  });
const one = (vr: string, value: unknown) => ({ vr, Value: [value] });
const said = (response: Response) => [response.status, response.headers.get('warning')];
/** Everything this subscriber hears, as [workitem, event type, state]. */
async function listen(subscriber: string) {
  const channel = new WebSocket(`${worklist.root.replace('http', 'ws')}/subscribers/${subscriber}`);
  channels.push(channel);
  const heard: unknown[][] = [];
  channel.on('message', (data) => {
    const report = JSON.parse(String(data)) as JsonDataset;
    const value = (tag: string) => report[tag]?.Value?.[0];
    heard.push([value('00001000'), value('00001002'), value('00741000')]);
  });
  await new Promise((resolve) => channel.once('open', resolve));
  return heard;
}
const performed = {
  '00741216': {
    vr: 'SQ',
    Value: [
      {
        '00404019': { vr: 'SQ', Value: [{ '00080100': one('SH', 'X') }] },
        '00404028': { vr: 'SQ', Value: [{ '00080100': one('SH', 'Y') }] },
        '00404033': { vr: 'SQ' },
        '00404050': one('DT', '20260301'),
        '00404051': one('DT', '20260301'),
      },
    ],
  },
};

describe('a workitem', () => {
  test('is made SCHEDULED, once, with a label, a priority and no key', async () => {
    const whole = { '00741000': one('CS', 'SCHEDULED'), '00741200': one('CS', 'LOW'), '00741204': one('LO', 'Read') };
    const uid = newItem();
    const made = await send('POST', `/workitems?${uid}`, whole);
    expect([made.status, made.headers.get('location')]).toEqual([201, `${worklist.root}/workitems/${uid}`]);
    expect((await send('POST', `/workitems?${uid}`, whole)).status).toBe(409);
    for (const wrong of [
      { ...whole, '00741204': { vr: 'LO' } },
      { ...whole, '00741000': one('CS', 'IN PROGRESS') },
      { ...whole, '00081195': one('UI', '1.2.3') },
    ])
      expect((await send('POST', `/workitems?${newItem()}`, wrong)).status).toBe(400);
    expect((await send('GET', '/workitems/1.2.3.4')).status).toBe(404);
  });

  test('goes through its states with its key, and never back', async () => {
    const uid = newItem();
    await worklist.schedule({ uid, studies: ['1.2'] });
    const change = async (state: string, transaction: string) =>
      said(await worklist.changeState(uid, state, transaction));
    expect((await change('COMPLETED', '2.25.1'))[1]).toContain('C310');
    expect(await change('IN PROGRESS', '2.25.1')).toEqual([200, null]);
    expect((await change('IN PROGRESS', '2.25.1'))[1]).toContain('C302');
    expect((await change('SCHEDULED', '2.25.1'))[1]).toContain('C303');
    expect((await change('COMPLETED', '2.25.2'))[1]).toContain('C301');
    expect((await change('COMPLETED', '2.25.1'))[1]).toContain('C304');
    expect(await worklist.item(uid)).not.toHaveProperty('00081195');
    expect((await send('POST', `/workitems/${uid}?2.25.2`, performed)).status).toBe(409);
    expect((await send('POST', `/workitems/${uid}?2.25.1`, performed)).status).toBe(200);
    expect(await change('COMPLETED', '2.25.1')).toEqual([200, null]);
    expect(await change('COMPLETED', '2.25.1')).toEqual([200, '299 hospital: already COMPLETED']);
    expect((await change('CANCELED', '2.25.1'))[1]).toContain('C300');
    expect((await send('POST', `/workitems/${uid}?2.25.1`, performed)).status).toBe(409);
    expect((await worklist.requestCancel(uid, 'too late')).status).toBe(409);
  });

  test('that nobody has begun is cancelled on request', async () => {
    const uid = newItem();
    await worklist.schedule({ uid, studies: ['1.2'] });
    expect((await worklist.requestCancel(uid, 'not needed')).status).toBe(202);
    expect(await worklist.text(uid, '00741000')).toBe('CANCELED');
  });

  test('is found by its state and through its sequences, page by page', async () => {
    const uids = [newItem(), newItem(), newItem()];
    for (const uid of uids) await worklist.schedule({ uid, studies: ['1.2'], station: 'SEARCHED' });
    await worklist.changeState(uids[0]!, 'IN PROGRESS', '2.25.1');
    const find = async (query: string) => {
      const response = await send('GET', `/workitems?${query}`);
      if (response.status === 204) return [];
      return ((await response.json()) as JsonDataset[]).map((row) => row['00080018']?.Value?.[0]);
    };
    const station = 'ScheduledStationNameCodeSequence.CodeValue=SEARCHED';
    expect(await find(station)).toEqual(uids);
    expect(await find(`00404025.00080100=SEARCHED&00741000=SCHEDULED`)).toEqual(uids.slice(1));
    expect(await find(`${station}&limit=1&offset=1`)).toEqual([uids[1]]);
    expect(await find('00404025.00080100=NOBODY')).toEqual([]);
  });
});

describe('a subscriber', () => {
  const subscribe = (subscriber: string, workitem: string, query = '') =>
    send('POST', `/workitems/${workitem}/subscribers/${subscriber}${query}`);

  test('of everything hears of every step of every workitem', async () => {
    expect((await subscribe('ALL', globalSubscription)).headers.get('content-location')).toBe(
      `${worklist.root.replace('http', 'ws')}/subscribers/ALL`,
    );
    const heard = await listen('ALL');
    const uid = newItem();
    await worklist.schedule({ uid, studies: ['1.2'] });
    await worklist.changeState(uid, 'IN PROGRESS', '2.25.1');
    await send('POST', `/workitems/${uid}?2.25.1`, {
      '00741002': { vr: 'SQ', Value: [{ '00741004': one('DS', 10) }] },
    });
    await worklist.requestCancel(uid, 'please');
    await expect
      .poll(() => heard.filter(([item]) => item === uid))
      .toEqual([
        [uid, 1, 'SCHEDULED'],
        [uid, 1, 'IN PROGRESS'],
        [uid, 3, undefined],
        [uid, 2, undefined],
      ]);
    await send('DELETE', `/workitems/${globalSubscription}/subscribers/ALL`);
    await worklist.schedule({ uid: newItem(), studies: ['1.2'] });
    expect(heard).toHaveLength(4);
  });

  test('of a filtered worklist hears of what fits, and of one workitem of that one', async () => {
    const [wanted, other] = [newItem(), newItem()];
    await subscribe('SOME', filteredSubscription, '?00404025.00080100=FILTERED');
    const some = await listen('SOME');
    await worklist.schedule({ uid: other, studies: ['1.2'] });
    await worklist.schedule({ uid: wanted, studies: ['1.2'], station: 'FILTERED' });
    expect((await subscribe('ONE', '1.2.3.4.5')).status).toBe(404);
    const single = await listen('ONE');
    await subscribe('ONE', other);
    await worklist.changeState(other, 'IN PROGRESS', '2.25.1');
    await expect
      .poll(() => single)
      .toEqual([
        [other, 1, 'SCHEDULED'],
        [other, 1, 'IN PROGRESS'],
      ]);
    await expect.poll(() => some).toEqual([[wanted, 1, 'SCHEDULED']]);
  });

  test('that suspends goes on hearing of what there was, and of nothing new', async () => {
    const [before, after] = [newItem(), newItem()];
    await subscribe('TIRED', globalSubscription);
    await worklist.schedule({ uid: before, studies: ['1.2'] });
    const heard = await listen('TIRED');
    expect((await send('POST', `/workitems/${globalSubscription}/subscribers/TIRED/suspend`)).status).toBe(200);
    await worklist.schedule({ uid: after, studies: ['1.2'] });
    await worklist.changeState(before, 'IN PROGRESS', '2.25.1');
    await expect.poll(() => heard).toEqual([[before, 1, 'IN PROGRESS']]);
  });
});

describe('the whole hospital', () => {
  let hospital: TestHospital;
  beforeAll(async () => {
    hospital = await startTestHospital();
  });
  afterAll(() => hospital?.stop());

  test('has the worklist beside its archive, and refuses other WebSockets', async () => {
    expect((await fetch(`${hospital.url}/dicom-web/workitems`)).status).toBe(204);
    const opens = (path: string) =>
      new Promise<string>((resolve) => {
        const channel = new WebSocket(`${hospital.url.replace('http', 'ws')}${path}`);
        channels.push(channel);
        channel.once('open', () => resolve('open'));
        channel.once('error', () => resolve('refused'));
      });
    expect(await opens('/dicom-web/subscribers/WETREAD')).toBe('open');
    expect(await opens('/fhir')).toBe('refused');
  });
});
