/** Lets only so many through at once; who waits can stop waiting. */
export type Limiter = {
  /** Resolves to the function that gives the place back; calling that twice is harmless. */
  enter(signal?: AbortSignal): Promise<() => void>;
};

export function limiter(places: number): Limiter {
  let free = places;
  const waiting = new Set<() => void>();
  const leave = () => {
    free += 1;
    const [next] = waiting;
    next?.();
  };
  return {
    enter(signal) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const giveUp = () => {
          waiting.delete(admit);
          reject(signal?.reason);
        };
        const admit = () => {
          waiting.delete(admit);
          signal?.removeEventListener('abort', giveUp);
          free -= 1;
          let left = false;
          resolve(() => {
            if (left) return;
            left = true;
            leave();
          });
        };
        if (free > 0) return admit();
        waiting.add(admit);
        signal?.addEventListener('abort', giveUp, { once: true });
      });
    },
  };
}
