/** Takes the README's pictures from the real thing: `node scripts/screenshots.ts [folder]`. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cardWith, filmArrives, openApp, openChart, orderLumbarFilm } from '../test/journeys/clinician.ts';
import { eventually, openWorld } from '../test/journeys/world.ts';
import { openBrowser } from '../test/support/browser.ts';
import { buildApp } from '../smart-app/build.ts';

const folder = process.argv[2] ?? join(import.meta.dirname, '../docs/images');
const film = process.argv[3] ?? 'l4-l5-grade-2';
mkdirSync(folder, { recursive: true });
await buildApp();
const world = await openWorld();
const browser = await openBrowser();
const { page } = browser;
const shot = (name: string) => page.screenshot({ path: join(folder, `${name}.png`), animations: 'disabled' });
try {
  await world.startService();
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.goto(`${world.hospitalUrl}/`);
  await page.locator('.patient').first().waitFor();
  await shot('patients');
  // An earlier film, so that cards and app have something to compare with.
  const earlier = await world.arrive('patient-lindqvist', 'l4-l5-grade-1', undefined, 620);
  await eventually(async () => (await world.reportsOf(earlier))[0], { withinMs: 120_000 });
  await openChart(page, world.hospitalUrl, 'Maria Elisabet Lindqvist');
  await orderLumbarFilm(page);
  await filmArrives(page, film);
  const card = cardWith(page, /Suspected.* since/).first();
  await card.waitFor({ timeout: 120_000 });
  await page.evaluate(() => scrollTo(0, 0));
  await shot('chart');
  for (const width of [320, 2560]) {
    await page.setViewportSize({ width, height: 900 });
    await shot(`chart-${width}`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  await openApp(page, card);
  await page.waitForTimeout(500);
  await shot('app');
  for (const width of [320, 2560]) {
    await page.setViewportSize({ width, height: width === 320 ? 640 : 1400 });
    await page.waitForTimeout(500);
    await shot(`app-${width}`);
  }
} finally {
  await browser.close();
  await world.close();
}
