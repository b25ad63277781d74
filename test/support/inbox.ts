/** A real inbox for tests: files in a temporary folder, rows in a real PostgreSQL. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import express from 'express';
import { Client } from 'pg';
import { inboxOrigin } from '../../src/dicom/inbox-origin.ts';
import { inbox, type InboxOptions } from '../../src/dicom/inbox.ts';
import { limiter } from '../../src/dicom/limiter.ts';
import { passMultipart } from '../../src/dicom/multipart.ts';
import type { Inbox, Kept, ReceivedObjects, Sender } from '../../src/domain/inbox.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { stowSource } from '../../src/events/stow.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { testDatabase } from './postgres.ts';

export const aSender: Sender = { road: 'stow', name: 'a test' };

export type InboxUnderTest = {
  readonly folder: string;
  readonly store: Store;
  readonly objects: ReceivedObjects;
  readonly inbox: Inbox;
  with(options: Partial<InboxOptions>): Inbox;
  /** For what takes long by itself. */
  inDatabase(statement: string): Promise<void>;
  /** Hands a whole file over, as STOW-RS does. */
  put(file: Uint8Array, into?: Inbox): Promise<Kept>;
  close(): Promise<void>;
};

export async function openInbox(databaseUrl?: string): Promise<InboxUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), 'wetread-inbox-'));
  const url = databaseUrl ?? (await testDatabase());
  const store = await openStore({ databaseUrl: url, dataDir: folder, outputs: [], logger: silentLogger });
  const base: InboxOptions = {
    folder,
    objects: store.received,
    maxInstanceBytes: 64 * 1024 * 1024,
    maxStudyBytes: 1024 * 1024 * 1024,
    keepFreeBytes: 0,
    logger: silentLogger,
  };
  const whole = inbox(base);
  return {
    folder,
    store,
    objects: store.received,
    inbox: whole,
    with: (options) => inbox({ ...base, ...options }),
    async inDatabase(statement) {
      const client = new Client({ connectionString: url });
      await client.connect();
      await client.query(statement).finally(() => client.end());
    },
    async put(file, into = whole) {
      const object = await into.receive(aSender);
      // In pieces that cut through everything.
      for (let at = 0; at < file.length; at += 5000) await object.write(file.subarray(at, at + 5000));
      return object.keep();
    },
    async close() {
      await store.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The inbox over HTTP, STOW-RS included, so that the suite for all archives can ask it. */
export async function serveInbox({
  folder,
  objects,
  inbox: room,
}: Pick<InboxUnderTest, 'folder' | 'objects' | 'inbox'>): Promise<{ readonly baseUrl: string; stop(): Promise<void> }> {
  const bearer = 'a-secret-for-the-suite';
  const stow = express().use(
    stowSource({ secrets: { bearer }, inbox: room, passMultipart, logger: silentLogger }).router,
  );
  const get = inboxOrigin({ folder, objects, maxInstanceBytes: 64 * 1024 * 1024 });
  const free = limiter(100);
  const server = createServer((request, response) => {
    if (request.method === 'POST') {
      request.url = `/dicom-web-in${request.url}`;
      request.headers.authorization = `Bearer ${bearer}`;
      return void stow(request, response);
    }
    void (async () => {
      const answer = await get((request.url ?? '').slice(1), { accept: '*/*', limiter: free });
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      await pipeline(Readable.from(answer.body), response);
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
