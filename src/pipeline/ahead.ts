/** Lets a source work a few items ahead of whoever takes them, and no further. */

/**
 * Starts at once. What the source throws is thrown when its turn comes, behind the items before it. `return` stops the
 * source and settles when it has ended.
 */
export function ahead<Item>(
  source: (signal: AbortSignal) => AsyncIterable<Item>,
  most: number,
  signal: AbortSignal,
): AsyncIterableIterator<Item, void, void> {
  const stop = new AbortController();
  const items: Item[] = [];
  const end: { came: boolean; fault?: { readonly thrown: unknown } } = { came: false };
  /** Who waits: the taker for an item, or the source for a place. */
  let wakeTaker = () => {};
  let wakeSource = () => {};

  const running = (async () => {
    try {
      for await (const item of source(AbortSignal.any([signal, stop.signal]))) {
        items.push(item);
        wakeTaker();
        while (items.length >= most && !stop.signal.aborted)
          await new Promise<void>((resolve) => (wakeSource = resolve));
        if (stop.signal.aborted) break;
      }
    } catch (thrown) {
      end.fault = { thrown };
    }
    end.came = true;
    wakeTaker();
  })();

  return {
    async next() {
      while (items.length === 0 && !end.came) await new Promise<void>((resolve) => (wakeTaker = resolve));
      const [item] = items.splice(0, 1);
      wakeSource();
      if (item !== undefined) return { done: false, value: item };
      if (end.fault !== undefined) throw end.fault.thrown;
      return { done: true, value: undefined };
    },
    async return() {
      stop.abort();
      items.length = 0;
      wakeSource();
      await running;
      delete end.fault;
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
