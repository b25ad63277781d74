/** Whether a pack refused the picture as a whole, and why: a finding about the image itself that is not assessable. */
import type { FindingDraft, NotAssessableReason } from '../domain/finding.ts';

export type PictureRefusal = { readonly reason: NotAssessableReason; readonly explanation: string };

export function refusalOfPicture(findings: readonly FindingDraft[]): PictureRefusal | undefined {
  for (const { site, result } of findings)
    if (site.kind === 'image' && result.kind === 'not-assessable')
      return { reason: result.reason, explanation: result.explanation };
  return undefined;
}
