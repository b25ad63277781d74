/** Asks why a finding is rejected: one choice, words when the choices do not fit. */
import { longestReason } from '../../src/viewer-api/contract.ts';
import { element } from './element.ts';

const notThere: Readonly<Record<string, string>> = {
  spondylolisthesis: 'No slip at this level',
  'vertebral-fracture': 'No fracture of this vertebra',
};
const reasons = [
  'Wrong level',
  'Corners in the wrong place',
  'Rotated or poor image',
  'Metalwork or artefact',
] as const;
const other = 'Another reason';

/** The reason, or undefined when the reader went back. */
export function askReason(what: string, concept: string): Promise<string | undefined> {
  const words = element('textarea', { id: 'reason-words', rows: 3, maxlength: longestReason - 60 });
  const fault = element('p', { class: 'fault', id: 'reason-fault', role: 'alert' });
  const choice = (text: string) =>
    element(
      'label',
      { class: 'choice' },
      element('input', { type: 'radio', name: 'reason', value: text }),
      element('span', {}, text),
    );
  const form = element(
    'form',
    { method: 'dialog' },
    element('h2', { id: 'reject-title' }, 'Why is this not right?'),
    element('p', { class: 'quiet' }, what),
    element(
      'fieldset',
      { 'aria-describedby': 'reason-fault' },
      element('legend', { class: 'unseen' }, 'Reason'),
      ...[notThere[concept] ?? 'Not to be seen here', ...reasons, other].map(choice),
    ),
    element('label', { for: 'reason-words' }, 'In your words (needed for another reason)'),
    words,
    fault,
    element(
      'div',
      { class: 'actions' },
      element('button', { type: 'submit', class: 'primary', value: 'reject' }, 'Reject'),
      element('button', { type: 'submit', value: 'back', formnovalidate: true }, 'Go back'),
    ),
  );
  const dialog = element('dialog', { 'aria-labelledby': 'reject-title' }, form);

  return new Promise((resolve) => {
    form.addEventListener('submit', (event) => {
      if ((event.submitter as HTMLButtonElement | null)?.value !== 'reject') return;
      const chosen = new FormData(form).get('reason');
      const text = words.value.trim();
      const complete = typeof chosen === 'string' && (chosen !== other || text.length >= 3);
      if (complete) return;
      event.preventDefault();
      fault.textContent = chosen === null ? 'Choose a reason.' : 'Say in a few words what is wrong.';
    });
    dialog.addEventListener('close', () => {
      const chosen = new FormData(form).get('reason');
      const text = words.value.trim();
      dialog.remove();
      if (dialog.returnValue !== 'reject' || typeof chosen !== 'string') return resolve(undefined);
      if (chosen === other) return resolve(text);
      resolve(text === '' ? chosen : `${chosen}: ${text}`);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
