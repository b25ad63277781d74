/** The list of patients: whom to open, and why they are here today. */
import type { PatientRow } from '../chart-contract.ts';
import { dateText, h, redraw } from './dom.ts';

export function patientList(place: Element, rows: readonly PatientRow[], open: string | undefined): void {
  const items = h('ul', { 'data-list': true });
  const filter = h('input', {
    type: 'search',
    id: 'find-patient',
    placeholder: 'Name or record number',
    autocomplete: 'off',
    'data-focus': 'find-patient',
    oninput: () => show(filter.value),
  });
  function show(words: string): void {
    const wanted = words.trim().toLowerCase();
    const found = rows.filter(({ name, mrn, reason }) => `${name} ${mrn} ${reason}`.toLowerCase().includes(wanted));
    items.replaceChildren(...found.map((row) => h('li', {}, rowView(row, row.id === open))));
    if (found.length === 0) items.append(h('li', { class: 'empty' }, 'Nobody here has that name or number.'));
  }
  show('');
  redraw(
    place,
    h('h2', {}, 'Patients today'),
    h('label', { class: 'unseen', for: 'find-patient' }, 'Find a patient'),
    filter,
    items,
  );
}

function rowView({ id, name, age, sex, mrn, reason, birthDate, openFilms }: PatientRow, isOpen: boolean): HTMLElement {
  return h(
    'a',
    {
      href: `#/patients/${id}`,
      class: 'patient',
      'data-row': true,
      'data-focus': `patient-${id}`,
      'aria-current': isOpen ? 'page' : false,
      title: `Born ${dateText(birthDate)}`,
    },
    h('span', { class: 'name' }, name),
    h('span', { class: 'facts' }, `${age} years, ${sex} · ${mrn}`),
    h('span', { class: 'reason' }, reason),
    openFilms > 0
      ? h(
          'span',
          { class: 'chip waiting' },
          openFilms === 1 ? 'Film not yet reported' : `${openFilms} films not yet reported`,
        )
      : null,
  );
}
