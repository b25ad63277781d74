/** Narrative for people who see the resource without a viewer: escaped XHTML, nothing else gets in. */
import type { Narrative } from 'fhir/r4.js';

export function narrative(paragraphs: readonly string[]): Narrative {
  const body = paragraphs.filter((text) => text !== '').map((text) => `<p>${escaped(text)}</p>`);
  return { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${body.join('')}</div>` };
}

/** XML 1.0 forbids most control characters even escaped: one of them in a reviewer's comment would make every server refuse the report. */
export function plain(text: string): string {
  const allowed = (character: string) =>
    /[\t\n\r]/.test(character) || (character >= ' ' && character !== '\ufffe' && character !== '\uffff');
  return Array.from(text.toWellFormed(), (character) => (allowed(character) ? character : ' '))
    .join('')
    .trim();
}

/** Annotations are markdown in R4, and some viewers let HTML in markdown through. */
export const markdown = (text: string): string => plain(text).replaceAll('<', '&lt;');

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text: string): string => plain(text).replaceAll(/[&<>"']/g, (character) => entities[character]!);
