/** Ordering an examination: choosing asks decision support once, signing asks again, and nobody is kept from signing. */
import type { Card, ChartView, OrderView, ServiceAnswer, Setting } from '../chart-contract.ts';
import { cardList, type CardActions } from './cards.ts';
import { dateText, h, redraw, say } from './dom.ts';
import { filmForm } from './imaging.ts';
import { ask, NotDone } from './server.ts';

type Draft = { readonly id: string; readonly accession: string };
type Signed = {
  readonly signed: boolean;
  readonly services: readonly ServiceAnswer[];
  readonly draft: Draft;
  readonly order?: string;
};

export type OrderActions = Pick<CardActions, 'launch'> & {
  readonly filmArrives: (film: string, order: string) => void;
  readonly changed: () => void;
};

const standings: Readonly<Record<string, readonly [tone: string, text: string]>> = {
  active: ['waiting', 'Waiting for the film'],
  draft: ['draft', 'Draft, not signed'],
};

export function orderList(chart: ChartView, setting: Setting, actions: OrderActions): HTMLElement {
  // What was discarded is no order; it stays in the chart's history.
  const orders = chart.orders.filter(({ status }) => status !== 'revoked');
  if (orders.length === 0) return h('p', { class: 'empty' }, 'No orders yet.');
  return h(
    'ul',
    { class: 'orders' },
    orders.map((order) =>
      h(
        'li',
        { 'data-order': order.id },
        h('p', {}, h('strong', {}, order.name), ' ', standing(order)),
        h(
          'p',
          { class: 'facts' },
          [order.reason, `Accession ${order.accession}`, `${order.by}, ${dateText(order.at)}`]
            .filter(Boolean)
            .join(' · '),
        ),
        order.status === 'active' ? filmForm(order.id, setting, (film) => actions.filmArrives(film, order.id)) : null,
        order.status === 'draft' ? draftForm(chart.patient.id, order, actions) : null,
      ),
    ),
  );
}

function standing({ status }: OrderView): HTMLElement {
  const [tone, text] = standings[status] ?? ['plain', 'Film has arrived'];
  return h('span', { class: `chip ${tone}` }, text);
}

/** A draft that came of a card: signed or discarded, by a person. */
function draftForm(patient: string, order: OrderView, actions: OrderActions): HTMLElement {
  const cards = h('div', { class: 'order-cards', 'aria-live': 'polite' });
  const problem = h('p', { class: 'problem', role: 'alert' });
  let cardsSeen = false;
  const sign = h(
    'button',
    { type: 'button', class: 'primary', 'data-focus': `sign-${order.id}`, onclick: () => void act('sign') },
    'Sign order',
  );
  const discard = h(
    'button',
    { type: 'button', 'data-focus': `discard-${order.id}`, onclick: () => void act('discard') },
    'Discard draft',
  );
  async function act(what: 'sign' | 'discard'): Promise<void> {
    sign.disabled = discard.disabled = true;
    try {
      const answer = await ask<{ signed?: boolean; services?: readonly ServiceAnswer[] }>(
        `/patients/${patient}/drafts/${order.id}/${what}`,
        { cardsSeen },
      );
      if (answer.signed === false) {
        redraw(cards, cardList(answer.services ?? [], { launch: actions.launch, dismissed: () => redraw(cards) }));
        cardsSeen = true;
        sign.textContent = 'Sign order anyway';
        say('Decision support has something to say before you sign.');
      } else {
        say(what === 'sign' ? 'The order is signed.' : 'The draft is discarded.');
        actions.changed();
      }
    } catch (error) {
      if (!(error instanceof NotDone)) throw error;
      problem.textContent = error.message;
    }
    sign.disabled = discard.disabled = false;
  }
  return h('div', { class: 'draft' }, cards, problem, h('div', { class: 'actions' }, sign, discard));
}

/** The form keeps itself while the chart around it is redrawn. */
export function orderForm(chart: ChartView, setting: Setting, actions: OrderActions): HTMLElement {
  const { id: patient } = chart.patient;
  let draft: Draft | undefined;
  let asked = 0;
  const cards = h('div', { class: 'order-cards', 'aria-live': 'polite' });
  const problem = h('p', { class: 'problem', role: 'alert' });
  const exam = h(
    'select',
    { id: 'order-exam', required: true, onchange: () => void chosen() },
    h('option', { value: '' }, 'Choose an examination'),
    setting.exams.map(({ id, name }) => h('option', { value: id }, name)),
  );
  const reason = h('input', {
    type: 'text',
    id: 'order-reason',
    maxlength: 200,
    value: chart.today?.reason ?? '',
    autocomplete: 'off',
  });
  const sign = h('button', { type: 'submit', class: 'primary' }, 'Sign order');
  let cardsSeen = false;

  const form = h(
    'form',
    {
      class: 'order-form',
      'aria-label': 'New imaging order',
      onsubmit: (event: Event) => {
        event.preventDefault();
        void signed();
      },
    },
    h('label', { class: 'field', for: 'order-exam' }, 'Examination'),
    exam,
    h('label', { class: 'field', for: 'order-reason' }, 'Reason'),
    reason,
    cards,
    problem,
    h('div', { class: 'actions' }, sign, h('button', { type: 'button', onclick: close }, 'Cancel')),
  );

  const body = () => ({ exam: exam.value, reason: reason.value.trim(), ...(draft === undefined ? {} : { draft }) });

  async function chosen(): Promise<void> {
    ready();
    redraw(cards);
    if (exam.value === '') return;
    asked += 1;
    const mine = asked;
    await trying(async () => {
      const answer = await ask<Signed>(`/patients/${patient}/hooks/order-select`, body());
      // Another examination may have been chosen while this was asked.
      if (mine !== asked) return;
      draft = answer.draft;
      showCards(answer.services);
    });
  }

  async function signed(): Promise<void> {
    sign.disabled = true;
    await trying(async () => {
      const answer = await ask<Signed>(`/patients/${patient}/orders`, { ...body(), cardsSeen });
      draft = answer.draft;
      if (answer.signed) {
        say('The order is signed.');
        close();
        actions.changed();
        return;
      }
      showCards(answer.services);
      cardsSeen = true;
      sign.textContent = 'Sign order anyway';
      say('Decision support has something to say before you sign.');
    });
    sign.disabled = false;
  }

  function ready(): void {
    cardsSeen = false;
    sign.textContent = 'Sign order';
    problem.textContent = '';
  }

  function showCards(services: readonly ServiceAnswer[]): void {
    const shown: ServiceAnswer[] = services.filter(({ cards, problem }) => cards.length > 0 || problem !== undefined);
    redraw(cards, cardList(shown, { launch: actions.launch, dismissed: (card: Card) => hide(card) }));
  }

  function hide(card: Card): void {
    for (const shown of cards.querySelectorAll('[data-card]'))
      if (shown.getAttribute('data-card') === card.uuid) shown.remove();
  }

  async function trying(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof NotDone)) throw error;
      problem.textContent = error.message;
    }
  }

  function close(): void {
    form.dispatchEvent(new CustomEvent('closed', { bubbles: true }));
  }

  return form;
}
