/** Narrative for people who see the resource without a viewer: escaped XHTML, nothing else gets in. */
import type { Narrative } from 'fhir/r4.js';

export function narrative(paragraphs: readonly string[]): Narrative {
  const body = paragraphs.filter((text) => text !== '').map((text) => `<p>${escaped(text)}</p>`);
  return { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${body.join('')}</div>` };
}

/** XML 1.0 forbids most control characters even escaped: one of them in a reviewer's comment would make every server refuse the report. */
export function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.toWellFormed().replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, ' ').trim();
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escaped = (text: string): string => plain(text).replaceAll(/[&<>"']/g, (character) => entities[character]!);
