/** The report as a page in a real browser: every kind of section and plot, wide, narrow and printed. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../../src/evaluation/answers.ts';
import { evaluate } from '../../src/evaluation/evaluate.ts';
import { seededRandom } from '../../src/evaluation/random.ts';
import { reportHtml } from '../../src/evaluation/report-html.ts';
import { readTruth } from '../../src/evaluation/truth.ts';
import { accessibilityFaults, browserInstalled, openBrowser } from '../support/browser.ts';

const random = seededRandom(3);
const words = ['wedge', 'biconcave', 'crush'];
const cases = Array.from({ length: 90 }, (_, index) => ({
  file: `${index}.dcm`,
  label: words[index % 3]!,
  value: 10 + (index % 7),
  scores: Object.fromEntries(words.map((word, at) => [word, random.next() / 3 + (at === index % 3 ? 0.3 : 0.1)])),
}));
const rows = readTruth(
  [
    'file,kind,patient,label,sex,boxes,value:slip@L4/L5,grade:Meyerding@L4/L5',
    ...cases.map(
      ({ file, label, value }, index) =>
        `${file},${index < 45 ? 'real' : 'synthetic'},p${index % 30},${label},${index % 2 ? 'F' : 'M'},L4/L5 1 1 9 9,${value},I`,
    ),
  ].join('\n'),
);
const answers = (shift: number): Answer[] =>
  cases.map(({ file, scores, value }) => ({
    file,
    scores: { ...scores, crush: scores['crush']! + shift },
    boxes: [{ label: 'L4/L5', box: [1, 1, 9, 8 + random.next()], score: random.next() }],
    values: { 'slip@L4/L5': { value: value + random.next() * 4 } },
    grades: { 'Meyerding@L4/L5': random.next() < 0.8 ? 'I' : 'II' },
  }));

const onePixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==';

describe.skipIf(!browserInstalled && !process.env['CI'])('the page', () => {
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'wetread-report-'));
    const model = { name: 'ours', version: '1.0.0', sha256: 'a'.repeat(64), trainedOn: 'Drawings.' };
    const report = evaluate({
      title: 'Ours and theirs on films of one spring',
      rows,
      entrant: { model, answers: answers(0) },
      compareWith: { model: { ...model, name: 'theirs' }, answers: answers(0.3) },
      data: { file: 'films.csv', sha256: 'b'.repeat(64) },
      wetread: '0.1.0',
      madeAt: new Date(0),
      options: { replicates: 50 },
    });
    // Pictures are named by their path, which has no place to break a line at.
    const caption = `films/${'a_very_long_name/'.repeat(8)}0001.jpg: refused, levels-uncertain`;
    const pictures = Array.from({ length: 5 }, () => ({ caption, pngBase64: onePixel }));
    const [first, ...rest] = report.sections;
    await writeFile(
      join(folder, 'report.html'),
      reportHtml({ ...report, sections: [{ ...first!, pictures }, ...rest] }),
    );
    browser = await openBrowser();
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  test.each([320, 1280, 2560])(
    'at %i pixels: axe finds nothing and nothing is cut off',
    async (width) => {
      const { page } = browser;
      await page.setViewportSize({ width, height: 900 });
      await page.goto(pathToFileURL(join(folder, 'report.html')).href);
      expect(await accessibilityFaults(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      // Curves and dots as drawings, matrices as tables, for real and for synthetic pictures apart.
      expect(await page.locator('svg').count()).toBe(2 * 8);
      expect(await page.locator('figure.matrix').count()).toBe(2 * 2);
      expect(await page.locator('.kind.real').count()).toBe(await page.locator('.kind.synthetic').count());
    },
    60_000,
  );
});
