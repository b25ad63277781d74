/** What event sources need around them in tests: a memory of announcements, cursors, and an HTTP server that hangs on their routers. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type Router } from 'express';
import type { StudyEvent } from '../../src/domain/event.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { Cursors } from '../../src/events/cursors.ts';
import { errorHandler } from '../../src/http/errors.ts';

/** Like the register: a study and reason are queued once, whatever says so again. */
export function register() {
  const events: StudyEvent[] = [];
  const calls: StudyEvent[] = [];
  let down: Error | undefined;
  return {
    /** Each study and reason once. */
    events,
    /** Every call. */
    calls,
    failWith: (error: Error | undefined) => void (down = error),
    async announce(event: StudyEvent): Promise<'queued' | 'known'> {
      if (down !== undefined) throw down;
      calls.push(event);
      if (events.some(({ studyUid, reason }) => studyUid === event.studyUid && reason === event.reason)) return 'known';
      events.push(event);
      return 'queued';
    },
  };
}

export function cursorsInMemory(): Cursors & { readonly kept: Map<string, string> } {
  const kept = new Map<string, string>();
  return { kept, get: async (name) => kept.get(name), set: async (name, value) => void kept.set(name, value) };
}

export async function serving(
  router: Router,
  port = 0,
): Promise<{ url: string; port: number; close(): Promise<void> }> {
  const app = express().use(router).use(errorHandler(silentLogger));
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Waits for something that will become true, without betting on how long it takes. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (;;) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
