/** The page's own files: types are stripped from its TypeScript when the hospital starts, so there is no build step. */
import { createRequire, stripTypeScriptTypes } from 'node:module';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { Router } from 'express';
import type { EhrSessions } from './sessions.ts';

const folder = join(import.meta.dirname, 'page');
const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.ts': 'text/javascript; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export function pageFiles({
  wetreadUrl,
  sessions,
}: {
  readonly wetreadUrl: string;
  readonly sessions: EhrSessions;
}): Router {
  const files = new Map<string, { readonly type: string; readonly body: string }>();
  for (const name of readdirSync(folder)) {
    const ending = extname(name);
    const type = types[ending];
    if (type === undefined) continue;
    const text = readFileSync(join(folder, name), 'utf8');
    // A browser knows no package names.
    const body = ending === '.ts' ? stripTypeScriptTypes(text).replaceAll("from 'marked'", "from './marked.js'") : text;
    files.set(name, { type, body });
  }
  // Markdown of cards is read by `marked`; what it understood is drawn by the page itself, never as HTML.
  const marked = join(dirname(createRequire(import.meta.url).resolve('marked')), 'marked.esm.js');
  files.set('marked.js', { type: types['.js']!, body: readFileSync(marked, 'utf8') });

  const origin = new URL(wetreadUrl).origin;
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    `img-src 'self' ${origin}`,
    `frame-src 'self' ${origin}`,
    // A launch in the frame begins at the app and passes through this server's authorization page.
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');

  const router = Router();
  router.get(['/', '/:file'], (request, response, next) => {
    const name = (request.params as { file?: string }).file ?? 'index.html';
    const file = files.get(name);
    if (file === undefined) {
      next();
      return;
    }
    if (name === 'index.html') sessions.open(request, response);
    response.setHeader('Content-Security-Policy', policy);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('Referrer-Policy', 'no-referrer');
    response.setHeader('Cache-Control', 'no-cache');
    response.setHeader('Content-Type', file.type);
    response.end(file.body);
  });
  return router;
}
