/** Keys for everything, and none of them while somebody writes. */

export function onKeys(does: { readonly help: () => void; readonly newOrder: () => void }): void {
  document.addEventListener('keydown', (event) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]') !== null) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) {
      if (event.key === 'Escape') target.blur();
      return;
    }
    const action = {
      j: () => step(1),
      k: () => step(-1),
      '/': () => document.getElementById('find-patient')?.focus(),
      '?': does.help,
      n: does.newOrder,
      c: () => focusFirst('#cards [data-row]', '#cards'),
      i: () => focusFirst('.imaging [data-row]', '.imaging summary'),
      Enter: () => openRow(target),
    }[event.key];
    if (action === undefined) return;
    if (event.key !== 'Enter') event.preventDefault();
    action();
  });
}

/** Rows of the side the focus is on: patients on the left, cards and studies in the chart. */
function step(by: 1 | -1): void {
  const active = document.activeElement;
  const inChart = active instanceof HTMLElement && active.closest('#chart') !== null && active.id !== 'chart';
  const chartRows = [...document.querySelectorAll<HTMLElement>('#chart [data-row]')];
  const rows =
    inChart && chartRows.length > 0 ? chartRows : [...document.querySelectorAll<HTMLElement>('#patients [data-row]')];
  const at = rows.findIndex((row) => row.contains(active));
  const current = at === -1 ? rows.findIndex((row) => row.getAttribute('aria-current') === 'page') : at;
  const next = rows[Math.min(Math.max(current + by, 0), rows.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}

function openRow(target: HTMLElement): void {
  // Links and buttons open themselves; a card or a study opens by its first button.
  if (target.matches('article[data-row]')) target.querySelector<HTMLElement>('button')?.click();
}

function focusFirst(...selectors: readonly string[]): void {
  for (const selector of selectors) {
    const found = document.querySelector<HTMLElement>(selector);
    if (found === null) continue;
    found.focus();
    found.scrollIntoView({ block: 'nearest' });
    return;
  }
}
