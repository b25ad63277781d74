/** GitHub-flavoured markdown in which whatever is filled in is text: a study description from a DICOM header cannot draw links, images or tables. */

declare const checked: unique symbol;
/** Markdown whose filled-in parts were escaped. Made by `markdown` only. */
export type Markdown = { readonly text: string; readonly [checked]: true };

const trusted = new WeakSet<object>();

function make(text: string): Markdown {
  const made = Object.freeze({ text }) as Markdown;
  trusted.add(made);
  return made;
}

/** Writes markdown; filled-in strings and numbers are escaped, filled-in markdown is kept. */
export function markdown(
  written: TemplateStringsArray,
  ...filledIn: readonly (string | number | Markdown)[]
): Markdown {
  return make(written.reduce((text, part, index) => text + asText(filledIn[index - 1]!) + part));
}

/** Paragraphs, one under the other. */
export const paragraphs = (parts: readonly Markdown[]): Markdown => make(parts.map(asText).join('\n\n'));

/** A list with one line for each part. */
export const bullets = (parts: readonly Markdown[]): Markdown =>
  make(parts.map((part) => `- ${asText(part)}`).join('\n'));

function asText(part: string | number | Markdown): string {
  if (typeof part === 'number') return String(part);
  if (typeof part === 'string') return escapeMarkdown(part);
  // An object of the same shape that came from JSON was never escaped.
  if (!trusted.has(part)) throw new TypeError('detail: use markdown`…` to write markdown');
  return part.text;
}

/** CommonMark 2.4: a backslash makes any ASCII punctuation literal. */
const punctuation = /[!-/:-@[-`{-~]/g;
// oxlint-disable-next-line no-control-regex -- control characters are what has to go
const breaking = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g;

export function escapeMarkdown(text: string): string {
  const oneLine = text.replace(breaking, ' ');
  // GFM turns e-mail addresses into links even when their punctuation is escaped: the sign itself has to go.
  return oneLine.replaceAll('@', '(at)').replace(punctuation, String.raw`\$&`);
}
