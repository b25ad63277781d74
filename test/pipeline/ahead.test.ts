import { describe, expect, test } from 'vitest';
import { ahead } from '../../src/pipeline/ahead.ts';

const never = new AbortController().signal;
const turn = () => new Promise(setImmediate);

describe('working ahead', () => {
  test('gives everything in order', async () => {
    const found: number[] = [];
    const numbers = ahead(
      async function* () {
        yield* [1, 2, 3, 4, 5];
      },
      2,
      never,
    );
    for await (const one of numbers) found.push(one);
    expect(found).toEqual([1, 2, 3, 4, 5]);
  });

  test('makes no more than may wait, and goes on as they are taken', async () => {
    let made = 0;
    const endless = ahead(
      async function* () {
        for (;;) yield (made += 1);
      },
      3,
      never,
    );
    await turn();
    expect(made).toBe(3);
    await endless.next();
    await turn();
    expect(made).toBe(4);
    await endless.return!();
  });

  test('throws what the source threw, behind what came before', async () => {
    const fault = new Error('lost');
    const broken = ahead(
      async function* () {
        yield 1;
        throw fault;
      },
      2,
      never,
    );
    await turn();
    expect(await broken.next()).toEqual({ done: false, value: 1 });
    await expect(broken.next()).rejects.toBe(fault);
  });

  test('stops the source when nobody wants more, and waits until it has ended', async () => {
    const events: string[] = [];
    const slow = ahead(
      async function* (signal) {
        try {
          yield 1;
          await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        } finally {
          await turn();
          events.push('ended');
        }
      },
      5,
      never,
    );
    await slow.next();
    await turn();
    await slow.return!();
    expect(events).toEqual(['ended']);
    expect(await slow.next()).toMatchObject({ done: true });
  });

  test('hands the caller’s word on to the source', async () => {
    const caller = new AbortController();
    const reason = new Error('the service is stopping');
    const waiting = ahead(
      async function* (signal) {
        yield await new Promise<never>((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason)),
        );
      },
      1,
      caller.signal,
    );
    const next = waiting.next();
    caller.abort(reason);
    await expect(next).rejects.toBe(reason);
  });
});
