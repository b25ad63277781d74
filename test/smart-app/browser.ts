/** A real Chromium for tests of pages; its absence is said aloud, and is a failure in CI. */
import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

const candidates = [
  process.env['CHROMIUM'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
const executablePath = candidates.find((path): path is string => path !== undefined && existsSync(path));

export const browserMissing = executablePath === undefined;
if (browserMissing) {
  if (process.env['CI'])
    throw new Error('Chromium is missing: the tests of the app need it (set CHROMIUM to its path)');
  console.warn('SKIPPED: no Chromium found, so the app is not tested in a browser (set CHROMIUM to its path)');
}

export const openBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: executablePath!,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
