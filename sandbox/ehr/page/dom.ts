/** Elements made by name: text is always text, never HTML. */

type Child = Node | string | number | null | undefined | false | readonly Child[];
type Properties = Readonly<Record<string, unknown>>;

/** `on…` properties are listeners, `class` and the rest attributes; false, null and undefined leave an attribute out. */
export function h<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value as EventListener);
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  append(element, children);
  return element;
}

function append(element: Node, children: readonly Child[]): void {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child as readonly Child[]);
    else if (child instanceof Node) element.appendChild(child);
    else if (child !== null && child !== undefined && child !== false)
      element.appendChild(document.createTextNode(String(child)));
  }
}

/** New content in an old place. Whoever had the focus (by `data-focus`) has it afterwards; what was unfolded stays so. */
export function redraw(place: Element, ...children: Child[]): void {
  const focused = document.activeElement?.closest('[data-focus]');
  const key =
    focused !== null && focused !== undefined && place.contains(focused) ? focused.getAttribute('data-focus') : null;
  const open = new Set(
    [...place.querySelectorAll('details[open][data-focus]')].map((one) => one.getAttribute('data-focus')),
  );
  place.replaceChildren();
  append(place, children);
  for (const details of place.querySelectorAll('details[data-focus]')) {
    if (open.has(details.getAttribute('data-focus'))) details.setAttribute('open', '');
  }
  if (key !== null) place.querySelector<HTMLElement>(`[data-focus="${CSS.escape(key)}"]`)?.focus();
}

/** Said to whoever listens instead of looking. */
export function say(text: string): void {
  document.getElementById('said')!.textContent = text;
}

const date = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', year: 'numeric' });
const clock = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

/** FHIR dates in the one form that this hospital writes, `21 Nov 2026`, no more precise than they are. */
export function dateText(fhirDate: string): string {
  if (/^\d{4}$/.test(fhirDate) || fhirDate === '') return fhirDate;
  const [, month, day] = /^(\d{4}-\d\d)(-\d\d)?$/.exec(fhirDate) ?? [];
  const time = new Date(month === undefined ? fhirDate : `${month}${day ?? '-01'}T12:00:00`);
  const parts = new Map(date.formatToParts(time).map(({ type, value }) => [type, value]));
  const monthAndYear = `${parts.get('month')} ${parts.get('year')}`;
  if (month !== undefined && day === undefined) return monthAndYear;
  const whole = `${parts.get('day')} ${monthAndYear}`;
  return month === undefined ? `${whole}, ${clock.format(time)}` : whole;
}
