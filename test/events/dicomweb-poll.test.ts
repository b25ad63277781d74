/** Polling an archive: nothing lost over failures and restarts, nothing asked or said more than needed. */
import { describe, expect, it, vi } from 'vitest';
import { WetreadError } from '../../src/domain/errors.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { silentLogger, type Logger } from '../../src/domain/log.ts';
import type { Archive } from '../../src/domain/ports.ts';
import type { StudySummary } from '../../src/domain/study.ts';
import { dicomwebPoll } from '../../src/events/dicomweb-poll.ts';
import { cursorsInMemory, register, until } from './announcements.ts';

const summary = (number: number): StudySummary => ({
  studyUid: studyUid(`1.2.${number}`),
  modalities: ['DX'],
  accession: `A${number}`,
});

/** QIDO-RS answers as an archive gives them: pages of what is there since a day. */
function archive(studies: StudySummary[]) {
  const queries: Parameters<Archive['findStudies']>[0][] = [];
  const state = { down: false, ignoresOffset: false };
  return {
    queries,
    state,
    async findStudies(query: Parameters<Archive['findStudies']>[0]): Promise<StudySummary[]> {
      queries.push(query);
      if (state.down) throw new WetreadError('archive.unreachable');
      const from = state.ignoresOffset ? 0 : (query.offset ?? 0);
      return studies.slice(from, from + (query.limit ?? 100));
    },
  };
}

const lines = () => {
  const written: string[] = [];
  const add = (message: string) => void written.push(message);
  const logger: Logger = { debug() {}, info: add, warn: add, error: add, with: () => logger };
  return { written, logger };
};

describe('a round of polling', () => {
  it('announces what is new with its accession number', async () => {
    const studies = register();
    const poll = dicomwebPoll({
      archive: archive([summary(1), summary(2)]),
      everySeconds: 60,
      days: 30,
      cursors: cursorsInMemory(),
      announce: studies.announce,
      logger: silentLogger,
    });
    expect(await poll.pollOnce()).toBe(2);
    expect(studies.events[0]).toEqual({
      source: 'dicomweb-poll',
      studyUid: '1.2.1',
      reason: 'study-arrived',
      priority: 'routine',
      accession: 'A1',
    });
    expect(await poll.pollOnce()).toBe(0);
    expect(studies.calls).toHaveLength(2);
  });

  it('reads every page, and stops at an archive that gives the first page for ever', async () => {
    const many = Array.from({ length: 450 }, (_, index) => summary(index));
    const studies = register();
    const pacs = archive(many);
    const poll = dicomwebPoll({
      archive: pacs,
      everySeconds: 60,
      days: 30,
      cursors: cursorsInMemory(),
      announce: studies.announce,
      logger: silentLogger,
    });
    expect(await poll.pollOnce()).toBe(450);
    pacs.state.ignoresOffset = true;
    expect(await poll.pollOnce()).toBe(0);
    expect(pacs.queries).toHaveLength(3 + 2);
  });

  it('goes on after a restart from where it stood, a day back', async () => {
    const cursors = cursorsInMemory();
    const pacs = archive([]);
    const at = (time: string) => ({
      archive: pacs,
      everySeconds: 60,
      days: 30,
      cursors,
      announce: register().announce,
      logger: silentLogger,
      now: () => new Date(time),
    });
    await dicomwebPoll(at('2026-03-01T12:00:00Z')).pollOnce();
    await dicomwebPoll(at('2026-03-09T08:00:00Z')).pollOnce();
    expect(pacs.queries.map(({ since }) => since!.toISOString())).toEqual([
      '2026-02-28T12:00:00.000Z',
      '2026-02-28T12:00:00.000Z',
    ]);
    expect(cursors.kept.get('dicomweb-poll')).toBe('2026-03-09T08:00:00.000Z');
  });

  it('looks every hour, as far back as configured, for studies that were archived late, but not before polling began', async () => {
    const cursors = cursorsInMemory();
    const pacs = archive([]);
    const studies = register();
    let time = '2026-03-01T12:00:00Z';
    const poll = dicomwebPoll({
      archive: pacs,
      everySeconds: 60,
      days: 30,
      cursors,
      announce: studies.announce,
      logger: silentLogger,
      now: () => new Date(time),
    });
    const asked = async (at: string) => {
      time = at;
      await poll.pollOnce();
      return pacs.queries.at(-1)!.since!.toISOString().slice(0, 10);
    };
    expect(await asked('2026-03-01T12:00:00Z')).toBe('2026-02-28');
    expect(await asked('2026-03-20T12:00:00Z')).toBe('2026-02-28');
    expect(await asked('2026-03-20T12:59:00Z')).toBe('2026-03-19');
    expect(await asked('2026-03-20T13:00:00Z')).toBe('2026-02-28');
    expect(await asked('2026-05-20T13:00:00Z')).toBe('2026-03-19');
    expect(await asked('2026-05-20T14:00:00Z')).toBe('2026-04-20');
  });

  it('announces a study again when the archive counts another number of objects, and not otherwise', async () => {
    const found: StudySummary[] = [{ ...summary(1), instanceCount: 2 }, summary(2)];
    const studies = register();
    const poll = dicomwebPoll({
      archive: archive(found),
      everySeconds: 60,
      days: 30,
      cursors: cursorsInMemory(),
      announce: studies.announce,
      logger: silentLogger,
    });
    await poll.pollOnce();
    await poll.pollOnce();
    expect(studies.calls.map(({ instanceCount }) => instanceCount)).toEqual([2, undefined]);
    found[0] = { ...summary(1), instanceCount: 5 };
    await poll.pollOnce();
    await poll.pollOnce();
    expect(studies.calls.slice(2)).toMatchObject([{ studyUid: '1.2.1', instanceCount: 5 }]);
  });

  it('moves the cursor only when everything was remembered', async () => {
    const cursors = cursorsInMemory();
    const studies = register();
    const poll = dicomwebPoll({
      archive: archive([summary(1)]),
      everySeconds: 60,
      days: 30,
      cursors,
      announce: studies.announce,
      logger: silentLogger,
    });
    studies.failWith(new WetreadError('store.unreachable'));
    await expect(poll.pollOnce()).rejects.toMatchObject({ code: 'store.unreachable' });
    expect(cursors.kept.has('dicomweb-poll')).toBe(false);
    studies.failWith(undefined);
    expect(await poll.pollOnce()).toBe(1);
  });
});

describe('polling on and on', () => {
  it('says once that the archive is away and once that it is back', async () => {
    const { written, logger } = lines();
    const studies = register();
    const pacs = archive([summary(1)]);
    pacs.state.down = true;
    const poll = dicomwebPoll({
      archive: pacs,
      everySeconds: 0.001,
      days: 30,
      cursors: cursorsInMemory(),
      announce: studies.announce,
      logger,
    });
    poll.start();
    await until(() => pacs.queries.length >= 3);
    expect(poll.state()).toMatchObject({ kind: 'failing', error: 'archive.unreachable' });
    pacs.state.down = false;
    await until(() => studies.events.length === 1);
    await until(() => poll.state().kind === 'waiting');
    await poll.stop();
    expect(written.filter((line) => line === 'the archive cannot be asked for new studies')).toHaveLength(1);
    expect(written.filter((line) => line === 'the archive answers again')).toHaveLength(1);
    expect(poll.state().kind).toBe('off');
  });

  it('asks less and less often while the archive is away, but not more seldom than every five minutes', async () => {
    vi.useFakeTimers();
    try {
      const pacs = archive([]);
      pacs.state.down = true;
      const poll = dicomwebPoll({
        archive: pacs,
        everySeconds: 60,
        days: 30,
        cursors: cursorsInMemory(),
        announce: register().announce,
        logger: silentLogger,
      });
      poll.start();
      const asksIn = async (seconds: number) => {
        const before = pacs.queries.length;
        await vi.advanceTimersByTimeAsync(seconds * 1000);
        return pacs.queries.length - before;
      };
      expect(await asksIn(1)).toBe(1);
      expect([await asksIn(118), await asksIn(2)]).toEqual([0, 1]);
      expect([await asksIn(238), await asksIn(2)]).toEqual([0, 1]);
      expect(await asksIn(3600)).toBe(12);
      pacs.state.down = false;
      await asksIn(300);
      expect(await asksIn(600)).toBe(10);
      await poll.stop();
    } finally {
      vi.useRealTimers();
    }
  });

  it('never asks when it is switched off, and asks nothing more once stopped', async () => {
    const pacs = archive([]);
    const off = dicomwebPoll({
      archive: pacs,
      everySeconds: 0,
      days: 30,
      cursors: cursorsInMemory(),
      announce: register().announce,
      logger: silentLogger,
    });
    off.start();
    await off.stop();
    const poll = dicomwebPoll({
      archive: pacs,
      everySeconds: 0.001,
      days: 30,
      cursors: cursorsInMemory(),
      announce: register().announce,
      logger: silentLogger,
    });
    poll.start();
    await until(() => pacs.queries.length > 0);
    await poll.stop();
    const asked = pacs.queries.length;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(pacs.queries).toHaveLength(asked);
  });
});
