/** What an earlier film of the patient showed at the same place, and the way to it. */
import type { FindingView, PriorView, ReadingView } from '../../src/viewer-api/contract.ts';
import { element } from './element.ts';
import { day, level, moment } from './words.ts';

const heads: Readonly<Record<PriorView['change'], string>> = {
  new: 'Not suspected on the earlier film',
  gone: 'No longer suspected',
  progressed: 'Further than on the earlier film',
  regressed: 'Less than on the earlier film',
  unchanged: 'Unchanged since the earlier film',
  uncertain: 'On the earlier film too',
};

export function course({ prior }: FindingView, open: () => void): HTMLElement | undefined {
  if (prior === undefined) return undefined;
  const who = prior.confirmed
    ? `Confirmed then by ${prior.confirmed.by.display}, ${moment(prior.confirmed.at)}.`
    : prior.reviewed
      ? 'The earlier reading was reviewed.'
      : 'Nobody has reviewed the earlier reading.';
  return element(
    'div',
    { class: `course ${prior.change}`, id: 'course' },
    element('h2', {}, heads[prior.change]),
    element('p', {}, `${day(prior.takenAt)}: ${prior.says}`),
    element('p', { class: 'quiet' }, [who, ...prior.cautions].join(' ')),
    element(
      'button',
      { type: 'button', class: 'link', id: 'open-prior', 'aria-keyshortcuts': 'p', click: open },
      `Open the film of ${day(prior.takenAt)}`,
      element('kbd', { 'aria-hidden': 'true' }, 'p'),
    ),
  );
}

/** Of a reading without suspicion: what was suspected once and is not any more. */
export function goneSince({ findings }: ReadingView): HTMLElement | undefined {
  const gone = findings.filter(({ prior }) => prior?.change === 'gone');
  if (gone.length === 0) return undefined;
  return element(
    'ul',
    { class: 'gone', id: 'gone' },
    ...gone.map((finding) =>
      element('li', {}, `${level(finding)}: ${finding.prior!.says}, compared with ${day(finding.prior!.takenAt)}`),
    ),
  );
}
