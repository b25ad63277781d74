/** Walks through an archive's past day by day and announces what it finds, no faster than it is told and than it is read. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StudyUid } from '../domain/ids.ts';
import type { Archive, StudyRegister } from '../domain/ports.ts';
import type { StudySummary } from '../domain/study.ts';
import type { Cursors } from './cursors.ts';

export type BackfillOptions = {
  readonly archive: Pick<Archive, 'findStudies'>;
  readonly register: Pick<StudyRegister, 'announce' | 'get'>;
  readonly cursors: Cursors;
  /** Studies that wait to be read, from whatever source. */
  readonly waiting: () => Promise<number>;
  /** Days as `2026-01-31`. Without an end it goes on until today, and from there the next time. */
  readonly from: string;
  readonly to?: string;
  /** None: all. */
  readonly modalities: readonly string[];
  /** Studies queued in a second, at most. */
  readonly perSecond: number;
  /** While so many studies wait to be read, none is added. */
  readonly mostWaiting: number;
  /** Only counts. */
  readonly dryRun?: boolean;
  /** Forgets how far an earlier run had come. */
  readonly restart?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: BackfillProgress) => void;
  readonly now?: () => Date;
  readonly pauseMs?: number;
};

export type BackfillProgress = {
  /** The day that is being asked for. */
  readonly day: string;
  readonly days: number;
  readonly daysDone: number;
  readonly found: number;
  readonly queued: number;
  readonly known: number;
  /** How many wait to be read, while that is too many to go on. */
  readonly held?: number;
};

export type BackfillEnd = Omit<BackfillProgress, 'held'> & {
  /** False: stopped before the end; the same call goes on from `day`. */
  readonly done: boolean;
};

const pageSize = 200;
const dayMs = 24 * 3600 * 1000;

/** Throws what the archive or the register throws; days that were finished stay finished. */
export async function backfill(options: BackfillOptions): Promise<BackfillEnd> {
  const { archive, register, cursors, from, modalities, dryRun = false, signal, now = () => new Date() } = options;
  const cursorName = `backfill ${from} ${options.to ?? 'until today'} ${modalities.toSorted().join() || 'all'}`;
  const kept = dryRun || options.restart === true ? undefined : await cursors.get(cursorName);
  const counted = { found: 0, queued: 0, known: 0 };
  let day = kept !== undefined && isDay(kept) && kept > from ? kept : from;
  /** How many may be queued before the queue is looked at again. */
  let places = 0;
  let lastQueuedAt = 0;

  const today = () => now().toISOString().slice(0, 10);
  const last = () => (options.to !== undefined && options.to < today() ? options.to : today());
  const progress = (held?: number): BackfillProgress => ({
    day,
    days: Math.max(0, daysBetween(from, last()) + 1),
    daysDone: Math.max(0, daysBetween(from, day)),
    ...counted,
    ...(held === undefined ? {} : { held }),
  });
  const stopped = () => signal?.aborted === true;

  while (day <= last()) {
    options.onProgress?.(progress());
    try {
      for await (const study of studiesOf(day)) {
        if (stopped()) break;
        await take(study);
      }
    } catch (error) {
      if (!stopped()) throw error;
    }
    if (stopped()) return { ...progress(), done: false };
    // Today is not over: the next run asks for it again.
    const next = day < today() ? dayAfter(day) : day;
    if (!dryRun) await cursors.set(cursorName, next);
    if (next === day) break;
    day = next;
  }
  const end = progress();
  return { ...end, day: day > last() ? last() : day, daysDone: end.days, done: true };

  async function take(study: StudySummary): Promise<void> {
    if (dryRun) {
      counted.found += 1;
      counted[(await register.get(study.studyUid)) === undefined ? 'queued' : 'known'] += 1;
      return;
    }
    await room();
    if (stopped()) return;
    const answer = await register.announce({
      source: 'backfill',
      studyUid: study.studyUid,
      reason: 'study-arrived',
      priority: 'backfill',
      ...(study.accession === undefined ? {} : { accession: study.accession }),
      ...(study.instanceCount === undefined ? {} : { instanceCount: study.instanceCount }),
    });
    counted.found += 1;
    counted[answer] += 1;
    if (answer === 'queued') {
      places -= 1;
      lastQueuedAt = performance.now();
    }
    options.onProgress?.(progress());
  }

  /** Page by page, each study on its own day only: archives are asked a day wider, as Study Date has no zone. */
  async function* studiesOf(date: string): AsyncGenerator<StudySummary> {
    const noon = new Date(`${date}T12:00:00Z`);
    const seen = new Set<StudyUid>();
    for (const modality of modalities.length === 0 ? [undefined] : modalities) {
      for (let offset = 0; ; offset += pageSize) {
        const studies = await archive.findStudies(
          { since: noon, until: noon, limit: pageSize, offset, ...(modality === undefined ? {} : { modality }) },
          signal,
        );
        let fresh = 0;
        for (const study of studies) {
          if (seen.has(study.studyUid)) continue;
          seen.add(study.studyUid);
          fresh += 1;
          if (study.startedAt === undefined || study.startedAt.slice(0, 10) === date) yield study;
        }
        // Archives that ignore offset give the first page for ever.
        if (studies.length < pageSize || fresh === 0) break;
      }
    }
  }

  /** Waits for its turn by the clock, and until the queue has room. */
  async function room(): Promise<void> {
    const turn = lastQueuedAt === 0 ? 0 : lastQueuedAt + 1000 / options.perSecond - performance.now();
    if (turn > 0) await pause(turn);
    while (!stopped() && places <= 0) {
      const waiting = await options.waiting();
      // Half of what is free, and not for long: others queue too.
      places = Math.min(Math.ceil((options.mostWaiting - waiting) / 2), 50);
      if (places > 0) return;
      options.onProgress?.(progress(waiting));
      await pause(options.pauseMs ?? 1000);
    }
  }

  async function pause(ms: number): Promise<void> {
    await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
  }
}

export const isDay = (text: string): boolean =>
  /^\d{4}-\d{2}-\d{2}$/.test(text) &&
  !Number.isNaN(Date.parse(`${text}T00:00:00Z`)) &&
  new Date(`${text}T00:00:00Z`).toISOString().startsWith(text);

const daysBetween = (from: string, to: string): number =>
  Math.round((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / dayMs);
const dayAfter = (day: string): string => new Date(Date.parse(`${day}T00:00:00Z`) + dayMs).toISOString().slice(0, 10);
