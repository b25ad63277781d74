/** What a clinician does in the demo hospital, by what she sees on the page. */
import type { FrameLocator, Page } from 'playwright-core';

/** Opens the patient list and chooses a patient by name. */
export async function openChart(page: Page, hospitalUrl: string, patient: string): Promise<void> {
  await page.goto('about:blank');
  await page.goto(`${hospitalUrl}/`);
  await page.locator('.patient', { hasText: patient }).click();
  await page.locator('h1', { hasText: patient }).waitFor();
  await page.locator('.card-list').waitFor();
}

/** Orders a lateral film of the lumbar spine and signs, whatever decision support says before. */
export async function orderLumbarFilm(page: Page): Promise<void> {
  await page.locator('#new-order').click();
  await page.locator('#order-exam').selectOption({ label: 'Lumbar spine X-ray, lateral' });
  const sign = page.locator('.order-form button[type=submit]');
  await sign.click();
  const anyway = page.getByRole('button', { name: 'Sign order anyway' });
  await Promise.race([anyway.waitFor(), page.locator('.order-form').waitFor({ state: 'detached' })]);
  if (await anyway.isVisible()) await anyway.click();
  await page.locator('.orders .chip.waiting').first().waitFor();
}

/** Lets the film of the first open order arrive. */
export async function filmArrives(page: Page, film: string): Promise<void> {
  const order = page.locator('.orders li', { has: page.locator('.chip.waiting') }).first();
  await order.locator('select').selectOption(film);
  await order.locator('button', { hasText: /film arrives/i }).click();
}

export const cardWith = (page: Page, words: string | RegExp) =>
  page.locator('.card', { has: page.locator('h3', { hasText: words }) });

/** Follows a card's link, the first unless another is named, and waits until the app shows the film. */
export async function openApp(page: Page, card: ReturnType<typeof cardWith>, link?: RegExp): Promise<FrameLocator> {
  await (
    link === undefined ? card.locator('button.primary').first() : card.getByRole('button', { name: link })
  ).click();
  const app = page.frameLocator('dialog.app iframe');
  await app.locator('#film-note[hidden]').waitFor({ state: 'attached', timeout: 120_000 });
  return app;
}
