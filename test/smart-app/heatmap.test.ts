/** A heat map in a real browser: over the place it speaks of, at every zoom, gone at a key's touch, and with its warning. */
import { PNG } from 'pngjs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findingIdOf, readingIdOf } from '../../src/domain/identity.ts';
import type { OverlayShape, Reading } from '../../src/domain/finding.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { browserInstalled, launchBrowser, openPage, tap } from '../support/browser.ts';
import { pack } from './demo-reading.ts';
import { squareFilm } from './square-film.ts';
import { ada, viewingRoom, type ViewingRoom } from './viewing-room.ts';

/** A tensor of 32 x 24 that a letterbox made: the picture lies in its columns 2.67 to 21.33. */
const [rows, columns] = [900, 700];
const grid = { rows: 16, columns: 12 };
const square = { left: 300, top: 500, right: 420, bottom: 580 };
const cell = 900 / 16;
const left = (columns - 12 * cell) / 2;

const map: OverlayShape = {
  kind: 'heatmap',
  label: 'slip',
  ...grid,
  // Four cells around the middle of the square.
  values: Array.from({ length: 192 }, (_, at) => {
    const [x, y] = [left + ((at % 12) + 0.5) * cell, (Math.floor(at / 12) + 0.5) * cell];
    return Math.max(0, 1 - Math.hypot(x - 360, y - 540) / 150);
  }),
  corners: [
    [left, 0],
    [left + 12 * cell, 0],
    [left, 900],
  ],
};

function readingWithMap(
  study: Reading['studyUid'],
  sopUid: NonNullable<Reading['findings'][number]['evidence']>['sopUid'],
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
        evidence: { sopUid, frame: 0, shapes: [map] },
      },
    ],
  };
}

let room: ViewingRoom;
let browser: Browser;
let page: Page;

describe.skipIf(!browserInstalled && !process.env['CI'])('a heat map', () => {
  beforeAll(async () => {
    const uids = { study: '1.2.3.70', series: '1.2.3.71', sop: '1.2.3.72' };
    room = await viewingRoom([squareFilm(uids, { rows, columns, square, spacing: [0.2, 0.2] })]);
    await room.keep(0, { description: 'Square', startedAt: '2026-10-01T10:00:00' }, ({ study, sop }) =>
      readingWithMap(study, sop),
    );
    browser = await launchBrowser();
    page = await openPage(browser, { viewport: { width: 1280, height: 800 } });
    await page.goto(await room.address({ opens: { study: studyUid(room.archive.kept[0]!.study) } }));
    await page.waitForFunction(() => document.querySelector('#film-note')?.hasAttribute('hidden'));
    await page.waitForSelector('#overlay image.heat');
  });
  afterAll(async () => {
    await browser?.close();
    await room?.close();
  });

  test('lies over the place of the picture that it speaks of, at every zoom', async () => {
    for (const key of ['f', '+', '+', 'f']) {
      await page.keyboard.press(key);
      const apart = async () => {
        const { warm, bright } = await seen();
        return Math.hypot(warm.x - bright.x, warm.y - bright.y) / bright.width;
      };
      await expect.poll(apart).toBeLessThan(0.12);
    }
  });

  test('lets the film show through, and says what it is not', async () => {
    const opacity = async () => (await seen()).opacity;
    await expect.poll(opacity).toSatisfy((part: number) => part > 0.15 && part < 0.65);
    expect(await page.textContent('#overlay .heat-words')).toBe(
      'Map: what the answer is associated with, not its extent',
    );
  });

  test('is gone at a key’s touch', async () => {
    const visible = () => page.locator('#overlay image.heat').isVisible();
    await tap(page, 'o');
    await expect.poll(visible).toBe(false);
    await tap(page, 'o');
    await expect.poll(visible).toBe(true);
  });
});

const settled = () =>
  page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 120)))),
  );

/** On the screen: the middle of the warm colour, the bright square under it, and how much of the film is covered there. */
async function seen() {
  await settled();
  const over = PNG.sync.read(await page.locator('.stage').screenshot());
  await page.evaluate(() => document.getElementById('overlay')!.style.setProperty('visibility', 'hidden'));
  await settled();
  const under = PNG.sync.read(await page.locator('.stage').screenshot());
  await page.evaluate(() => document.getElementById('overlay')!.style.removeProperty('visibility'));
  const box = { left: Infinity, top: Infinity, right: 0, bottom: 0 };
  const warm = { x: 0, y: 0, sum: 0 };
  let covered = 0;
  for (let at = 0; at < over.width * over.height; at += 1) {
    const [x, y] = [at % over.width, Math.floor(at / over.width)];
    const isBright = under.data[at * 4 + 1]! >= 128;
    if (isBright) {
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x + 1);
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y + 1);
      covered = Math.max(covered, 1 - over.data[at * 4 + 2]! / under.data[at * 4 + 2]!);
    }
    // Words at the edge are grey and do not count; the map's warmth does.
    const tint = over.data[at * 4]! - over.data[at * 4 + 2]!;
    if (tint < 30) continue;
    warm.x += tint * x;
    warm.y += tint * y;
    warm.sum += tint;
  }
  return {
    warm: { x: warm.x / warm.sum, y: warm.y / warm.sum },
    bright: { x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2, width: box.right - box.left },
    opacity: covered,
  };
}
