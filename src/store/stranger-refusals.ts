/** Refusals of callers nobody knows: the first ones are audited one by one, the rest counted and written as one entry a window, so that a flood cannot fill the database. */
import { isIPv6 } from 'node:net';
import type { ErrorCode } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { AuditTrail, StrangerRefusals } from '../domain/ports.ts';

export type StrangerRules = {
  /** Begins with the first refusal; nothing runs while nobody is refused. */
  readonly windowMs: number;
  /** So many refusals of one source and code are written one by one in a window, */
  readonly oneByOne: number;
  /** and so many of all sources together: who has many addresses gets no further. */
  readonly oneByOneInAll: number;
  /** Sources and codes told apart in a window; those that come later share one count for each code. */
  readonly sources: number;
};
/** At the worst about 220 rows in ten minutes, which is some 7 MB a day, for each web process. */
export const defaultStrangerRules: StrangerRules = {
  windowMs: 10 * 60_000,
  oneByOne: 10,
  oneByOneInAll: 100,
  sources: 100,
};

type Count = { readonly code: ErrorCode; written: number; more: number; first: string; last: string };

/** `close` writes what is counted and must come before the database closes. */
export function strangerRefusals(parts: {
  readonly audit: AuditTrail;
  readonly logger: Logger;
  readonly rules?: StrangerRules;
}): StrangerRefusals & { close(): Promise<void> } {
  const { audit, logger, rules = defaultStrangerRules } = parts;
  let counts = new Map<string, Count>();
  let writtenInAll = 0;
  let timer: NodeJS.Timeout | undefined;
  let ending: Promise<void> = Promise.resolve();
  let closed = false;

  function countOf(source: string, code: ErrorCode): { readonly key: string; readonly count: Count } {
    let key = `${source} ${code}`;
    // Codes are few: the counts shared by latecomers add no more than one each.
    if (!counts.has(key) && counts.size >= rules.sources) key = `others ${code}`;
    let count = counts.get(key);
    if (count === undefined) counts.set(key, (count = { code, written: 0, more: 0, first: '', last: '' }));
    return { key, count };
  }

  function add(count: Count, more: Pick<Count, 'more' | 'first' | 'last'>): void {
    if (count.more === 0 || more.first < count.first) count.first = more.first;
    if (count.more === 0 || more.last > count.last) count.last = more.last;
    count.more += more.more;
    startWindow();
  }

  function startWindow(): void {
    if (!closed) timer ??= setTimeout(() => void endWindow(), rules.windowMs).unref();
  }

  function endWindow(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const ended = counts;
    counts = new Map();
    writtenInAll = 0;
    ending = writeSums(ending, ended);
    return ending;
  }

  async function writeSums(before: Promise<void>, ended: ReadonlyMap<string, Count>): Promise<void> {
    await before;
    await Promise.all([...ended].map(([key, count]) => count.more > 0 && writeSum(key, count)));
  }

  async function writeSum(key: string, { code, more, first, last }: Count): Promise<void> {
    logger.warn('strangers were refused', { code, more, first, last });
    try {
      const subject = `${more} more from ${first} to ${last}`;
      await audit.record({ action: 'refused', actor: 'anonymous', subject, code });
    } catch (error) {
      logger.warn('refusals of strangers could not be audited yet', { code, more, cause: error });
      add(countOf(key.slice(0, key.indexOf(' ')), code).count, { more, first, last });
    }
  }

  return {
    async refused(address, code) {
      const at = new Date().toISOString();
      startWindow();
      const source = sourceOf(address);
      const { count } = countOf(source, code);
      if (count.written >= rules.oneByOne || writtenInAll >= rules.oneByOneInAll)
        return add(count, { more: 1, first: at, last: at });
      count.written += 1;
      writtenInAll += 1;
      try {
        await audit.record({ action: 'refused', actor: 'anonymous', code });
      } catch {
        // A refusal stands whether or not the database is there; it is counted until it can be written. The window may be another by now.
        add(countOf(source, code).count, { more: 1, first: at, last: at });
      }
    },
    close() {
      closed = true;
      return endWindow();
    },
  };
}

/** Of IPv6 the first 64 bits: whoever has one address has all of those. */
function sourceOf(address = ''): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (!isIPv6(plain)) return plain;
  const [before = [], after = []] = plain.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}
