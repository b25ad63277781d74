/** What there is to see, and what the keys do. */
import { h } from './dom.ts';

const keys: readonly (readonly [string, string])[] = [
  ['j / k', 'next, previous patient, card or study'],
  ['Enter', 'open'],
  ['/', 'find a patient'],
  ['n', 'new imaging order'],
  ['c', 'to the cards'],
  ['i', 'to the imaging'],
  ['Esc', 'close'],
  ['?', 'this help'],
];

export function whatToTry(): HTMLElement {
  return h(
    'ol',
    { class: 'steps' },
    h('li', {}, 'Open a chart and order a lateral film of the lumbar spine.'),
    h('li', {}, 'Let the film arrive and watch it being read.'),
    h('li', {}, 'Open the viewer from the card, then confirm or reject what the model suspects.'),
    h('li', {}, 'See the report become final.'),
  );
}

/** What stands beside the list while no chart is open. */
export function welcome(hospital: string, expected: number): HTMLElement {
  return h(
    'div',
    { class: 'welcome' },
    h('h1', {}, hospital),
    h(
      'p',
      {},
      expected === 1
        ? 'One patient is here today.'
        : `${expected} patients are here today. Choose one to open the chart.`,
    ),
    h(
      'section',
      { class: 'sheet' },
      h('h2', {}, 'What to try'),
      whatToTry(),
      h(
        'p',
        { class: 'facts' },
        'A demonstration: all patients are fictional, all films computer-generated. Press ? for the keys.',
      ),
    ),
  );
}

export function showHelp(): void {
  if (document.querySelector('dialog[open]') !== null) return;
  const dialog = h(
    'dialog',
    { class: 'help', 'aria-labelledby': 'help-title' },
    h('h2', { id: 'help-title' }, 'Keys'),
    h(
      'dl',
      {},
      keys.map(([key, does]) => h('div', {}, h('dt', {}, h('kbd', {}, key)), h('dd', {}, does))),
    ),
    h('h2', {}, 'What to try'),
    whatToTry(),
    h('p', { class: 'facts' }, 'All patients are fictional, all films computer-generated.'),
    h('button', { type: 'button', class: 'primary', autofocus: true, onclick: () => dialog.close() }, 'Close'),
  );
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
