/** The panel of decision-support cards; legible in 320 pixels, as it is no wider in many charts. */
import type { Card, CardLink, ServiceAnswer } from '../chart-contract.ts';
import { h, say } from './dom.ts';
import { markdown } from './markdown.ts';
import { ask } from './server.ts';

type Suggestion = NonNullable<Card['suggestions']>[number];

export type CardActions = {
  /** Makes drafts of what a card suggests; absent where drafts have no place. */
  readonly accept?: (service: string, card: Card, suggestion: Suggestion) => Promise<void>;
  /** Opens the app inside the chart. */
  readonly launch: (link: CardLink) => void;
  /** A card was put aside. */
  readonly dismissed: (card: Card) => void;
};

const meaning = { info: 'For information', warning: 'Needs attention', critical: 'Urgent' } as const;

export function cardList(services: readonly ServiceAnswer[], actions: CardActions): HTMLElement[] {
  return services.flatMap(({ service, title, cards, problem }) => [
    ...cards.map((card) => cardView(service, card, actions)),
    ...(problem === undefined
      ? []
      : [
          h(
            'p',
            { class: 'notice' },
            h('strong', {}, title),
            ` ${problem}. The chart is complete without it; it is asked again when you open the chart.`,
          ),
        ]),
  ]);
}

function cardView(service: string, card: Card, actions: CardActions): HTMLElement {
  const box = h(
    'article',
    {
      class: `card ${card.indicator}`,
      'data-row': true,
      'data-card': card.uuid,
      tabindex: -1,
      'data-focus': `card-${card.uuid}`,
    },
    h('p', { class: 'indicator' }, meaning[card.indicator]),
    h('h3', {}, card.summary),
    card.links === undefined
      ? null
      : h(
          'div',
          { class: 'actions' },
          card.links.map((link, index) => linkView(service, card, link, actions, index === 0)),
        ),
    card.detail === undefined ? null : markdown(card.detail),
    suggestionList(service, card, actions),
    dismissButton(service, card, actions),
    h('p', { class: 'source' }, 'From ', sourceView(card)),
  );
  return box;
}

function sourceView({ source }: Card): Node {
  if (source.url === undefined || !/^https?:/.test(source.url)) return document.createTextNode(source.label);
  return h('a', { href: source.url, target: '_blank', rel: 'noopener noreferrer' }, source.label);
}

/** Below the words that give the reason: an order is not the first thing to do with a card. */
function suggestionList(service: string, card: Card, { accept }: CardActions): Node | null {
  if (accept === undefined || card.uuid === undefined || card.suggestions === undefined) return null;
  const creating = card.suggestions.filter(
    ({ uuid, actions = [] }) =>
      uuid !== undefined && actions.length > 0 && actions.every(({ type }) => type === 'create'),
  );
  return h(
    'ul',
    { class: 'suggestions' },
    creating.map((suggestion) => {
      const button = h(
        'button',
        {
          type: 'button',
          'data-suggestion': suggestion.uuid,
          'data-focus': `suggestion-${suggestion.uuid}`,
          onclick: () => {
            button.disabled = true;
            void accept(service, card, suggestion).finally(() => (button.disabled = false));
          },
        },
        suggestion.label,
      );
      return h('li', {}, button);
    }),
  );
}

/** The first link is what the card is about. */
function linkView(service: string, card: Card, link: CardLink, actions: CardActions, leads: boolean): Node {
  const followed = (): void => {
    // CDS Hooks has no feedback for a link that is followed; the launch itself tells the service.
    if (link.type === 'smart') actions.launch(link);
  };
  if (link.type === 'smart')
    return h(
      'button',
      {
        type: 'button',
        class: leads ? 'primary' : undefined,
        onclick: followed,
        'data-focus': `link-${card.uuid}-${link.label}`,
        'data-service': service,
      },
      link.label,
    );
  return h(
    'a',
    { class: 'button', href: /^https?:/.test(link.url) ? link.url : '#', target: '_blank', rel: 'noopener noreferrer' },
    link.label,
  );
}

function dismissButton(service: string, card: Card, actions: CardActions): Node | null {
  if (card.uuid === undefined) return null;
  const reasons = card.overrideReasons ?? [];
  const name = `reason-${card.uuid}`;
  const comment = h('input', { type: 'text', name: 'comment', maxlength: 500, autocomplete: 'off' });
  const form = h(
    'form',
    {
      onsubmit: (event: Event) => {
        event.preventDefault();
        const chosen = form.querySelector<HTMLInputElement>(`input[name="${name}"]:checked`)?.value;
        void send(
          reasons.find(({ code }) => code === chosen),
          comment.value.trim(),
        );
      },
    },
    reasons.length === 0
      ? null
      : h(
          'fieldset',
          {},
          h('legend', {}, 'Why is it put aside?'),
          reasons.map(({ code, display }, index) =>
            h(
              'label',
              { class: 'choice' },
              h('input', { type: 'radio', name, value: code, checked: index === 0 }),
              display ?? code,
            ),
          ),
        ),
    h('label', { class: 'field' }, 'Comment (may be empty)', comment),
    h('button', { type: 'submit' }, 'Put aside'),
  );
  async function send(reason: (typeof reasons)[number] | undefined, text: string): Promise<void> {
    const feedback = {
      service,
      card: card.uuid,
      outcome: 'overridden',
      ...(reason === undefined ? {} : { reason }),
      ...(text === '' ? {} : { comment: text }),
    };
    const { taken } = await ask<{ taken: boolean }>('/feedback', feedback);
    say(
      taken
        ? 'The card was put aside and the service was told.'
        : 'The card was put aside; the service could not be told.',
    );
    actions.dismissed(card);
  }
  return h('details', { class: 'dismiss', 'data-focus': `dismiss-${card.uuid}` }, h('summary', {}, 'Put aside'), form);
}
