/** Walking through an archive's past: every study once, no faster than allowed, and on from where it stopped. */
import { describe, expect, test } from 'vitest';
import { WetreadError } from '../../src/domain/errors.ts';
import { studyUid } from '../../src/domain/ids.ts';
import type { Archive, StudyQuery } from '../../src/domain/ports.ts';
import type { StudySummary } from '../../src/domain/study.ts';
import { backfill, type BackfillOptions } from '../../src/events/backfill.ts';
import { cursorsInMemory, register } from './announcements.ts';

const day = (number: number): string => `2026-03-${String(number).padStart(2, '0')}`;
const study = (number: number, on: string, modality = 'DX'): StudySummary => ({
  studyUid: studyUid(`1.2.${number}`),
  modalities: [modality],
  startedAt: `${on}T10:00:00`,
  accession: `A${number}`,
  instanceCount: 2,
});

/** Answers as archives do: a day wider than asked, in pages. */
function pacs(studies: readonly StudySummary[]) {
  const asked: StudyQuery[] = [];
  let down = false;
  const findStudies: Archive['findStudies'] = async (query) => {
    asked.push(query);
    if (down) throw new WetreadError('archive.unreachable');
    const [from, to] = [query.since!, query.until!].map((at, side) =>
      new Date(at.getTime() + (side === 0 ? -12 : 14) * 3_600_000).toISOString().slice(0, 10),
    );
    return studies
      .filter(({ startedAt }) => startedAt! >= from! && startedAt!.slice(0, 10) <= to!)
      .filter(({ modalities }) => query.modality === undefined || modalities.includes(query.modality))
      .slice(query.offset ?? 0, (query.offset ?? 0) + (query.limit ?? 100));
  };
  return { asked, findStudies, goDown: (now: boolean) => void (down = now) };
}

function setUp(studies: readonly StudySummary[]) {
  const archive = pacs(studies);
  const known = register();
  const cursors = cursorsInMemory();
  const run = (more: Partial<BackfillOptions> = {}) =>
    backfill({
      archive,
      register: {
        announce: known.announce,
        get: async (uid) => known.events.find((event) => event.studyUid === uid) as never,
      },
      cursors,
      waiting: async () => 0,
      from: day(1),
      to: day(10),
      modalities: [],
      perSecond: 10_000,
      mostWaiting: 100,
      pauseMs: 5,
      now: () => new Date('2026-03-20T08:00:00Z'),
      ...more,
    });
  return { archive, known, cursors, run };
}

const tenDays = Array.from({ length: 10 }, (_, index) => study(index, day(1 + index)));

describe('a back-fill', () => {
  test('announces each study of its days once, the oldest first, behind all other work, with what the archive counts', async () => {
    const { known, run } = setUp([...tenDays, study(99, '2026-02-28'), study(98, day(11))]);
    expect(await run()).toEqual({
      day: day(10),
      days: 10,
      daysDone: 10,
      found: 10,
      queued: 10,
      known: 0,
      done: true,
    });
    expect(known.calls.map(({ accession }) => accession)).toEqual(tenDays.map(({ accession }) => accession));
    expect(known.calls[0]).toEqual({
      source: 'backfill',
      studyUid: '1.2.0',
      reason: 'study-arrived',
      priority: 'backfill',
      accession: 'A0',
      instanceCount: 2,
    });
  });

  test('reads every page of a day, and asks for each modality', async () => {
    const busy = Array.from({ length: 450 }, (_, index) => study(index, day(2), index % 2 === 0 ? 'DX' : 'CR'));
    const { archive, run } = setUp([...busy, study(500, day(2), 'CT')]);
    expect(await run({ from: day(2), to: day(2), modalities: ['DX', 'CR'] })).toMatchObject({
      found: 450,
      queued: 450,
    });
    expect(new Set(archive.asked.map(({ modality }) => modality))).toEqual(new Set(['DX', 'CR']));
  });

  test('goes on from the day at which the archive went away, and says nothing twice', async () => {
    const { archive, known, run } = setUp(tenDays);
    const progress: string[] = [];
    const halfWay = run({
      onProgress: ({ day: at }) => {
        progress.push(at);
        archive.goDown(at === day(6));
      },
    });
    await expect(halfWay).rejects.toMatchObject({ code: 'archive.unreachable' });
    expect(known.calls).toHaveLength(5);
    archive.goDown(false);
    archive.asked.length = 0;
    expect(await run()).toMatchObject({ found: 5, queued: 5, known: 0, done: true });
    expect(archive.asked[0]!.since!.toISOString().slice(0, 10)).toBe(day(6));
    expect(known.calls).toHaveLength(10);
    // Done is done, until somebody wants it again.
    expect(await run()).toMatchObject({ found: 0, done: true });
    expect(await run({ restart: true })).toMatchObject({ found: 10, queued: 0, known: 10 });
  });

  test('stops when it is told to, and goes on from that day', async () => {
    const { known, run } = setUp(tenDays);
    const stop = new AbortController();
    const stopped = await run({
      signal: stop.signal,
      onProgress: ({ queued }) => queued === 3 && stop.abort(),
    });
    expect(stopped).toMatchObject({ day: day(3), queued: 3, done: false });
    expect(await run()).toMatchObject({ day: day(10), queued: 7, known: 1, done: true });
    expect(known.events).toHaveLength(10);
  });

  test('adds nothing while too much waits to be read', async () => {
    const { known, run } = setUp(tenDays);
    let waiting = 100;
    const held: number[] = [];
    const running = run({
      mostWaiting: 100,
      waiting: async () => waiting,
      onProgress: (now) => now.held !== undefined && held.push(now.held),
    });
    await expect.poll(() => held.length).toBeGreaterThan(3);
    expect(known.calls).toEqual([]);
    expect(held[0]).toBe(100);
    waiting = 98;
    await expect.poll(() => known.calls.length).toBeGreaterThan(0);
    waiting = 0;
    expect(await running).toMatchObject({ queued: 10 });
  });

  test('keeps to its rate', async () => {
    const { run } = setUp(tenDays);
    const began = performance.now();
    await run({ perSecond: 50 });
    // Nine waits of 20 ms; timers may be early by one.
    expect(performance.now() - began).toBeGreaterThan(9 * 19);
  });

  test('that is dry counts what is new, and leaves everything as it is', async () => {
    const { known, cursors, run } = setUp(tenDays);
    await known.announce({ source: 'rest', studyUid: studyUid('1.2.4'), reason: 'study-arrived', priority: 'routine' });
    expect(await run({ dryRun: true })).toMatchObject({ found: 10, queued: 9, known: 1 });
    expect(known.calls).toHaveLength(1);
    expect(cursors.kept.size).toBe(0);
  });

  test('without an end goes on until today, and asks for today again the next time', async () => {
    const { known, cursors, run } = setUp([study(1, day(19)), study(2, day(20))]);
    const open = { from: day(19), to: undefined } as never;
    expect(await run(open)).toMatchObject({ found: 2, queued: 2, done: true, day: day(20) });
    expect([...cursors.kept.values()]).toEqual([day(20)]);
    expect(await run(open)).toMatchObject({ found: 1, queued: 0, known: 1 });
    expect(known.events).toHaveLength(2);
  });
});
