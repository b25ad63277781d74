/** GitHub-flavoured markdown in which whatever is filled in is text: a study description from a DICOM header cannot draw links, images or tables. */

declare const checked: unique symbol;
/** Markdown whose filled-in parts were escaped. Made by `prose` only. */
export type Markdown = { readonly text: string; readonly [checked]: true };

const trusted = new WeakSet<object>();

function make(text: string): Markdown {
  const made = Object.freeze({ text }) as Markdown;
  trusted.add(made);
  return made;
}

/**
 * Writes markdown; filled-in strings and numbers are escaped, filled-in markdown is kept.
 * Not named after the language: formatters would lay out its lines as they like, and line breaks mean something here.
 */
export function prose(written: TemplateStringsArray, ...filledIn: readonly (string | number | Markdown)[]): Markdown {
  let text = written[0]!;
  for (const [index, part] of filledIn.entries()) {
    text += asText(part, text === '' || text.endsWith('\n'));
    text += written[index + 1]!;
  }
  return make(text);
}

/** Paragraphs, one under the other. */
export const paragraphs = (parts: readonly Markdown[]): Markdown =>
  make(parts.map((part) => asText(part, true)).join('\n\n'));

/** A list with one line for each part. Some renderers end the list at a wide space at the end of a line. */
export const bullets = (parts: readonly Markdown[]): Markdown =>
  make(parts.map((part) => `- ${asText(part, true).trimEnd()}`).join('\n'));

function asText(part: string | number | Markdown, startsLine: boolean): string {
  if (typeof part === 'number') return String(part);
  if (typeof part === 'string') return startsLine ? escapeLineStart(escapeMarkdown(part)) : escapeMarkdown(part);
  // An object of the same shape that came from JSON was never escaped.
  if (!trusted.has(part)) throw new TypeError('detail: use prose`…` to write markdown');
  return part.text;
}

/** What can open markup inside a line (CommonMark 2.4: a backslash makes it literal). The rest stays legible where markdown is not rendered. */
const markup = /[\\`*_{}[\]<>#|~!&$]/g;
/** What makes a list, a heading or a rule at the start of a line. */
const lineStart = /^([-+=]|\d+(?=[.)]))/;
/** What GFM turns into a link without any markup. */
const bareLink = /:(?=\/\/)|\.(?<=www\.)/gi;
// oxlint-disable-next-line no-control-regex -- control characters are what has to go
const breaking = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g;

/** Most of what is filled in is plain: one look tells. */
// oxlint-disable-next-line no-control-regex -- as above
const needsCare = /[\\`*_{}[\]<>#|~!&$@\u0000-\u001f\u007f-\u009f\u2028\u2029]|:\/\/|www\./i;

function escapeMarkdown(text: string): string {
  if (!needsCare.test(text)) return text;
  const oneLine = text.replace(breaking, ' ');
  // GFM also turns e-mail addresses into links, even when their punctuation is escaped: the sign itself has to go.
  return oneLine
    .replaceAll('@', '(at)')
    .replace(markup, String.raw`\$&`)
    .replace(bareLink, String.raw`\$&`);
}

const escapeLineStart = (text: string): string =>
  text.trimStart().replace(lineStart, (start) => (/^\d/.test(start) ? `${start}\\` : `\\${start}`));
