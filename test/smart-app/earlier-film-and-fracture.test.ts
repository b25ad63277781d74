/** In a real browser: the earlier film beside today's, and a fracture with its bars, its map and what the answer is made of. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { studyUid } from '../../src/domain/ids.ts';
import { accessibilityFaults, browserInstalled, launchBrowser, openPage } from '../support/browser.ts';
import { filmsFolder, readingOf } from './demo-reading.ts';
import { fractureReadingOf } from './fracture-reading.ts';
import { ada, reader, viewingRoom, type ViewingRoom } from './viewing-room.ts';

const names = ['l4-l5-grade-1.dcm', 'l5-s1-grade-2.dcm', 'l1-wedge.dcm'];
const [today, earlier, wedge] = [0, 1, 2];

let room: ViewingRoom;
let browser: Browser;
let page: Page;

async function open(film: number, viewport = { width: 1280, height: 800 }): Promise<void> {
  page = await openPage(browser, { viewport });
  await page.goto(await room.address({ opens: { study: studyUid(room.archive.kept[film]!.study) } }));
  await filmShown();
}
const filmShown = () => page.waitForFunction(() => document.querySelector('#film-note')?.hasAttribute('hidden'));
const heading = async () => (await page.textContent('h1'))!.replaceAll('\u00a0', ' ');
const words = async (selector: string) => (await page.textContent(selector))!.replace(/\s/g, ' ');
/** A film is fetched and unpacked. */
const patience = { timeout: 120_000 };
const shownFilm = () => page.locator('#surface').getAttribute('data-sop');

describe.skipIf(!browserInstalled && !process.env['CI'])('the app', () => {
  beforeAll(async () => {
    room = await viewingRoom(names.map((name) => new Uint8Array(readFileSync(join(filmsFolder, name)))));
    const days = ['2026-11-21', '2025-03-12', '2024-02-01'];
    for (const [index, name] of names.entries()) {
      await room.keep(index, { description: 'Lumbar spine', startedAt: `${days[index]}T09:30:00` }, (about) =>
        (index === wedge ? fractureReadingOf : readingOf)(name, { ...about, patient: ada }),
      );
    }
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await room?.close();
  });
  afterEach(() => page?.close());

  describe('compares with the earlier film', () => {
    test('in words, with the numbers and what to be careful about', async () => {
      await open(today);
      const said = await words('#course');
      expect(said).toContain('Not suspected on the earlier film');
      expect(said).toMatch(/2025: new \(−\d+ % → 18 %, more than the measurement's spread\)/);
      expect(said).toContain('Nobody has reviewed the earlier reading.');
      expect(said).toContain('Whether both films were taken in the same posture is not recorded.');
    });

    test('by one key: the same level there, and back', async () => {
      await open(today);
      const film = await shownFilm();
      await page.keyboard.press('p');
      await expect.poll(shownFilm, patience).not.toBe(film);
      await filmShown();
      // The level that is compared, not what that film was suspected of.
      await page.waitForFunction(() => document.querySelector('#overlay .label')?.textContent?.startsWith('L4/L5'));
      expect(await words('#prior-toggle')).toContain('Back to');
      await page.keyboard.press('p');
      await expect.poll(shownFilm, patience).toBe(film);
      expect(await heading()).toBe('Suspected L4/L5 anterolisthesis, grade I');
      await page.click('#open-prior');
      await expect.poll(shownFilm, patience).not.toBe(film);
    });
  });

  describe('shows a fracture', () => {
    test('by its class, what the class means, and how much height is lost', async () => {
      await open(wedge);
      expect(await heading()).toBe('Suspected OVF class 1 at L1');
      const said = await words('.answer');
      expect(said).toContain('Height loss 34 %');
      expect(said).toContain('OVF class by ASTLOF morphology; Genant grade 2.');
      expect(said).toContain('The interval reaches into Genant grade 3.');
      expect(await words('[aria-labelledby=classes] tbody')).toMatch(/L1 ?1 ?2 ?34 ?suspected.*L2 ?0 ?– ?2 ?none/);
    });

    test('with height bars, and what is usual at the level as ticks beside them', async () => {
      await open(wedge);
      await page.waitForSelector('#overlay line.height.mark');
      // Three bars with two end marks each, two ticks.
      expect(await page.locator('#overlay .chosen line.height.mark').count()).toBe(9);
      expect(await page.locator('#overlay .chosen line.usual.tick.mark').count()).toBe(2);
      expect(await page.locator('#overlay .chosen ellipse.mark').count()).toBe(1);
      expect(await words('#drawn-words')).toBe(
        'Drawn on the film for L1 34 %: outlines of L1; L1 anterior height, L1 middle height, and L1 posterior height as bars, with what is usual at the level as ticks; L1 anterior superior with 95 % ellipses; a map is there and not shown.'.replace(
          'L1 34 %',
          await page
            .locator('#overlay text.label.suspected')
            .textContent()
            .then((label) => label!.replace(/\s/g, ' ')),
        ),
      );
    });

    test('with the map at a key’s touch, and says what a map is not', async () => {
      await open(wedge);
      const map = page.locator('#overlay image.heat');
      await page.waitForSelector('#overlay line.height.mark');
      expect(await map.count()).toBe(0);
      await page.keyboard.press('m');
      await expect.poll(() => map.count()).toBe(1);
      expect(await page.getAttribute('#map-toggle', 'aria-pressed')).toBe('true');
      expect(await words('#overlay .heat-words')).toContain('not its extent');
      await page.click('#map-toggle');
      await expect.poll(() => map.count()).toBe(0);
    });

    test('with the parts of the answer, each with its number and its sign in words', async () => {
      await open(wedge);
      const said = await words('#explanation');
      expect(said).toContain('not how far a fracture extends, and not its cause');
      expect(said).toContain('Parts of: score of OVF class 1 against the other classes.');
      expect(said).toMatch(/deep feature 0 ?for ?\+1\.40/);
      expect(said).toMatch(/deep feature 2 ?against ?\u22121\.20/);
      expect(said).toContain('3 more');
      expect(said).toMatch(/Everything else ?against ?\u22120\.42/);
    });

    test('and asks whoever rejects it about a fracture, not about a slip', async () => {
      await open(wedge);
      await page.keyboard.press('r');
      const first = page.locator('dialog[open] input').first();
      await expect.poll(() => first.evaluate((input) => input === document.activeElement)).toBe(true);
      expect(await first.inputValue()).toBe('No fracture of this vertebra');
      expect(await words('dialog[open]')).not.toContain('slip');
    });
  });

  test('says what the model was trained on and under which terms, one click away', async () => {
    await open(today);
    await page.click('#model summary');
    const said = await words('#model');
    expect(said).toContain('Trained on');
    expect(said).toContain('Weights: CC-BY-NC-SA-4.0. Not for commercial use.');
  });

  test.each([
    ['the earlier film', today, 1280],
    ['the earlier film, narrow', today, 390],
    ['a fracture', wedge, 1280],
    ['a fracture, narrow', wedge, 390],
  ])('%s: axe finds nothing, and nothing is wider than the screen', async (_what, film, width) => {
    await open(film, { width, height: 844 });
    await page.waitForSelector('#overlay .chosen line.mark');
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
  });

  // Last: the earlier finding is none from here on.
  test('compares anew when the earlier finding is rejected', async () => {
    await open(today);
    await page.waitForSelector('#course');
    const { findings } = (await room.store.readings.forStudy(studyUid(room.archive.kept[earlier]!.study)))[0]!;
    const before = findings.find(({ site }) => site.kind === 'segment' && site.level === 'L4/L5')!;
    await room.store.readings.recordVerdict(before.id, { kind: 'rejected', reason: 'projection' }, reader);
    await page.reload();
    await open(today);
    expect(await page.locator('#course').count()).toBe(0);
  });
});
