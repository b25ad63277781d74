/** The words beside the film: the answer first, then the measurement, then the doubt, then what to do. */
import type { FindingView, PackView, PatientBanner, ReadingView, StudyView } from '../../src/viewer-api/contract.ts';
import { course, goneSince } from './course.ts';
import { element } from './element.ts';
import { explanationOf } from './explanation.ts';
import {
  age,
  day,
  distinct,
  doubt,
  figure,
  gradeBy,
  gradesInWords,
  headline,
  interval,
  level,
  measured,
  moment,
  noFracture,
  noSlip,
  quantityName,
  range,
  sentence,
  stateWords,
  unjudged,
  value,
} from './words.ts';
import { stateOf, type Item } from './worklist.ts';

export type PanelActions = {
  readonly choose: (item: Item) => void;
  readonly showFinding: (finding: FindingView) => void;
  readonly openPrior: () => void;
  readonly confirm: () => void;
  readonly reject: () => void;
};

export type PanelContent = {
  readonly items: readonly Item[];
  readonly item: Item;
  readonly pack: PackView | undefined;
  /** A verdict is on its way. */
  readonly busy: boolean;
  /** The last thing that went wrong, until the next action. */
  readonly trouble: { readonly message: string; readonly next: string } | undefined;
};

const slips = (reading: ReadingView) =>
  reading.findings.filter(({ concept, site }) => concept === 'spondylolisthesis' && site.kind === 'segment');
const heights = (reading: ReadingView) => reading.findings.filter(({ concept }) => concept === 'vertebral-height');
const fractures = (reading: ReadingView) =>
  reading.findings.filter(({ concept, site }) => concept === 'vertebral-fracture' && site.kind === 'vertebra');

export function who(patient: PatientBanner, study: StudyView | undefined): HTMLElement {
  const facts = [patient.sex, patient.birthDate && bornAndAge(patient.birthDate)].filter(
    (fact) => fact !== undefined && fact !== '',
  );
  const examination = study && [
    study.description ?? 'Imaging study',
    study.modalities.join(', '),
    study.startedAt && moment(study.startedAt),
  ];
  return element(
    'header',
    { class: 'who' },
    element(
      'p',
      { class: 'patient' },
      element('strong', {}, patient.display ?? `Patient ${patient.id}`),
      facts.length > 0 && ` · ${facts.join(' · ')}`,
    ),
    element('p', { class: 'quiet' }, examination ? examination.filter(Boolean).join(' · ') : 'No imaging study yet'),
  );
}

function bornAndAge(birthDate: string): string {
  const years = age(birthDate);
  return `born ${day(birthDate)}${years === undefined ? '' : ` (${years})`}`;
}

export function panel(content: PanelContent, actions: PanelActions): HTMLElement {
  const { item, items } = content;
  return element(
    'main',
    { class: 'panel', id: 'panel', tabindex: -1 },
    answer(content, actions),
    item.kind === 'finding' && explanationOf(item.finding),
    item.kind !== 'study' && slips(item.reading).length > 0 && levels(item, item.reading, actions),
    item.kind !== 'study' && fractures(item.reading).length > 0 && classes(item, item.reading, actions),
    item.kind !== 'study' && heights(item.reading).length > 0 && vertebrae(item.reading, actions),
    items.length > 1 && list(items, item, actions),
    content.pack && model(content.pack, item),
  );
}

function answer({ item, busy, trouble }: PanelContent, actions: PanelActions): HTMLElement {
  const state = stateOf(item);
  return element(
    'section',
    { class: `answer ${state}`, 'aria-labelledby': 'answer' },
    badge(item),
    element('h1', { id: 'answer' }, headline(item)),
    item.kind === 'finding' && measurement(item.finding),
    item.kind === 'finding' && course(item.finding, actions.openPrior),
    item.kind === 'reading' && goneSince(item.reading),
    item.kind === 'reading' && quiet(unjudged(item.reading)),
    item.kind !== 'study' && quiet(item.reading.update),
    item.kind === 'study' && quiet(item.study.next),
    item.kind !== 'study' &&
      item.study.says.startsWith('Read in part') &&
      quiet(`${item.study.says} ${item.study.next ?? ''}`),
    trouble &&
      element(
        'div',
        { class: 'trouble', role: 'alert' },
        element('p', {}, trouble.message),
        element('p', {}, trouble.next),
      ),
    state === 'open' && verdictButtons(item, busy, actions),
  );
}

const quiet = (text: string | undefined): HTMLElement | undefined =>
  text === undefined ? undefined : element('p', { class: 'quiet' }, text);

/** Who stands behind what is shown: the AI alone, or a named person. Told in words and by shape, not by colour alone. */
function badge(item: Item): HTMLElement {
  const state = stateOf(item);
  const text = () => {
    if (item.kind === 'finding' && item.finding.verdict.kind !== 'unreviewed') {
      const { verdict } = item.finding;
      const by = `${stateWords[state]} by ${verdict.by.display}, ${moment(verdict.at)}`;
      return verdict.kind === 'rejected' ? `${by}. ${sentence(verdict.reason)}` : by;
    }
    if (item.kind === 'reading' && item.reading.review.kind === 'final') {
      return `Agreed by ${item.reading.review.by.display}, ${moment(item.reading.review.at)}`;
    }
    if (item.kind === 'study') return stateWords[state];
    return 'AI suggestion, not yet reviewed';
  };
  return element(
    'p',
    { class: `badge ${state}`, id: 'review-state' },
    element('span', { class: 'sign', 'aria-hidden': 'true' }),
    text(),
  );
}

function measurement(finding: FindingView): HTMLElement {
  const percent = measured(finding, 'slip-percent');
  const length = measured(finding, 'slip');
  const shown = [percent, length].filter((one) => one !== undefined);
  // A slip needs no name: it is what the headline speaks of.
  const named = shown.length === 0;
  const others = named ? distinct(finding.measurements).slice(0, 2) : shown;
  const ranges = others.map(interval).filter((one) => one !== undefined);
  return element(
    'div',
    { class: 'measurement' },
    element(
      'p',
      { class: 'numbers' },
      others.map((one) => (named ? `${quantityName(one.quantity)} ${value(one)}` : value(one))).join(' · '),
    ),
    ranges.length > 0 && quiet(`95\u202f% interval ${ranges.join(' · ')}`),
    quiet(doubt(finding)),
    quiet(gradesInWords(finding)),
  );
}

function verdictButtons(item: Item, busy: boolean, { confirm, reject }: PanelActions): HTMLElement | undefined {
  if (item.kind === 'study') return undefined;
  const says = headline(item);
  const clean = says === noSlip || says === noFracture;
  const agree = item.kind === 'finding' ? 'Confirm' : `Agree${clean ? `: ${says.toLowerCase()}` : ''}`;
  return element(
    'div',
    { class: 'actions' },
    element(
      'button',
      {
        type: 'button',
        class: 'primary',
        id: 'confirm',
        'aria-disabled': busy ? 'true' : undefined,
        'aria-keyshortcuts': 'c',
        click: confirm,
      },
      busy ? 'Saving…' : agree,
      element('kbd', { 'aria-hidden': 'true' }, 'c'),
    ),
    item.kind === 'finding' &&
      element(
        'button',
        {
          type: 'button',
          id: 'reject',
          'aria-disabled': busy ? 'true' : undefined,
          'aria-keyshortcuts': 'r',
          click: reject,
        },
        'Reject…',
        element('kbd', { 'aria-hidden': 'true' }, 'r'),
      ),
  );
}

function levels(item: Item, reading: ReadingView, actions: PanelActions): HTMLElement {
  const row = (finding: FindingView) => {
    const percent = measured(finding, 'slip-percent');
    const length = measured(finding, 'slip');
    const chosen = item.kind === 'finding' && item.finding.id === finding.id;
    const says = () => {
      switch (finding.result.kind) {
        case 'detected':
          return finding.verdict.kind === 'unreviewed' ? 'suspected' : stateWords[finding.verdict.kind].toLowerCase();
        case 'not-detected':
          return 'none';
        case 'not-assessable':
          return 'not assessed';
        case 'measured':
          return '';
      }
    };
    const [leading] = finding.result.kind === 'detected' ? (finding.result.grades ?? []) : [];
    const grade = leading ? `${leading.value}, ` : '';
    return element(
      'tr',
      { class: `${finding.result.kind} ${finding.verdict.kind}`, 'aria-current': chosen ? 'true' : undefined },
      levelCell(finding, actions),
      element('td', { class: 'number' }, percent ? figure(percent) : '–'),
      element('td', { class: 'number range' }, (percent && range(percent)) ?? '–'),
      element('td', { class: 'number' }, length ? figure(length) : '–'),
      element('td', {}, `${grade}${says()}`),
    );
  };
  const heading = (text: string, number = false) =>
    element('th', { scope: 'col', class: number ? 'number' : undefined }, text);
  return element(
    'section',
    { 'aria-labelledby': 'levels' },
    element('h2', { id: 'levels' }, 'All levels'),
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          heading('Level'),
          heading('Slip,\u00a0%', true),
          heading('95\u202f% interval', true),
          heading('mm', true),
          heading('Grade'),
        ),
      ),
      element('tbody', {}, ...slips(reading).map(row)),
    ),
  );
}

/** A level's name, which shows the level where there is something to see. */
function levelCell(finding: FindingView, { showFinding }: PanelActions): HTMLElement {
  return element(
    'th',
    { scope: 'row' },
    finding.evidence
      ? element(
          'button',
          { type: 'button', class: 'link', id: `level-${finding.id}`, click: () => showFinding(finding) },
          level(finding),
        )
      : level(finding),
  );
}

function classes(item: Item, reading: ReadingView, actions: PanelActions): HTMLElement {
  const says = (finding: FindingView): string => {
    if (finding.result.kind === 'not-assessable') return 'not assessed';
    if (finding.result.kind !== 'detected') return 'none';
    return finding.verdict.kind === 'unreviewed' ? 'suspected' : stateWords[finding.verdict.kind].toLowerCase();
  };
  const row = (finding: FindingView) => {
    const loss = measured(finding, 'height-loss');
    const chosen = item.kind === 'finding' && item.finding.id === finding.id;
    return element(
      'tr',
      { class: `${finding.result.kind} ${finding.verdict.kind}`, 'aria-current': chosen ? 'true' : undefined },
      levelCell(finding, actions),
      element('td', { class: 'number' }, gradeBy(finding, 'OVF class')?.value ?? '–'),
      element('td', { class: 'number' }, gradeBy(finding, 'Genant')?.value ?? '–'),
      element('td', { class: 'number' }, loss ? figure(loss) : '–'),
      element('td', {}, says(finding)),
    );
  };
  const heading = (text: string, number = true) =>
    element('th', { scope: 'col', class: number ? 'number' : undefined }, text);
  return element(
    'section',
    { 'aria-labelledby': 'classes' },
    element('h2', { id: 'classes' }, 'All vertebrae'),
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          heading('Vertebra', false),
          heading('OVF class'),
          heading('Genant'),
          heading('Loss,\u00a0%'),
          heading('Fracture', false),
        ),
      ),
      element('tbody', {}, ...fractures(reading).map(row)),
    ),
  );
}

function vertebrae(reading: ReadingView, actions: PanelActions): HTMLElement {
  const ratio = (finding: FindingView, quantity: string) => {
    const found = measured(finding, quantity);
    return element('td', { class: 'number' }, found ? value(found) : '–');
  };
  const rows = heights(reading).map((finding) =>
    element(
      'tr',
      {},
      levelCell(finding, actions),
      ratio(finding, 'anterior-posterior-height-ratio'),
      ratio(finding, 'middle-posterior-height-ratio'),
      ratio(finding, 'posterior-height-ratio-to-neighbours'),
    ),
  );
  const heading = (text: string) => element('th', { scope: 'col', class: 'number' }, text);
  return element(
    'details',
    { id: 'heights' },
    element('summary', {}, 'Vertebral heights'),
    element(
      'table',
      {},
      element('caption', { class: 'quiet' }, 'Ratios; 1 means equal height.'),
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          element('th', { scope: 'col' }, 'Vertebra'),
          heading('front : back'),
          heading('middle : back'),
          heading('back : neighbours'),
        ),
      ),
      element('tbody', {}, ...rows),
    ),
  );
}

function list(items: readonly Item[], chosen: Item, { choose }: PanelActions): HTMLElement {
  const entry = (item: Item) => {
    const state = stateOf(item);
    return element(
      'li',
      {},
      element(
        'button',
        {
          type: 'button',
          class: `entry ${state}`,
          id: `item-${item.key}`,
          'aria-current': item.key === chosen.key ? 'true' : undefined,
          click: () => choose(item),
        },
        element('span', { class: 'sign', 'aria-hidden': 'true' }),
        element(
          'span',
          {},
          element('span', { class: 'entry-name' }, headline(item)),
          element(
            'span',
            { class: 'quiet' },
            `${stateWords[state]} · ${item.study.startedAt ? day(item.study.startedAt) : (item.study.description ?? 'study')}`,
          ),
        ),
      ),
    );
  };
  return element(
    'nav',
    { 'aria-labelledby': 'findings' },
    element(
      'h2',
      { id: 'findings' },
      'Findings of this patient',
      element('kbd', { 'aria-hidden': 'true' }, 'j'),
      element('kbd', { 'aria-hidden': 'true' }, 'k'),
    ),
    element('ol', {}, ...items.map(entry)),
  );
}

function model(pack: PackView, item: Item): HTMLElement {
  const readAt = item.kind === 'study' ? undefined : moment(item.reading.readAt);
  return element(
    'section',
    { class: 'model', 'aria-label': 'The model' },
    pack.demonstration && element('p', { class: 'quiet' }, 'Demonstration model. Not for patient care.'),
    element(
      'details',
      { id: 'model' },
      element('summary', {}, 'About this model: what it was trained on, limits, terms'),
      element(
        'dl',
        {},
        element('dt', {}, 'What it is'),
        element('dd', {}, `${sentence(pack.title)} ${pack.intendedUse}`),
        element('dt', {}, 'Trained on'),
        element('dd', {}, pack.trainedOn),
        element('dt', {}, 'Limits'),
        element('dd', {}, element('ul', {}, ...pack.limitations.map((limit) => element('li', {}, limit)))),
        element('dt', {}, 'Terms'),
        element('dd', {}, `Weights: ${sentence(pack.licence.weights)} ${sentence(pack.licence.data)}`),
        element('dt', {}, 'Version'),
        element('dd', {}, `${pack.version}${readAt === undefined ? '' : `, read ${readAt}`}`),
      ),
    ),
  );
}
