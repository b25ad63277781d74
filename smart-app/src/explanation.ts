/** What a model's answer is made of, as bars to the right (for) and to the left (against), each with its number. */
import type { ExplanationView, FindingView } from '../../src/viewer-api/contract.ts';
import { drawn, element } from './element.ts';
import { signed } from './words.ts';

/** What a reader takes in; the others are one step away. */
const shownAtOnce = 8;

export const associationWords =
  'Map and bars show what the answer is associated with: not how far a fracture extends, and not its cause.';

export function explanationOf(finding: FindingView): HTMLElement | undefined {
  const { explanation } = finding;
  if (explanation === undefined || explanation.bars.length === 0) return undefined;
  const { bars, rest } = explanation;
  const most = Math.max(...bars.map(({ value }) => Math.abs(value)), Math.abs(rest), Number.MIN_VALUE);
  const [first, others] = [bars.slice(0, shownAtOnce), bars.slice(shownAtOnce)];
  return element(
    'section',
    { 'aria-labelledby': 'made-of', id: 'explanation' },
    element('h2', { id: 'made-of' }, 'What the answer is made of'),
    element('p', { class: 'quiet' }, `Parts of: ${explanation.of}. ${associationWords}`),
    table(first, most),
    others.length > 0 &&
      element('details', { id: 'more-bars' }, element('summary', {}, `${others.length} more`), table(others, most)),
    table([{ label: 'Everything else', value: rest }], most),
  );
}

function table(bars: ExplanationView['bars'], most: number): HTMLElement {
  return element(
    'table',
    { class: 'bars' },
    element('thead', { class: 'unseen' }, element('tr', {}, ...['Part', 'For or against', 'Points'].map(heading))),
    element(
      'tbody',
      {},
      ...bars.map(({ label, value }) => {
        const share = Math.round((50 * Math.abs(value)) / most);
        const against = value < 0;
        return element(
          'tr',
          {},
          element('th', { scope: 'row' }, label),
          element(
            'td',
            { class: 'bar' },
            element('span', { class: 'unseen' }, against ? 'against' : 'for'),
            // Not a styled element: the page's policy lets no style attribute in.
            drawn(
              'svg',
              { viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
              drawn('rect', { class: 'middle', x: 49.75, y: 0, width: 0.5, height: 10 }),
              drawn('rect', {
                class: against ? 'against' : 'for',
                x: against ? 50 - share : 50,
                y: 2,
                width: share,
                height: 6,
              }),
            ),
          ),
          element('td', { class: 'number' }, signed(value)),
        );
      }),
    ),
  );
}

const heading = (text: string): HTMLElement => element('th', { scope: 'col' }, text);
