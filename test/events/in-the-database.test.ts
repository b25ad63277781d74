/** Two event sources, one database: where a source stands survives a restart, and one study is one job whoever says so. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { Archive } from '../../src/domain/ports.ts';
import { dicomwebPoll } from '../../src/events/dicomweb-poll.ts';
import { restSource } from '../../src/events/rest.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { testDatabase } from '../support/postgres.ts';
import { serving } from './announcements.ts';

let folder: string;
let databaseUrl: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wetread-events-'));
  databaseUrl = await testDatabase();
});
afterAll(() => rm(folder, { recursive: true }));
const open = (): Promise<Store> => openStore({ databaseUrl, dataDir: folder, outputs: [], logger: silentLogger });

const asked: Parameters<Archive['findStudies']>[0][] = [];
const archive = {
  async findStudies(query: Parameters<Archive['findStudies']>[0]) {
    asked.push(query);
    return [{ studyUid: studyUid('1.2.3'), modalities: ['DX'] }];
  },
};
const pollAt = (store: Store, time: string) =>
  dicomwebPoll({
    archive,
    everySeconds: 60,
    days: 30,
    cursors: store.cursors,
    announce: (event) => store.register.announce(event),
    logger: silentLogger,
    now: () => new Date(time),
  }).pollOnce();

describe('event sources on the database', () => {
  it('poll from where the last process stood and make one job of what two sources say', async () => {
    let store = await open();
    expect(await pollAt(store, '2026-03-01T12:00:00Z')).toBe(1);
    await store.close();

    store = await open();
    try {
      expect(await pollAt(store, '2026-03-05T12:00:00Z')).toBe(0);
      expect(asked[1]!.since!.toISOString()).toBe('2026-02-28T12:00:00.000Z');

      const secret = 'a-secret-of-some-length';
      const source = restSource({ secret, announce: (event) => store.register.announce(event), logger: silentLogger });
      const server = await serving(source.router);
      const response = await fetch(`${server.url}/events/study`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${secret}` },
        body: JSON.stringify({ studyUid: '1.2.3' }),
      });
      expect(await response.json()).toEqual({ state: 'known' });
      await server.close();
      expect((await store.counts()).pending).toBe(1);
    } finally {
      await store.close();
    }
  });
});
