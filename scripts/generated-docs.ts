/** Docs that are made from the code: `node scripts/generated-docs.ts` writes them, a structure test demands that they are fresh. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { settings } from '../src/config.ts';
import { errorTable } from '../src/domain/errors.ts';
import { manifestPage, packSchema } from './manifest-docs.ts';

const cell = (text: string): string => text.replaceAll('|', '\\|');

function errorsPage(): string {
  const rows = Object.entries(errorTable).map(
    ([code, { says, next, status, retry }]) =>
      `| \`${code}\` | ${cell(says)} | ${cell(next)} | ${status} | ${retry ? 'yes' : 'no'} |`,
  );
  return [
    '# Errors',
    'Every error Wetread knows, made from `src/domain/errors.ts`. An answer over HTTP is `{"code", "message", "next", "detail"?}`; a study that could not be read carries the code in its outcome; the command line prints sentence, next step and code.',
    '',
    '"Tried again" means by Wetread itself: a job with such an error is repeated with growing pauses, and given up visibly (`wetread studies dead`) when its tries are used up.',
    '',
    '| code | what it says | what to do | HTTP | tried again |',
    '|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

function configurationPage(): string {
  const rows = settings.map(
    ({ name, meaning, default: fallback }) =>
      `| \`${name}\` | ${cell(meaning)} | ${fallback === undefined ? '' : `\`${cell(typeof fallback === 'string' ? fallback : JSON.stringify(fallback))}\``} |`,
  );
  return [
    '# Configuration',
    'Settings are environment variables, read once at the start and checked as a whole; a wrong or misspelt one stops the start and is named. Made from `src/config.ts`. `wetread doctor` prints what is set, what answers and what is missing.',
    '',
    '| variable | meaning | default |',
    '|---|---|---|',
    ...rows,
    '',
    'The demo hospital listens on `WETREAD_SANDBOX_PORT` (`8090`).',
    '',
  ].join('\n');
}

export const generatedDocs: Readonly<Record<string, () => string>> = {
  'docs/errors.md': errorsPage,
  'docs/configuration.md': configurationPage,
  'docs/manifest.md': manifestPage,
  'models/pack.schema.json': packSchema,
};

if (import.meta.main) {
  for (const [file, page] of Object.entries(generatedDocs))
    writeFileSync(join(import.meta.dirname, '..', file), page());
}
