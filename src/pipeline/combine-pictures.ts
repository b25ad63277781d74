/** One answer from several pictures of a study: what any of them shows is suspected, what the best of them shows is reported. */
import type { FindingDraft } from '../domain/finding.ts';

/** Drafts of each picture, the picture on which most could be assessed first. */
export function combinePictures([best = [], ...others]: readonly (readonly FindingDraft[])[]): FindingDraft[] {
  const combined = new Map(best.map((draft) => [placeOf(draft), draft]));
  for (const draft of others.flat()) {
    const place = placeOf(draft);
    const known = combined.get(place);
    if (known === undefined || saysMore(draft, known)) combined.set(place, draft);
  }
  return [...combined.values()];
}

const placeOf = ({ concept, site }: FindingDraft): string =>
  `${concept} at ${site.kind === 'image' ? 'image' : site.level}`;

/** A slip may show in flexion only: a normal picture beside it takes nothing back. Of two that show it, the larger is told. */
function saysMore(draft: FindingDraft, than: FindingDraft): boolean {
  const [own, other] = [weightOf(draft), weightOf(than)];
  if (own !== other) return own > other;
  return draft.result.kind === 'detected' && extentOf(draft) > extentOf(than);
}

const weightOf = ({ result }: FindingDraft): number =>
  ({ 'not-assessable': 0, measured: 1, 'not-detected': 1, detected: 2 })[result.kind];

/** A pack measures first what its finding is about. */
const extentOf = ({ measurements: [first] }: FindingDraft): number => Math.abs(first?.value ?? 0);
