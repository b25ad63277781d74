/** The viewer API: one session sees and decides one patient's studies, and nothing else. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { studyUid, type StudyUid } from '../../src/domain/ids.ts';
import { packView, readingView, sessionAnswer, studiesAnswer } from '../../src/viewer-api/contract.ts';
import { ada, adasStudy, apiUnderTest, ben, bensStudy, lin, reading, type ApiUnderTest } from './api-under-test.ts';

let api: ApiUnderTest;
let adasToken: string;
const bens = reading(bensStudy, ben, { suspicion: true });
let next = 100;
const newStudy = (): StudyUid => studyUid(`1.2.3.${next++}`);

beforeAll(async () => {
  api = await apiUnderTest();
  await api.keep(adasStudy, ada, true);
  await api.keep(bensStudy, ben, true);
  adasToken = await api.login(ada);
});
afterAll(() => api?.close());

describe('a session', () => {
  test('is opened once by a code, with the patient, the user and what the card pointed at', async () => {
    const code = await api.sessions.offer({
      patientId: ada,
      reviewer: lin,
      opens: { study: adasStudy },
      banner: { display: 'Ada Marsh', birthDate: '1958-03-12', sex: 'female' },
    });
    const answer = await api.ask('/app/api/session', { method: 'POST', json: { code } });
    expect(answer.status).toBe(201);
    const body = sessionAnswer.parse(await answer.json());
    expect(body).toMatchObject({
      patient: { id: 'ada', display: 'Ada Marsh', birthDate: '1958-03-12', sex: 'female' },
      user: lin,
      opens: { study: adasStudy },
    });
    expect((await api.ask('/app/api/studies', { token: body.token })).status).toBe(200);

    const again = await api.ask('/app/api/session', { method: 'POST', json: { code } });
    expect([again.status, await again.json()]).toMatchObject([400, { code: 'smart.launch-expired' }]);
  });

  test('is over when the page ends it', async () => {
    const token = await api.login(ada);
    expect((await api.ask('/app/api/session', { method: 'DELETE', token })).status).toBe(204);
    expect((await api.ask('/app/api/studies', { token })).status).toBe(401);
  });

  test.each([
    ['no token', undefined],
    ['an empty token', ' '],
    ['a token nobody issued', `${'A'.repeat(43)}.zzzzzz`],
    ['something that is no token', '../../etc/passwd'],
    ['a very long one', 'x'.repeat(5_000)],
  ])('is not had with %s', async (_what, token) => {
    const answer = await api.ask('/app/api/studies', token === undefined ? {} : { token });
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="wetread"']);
    expect(await answer.json()).toMatchObject({ code: 'request.unauthenticated' });
  });

  test('is refused to a code of another shape, by the field', async () => {
    const answer = await api.ask('/app/api/session', { method: 'POST', json: { code: 7 } });
    expect([answer.status, await answer.json()]).toMatchObject([
      400,
      { code: 'request.malformed', detail: expect.stringContaining('code') },
    ]);
  });
});

describe('the studies', () => {
  test('are those of the patient alone, in words, with the whole reading', async () => {
    const answer = await api.ask('/app/api/studies', { token: adasToken });
    const { studies } = studiesAnswer.parse(await answer.json());
    expect(studies.map((study) => study.studyUid)).toEqual([adasStudy]);
    expect(studies[0]).toMatchObject({ progress: 'read', says: 'Read by AI.' });
    expect(studies[0]!.readings[0]!.findings[0]).toMatchObject({
      site: { level: 'L4/L5' },
      result: { kind: 'detected', grades: [{ value: 'I' }] },
      measurements: [{ value: 18, interval: [14, 22] }],
      verdict: { kind: 'unreviewed' },
    });
    expect(answer.headers.get('cache-control')).toBe('private, no-store');
  });

  test('say what became of those that were not read, and what to do', async () => {
    const [waiting, failed, skipped] = [newStudy(), newStudy(), newStudy()];
    for (const uid of [waiting, failed, skipped]) {
      await api.store.register.announce({
        source: 'rest',
        studyUid: uid,
        reason: 'study-arrived',
        priority: 'routine',
        patientId: ada,
      });
    }
    await api.store.register.settle(failed, { kind: 'failed', code: 'dicom.truncated' });
    await api.store.register.settle(skipped, { kind: 'skipped', reason: 'no-pack-applies', selection: [] });
    const { studies } = studiesAnswer.parse(await (await api.ask('/app/api/studies', { token: adasToken })).json());
    const of = (uid: StudyUid) => studies.find((study) => study.studyUid === uid);
    expect(of(waiting)).toMatchObject({ progress: 'pending', says: 'Waiting to be read.' });
    expect(of(failed)).toMatchObject({
      progress: 'failed',
      says: 'Could not be read. The DICOM file ends before its data does.',
      next: 'Send the study again; the copy in the archive is incomplete.',
    });
    expect(of(skipped)).toMatchObject({
      progress: 'not-read',
      says: 'Not read: no model here reads this kind of image.',
    });
  });

  test('that were looked at are in the audit once a session, however often they are asked for', async () => {
    const token = await api.login(ada);
    const before = api.audited.length;
    for (let time = 0; time < 3; time++) await api.ask('/app/api/studies', { token });
    const views = api.audited.slice(before).filter(({ action }) => action === 'reading-viewed');
    expect(views).toEqual([
      {
        action: 'reading-viewed',
        actor: lin.reference,
        patientId: ada,
        subject: `reading/${reading(adasStudy, ada, { suspicion: true }).id}`,
      },
    ]);
  });
});

describe("another patient's", () => {
  const unknown = '11111111-1111-8111-8111-111111111111';
  const attempts: [string, (id: string) => string, 'GET' | 'POST', string, object | undefined][] = [
    ['reading cannot be read', (id) => `/app/api/readings/${id}`, 'GET', bens.id, undefined],
    ['reading cannot be verified', (id) => `/app/api/readings/${id}/verify`, 'POST', bens.id, undefined],
    [
      'finding cannot be judged',
      (id) => `/app/api/findings/${id}/verdict`,
      'POST',
      bens.findings[0]!.id,
      { kind: 'confirmed' },
    ],
  ];
  test.each(attempts)('%s, and answers like one that does not exist', async (_what, path, method, id, json) => {
    const before = api.audited.length;
    const ask = (target: string) => api.ask(path(target), { method, token: adasToken, ...(json ? { json } : {}) });
    const [theirs, nothing, nonsense] = [await ask(id), await ask(unknown), await ask('%27%20or%201=1')];
    expect([theirs.status, nothing.status, nonsense.status]).toEqual([404, 404, 404]);
    const body = await theirs.json();
    expect(body).toEqual(await nothing.json());
    expect(JSON.stringify(body)).not.toContain(id);
    expect(api.audited.slice(before)).toMatchObject([
      { action: 'refused', actor: lin.reference, patientId: ada, subject: expect.stringContaining(id) },
      { action: 'refused' },
      { action: 'refused', subject: expect.stringContaining('malformed') },
    ]);
    expect((await api.store.readings.get(bens.id))?.findings[0]?.verdict).toEqual({ kind: 'unreviewed' });
  });
});

describe('a verdict', () => {
  test('of confirmation makes the reading final in the name of the session’s user', async () => {
    const kept = await api.keep(newStudy(), ada, true);
    const answer = await api.ask(`/app/api/findings/${kept.findings[0]!.id}/verdict`, {
      method: 'POST',
      token: adasToken,
      json: { kind: 'confirmed', by: { reference: 'Practitioner/mallory', display: 'Somebody else' } },
    });
    // Who decides comes from the session; a name in the body is refused, not ignored.
    expect(answer.status).toBe(400);
    const right = await api.ask(`/app/api/findings/${kept.findings[0]!.id}/verdict`, {
      method: 'POST',
      token: adasToken,
      json: { kind: 'confirmed' },
    });
    expect(readingView.parse(await right.json())).toMatchObject({
      review: { kind: 'final', by: lin },
      findings: [{ verdict: { kind: 'confirmed', by: lin } }],
    });
    expect(api.audited.at(-1)).toEqual({
      action: 'verdict',
      actor: lin.reference,
      patientId: ada,
      subject: `finding/${kept.findings[0]!.id}`,
    });
  });

  test('of rejection needs a reason and keeps it', async () => {
    const kept = await api.keep(newStudy(), ada, true);
    const path = `/app/api/findings/${kept.findings[0]!.id}/verdict`;
    const bare = await api.ask(path, { method: 'POST', token: adasToken, json: { kind: 'rejected', reason: '  ' } });
    expect([bare.status, await bare.json()]).toMatchObject([400, { detail: expect.stringContaining('reason') }]);
    const long = await api.ask(path, {
      method: 'POST',
      token: adasToken,
      json: { kind: 'rejected', reason: 'x'.repeat(501) },
    });
    expect(long.status).toBe(400);
    const right = await api.ask(path, {
      method: 'POST',
      token: adasToken,
      json: { kind: 'rejected', reason: 'Wrong level' },
    });
    expect(readingView.parse(await right.json()).findings[0]!.verdict).toMatchObject({
      kind: 'rejected',
      reason: 'Wrong level',
      by: lin,
    });
  });

  test('against a standing one of somebody else is a conflict and changes nothing', async () => {
    const kept = await api.keep(newStudy(), ada, true);
    const id = kept.findings[0]!.id;
    const other = await api.login(ada, { reference: 'Practitioner/oda', display: 'Dr Oda' });
    await api.ask(`/app/api/findings/${id}/verdict`, { method: 'POST', token: other, json: { kind: 'confirmed' } });
    const late = await api.ask(`/app/api/findings/${id}/verdict`, {
      method: 'POST',
      token: adasToken,
      json: { kind: 'rejected', reason: 'Wrong level' },
    });
    expect([late.status, await late.json()]).toMatchObject([409, { code: 'request.conflict' }]);
    expect((await api.store.readings.get(kept.id))?.findings[0]?.verdict).toMatchObject({
      kind: 'confirmed',
      by: { display: 'Dr Oda' },
    });
  });

  test('over a whole reading is possible only without an open suspicion', async () => {
    const clean = await api.keep(newStudy(), ada, false);
    const agreed = await api.ask(`/app/api/readings/${clean.id}/verify`, { method: 'POST', token: adasToken });
    expect(readingView.parse(await agreed.json()).review).toMatchObject({ kind: 'final', by: lin });

    const suspicious = await api.keep(newStudy(), ada, true);
    const refused = await api.ask(`/app/api/readings/${suspicious.id}/verify`, { method: 'POST', token: adasToken });
    expect(refused.status).toBe(409);
    expect((await api.store.readings.get(suspicious.id))?.review.kind).toBe('open');
  });
});

test('a pack tells what it is, what it was trained on and where it fails', async () => {
  const answer = await api.ask('/app/api/packs/lumbar-landmarks', { token: adasToken });
  expect(packView.parse(await answer.json())).toMatchObject({
    version: '1.0.0',
    trainedOn: 'Computer-generated films.',
    limitations: ['Never trained on films of patients.'],
    licence: { weights: 'CC-BY-NC-SA-4.0', data: 'Not for commercial use' },
    demonstration: true,
  });
  expect((await api.ask('/app/api/packs/unknown', { token: adasToken })).status).toBe(404);
});

test.each([
  ['PUT', '/app/api/session', 'POST, DELETE'],
  ['POST', '/app/api/studies', 'GET'],
  ['DELETE', '/app/api/readings/x', 'GET'],
  ['GET', '/app/api/findings/x/verdict', 'POST'],
])('%s %s is answered with what is allowed there', async (method, path, allowed) => {
  const answer = await api.ask(path, { method, token: adasToken });
  expect([answer.status, answer.headers.get('allow')]).toEqual([405, allowed]);
});

test('a body larger than any verdict is not read', async () => {
  const answer = await api.ask('/app/api/session', { method: 'POST', json: { code: 'x'.repeat(50_000) } });
  expect(answer.status).toBe(413);
});
