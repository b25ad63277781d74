/** Stops asking an archive that does not answer: it opens after repeated failures, lets one request try after a while, and closes when that one is answered. */
import { WetreadError } from '../domain/errors.ts';

export type CircuitState = {
  readonly kind: 'closed' | 'open' | 'half-open';
  /** Failures since the last answer. */
  readonly failures: number;
  /** When the next request may try, while open. */
  readonly retryAt?: string;
  /** What failed last. */
  readonly code?: string;
};

export type CircuitOptions = {
  readonly threshold?: number;
  /** How long it stays open at first; doubles with each try that fails. */
  readonly openMs?: number;
  readonly longestOpenMs?: number;
  readonly onChange?: ((state: CircuitState) => void) | undefined;
  readonly now?: () => number;
};

export type Circuit = {
  /** Throws `archive.unreachable` while open. What came of the request must be told, once. */
  enter(): { answered(): void; failed(error: WetreadError): void; cancelled(): void };
  state(): CircuitState;
};

export function circuit(options: CircuitOptions = {}): Circuit {
  const { threshold = 5, openMs = 5_000, longestOpenMs = 60_000, onChange, now = Date.now } = options;
  let state: CircuitState = { kind: 'closed', failures: 0 };
  let opened = 0;
  let retryAt = 0;
  const become = (next: CircuitState) => {
    const changed = next.kind !== state.kind;
    state = next;
    if (changed) onChange?.(next);
  };
  const open = (code: string, failures: number) => {
    retryAt = now() + Math.min(longestOpenMs, openMs * 2 ** opened);
    opened += 1;
    become({ kind: 'open', failures, retryAt: new Date(retryAt).toISOString(), code });
  };

  return {
    enter() {
      if (state.kind === 'half-open' || (state.kind === 'open' && now() < retryAt)) {
        throw new WetreadError(
          'archive.unreachable',
          `${state.failures} failures in a row (${state.code}); not asked again for a while`,
        );
      }
      const probing = state.kind === 'open';
      const before = state;
      if (probing) become({ ...state, kind: 'half-open' });
      return {
        answered() {
          opened = 0;
          become({ kind: 'closed', failures: 0 });
        },
        failed({ code }) {
          const failures = state.failures + 1;
          if (probing || (state.kind === 'closed' && failures >= threshold)) open(code, failures);
          // A request that began before it opened, and fails late, changes nothing but the count.
          else become({ ...state, failures });
        },
        cancelled() {
          if (probing && state.kind === 'half-open') become(before);
        },
      };
    },
    state: () => state,
  };
}
