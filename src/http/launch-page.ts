/** The plain page a clinician sees when a launch did not work: what happened, and what to do next. */
import type { WetreadError } from '../domain/errors.ts';

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => escapes[character]!);

/** Allowed by its hash in the page's own policy: the general one forbids inline style. */
export const launchPageStyle =
  ':root{color-scheme:light}body{margin:0;background:#fff;color:#1a1d21;font:16px/1.5 system-ui,sans-serif}' +
  'main{max-width:34rem;margin:0 auto;padding:48px 24px}h1{font-size:24px;line-height:1.25;margin:0 0 16px}' +
  'p{margin:0 0 16px}.code{color:#4a5058;font-size:14px}';

export function launchPage(error: WetreadError): string {
  // What an unexpected error says may quote data: it goes to the log, not to the page.
  const detail = error.code === 'internal.unexpected' ? undefined : error.detail;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The app could not be opened</title>
<style>${launchPageStyle}</style>
</head>
<body>
<main>
<h1>The app could not be opened</h1>
<p>${escaped(error.row.says)}${detail === undefined ? '' : ` ${escaped(detail)}`}</p>
<p><strong>What to do:</strong> ${escaped(error.row.next)}</p>
<p class="code">If it happens again, tell your IT team this code: ${escaped(error.code)}</p>
</main>
</body>
</html>
`;
}
