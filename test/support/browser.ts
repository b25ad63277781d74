/** A real browser for pages. Missing on a developer's machine its tests are skipped aloud; in CI it must be there. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';

const known = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const executable = process.env['CHROMIUM'] ?? known.find((path) => existsSync(path)) ?? '/usr/bin/chromium';
export const browserInstalled = existsSync(executable);
if (!browserInstalled && !process.env['CI'])
  console.warn(`SKIPPED: tests in a browser; ${executable} is not installed (apt-get install chromium)`);

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** What a page is waited for; a loaded machine needs more than Playwright's half a minute. */
const patienceMs = 120_000;

/** A browser whose pages share nothing; each test opens and closes its own. */
export const launchBrowser = (): Promise<Browser> => chromium.launch({ executablePath: executable, args: flags });

export async function openPage(browser: Browser, options: Parameters<Browser['newPage']>[0] = {}): Promise<Page> {
  const page = await browser.newPage(options);
  page.setDefaultTimeout(patienceMs);
  return page;
}

/** One window with a profile of its own. */
export async function openBrowser() {
  const profile = mkdtempSync(join(tmpdir(), 'wetread-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: executable,
    headless: true,
    args: flags,
    viewport: { width: 1280, height: 900 },
  });
  context.setDefaultTimeout(patienceMs);
  return {
    page: context.pages()[0] ?? (await context.newPage()),
    async close(): Promise<void> {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** A key pressed for a moment, also by a browser that is slow to answer: the release does not wait for what the press does. */
export async function tap(page: Page, key: string): Promise<void> {
  await Promise.all([page.keyboard.down(key), page.keyboard.up(key)]);
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds wrong on the page as it stands, one line each. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  // Evaluated, not injected as an element: the page's own policy lets no other script in.
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; nodes: { target: string[] }[] }[] }> };
    };
    const { violations } = await axe.run();
    return violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(' ')}`));
  });
}
