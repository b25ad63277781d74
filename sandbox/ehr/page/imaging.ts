/** Imaging in the chart: studies with what has become of them, and reports with where they stand. */
import type { ChartView, FilmProgress, FilmStep, ReportView, Setting, StudyView } from '../chart-contract.ts';
import { dateText, h } from './dom.ts';

export type ImagingActions = {
  readonly openImages: (study: StudyView) => void;
  readonly filmArrives: (film: string, order?: string) => void;
};

export function imagingSection(chart: ChartView, setting: Setting, actions: ImagingActions): HTMLElement {
  return h(
    'section',
    { class: 'sheet imaging', 'aria-labelledby': 'imaging-title' },
    h('h2', { id: 'imaging-title' }, 'Imaging'),
    chart.studies.length === 0
      ? h(
          'p',
          { class: 'empty' },
          'No images yet. Sign an order below and let its film arrive, or let one arrive without an order.',
        )
      : h(
          'ul',
          { class: 'studies' },
          chart.studies.map((study) => h('li', {}, studyView(study, actions))),
        ),
    chart.earlierReports.length === 0
      ? null
      : h(
          'div',
          { class: 'earlier' },
          h('h3', {}, 'Earlier reports'),
          chart.earlierReports.map((report) => reportView(report, true)),
        ),
    h(
      'details',
      { class: 'aside', 'data-focus': 'film-without-order' },
      h('summary', {}, 'A film arrives without an order'),
      filmForm('no-order', setting, (film) => actions.filmArrives(film)),
    ),
  );
}

function studyView(study: StudyView, actions: ImagingActions): HTMLElement {
  return h(
    'article',
    { class: 'study', 'data-row': true, 'data-study': study.uid, tabindex: -1, 'data-focus': `study-${study.id}` },
    h(
      'div',
      { class: 'heading' },
      h('h3', {}, study.name),
      h(
        'button',
        { type: 'button', onclick: () => actions.openImages(study), 'data-focus': `open-${study.id}` },
        'Open images',
        h('span', { class: 'unseen' }, ` of ${study.name}, ${dateText(study.startedAt)}`),
      ),
    ),
    h(
      'p',
      { class: 'facts' },
      [
        dateText(study.startedAt),
        study.modality,
        `Accession ${study.accession}`,
        study.ordered ? '' : 'Without an order',
      ]
        .filter(Boolean)
        .join(' · '),
    ),
    study.progress === undefined || study.reports.length > 0 ? null : progressLine(study.progress),
    study.reports.map((report) => reportView(report, false)),
  );
}

const steps: readonly (readonly [FilmStep, string])[] = [
  ['stored', 'Film stored'],
  ['notified', 'Wetread notified'],
  ['fetched', 'Being read'],
  ['reported', 'Report in the chart'],
];

/** After this a reading that goes well has long been reported. */
const longWaitMs = 8_000;

function progressLine(film: FilmProgress): HTMLElement {
  const since = Date.parse(film.steps.fetched ?? film.steps.notified ?? film.steps.stored ?? '');
  const late = Date.now() - since > longWaitMs;
  return h(
    'div',
    {},
    stepList(film),
    late ? h('p', { class: 'facts' }, 'No report yet. If the film cannot be read, a card says why.') : null,
  );
}

function stepList(film: FilmProgress): HTMLElement {
  // The last thing that has begun: reading goes on until its report is there.
  const current = steps.findLast(([step]) => film.steps[step] !== undefined)?.[0];
  return h(
    'ol',
    { class: 'progress', 'aria-label': 'What has happened with this film' },
    steps.map(([step, name]) => {
      const happened = film.steps[step] !== undefined;
      const state = step === current ? ' (now)' : happened ? ' (done)' : ' (not yet)';
      return h(
        'li',
        { class: happened ? 'done' : 'waiting', 'aria-current': step === current ? 'step' : false },
        name,
        h('span', { class: 'unseen' }, state),
      );
    }),
  );
}

export function reportView(report: ReportView, withTitle: boolean): HTMLElement {
  const shown = report.results.filter(({ value }) => value !== '');
  return h(
    'div',
    { class: `report ${report.tone}`, 'data-report': report.id },
    h(
      'p',
      { class: 'standing' },
      withTitle ? h('strong', {}, report.title) : null,
      h('span', { class: `chip ${report.tone}` }, report.standing),
      h('span', { class: 'facts' }, dateText(report.at)),
    ),
    report.conclusion === '' ? null : h('p', { class: 'conclusion' }, report.conclusion),
    h(
      'div',
      { class: 'more' },
      shown.length === 0
        ? null
        : h(
            'details',
            { 'data-focus': `results-${report.id}` },
            h('summary', {}, `${shown.length} ${shown.length === 1 ? 'result' : 'results'}`),
            h(
              'dl',
              { class: 'results' },
              shown.map(({ text, value, withdrawn }) =>
                h(
                  'div',
                  { class: withdrawn ? 'withdrawn' : '' },
                  h('dt', {}, text),
                  h('dd', {}, withdrawn ? `Rejected: ${value}` : value),
                ),
              ),
            ),
          ),
      h(
        'a',
        { href: `/fhir/DiagnosticReport/${report.id}`, target: '_blank', rel: 'noopener', class: 'quiet' },
        'As FHIR',
      ),
    ),
  );
}

/** A phantom instead of a patient in front of a detector: the one thing in this chart that only a demonstration has. */
export function filmForm(key: string, setting: Setting, arrives: (film: string) => void): HTMLElement {
  const choice = h(
    'select',
    { id: `film-${key}`, 'data-focus': `film-${key}` },
    setting.films.map(({ id, name }) => h('option', { value: id }, name)),
  );
  return h(
    'form',
    {
      class: 'film',
      onsubmit: (event: Event) => {
        event.preventDefault();
        arrives(choice.value);
      },
    },
    h('label', { class: 'field', for: `film-${key}` }, 'Phantom film'),
    choice,
    h('button', { type: 'submit', 'data-focus': `arrives-${key}` }, 'Film arrives'),
  );
}
