/** Why a reading took the place of an earlier one, in one sentence for whoever saw the earlier one. */
import type { Reading } from './finding.ts';

export function whyReadAgain({ pictures, pack, replaces }: Reading): string | undefined {
  if (replaces === undefined) return undefined;
  const more = pictures === undefined || replaces.pictures === undefined ? undefined : pictures - replaces.pictures;
  const why =
    more !== undefined && more > 0
      ? `Updated after ${more} more ${more === 1 ? 'picture' : 'pictures'} arrived.`
      : more === 0 && replaces.version !== pack.version
        ? `Read again by version ${pack.version} of the model.`
        : 'Updated: the pictures of the study have changed.';
  const { review, verdicts } = replaces;
  if (review.kind === 'final')
    return `${why} The earlier reading was reviewed by ${review.by.display} on ${review.at.slice(0, 10)}.`;
  return verdicts === 0 ? why : `${why} What was decided on the earlier reading (${verdicts}) stays recorded with it.`;
}
