/** Fetches a list of things in order, some of them ahead of their consumer, and stops fetching when nobody listens any more. */

export async function* readAhead<Item, Thing>(
  items: readonly Item[],
  options: {
    fetch: (item: Item, signal: AbortSignal) => Promise<Thing>;
    /** How many may be on their way or waiting; asked anew each time. */
    ahead: () => number;
    signal?: AbortSignal | undefined;
  },
): AsyncGenerator<Thing> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const coming: Promise<Thing>[] = [];
  let next = 0;
  const fill = () => {
    while (next < items.length && coming.length < options.ahead()) {
      const thing = options.fetch(items[next++] as Item, signal);
      // Heard of when its turn comes; until then a failure must not end the process.
      thing.catch(() => {});
      coming.push(thing);
    }
  };
  try {
    for (fill(); coming.length > 0; fill()) {
      const thing = await coming[0]!;
      void coming.shift();
      fill();
      yield thing;
    }
  } finally {
    stop.abort(new Error('nobody reads on'));
    await Promise.allSettled(coming);
  }
}
