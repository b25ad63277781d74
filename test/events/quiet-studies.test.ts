/** When a study that was sent here is announced: once per content, after its senders were quiet, and not forgotten by a crash. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WetreadError } from '../../src/domain/errors.ts';
import type { StudyEvent } from '../../src/domain/event.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { quietStudies } from '../../src/events/quiet-studies.ts';
import { testFilm } from '../support/films.ts';
import { openInbox, type InboxUnderTest } from '../support/inbox.ts';

let room: InboxUnderTest;
beforeAll(async () => {
  room = await openInbox();
});
afterAll(() => room?.close());

type Announce = (event: StudyEvent) => Promise<'queued' | 'known'>;
const announcer = (announce: Announce, quietSeconds = 0.001) =>
  quietStudies({ objects: room.objects, quietSeconds, announce, logger: silentLogger });

describe('quiet studies', () => {
  it('are announced once per content, with how many objects there are', async () => {
    const events: StudyEvent[] = [];
    const quiet = announcer(async (event) => {
      events.push(event);
      return 'queued';
    });
    const first = testFilm();
    await room.put(first.file);
    await expect.poll(() => quiet.announceQuiet()).toBe(1);
    expect(events).toEqual([
      {
        source: 'stow',
        studyUid: first.study,
        reason: 'study-arrived',
        priority: 'routine',
        accession: 'ACC-1',
        instanceCount: 1,
      },
    ]);
    await room.put(first.file);
    expect(await quiet.announceQuiet()).toBe(0);
    await room.put(testFilm(first.study).file);
    await expect.poll(() => quiet.announceQuiet()).toBe(1);
    expect(events.at(-1)).toMatchObject({ studyUid: first.study, instanceCount: 2 });
  });

  it('wait until their senders are quiet', async () => {
    await room.put(testFilm().file);
    expect(await announcer(async () => 'queued', 60).announceQuiet()).toBe(0);
    await expect.poll(() => announcer(async () => 'queued').announceQuiet()).toBe(1);
  });

  it('are announced by one process only, however many look', async () => {
    const studies = Array.from({ length: 20 }, () => testFilm());
    for (const { file } of studies) await room.put(file);
    const events: string[] = [];
    const looks = Array.from({ length: 4 }, () =>
      announcer(async ({ studyUid }) => {
        events.push(studyUid);
        return 'queued';
      }),
    );
    await expect
      .poll(async () => {
        await Promise.all(looks.map((look) => look.announceQuiet()));
        return events.length;
      })
      .toBe(20);
    expect([...events].sort()).toEqual(studies.map(({ study }) => study).sort());
  });

  it('that could not be announced are tried again, and the others are not kept waiting', async () => {
    const [bad, good] = [testFilm(), testFilm()];
    await room.put(bad.file);
    await room.put(good.file);
    const events: string[] = [];
    let away = true;
    const quiet = announcer(async ({ studyUid }) => {
      if (away && studyUid === bad.study) throw new WetreadError('store.unreachable');
      events.push(studyUid);
      return 'queued';
    });
    quiet.start();
    await expect.poll(() => events).toEqual([good.study]);
    away = false;
    await expect.poll(() => events).toEqual([good.study, bad.study]);
    await quiet.stop();
  });
});
