/** A reading in plain sentences: what is suspected, what is not, what could not be judged, and who has looked at it. */
import { dayInWords as day } from '../domain/day-in-words.ts';
import type { Concept, Finding, Reading } from '../domain/finding.ts';
import { whyReadAgain } from '../domain/read-again.ts';
import { reasonTexts, siteText } from './codes.ts';

/** Another model's report stands beside this one: each says what it did not suspect, never just "nothing". */
const notSuspected: Readonly<Record<Concept, string>> = {
  spondylolisthesis: 'No spondylolisthesis',
  'vertebral-fracture': 'No fracture',
  'vertebral-height': 'No unusual height',
  'view-and-quality': 'Nothing',
};
const concepts = Object.keys(notSuspected) as Concept[];

/** What each finding is compared with, in words; undefined where there is nothing to compare. */
export type Course = (finding: Finding) => string | undefined;

export function conclusionOf(reading: Reading, course: Course = () => undefined): string {
  const { findings, review } = reading;
  const of = (accepts: (finding: Finding) => boolean) => findings.filter(accepts);
  const standing = of(({ result, verdict }) => result.kind === 'detected' && verdict.kind !== 'rejected');
  const confirmed = standing.filter(({ verdict }) => verdict.kind === 'confirmed');
  const open = standing.filter(({ verdict }) => verdict.kind !== 'confirmed');
  const rejected = of(({ verdict }) => verdict.kind === 'rejected');
  // That the view is right is no news; that it is wrong is said below.
  const clear = of(
    ({ concept, result, verdict }) =>
      concept !== 'view-and-quality' && result.kind === 'not-detected' && verdict.kind !== 'rejected',
  );
  const unjudged = of(({ result, verdict }) => result.kind === 'not-assessable' && verdict.kind !== 'rejected');

  const sentences = [
    review.kind === 'final'
      ? `AI reading, reviewed by ${review.by.display} on ${day(review.at)}.`
      : confirmed.length + rejected.length > 0
        ? 'AI suggestion, not yet reviewed completely.'
        : 'AI suggestion, not yet reviewed.',
    whyReadAgain(reading) ?? '',
    ...confirmed.map((finding) => withCourse(`Confirmed: ${sentence(finding.summary)}`, course(finding))),
    ...open.map((finding) => withCourse(sentence(finding.summary), course(finding))),
    ...rejected.map(({ summary, verdict }) => `Rejected by the reviewer: ${sentence(summary)}${because(verdict)}`),
    ...concepts.map((concept) => {
      const places = clear.filter((finding) => finding.concept === concept).map(({ site }) => siteText(site));
      return places.length > 0 ? `${notSuspected[concept]} suspected at ${listed(places)}.` : '';
    }),
    // Where something was suspected once.
    ...clear.flatMap((finding) => {
      const then = course(finding);
      return then === undefined ? [] : [`${siteText(finding.site)}: ${then}`];
    }),
    ...unjudged.map(({ site, result }) =>
      result.kind === 'not-assessable'
        ? `Not assessable (${siteText(site)}): ${reasonTexts[result.reason]}. ${sentence(result.explanation)}`
        : '',
    ),
  ];
  return sentences
    .filter((text) => text !== '')
    .join(' ')
    .trim();
}

/** One line on where this finding stands. */
export function standingOf(finding: Finding, reading: Reading): string {
  const { verdict } = finding;
  if (verdict.kind === 'confirmed') return `AI finding, confirmed by ${verdict.by.display} on ${day(verdict.at)}.`;
  if (verdict.kind === 'rejected')
    return `AI suggestion, rejected by ${verdict.by.display} on ${day(verdict.at)}: ${verdict.reason}`;
  if (reading.review.kind === 'final')
    return `AI result, released with the reading reviewed by ${reading.review.by.display} on ${day(reading.review.at)}.`;
  return 'AI suggestion, not yet reviewed.';
}

/** The whole of it stands in the finding's own note; here it must not crowd out what is suspected elsewhere. */
const longestReason = 200;

/** In one line and in quotes: whatever a reader types stays the reader's words and cannot look like a sentence of the report. */
function because(verdict: Finding['verdict']): string {
  if (verdict.kind !== 'rejected') return '';
  const words = Array.from(
    verdict.reason
      .replaceAll(/[\s\p{C}]+/gu, ' ')
      .replaceAll(/["“”„]/g, "'")
      .trim(),
  );
  if (words.length === 0) return '';
  const said =
    words.length <= longestReason
      ? words.join('')
      : `${words
          .slice(0, longestReason - 1)
          .join('')
          .trimEnd()}…`;
  return ` The reason given: “${said}”.`;
}

const withCourse = (text: string, course: string | undefined): string =>
  course === undefined ? text : `${text} ${course}`;
const sentence = (text: string): string => (text === '' || /[.!?]$/.test(text) ? text : `${text}.`);
const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
