/** The app in a real browser: films of every compression, the overlay on the right pixels, verdicts by keyboard, and who can use it. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { findingIdOf, readingIdOf } from '../../src/domain/identity.ts';
import type { Reading } from '../../src/domain/finding.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { sessionAnswer } from '../../src/viewer-api/contract.ts';
import { browserInstalled, launchBrowser, openPage, tap } from '../support/browser.ts';
import { filmsFolder, pack, readingOf } from './demo-reading.ts';
import { squareFilm, type Square } from './square-film.ts';
import { ada, viewingRoom, type ViewingRoom } from './viewing-room.ts';

const demo = (name: string) => new Uint8Array(readFileSync(join(filmsFolder, name)));
/** File, and its place in the archive. */
const films = {
  gradeOne: 0,
  gradeTwo: 1,
  normal: 2,
  implant: 3,
  wrongView: 4,
  square: 5,
  oblong: 6,
  moved: 7,
} as const;
const names = ['l4-l5-grade-1.dcm', 'l5-s1-grade-2.dcm', 'normal.dcm', 'normal-implant.dcm', 'wrong-view.dcm'];
const square: Square = { left: 300, top: 500, right: 420, bottom: 580 };
const shape = { rows: 900, columns: 700, square };
/** The same film but for where the square is. */
const movedSquare: Square = { left: 150, top: 240, right: 270, bottom: 320 };

let room: ViewingRoom;
let browser: Browser;
let page: Page;
let readings: (Reading | undefined)[] = [];

async function open(film: number, viewport = { width: 1280, height: 800 }, grant = {}): Promise<Page> {
  page = await openPage(browser, { viewport });
  const study = studyUid(room.archive.kept[film]!.study);
  await page.goto(await room.address({ opens: { study }, ...grant }));
  return page;
}

const filmShown = () => page.waitForFunction(() => document.querySelector('#film-note')?.hasAttribute('hidden'));
const heading = () => page.textContent('h1');

describe.skipIf(!browserInstalled && !process.env['CI'])('the app', () => {
  beforeAll(async () => {
    room = await viewingRoom([
      ...names.map(demo),
      squareFilm({ study: '1.2.3.50', series: '1.2.3.51', sop: '1.2.3.52' }, { ...shape, spacing: [0.2, 0.2] }),
      squareFilm({ study: '1.2.3.60', series: '1.2.3.61', sop: '1.2.3.62' }, { ...shape, spacing: [0.3, 0.2] }),
      squareFilm(
        { study: '1.2.3.80', series: '1.2.3.81', sop: '1.2.3.82' },
        { ...shape, square: movedSquare, spacing: [0.2, 0.2] },
      ),
    ]);
    for (const [index, name] of names.entries()) {
      const described = { description: 'Lumbar spine, lateral', startedAt: `2026-11-${20 - index}T09:30:00` };
      readings.push(await room.keep(index, described, (about) => readingOf(name, { ...about, patient: ada })));
    }
    for (const index of [films.square, films.oblong]) {
      readings.push(
        await room.keep(index, { description: 'Square', startedAt: `2026-10-0${index}T10:00:00` }, ({ study, sop }) =>
          squareReading(study, sop),
        ),
      );
    }
    await room.keep(films.moved, { description: 'Square, moved', startedAt: '2026-10-04T10:00:00' }, ({ study, sop }) =>
      squareReading(study, sop, movedSquare),
    );
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await room?.close();
  });
  afterEach(() => page?.close());

  test('opens on what the card pointed at, with the answer, the measurement and the doubt in words', async () => {
    await open(films.gradeTwo);
    await filmShown();
    expect(await heading()).toBe('Suspected L5/S1 anterolisthesis, grade\u00a0II');
    const words = (await page.textContent('.answer'))!.replace(/\s/g, ' ');
    expect(words).toContain('AI suggestion, not yet reviewed');
    expect(words).toMatch(/3[45] % · 1\d\.\d mm/);
    expect(words).toContain('The whole interval lies in grade II.');
    expect(await page.textContent('.who')).toContain('Ada Marsh');
    expect(page.url()).toBe(`${room.url}/app/`);
  });

  test.each([
    ['JPEG 2000', films.gradeOne],
    ['JPEG lossless and MONOCHROME1', films.gradeTwo],
    ['JPEG-LS', films.normal],
    ['RLE', films.implant],
    ['no compression', films.wrongView],
  ])('shows a film with %s as a picture, air dark and bone bright', async (_syntax, film) => {
    await open(film);
    await filmShown();
    await tap(page, 'o');
    await page.click('#whole');
    const looks = async () => {
      const values = await pixelsOf();
      const sorted = [...values.grey].sort((one, other) => one - other);
      const [black, dark, white] = [0.03, 0.05, 0.97].map((share) => sorted[Math.floor(sorted.length * share)]!);
      return {
        contrast: white! - black!,
        middleOverDark: column(values, 0.35, 0.65) - dark!,
        roughness: roughness(values),
      };
    };
    // A film has black, white and much between; a codec's failure has noise, one tone, or nothing.
    await expect
      .poll(looks)
      .toSatisfy(
        ({ contrast, middleOverDark, roughness: rough }: Awaited<ReturnType<typeof looks>>) =>
          contrast > 60 && middleOverDark > 20 && rough < 12,
      );
  });

  describe('draws the overlay', () => {
    test.each([
      ['square pixels', films.square],
      ['oblong pixels', films.oblong],
    ])('exactly on the pixels it speaks of, at every zoom, with %s', async (_kind, film) => {
      await open(film);
      await filmShown();
      await expect.poll(overlayError).toBeLessThanOrEqual(1);
      await page.keyboard.press('f');
      await expect.poll(overlayError).toBeLessThanOrEqual(1);
      await page.keyboard.press('+');
      await page.keyboard.press('+');
      await expect.poll(overlayError).toBeLessThanOrEqual(1);
      await page.focus('#surface');
      await page.keyboard.press('ArrowLeft');
      await page.keyboard.press('ArrowUp');
      await expect.poll(overlayError).toBeLessThanOrEqual(1);
      await page.mouse.move(500, 380);
      await page.mouse.wheel(0, -60);
      await expect.poll(overlayError).toBeLessThanOrEqual(1);
      await page.setViewportSize({ width: 900, height: 620 });
      await expect.poll(overlayError).toBeLessThanOrEqual(1);
    });

    test('on the film it belongs to, when another of the same size was shown before', async () => {
      await open(films.square);
      await filmShown();
      await expect.poll(overlayError).toBeLessThanOrEqual(1);
      for (const [key, film] of [
        ['j', films.moved],
        ['k', films.square],
        ['k', films.oblong],
        ['j', films.square],
        ['j', films.moved],
      ] as const) {
        await page.keyboard.press(key);
        const { sop } = room.archive.kept[film]!;
        await page.waitForFunction((wanted) => document.getElementById('surface')?.dataset['sop'] === wanted, sop);
        await filmShown();
        await expect.poll(overlayError).toBeLessThanOrEqual(1);
      }
    });

    test('and opens zoomed to the level, with the whole film one key away', async () => {
      await open(films.square);
      await filmShown();
      await expect.poll(overlayError).toBeLessThanOrEqual(1);
      const near = await squareOnPage();
      await page.keyboard.press('f');
      const width = async () => {
        const { left, right } = await squareOnPage();
        return right - left;
      };
      await expect.poll(width).toBeLessThan((near.right - near.left) / 2);
      await page.keyboard.press('f');
      await expect.poll(squareOnPage).toEqual(near);
    });

    test('or not, at a key’s touch; and hides it while the key is held', async () => {
      await open(films.gradeOne);
      await filmShown();
      const visible = () => page.locator('#overlay .chosen polygon.mark').first().isVisible();
      await expect.poll(visible).toBe(true);
      await tap(page, 'o');
      await expect.poll(visible).toBe(false);
      await tap(page, 'o');
      await expect.poll(visible).toBe(true);
      await page.keyboard.down('o');
      await expect.poll(visible).toBe(false);
      await page.waitForTimeout(400);
      await page.keyboard.up('o');
      await expect.poll(visible).toBe(true);
    });

    test('with no label on the finding', async () => {
      await open(films.gradeOne);
      await filmShown();
      await page.waitForSelector('#overlay text');
      const overlap = await page.evaluate(() => {
        const boxes = [...document.querySelectorAll('#overlay .chosen .mark')].map((mark) =>
          mark.getBoundingClientRect(),
        );
        return [...document.querySelectorAll('#overlay text')].some((label) => {
          const name = label.getBoundingClientRect();
          return boxes.some(
            (box) => name.left < box.right && box.left < name.right && name.top < box.bottom && box.top < name.bottom,
          );
        });
      });
      expect(overlap).toBe(false);
    });
  });

  describe('takes a verdict', () => {
    test('of rejection by keyboard, with its reason, and moves on', async () => {
      await open(films.gradeTwo);
      await filmShown();
      await page.keyboard.press('r');
      await page.waitForSelector('dialog[open]');
      // Letters typed as a reason are no commands.
      await page.click('text=Another reason');
      await page.fill('#reason-words', 'cfo');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await page.waitForSelector('#review-state.rejected');
      expect(await page.textContent('#review-state')).toMatch(/^Rejected by Dr Lin Wei, .+\. cfo\.$/);
      expect(await verdictOf(films.gradeTwo)).toMatchObject({
        kind: 'rejected',
        reason: 'cfo',
        by: { reference: 'Practitioner/lin' },
      });
      await page.keyboard.press('k');
      await expect.poll(heading).toContain('L4/L5');
    });

    test('but not a rejection without a reason', async () => {
      await open(films.square);
      await filmShown();
      await page.keyboard.press('r');
      await page.click('dialog button.primary');
      expect(await page.textContent('#reason-fault')).toBe('Choose a reason.');
      await page.keyboard.press('Escape');
      expect(await verdictOf(films.square)).toEqual({ kind: 'unreviewed' });
    });

    test('of confirmation by one key, says who and when, and keeps it', async () => {
      await open(films.gradeOne);
      await filmShown();
      // The browser's own copy is not a confirmation.
      await page.keyboard.press('Control+c');
      await page.focus('#confirm');
      await page.keyboard.press('c');
      await page.waitForSelector('#review-state.confirmed');
      expect(await page.textContent('#review-state')).toMatch(/^Confirmed by Dr Lin Wei, .*20\d\d/);
      expect(await heading()).toBe('L4/L5 anterolisthesis, grade\u00a0I');
      expect(await page.locator('#confirm').count()).toBe(0);
      expect(await verdictOf(films.gradeOne)).toMatchObject({ kind: 'confirmed', by: { display: 'Dr Lin Wei' } });
      expect(await page.evaluate(() => document.activeElement?.id)).toBe('panel');
    });

    test('of agreement with a film without a slip', async () => {
      await open(films.normal);
      await filmShown();
      expect(await heading()).toBe('No slip seen');
      await page.click('text=Agree: no slip seen');
      await page.waitForSelector('#review-state.confirmed');
      const stored = await room.store.readings.get(readings[films.normal]!.id);
      expect(stored?.review).toMatchObject({ kind: 'final', by: { display: 'Dr Lin Wei' } });
    });

    test('unless somebody was first: then it shows theirs', async () => {
      await open(films.oblong);
      await filmShown();
      const { id } = readings[films.oblong]!.findings[0]!;
      const other = { reference: 'Practitioner/oda', display: 'Dr Oda' };
      await room.store.readings.recordVerdict(id, { kind: 'rejected', reason: 'Wrong level' }, other);
      await page.keyboard.press('c');
      await page.waitForSelector('.trouble');
      expect(await page.textContent('.trouble')).toContain('somebody has decided in the meantime');
      expect(await page.textContent('#review-state')).toContain('Rejected by Dr Oda');
    });
  });

  describe('says in words', () => {
    test('that a film was not read, and why', async () => {
      await open(films.wrongView);
      await filmShown();
      expect(await heading()).toBe('Not read: this is not a lateral view of the lumbar spine');
    });

    test('that a film did not arrive whole, shows nothing of it, and offers to try again', async () => {
      room.archive.cutAfter = 200_000;
      await open(films.normal);
      const again = page.locator('#film-note button');
      await again.waitFor();
      expect(await page.textContent('#film-note')).toContain('did not arrive whole');
      room.archive.cutAfter = undefined;
      await again.click();
      await filmShown();
    });

    test('that the session is over, and leaves nothing of the patient on the screen', async () => {
      await open(films.square);
      await filmShown();
      // Every session ends: as after the night.
      await page.route('**/app/api/**', (route) =>
        route.fulfill({ status: 401, json: { code: 'request.unauthenticated', message: 'x', next: 'y' } }),
      );
      await page.keyboard.press('c');
      await expect.poll(heading).toBe('This session is over');
      expect(await page.content()).not.toContain('Marsh');
      expect(await page.locator('canvas').count()).toBe(0);
    });

    test.each([
      ['without a code', '', 'Open this app from a patient’s chart'],
      ['with a code nobody gave out', `#code=${'x'.repeat(43)}`, 'The images could not be opened'],
    ])('what to do when it is opened %s', async (_how, hash, title) => {
      page = await openPage(browser);
      await page.goto(`${room.url}/app/${hash}`);
      await expect.poll(heading).toBe(title);
      expect(await page.textContent('main')).toContain('Open the app');
    });

    test('a result that comes while the page is open', async () => {
      // The study is known and waiting when the page opens.
      const study = studyUid('1.2.3.70');
      await room.store.register.announce({
        source: 'rest',
        studyUid: study,
        reason: 'study-arrived',
        priority: 'routine',
        patientId: ada,
      });
      page = await openPage(browser);
      await page.goto(await room.address({ opens: { study } }));
      await expect.poll(heading).toBe('Waiting to be read.');
      await room.store.register.settle(study, { kind: 'failed', code: 'dicom.truncated' });
      await expect.poll(heading).toBe('Could not be read. The DICOM file ends before its data does.');
    });
  });

  describe('keeps', () => {
    test('the session in memory only, and ends it when the page is left', async () => {
      page = await openPage(browser);
      const opened = page.waitForResponse((answer) => answer.url().endsWith('/app/api/session'));
      await page.goto(await room.address());
      const { token } = sessionAnswer.parse(await (await opened).json());
      const asked = () => fetch(`${room.url}/app/api/studies`, { headers: { authorization: `Bearer ${token}` } });
      expect((await asked()).status).toBe(200);
      await filmShown();
      const kept = await page.evaluate(
        () => [{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href] as const,
      );
      // Cornerstone keeps its log levels and what the graphics card can do; nothing else is kept.
      expect(
        Object.keys(kept[0]).filter((key) => !/^(loglevel|cornerstone3D\.renderingCapabilities$)/.test(key)),
      ).toEqual([]);
      expect(kept.slice(1)).toEqual([{}, '', `${room.url}/app/`]);
      await page.reload();
      await expect.poll(heading).toBe('Open this app from a patient’s chart');
      await expect.poll(async () => (await asked()).status).toBe(401);
    });

    test('to its own policy: nothing is refused by it, nothing is asked of another host', async () => {
      const refusals: string[] = [];
      const hosts = new Set<string>();
      page = await openPage(browser);
      page.on('console', (line) => line.text().includes('Content Security Policy') && refusals.push(line.text()));
      page.on('request', (request) => /^https?:/.test(request.url()) && hosts.add(new URL(request.url()).host));
      await page.goto(await room.address({ opens: { study: studyUid(room.archive.kept[films.implant]!.study) } }));
      await filmShown();
      await page.keyboard.press('?');
      expect(refusals).toEqual([]);
      expect([...hosts]).toEqual([new URL(room.url).host]);
    });
  });

  describe('can be used by everybody', () => {
    const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    test.each([
      ['a finding, wide', films.gradeOne, 1280, undefined],
      ['a finding, narrow', films.square, 320, undefined],
      ['no suspicion', films.implant, 1280, undefined],
      ['the keys', films.square, 1280, '?'],
      ['the reasons', films.square, 1280, 'r'],
    ])('%s: axe finds nothing', async (_what, film, width, key) => {
      await open(film, { width, height: 800 });
      await filmShown();
      await page.evaluate(() => document.querySelectorAll('details').forEach((one) => (one.open = true)));
      if (key) await page.keyboard.press(key);
      await page.evaluate(axe);
      const violations = await page.evaluate(async () => {
        const { violations } = await (
          window as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } }
        ).axe.run();
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
      });
      expect(violations).toEqual([]);
    });

    test.each([320, 640, 1280, 2560])('nothing is cut off sideways at %i pixels', async (width) => {
      await open(films.square, { width, height: 720 });
      await filmShown();
      const tooWide = await page.evaluate(() => {
        const end = document.documentElement.clientWidth;
        return [...document.querySelectorAll('.who, .panel, .panel *, .tools, .tools *')]
          .filter((one) => one.getBoundingClientRect().right > end + 0.5)
          .map((one) => `${one.tagName}.${one.className}`);
      });
      expect(tooWide).toEqual([]);
      const small = await page.evaluate(
        () =>
          [...document.querySelectorAll<HTMLElement>('.actions button, .tools button, .entry')]
            .map((one) => one.getBoundingClientRect())
            .filter(({ width, height }) => height > 0 && (height < 44 || width < 44)).length,
      );
      expect(small).toBe(0);
    });

    test('the film is reached and named for a screen reader', async () => {
      await open(films.square);
      await filmShown();
      expect(await page.getAttribute('#surface', 'aria-label')).toBe(
        'Film 1 of 1, Square. Suspected L4/L5 anterolisthesis, grade\u00a0I.',
      );
    });
  });
});

function squareReading(
  study: Reading['studyUid'],
  sopUid: NonNullable<Reading['findings'][number]['evidence']>['sopUid'],
  { left, top, right, bottom } = square,
): Reading {
  const id = readingIdOf(study, pack, sopUid);
  const site = { kind: 'segment', level: 'L4/L5' } as const;
  return {
    id,
    studyUid: study,
    patientId: ada,
    pack,
    contentHash: sopUid,
    readAt: '2026-10-01T10:01:00.000Z',
    executionProvider: 'cpu',
    review: { kind: 'open' },
    findings: [
      {
        id: findingIdOf(id, 'spondylolisthesis', site),
        concept: 'spondylolisthesis',
        site,
        result: { kind: 'detected', direction: 'anterior', grades: [{ scale: 'Meyerding', value: 'I' }] },
        measurements: [{ quantity: 'slip-percent', value: 18, unit: '%', interval: [12, 31] }],
        summary: 'Suspected L4/L5 anterolisthesis, grade I (18 %)',
        verdict: { kind: 'unreviewed' },
        evidence: {
          sopUid,
          frame: 0,
          // The outer edges of the square's first and last pixels: columns 300 to 419 reach from x = 300 to x = 420.
          shapes: [
            {
              kind: 'polygon',
              label: 'L4',
              points: [
                [left, top],
                [right, top],
                [right, bottom],
                [left, bottom],
              ],
            },
          ],
        },
      },
    ],
  };
}

const verdictOf = async (film: number) =>
  (await room.store.readings.get(readings[film]!.id))!.findings.find(({ result }) => result.kind === 'detected')!
    .verdict;

/** Two frames: one to move, one to draw. */
const settled = () =>
  page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 120)))),
  );

type Grey = { readonly width: number; readonly height: number; readonly grey: Uint8Array };

/** What is really on the screen where the film is, as grey values; the overlay is switched off by the caller. */
async function pixelsOf(): Promise<Grey> {
  await settled();
  const { width, height, data } = PNG.sync.read(await page.locator('.stage').screenshot());
  return { width, height, grey: Uint8Array.from({ length: width * height }, (_, index) => data[index * 4 + 1]!) };
}

/** Bounds of what is bright on the screen. */
async function squareOnPage(): Promise<Square> {
  await page.evaluate(() => document.getElementById('overlay')!.style.setProperty('visibility', 'hidden'));
  const { width, height, grey } = await pixelsOf();
  await page.evaluate(() => document.getElementById('overlay')!.style.removeProperty('visibility'));
  const box = { left: width, top: height, right: 0, bottom: 0 };
  for (let index = 0; index < grey.length; index++) {
    if (grey[index]! < 128) continue;
    const [x, y] = [index % width, Math.floor(index / width)];
    box.left = Math.min(box.left, x);
    box.top = Math.min(box.top, y);
    box.right = Math.max(box.right, x + 1);
    box.bottom = Math.max(box.bottom, y + 1);
  }
  return box;
}

/** The largest distance, in screen pixels, between a drawn edge and the edge of the square that is seen. */
async function overlayError(): Promise<number> {
  const seen = await squareOnPage();
  const drawn = (await page.getAttribute('#overlay .chosen .mark', 'points'))!
    .split(' ')
    .map((pair) => pair.split(',').map(Number) as [number, number]);
  const [xs, ys] = [drawn.map(([x]) => x), drawn.map(([, y]) => y)];
  const { width, height } = (await page.locator('.stage').boundingBox())!;
  const edges = [
    { drawn: Math.min(...xs), seen: seen.left, limit: width },
    { drawn: Math.min(...ys), seen: seen.top, limit: height },
    { drawn: Math.max(...xs), seen: seen.right, limit: width },
    { drawn: Math.max(...ys), seen: seen.bottom, limit: height },
  ].filter((edge) => edge.drawn > 1 && edge.drawn < edge.limit - 1);
  // Where the square leaves the screen its edge cannot be compared; with too few edges nothing is.
  if (edges.length < 3 || seen.right - seen.left < 20) throw new Error('the square is not on the screen');
  return Math.max(...edges.map((edge) => Math.abs(edge.drawn - edge.seen)));
}

function column({ width, height, grey }: Grey, from: number, to: number): number {
  let sum = 0;
  let count = 0;
  for (let y = 0; y < height; y++) {
    for (let x = Math.floor(width * from); x < width * to; x++) {
      sum += grey[y * width + x]!;
      count += 1;
    }
  }
  return sum / count;
}

/** Mean step between neighbours: a film is smooth, wrongly decoded bytes are not. */
function roughness({ width, grey }: Grey): number {
  let sum = 0;
  for (let index = 1; index < grey.length; index++)
    if (index % width !== 0) sum += Math.abs(grey[index]! - grey[index - 1]!);
  return sum / grey.length;
}
