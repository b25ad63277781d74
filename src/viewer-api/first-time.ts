/** Remembers what was noted already, so that the audit has one line per session and thing, not one per request. */

/** Old entries leave first; an entry that comes twice after that is an extra audit line, never a missing one. */
const mostRemembered = 10_000;

export function firstTimes(): (key: string) => boolean {
  const seen = new Set<string>();
  return (key) => {
    if (seen.has(key)) return false;
    seen.add(key);
    if (seen.size > mostRemembered) seen.delete(seen.values().next().value!);
    return true;
  };
}
