/** Cards for suspicions that nobody has reviewed: the most serious first, and not more than can be looked at. */
import { bullets, prose, paragraphs, type Markdown } from '../../src/kit/markdown.ts';
import {
  gradeOf,
  whyReadAgain,
  type Card,
  type HookServices,
  type Indicator,
  type StudyRecord,
} from '../../src/kit/hook.ts';
import type { ChartState, OpenFinding } from './chart-state.ts';
import { modelParagraph, overrideReasons, researchUseOnly, sourceOf, unreviewed } from './labels.ts';
import { dateOf, dayOf, levelOf, measurementWords, seriousnessOf, studyWords } from './words.ts';

/** A sixth card is not read; the rest share one. */
const mostCards = 5;

export function suspicionCards(
  state: ChartState,
  services: HookServices,
  caveat?: (study: StudyRecord) => Markdown | undefined,
): Card[] {
  const ordered = state.suspicions.toSorted(
    (a, b) => seriousnessOf(b.finding) - seriousnessOf(a.finding) || takenAt(b, state).localeCompare(takenAt(a, state)),
  );
  // One too many is shown itself: a card "1 more" would take the same room and say less.
  const shown = ordered.length === mostCards + 1 ? ordered : ordered.slice(0, mostCards);
  const rest = ordered.slice(shown.length);
  return [
    ...shown.map((open) => suspicionCard(open, state, services, caveat)),
    ...(rest.length === 0 ? [] : [restCard(rest, state, services)]),
  ];
}

/** Everything a card says beside its finding and reading, which never change. */
type Surroundings = {
  readonly study: StudyRecord | undefined;
  readonly unseen: string;
  readonly warning: string | undefined;
};

/** Charts are opened far more often than films are read: while the store hands out the same finding, its card is the same. */
const made = new WeakMap<
  OpenFinding['finding'],
  Surroundings & { readonly by: HookServices['card']; readonly card: Card }
>();

function suspicionCard(
  open: OpenFinding,
  state: ChartState,
  services: HookServices,
  caveat?: (study: StudyRecord) => Markdown | undefined,
): Card {
  const { finding, reading } = open;
  const study = studyOf(open, state);
  const warning = study === undefined ? undefined : caveat?.(study);
  const unseen = state.notAssessable
    .filter((other) => other.reading.id === reading.id && other.finding.site.kind !== 'image')
    .map(({ finding: { site } }) => levelOf(site))
    .join(', ');
  const known = made.get(finding);
  if (
    known?.by === services.card &&
    known.study === study &&
    known.unseen === unseen &&
    known.warning === warning?.text
  ) {
    return known.card;
  }
  const card = newCard(open, state, services, unseen, warning);
  made.set(finding, { by: services.card, study, unseen, warning: warning?.text, card });
  return card;
}

function newCard(
  open: OpenFinding,
  state: ChartState,
  services: HookServices,
  unseen: string,
  warning: Markdown | undefined,
): Card {
  const { finding, reading } = open;
  const again = whyReadAgain(reading);
  return services.card({
    about: { findings: [finding.id], state: 'unreviewed' },
    summary: `${unreviewed}: ${finding.summary}`,
    indicator: indicatorOf(open),
    source: sourceOf('suggestion'),
    detail: paragraphs([
      // The summary has said what is suspected and that nobody has reviewed it.
      prose`From the ${wordsOf(open, state)}.`,
      ...(again === undefined ? [] : [prose`${again}`]),
      ...(warning === undefined ? [] : [warning]),
      ...(finding.measurements.length === 0
        ? []
        : [bullets(finding.measurements.map((one) => prose`${measurementWords(one)}`))]),
      ...(unseen === '' ? [] : [prose`Not assessable on this film: ${unseen}.`]),
      modelParagraph(reading, services),
      researchUseOnly,
    ]),
    links: [
      services.appLink(finding.site.kind === 'image' ? 'Open the film' : `Open the film at ${levelOf(finding.site)}`, {
        finding: finding.id,
      }),
    ],
    overrideReasons,
  });
}

function restCard(rest: readonly OpenFinding[], state: ChartState, services: HookServices): Card {
  return services.card({
    about: { findings: rest.map(({ finding }) => finding.id), state: 'unreviewed, listed' },
    summary: `${rest.length} more AI suggestions, not yet reviewed: ${rest.map(({ finding }) => levelOf(finding.site)).join(', ')}`,
    indicator: 'info',
    source: sourceOf('suggestion'),
    detail: paragraphs([
      bullets(rest.map((open) => prose`${open.finding.summary}, ${wordsOf(open, state)}`)),
      researchUseOnly,
    ]),
    links: [services.appLink('Open the first of them', { finding: rest[0]!.finding.id })],
    overrideReasons,
  });
}

/**
 * The indicator says how soon somebody should look, not how sure the model is. A slip of half a vertebra (Meyerding III)
 * and more is worth an interruption; nothing a model says before review is `critical`.
 */
function indicatorOf({ finding }: OpenFinding): Indicator {
  const grade = gradeOf(finding, 'Meyerding')?.value;
  return grade === 'III' || grade === 'IV' || grade === 'V' ? 'warning' : 'info';
}

const studyOf = ({ reading }: OpenFinding, { studies }: ChartState): StudyRecord | undefined =>
  studies.find(({ studyUid }) => studyUid === reading.studyUid);

const takenAt = (open: OpenFinding, state: ChartState): string => {
  const study = studyOf(open, state);
  return study === undefined ? open.reading.readAt : dateOf(study);
};

function wordsOf(open: OpenFinding, state: ChartState): string {
  const study = studyOf(open, state);
  if (study === undefined) return `film read on ${dayOf(open.reading.readAt)}`;
  return study.description === undefined ? studyWords(study) : `${studyWords(study)} (${study.description})`;
}
