/** One connection of its own per process: it hears that patients changed, and its lock shows other processes that this one lives. */
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from 'pg';
import type { Logger } from '../domain/log.ts';
import { translated } from './database.ts';

/** First half of the advisory locks that living workers hold; the second is the worker's number. */
export const workerLock = 0x7774;

export type Presence = {
  readonly worker: number;
  /** False while the connection is down: then nothing may be trusted to be unchanged. */
  readonly listening: boolean;
  close(): Promise<void>;
};

export async function openPresence(options: {
  connectionString: string;
  worker: number;
  logger: Logger;
  onPatientChanged(patient: string): void;
  /** Changes may have been missed. */
  onGap(): void;
}): Promise<Presence> {
  const { logger } = options;
  let client: Client | undefined;
  let closed = false;
  let reconnecting: Promise<void> | undefined;

  async function connect(): Promise<void> {
    const next = new Client({
      connectionString: options.connectionString,
      application_name: 'wetread presence',
      connectionTimeoutMillis: 10_000,
      query_timeout: 5_000,
      keepAlive: true,
    });
    next.on('error', () => lost(next));
    next.on('end', () => lost(next));
    next.on('notification', ({ payload }) => payload !== undefined && options.onPatientChanged(payload));
    try {
      await next.connect();
      // Waits while the server has not yet noticed that an earlier connection of ours is gone: then the next try gets it.
      await next.query('select pg_advisory_lock($1, $2)', [workerLock, options.worker]);
      await next.query('listen wetread_patient');
    } catch (error) {
      next.removeAllListeners().on('error', () => {});
      await next.end().catch(() => {});
      throw translated(error);
    }
    client = next;
    options.onGap();
  }

  function lost(one: Client): void {
    if (client !== one) return;
    client = undefined;
    options.onGap();
    one.removeAllListeners().on('error', () => {});
    one.end().catch(() => {});
    if (!closed) reconnecting = again();
  }

  async function again(): Promise<void> {
    logger.warn('the connection that hears changes was lost');
    for (let delayMs = 100; ; delayMs = Math.min(2 * delayMs, 5_000)) {
      await wait(delayMs);
      if (closed) return;
      try {
        await connect();
        logger.info('the connection that hears changes is back');
        return;
      } catch {
        // Whoever waits for the database says so; this line only keeps trying.
      }
    }
  }

  // A network that swallows everything without a word is found out by asking.
  const heartbeat = setInterval(() => {
    const asked = client;
    asked?.query('select 1').catch(() => lost(asked));
  }, 5_000);
  heartbeat.unref();

  try {
    await connect();
  } catch (error) {
    clearInterval(heartbeat);
    throw error;
  }
  return {
    worker: options.worker,
    get listening() {
      return client !== undefined;
    },
    async close() {
      closed = true;
      clearInterval(heartbeat);
      const last = client;
      client = undefined;
      last?.removeAllListeners().on('error', () => {});
      await last?.end().catch(() => {});
      await reconnecting;
    },
  };
}
