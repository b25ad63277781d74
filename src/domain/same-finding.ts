/** Whether two readings say the same of the same picture: only then is a person's verdict on the one a verdict on the other. */
import type { Finding, FindingDraft, PackIdentity } from './finding.ts';

type Said = { readonly pack: PackIdentity; readonly contentHash: string };

/**
 * Other processors and other numbers of threads round differently: what differs by less than one part in a thousand is
 * what was shown to the person. Everything else must be equal: other weights, another picture, another word make another
 * finding.
 */
const tolerance = 1e-3;

export function sameFinding(
  earlier: Said & { readonly finding: FindingDraft },
  later: Said & { readonly finding: FindingDraft },
): boolean {
  if (earlier.pack.sha256 !== later.pack.sha256) return false;
  // A finding that names no picture speaks of all of them.
  const picturesNamed = earlier.finding.evidence !== undefined && later.finding.evidence !== undefined;
  if (!picturesNamed && earlier.contentHash !== later.contentHash) return false;
  return alike(draftOf(earlier.finding), draftOf(later.finding));
}

/** What was said, without its id and what people made of it. */
function draftOf(finding: FindingDraft): FindingDraft {
  const { concept, site, result, measurements, summary, evidence, explanation } = finding;
  return {
    concept,
    site,
    result,
    measurements,
    summary,
    ...(evidence === undefined ? {} : { evidence }),
    ...(explanation === undefined ? {} : { explanation }),
  };
}

function alike(one: unknown, other: unknown): boolean {
  if (typeof one === 'number' && typeof other === 'number')
    return Math.abs(one - other) <= tolerance * Math.max(1, Math.abs(one), Math.abs(other));
  if (Array.isArray(one))
    return Array.isArray(other) && one.length === other.length && one.every((item, at) => alike(item, other[at]));
  if (one === null || other === null || typeof one !== 'object' || typeof other !== 'object') return one === other;
  const [ours, theirs] = [definedIn(one), definedIn(other)];
  return ours.length === theirs.length && ours.every(([name, value]) => alike(value, (other as never)[name]));
}

const definedIn = (value: object): [string, unknown][] =>
  Object.entries(value).filter(([, item]) => item !== undefined);

/** The findings of the later reading, with the ids and verdicts of those that the earlier one had made as well. */
export function continued(
  earlier: Said & { readonly findings: readonly Finding[] },
  later: Said & { readonly findings: readonly Finding[] },
): { readonly findings: readonly Finding[]; /** Nothing is new and nothing is gone. */ readonly unchanged: boolean } {
  const left = [...earlier.findings];
  let kept = 0;
  const findings = later.findings.map((finding) => {
    const at = left.findIndex((one) => sameFinding({ ...earlier, finding: one }, { ...later, finding }));
    const [known] = at < 0 ? [] : left.splice(at, 1);
    if (known === undefined) return finding;
    kept += 1;
    return { ...finding, id: known.id, verdict: known.verdict };
  });
  return { findings, unchanged: kept === later.findings.length && left.length === 0 };
}
