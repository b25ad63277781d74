/** Cards for suspicions that nobody has reviewed: one for each study, the most serious first, and not more than can be looked at. */
import { bullets, prose, paragraphs, type Markdown } from '../../src/kit/markdown.ts';
import {
  changeInWords,
  gradeOf,
  comparisonOf,
  samePlace,
  whyReadAgain,
  type Card,
  type Comparison,
  type Finding,
  type HookServices,
  type Link,
  type StudyRecord,
  type StudyUid,
} from '../../src/kit/hook.ts';
import type { ChartState, OpenFinding } from './chart-state.ts';
import { findingWords, summaryOf } from './headline.ts';
import { indicatorOf, strongest } from './indicator.ts';
import { modelParagraph, overrideReasons, researchUseOnly, sourceOf, unreviewed } from './labels.ts';
import type { NextStep } from './next-steps.ts';
import { alsoInWords, laterInWords, spokenFor } from './same-place.ts';
import { dateOf, dayOf, distinct, levelOf, measurementWords, seriousnessOf, studyWords } from './words.ts';

/** A sixth card is not read; the rest share one. */
const mostCards = 5;
/** More links than these are a list to read. */
const mostLinks = 3;

export type SuspicionOptions = {
  readonly caveat?: (study: StudyRecord) => Markdown | undefined;
  /** What may be ordered next for these findings. */
  readonly nextSteps?: (findings: readonly Finding[], study: StudyRecord | undefined) => readonly NextStep[];
};

/** The open suspicions of one study, the most serious first. */
type Suspicious = { readonly study: StudyUid; readonly open: readonly OpenFinding[] };

export function suspicionCards(state: ChartState, services: HookServices, options: SuspicionOptions = {}): Card[] {
  const spoken = spokenFor(state);
  const silent = new Set([...spoken.values()].flat().map(({ finding }) => finding.id));
  const ordered = byStudy(state.suspicions.filter(({ finding }) => !silent.has(finding.id))).toSorted(
    (a, b) =>
      seriousnessOf(leading(b).finding) - seriousnessOf(leading(a).finding) ||
      takenAt(leading(b), state).localeCompare(takenAt(leading(a), state)),
  );
  // One too many is shown itself: a card "1 more" would take the same room and say less.
  const shown = ordered.length === mostCards + 1 ? ordered : ordered.slice(0, mostCards);
  const rest = ordered.slice(shown.length).flatMap(({ open }) => open);
  // The same examination is suggested once, on the card of the most serious finding that asks for it.
  const suggested = new Set<string>();
  const once: SuspicionOptions = {
    ...options,
    nextSteps(findings, study) {
      const fresh = (options.nextSteps?.(findings, study) ?? []).filter(({ step }) => !suggested.has(step));
      for (const { step } of fresh) suggested.add(step);
      return fresh;
    },
  };
  return [
    ...shown.map((one) => suspicionCard(one, state, services, { ...once, spoken })),
    ...(rest.length === 0 ? [] : [restCard(rest, state, services)]),
  ];
}

const leading = ({ open }: Suspicious): OpenFinding => open[0]!;

function byStudy(suspicions: readonly OpenFinding[]): Suspicious[] {
  return [...Map.groupBy(suspicions, ({ reading }) => reading.studyUid)].map(([study, open]) => ({
    study,
    open: open.toSorted((a, b) => seriousnessOf(b.finding) - seriousnessOf(a.finding)),
  }));
}

/** Charts are opened far more often than films are read: while the store hands out the same objects, the card is the same. */
const made = new WeakMap<Finding, { readonly from: readonly unknown[]; readonly card: Card }>();

function suspicionCard(
  suspicious: Suspicious,
  state: ChartState,
  services: HookServices,
  options: SuspicionOptions & { readonly spoken: ReturnType<typeof spokenFor> },
) {
  const { open } = suspicious;
  const earlier = open.flatMap(({ finding }) => options.spoken.get(finding.id) ?? []);
  const findings = open.map(({ finding }) => finding);
  const study = studyOf(leading(suspicious), state);
  const warning = study === undefined ? undefined : options.caveat?.(study);
  const steps = options.nextSteps?.(findings, study) ?? [];
  const unseen = unseenOn(suspicious, state);
  // Everything that the card is made of; earlier films are among the readings and studies.
  const from = [
    services.card,
    warning?.text,
    unseen,
    steps.map(({ suggestion, says }) => `${suggestion.label} ${says}`).join(),
    earlier.map(({ finding }) => finding.id).join(),
    ...findings,
    ...state.readings,
    ...state.studies,
  ];
  const known = made.get(findings[0]!);
  if (known !== undefined && same(known.from, from)) return known.card;
  const card = newCard(suspicious, { state, services, unseen, warning, steps, earlier });
  made.set(findings[0]!, { from, card });
  return card;
}

const same = (one: readonly unknown[], other: readonly unknown[]): boolean =>
  one.length === other.length && one.every((item, at) => item === other[at]);

const unseenOn = ({ study }: Suspicious, { notAssessable }: ChartState): string =>
  [
    ...new Set(
      notAssessable
        .filter(({ finding, reading }) => reading.studyUid === study && finding.site.kind !== 'image')
        .map(({ finding }) => levelOf(finding.site)),
    ),
  ].join(', ');

type Made = {
  readonly state: ChartState;
  readonly services: HookServices;
  readonly unseen: string;
  readonly warning: Markdown | undefined;
  readonly steps: readonly NextStep[];
  /** Open suspicions of earlier films that this card speaks for. */
  readonly earlier: readonly OpenFinding[];
};

function newCard(suspicious: Suspicious, { state, services, unseen, warning, steps, earlier }: Made): Card {
  const { open } = suspicious;
  const [first] = open;
  const compared = open.map(({ finding, reading }) => ({ finding, comparison: comparisonOf(finding, reading, state) }));
  const readings = [...new Set(open.map(({ reading }) => reading))];
  const again = readings.map(whyReadAgain).filter((why) => why !== undefined);
  return services.card({
    about: {
      // Who puts the card away puts away all that it speaks for.
      findings: [...open, ...earlier].map(({ finding }) => finding.id),
      // A card that suggests something else is answered anew.
      state: ['unreviewed', ...steps.map(({ step }) => step)].join(' '),
    },
    summary: summaryOf(unreviewed, first!.finding, compared[0]!.comparison, open.length - 1),
    indicator: strongest([
      ...compared.map(({ finding, comparison }) => indicatorOf(finding, comparison)),
      // What would have been a warning on the earlier film's own card is one here.
      ...earlier.map(({ finding }) => indicatorOf(finding, undefined)),
    ]),
    source: sourceOf('suggestion'),
    detail: paragraphs([
      // The summary has said what is suspected and that nobody has reviewed it.
      prose`From the ${wordsOf(first!, state)}.`,
      ...again.map((why) => prose`${why}`),
      ...(warning === undefined ? [] : [warning]),
      ...compared.flatMap((one, at) =>
        findingParagraphs(one, otherFilmsInWords(open[at]!, one.comparison, earlier, state), open.length > 1),
      ),
      ...(unseen === '' ? [] : [prose`Not assessable on this film: ${unseen}.`]),
      ...(steps.length === 0 ? [] : [prose`To consider next:`, bullets(steps.map(({ says }) => prose`${says}`))]),
      ...readings.map((reading) => modelParagraph(reading, services)),
      researchUseOnly,
    ]),
    links: linksOf(compared, services),
    ...(steps.length === 0
      ? {}
      : { suggestions: steps.map(({ suggestion }) => suggestion), selectionBehavior: 'any' as const }),
    overrideReasons,
  });
}

/** The film it is compared with, the other earlier ones, and a later one that says otherwise. */
function otherFilmsInWords(
  open: OpenFinding,
  comparison: Comparison | undefined,
  earlier: readonly OpenFinding[],
  state: ChartState,
): string[] {
  const others = earlier.filter(
    ({ finding }) => samePlace(finding, open.finding) && finding.id !== comparison?.prior.finding,
  );
  return [
    comparison === undefined ? undefined : changeInWords(comparison, dayOf),
    ...others.map((one) => alsoInWords(one, state)),
    laterInWords(open, state),
  ].filter((words) => words !== undefined);
}

function findingParagraphs({ finding }: Compared, otherFilms: readonly string[], several: boolean): Markdown[] {
  const genant = gradeOf(finding, 'Genant')?.value;
  const facts = [
    ...(genant === undefined ? [] : [prose`Genant grade: ${genant}`]),
    ...distinct(finding.measurements).map((one) => prose`${measurementWords(one)}`),
    ...otherFilms.map((words) => prose`${words}`),
  ];
  return [...(several ? [prose`**${findingWords(finding)}**`] : []), ...(facts.length === 0 ? [] : [bullets(facts)])];
}

type Compared = { readonly finding: Finding; readonly comparison: Comparison | undefined };

function linksOf(compared: readonly Compared[], { appLink }: HookServices): Link[] {
  const links = compared.slice(0, mostLinks).map(({ finding }) =>
    appLink(finding.site.kind === 'image' ? 'Open the film' : `Open the film at ${levelOf(finding.site)}`, {
      finding: finding.id,
    }),
  );
  const prior = compared[0]?.comparison?.prior;
  return prior === undefined
    ? links
    : [...links, appLink(`Open the earlier film of ${dayOf(prior.takenAt)}`, { finding: prior.finding })];
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
