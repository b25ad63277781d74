/** POST /events/study over HTTP. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WetreadError } from '../../src/domain/errors.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { restSource } from '../../src/events/rest.ts';
import { register, serving } from './announcements.ts';

const secret = 'a-secret-of-some-length';
let studies: ReturnType<typeof register>;
let server: Awaited<ReturnType<typeof serving>>;
beforeEach(async () => {
  studies = register();
  server = await serving(restSource({ secret, announce: studies.announce, logger: silentLogger }).router);
});
afterEach(() => server.close());

const post = (body: unknown, authorization = `Bearer ${secret}`) =>
  fetch(`${server.url}/events/study`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

describe('POST /events/study', () => {
  it('announces a study and says what became of it', async () => {
    const first = await post({
      studyUid: '1.2.3',
      patientId: 'p1',
      accession: 'A1',
      priority: 'stat',
      instanceCount: 4,
    });
    expect([first.status, await first.json()]).toEqual([202, { state: 'queued' }]);
    expect(studies.events).toEqual([
      {
        source: 'rest',
        studyUid: '1.2.3',
        reason: 'study-arrived',
        priority: 'stat',
        patientId: 'p1',
        accession: 'A1',
        instanceCount: 4,
      },
    ]);
    const second = await post({ studyUid: '1.2.3' });
    expect([second.status, await second.json()]).toEqual([202, { state: 'known' }]);
  });

  it('lets nobody in without the secret', async () => {
    for (const authorization of ['', 'Bearer wrong', `Basic ${secret}`, secret, `Bearer ${secret}x`]) {
      const response = await post({ studyUid: '1.2.3' }, authorization);
      expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([
        401,
        'request.unauthenticated',
      ]);
    }
    expect(studies.calls).toEqual([]);
  });

  it('names the field that is wrong', async () => {
    for (const [body, field] of [
      [{ studyUid: '1.02.3' }, 'studyUid'],
      [{}, 'studyUid'],
      [{ studyUid: '1.2', priority: 'now' }, 'priority'],
      [{ studyUid: '1.2', patientId: 'a/b' }, 'patientId'],
      [{ studyUid: '1.2', instanceCount: -1 }, 'instanceCount'],
    ] as const) {
      const response = await post(body);
      const answer = (await response.json()) as { code: string; detail: string };
      expect([response.status, answer.code]).toEqual([400, 'request.malformed']);
      expect(answer.detail).toContain(field);
    }
    expect((await post('{')).status).toBe(400);
    expect(studies.calls).toEqual([]);
  });

  it('answers 503 when the study could not be remembered, so that the sender repeats', async () => {
    studies.failWith(new WetreadError('store.unreachable'));
    expect((await post({ studyUid: '1.2.3' })).status).toBe(503);
  });
});
