/** The list of keys, one `?` away. */
import { element } from './element.ts';

const keys: readonly (readonly [string, string])[] = [
  ['j  k', 'next and previous finding'],
  ['c', 'confirm, or agree'],
  ['r', 'reject with a reason'],
  ['f', 'whole film, and back to the level'],
  ['o', 'overlay on and off; hold to hide it for a moment'],
  ['m', 'map on and off, where there is one'],
  ['p', 'the same level on the earlier film, and back'],
  ['+  −', 'zoom (also the wheel)'],
  ['arrows', 'move the film when it has the focus (also shift and drag)'],
  ['[  ]', 'darker, brighter (also drag up and down)'],
  ['{  }', 'less, more contrast (also drag left and right)'],
  ['0', 'brightness, contrast and view as at the start'],
  ['Esc', 'back to the chart'],
  ['?', 'this list'],
];

export function showKeys(): void {
  if (document.querySelector('dialog[open]') !== null) return;
  const dialog = element(
    'dialog',
    { 'aria-labelledby': 'keys-title' },
    element('h2', { id: 'keys-title' }, 'Keys'),
    element(
      'dl',
      { class: 'keys' },
      ...keys.flatMap(([key, does]) => [
        element('dt', {}, ...key.split('  ').map((one) => element('kbd', {}, one))),
        element('dd', {}, does),
      ]),
    ),
    element('form', { method: 'dialog', class: 'actions' }, element('button', { autofocus: true }, 'Close')),
  );
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
