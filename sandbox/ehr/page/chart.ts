/** The places of a chart, and the parts of it that do not change while one looks. */
import type { ChartView } from '../chart-contract.ts';
import { dateText, h, redraw } from './dom.ts';

export type ChartPlaces = {
  readonly root: HTMLElement;
  readonly banner: HTMLElement;
  readonly cards: HTMLElement;
  readonly imaging: HTMLElement;
  readonly orders: HTMLElement;
  readonly orderForm: HTMLElement;
  readonly history: HTMLElement;
};

export function chartFrame(): ChartPlaces {
  const banner = h('header', { class: 'banner' });
  const cards = h('div', { class: 'card-list' });
  const imaging = h('div', { class: 'place' });
  const orders = h('div', {});
  const orderForm = h('div', {});
  const history = h('div', { class: 'history' });
  const root = h(
    'div',
    { class: 'chart-grid' },
    banner,
    h(
      'aside',
      { class: 'cards', 'aria-labelledby': 'cards-title', id: 'cards', tabindex: -1 },
      h('h2', { id: 'cards-title' }, 'Decision support'),
      cards,
    ),
    h(
      'div',
      { class: 'work' },
      imaging,
      h(
        'section',
        { class: 'sheet', 'aria-labelledby': 'orders-title' },
        h(
          'div',
          { class: 'heading' },
          h('h2', { id: 'orders-title' }, 'Imaging orders'),
          h('button', { type: 'button', id: 'new-order' }, 'New order'),
        ),
        orderForm,
        orders,
      ),
    ),
    history,
  );
  return { root, banner, cards, imaging, orders, orderForm, history };
}

export function drawBanner(place: HTMLElement, { patient, today }: ChartView): void {
  const fact = (name: string, value: string, loud = false) =>
    h('div', { class: loud ? 'loud' : '' }, h('dt', {}, name), h('dd', {}, value));
  redraw(
    place,
    h('a', { class: 'back', href: '#/' }, 'All patients'),
    h('h1', {}, patient.name),
    h(
      'dl',
      { class: 'identity' },
      fact('Born', `${dateText(patient.birthDate)} (${patient.age} years)`),
      fact('Sex', patient.sex),
      fact('Record', patient.mrn),
      fact('Phone', patient.phone),
      fact(
        'Allergies',
        patient.allergies.length === 0 ? 'None known' : patient.allergies.join('; '),
        patient.allergies.length > 0,
      ),
    ),
    today === null
      ? null
      : h('p', { class: 'today' }, h('span', { class: 'facts' }, `Today, ${today.type.toLowerCase()}: `), today.reason),
  );
}

export function drawHistory(place: HTMLElement, chart: ChartView): void {
  const section = (title: string, rows: readonly (readonly [string, string])[], empty: string) =>
    h(
      'section',
      { class: 'sheet' },
      h('h2', {}, title),
      rows.length === 0
        ? h('p', { class: 'empty' }, empty)
        : h(
            'ul',
            { class: 'rows' },
            rows.map(([text, more]) => h('li', {}, h('span', {}, text), h('span', { class: 'facts' }, more))),
          ),
    );
  redraw(
    place,
    section(
      'Problems',
      chart.problems.map(({ text, since }) => [text, `since ${dateText(since)}`]),
      'No problems recorded.',
    ),
    section(
      'Medication',
      chart.medications.map(({ text, dose }) => [text, dose]),
      'No medication recorded.',
    ),
    section(
      'Laboratory',
      chart.results.map(({ text, value, at }) => [`${text} ${value}`, dateText(at)]),
      'No results recorded.',
    ),
    section(
      'Visits',
      chart.visits.map(({ type, reason, at }) => [reason, `${type}, ${dateText(at.slice(0, 10))}`]),
      'No earlier visits.',
    ),
  );
}
