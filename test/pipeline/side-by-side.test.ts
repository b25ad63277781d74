import { describe, expect, it } from 'vitest';
import { sideBySide } from '../../src/pipeline/side-by-side.ts';

const never = new AbortController().signal;

/** A task that lasts until somebody stops it, and says that it was stopped. */
function lasting() {
  const seen: unknown[] = [];
  const task = (signal: AbortSignal) =>
    new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () =>
        setImmediate(() => {
          seen.push(signal.reason);
          reject(signal.reason);
        }),
      );
    });
  return { seen, task };
}

describe('side by side', () => {
  it('runs both at once and gives both answers', async () => {
    const met = Promise.withResolvers<string>();
    const both = await sideBySide(
      () => met.promise,
      async () => {
        met.resolve('the first');
        return 'the other';
      },
      never,
    );
    expect(both).toEqual(['the first', 'the other']);
  });

  it('stops the companion when the first fails, and throws only when it has ended', async () => {
    const { seen, task } = lasting();
    const fault = new Error('the first failed');
    await expect(sideBySide(() => Promise.reject(fault), task, never)).rejects.toBe(fault);
    expect(seen).toEqual([fault]);
  });

  it('lets the first finish when the companion fails', async () => {
    let finished = false;
    const fault = new Error('the companion failed');
    const first = async (signal: AbortSignal) => {
      await new Promise(setImmediate);
      signal.throwIfAborted();
      finished = true;
    };
    await expect(sideBySide(first, () => Promise.reject(fault), never)).rejects.toBe(fault);
    expect(finished).toBe(true);
  });

  it('throws what the first threw when both fail', async () => {
    const fault = new Error('the first failed');
    const first = async () => {
      await new Promise(setImmediate);
      throw fault;
    };
    await expect(sideBySide(first, () => Promise.reject(new Error('sooner')), never)).rejects.toBe(fault);
  });

  it('hands the caller’s word on to both', async () => {
    const caller = new AbortController();
    const [first, companion] = [lasting(), lasting()];
    const both = sideBySide(first.task, companion.task, caller.signal);
    const reason = new Error('the service is stopping');
    caller.abort(reason);
    await expect(both).rejects.toBe(reason);
    expect([first.seen, companion.seen]).toEqual([[reason], [reason]]);
  });
});
