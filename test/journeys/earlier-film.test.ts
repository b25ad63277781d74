/** An earlier film and today's, a next step that becomes a draft order, and a fracture with what the answer is made of: as a clinician sees them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DiagnosticReport, Observation, ServiceRequest } from 'fhir/r4.d.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accessibilityFaults, browserInstalled, openBrowser } from '../support/browser.ts';
import { cardWith, openApp, openChart } from './clinician.ts';
import { eventually, openWorld, type World } from './world.ts';

const name = 'Maria Elisabet Lindqvist';
const patience = { timeout: 120_000 };

describe.skipIf(!browserInstalled && !process.env['CI'])('a course', () => {
  let world: World;
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  beforeAll(async () => {
    [world, browser] = await Promise.all([openWorld(), openBrowser()]);
    await world.startService();
  });
  afterAll(async () => {
    await browser?.close();
    await world?.close();
  });

  test('the earlier film is compared in the card, in the app and in the report', async () => {
    const earlier = await world.arrive('patient-lindqvist', 'l4-l5-grade-1', undefined, 620);
    await eventually(async () => (await world.reportsOf(earlier))[0]);
    const now = await world.arrive('patient-lindqvist', 'l4-l5-grade-2');
    const report = await eventually(async () =>
      (await world.reportsOf(now)).find(({ conclusion = '' }) => conclusion.includes('Compared with')),
    );
    expect(report.conclusion).toContain('grade I → II');
    const observations = await world.search<Observation>('Observation?patient=patient-lindqvist&_count=200');
    const further = observations.filter(({ interpretation }) =>
      interpretation?.some(({ coding }) => coding?.[0]?.code === 'W'),
    );
    expect(further.map(({ bodySite }) => bodySite!.text)).toEqual(['Segment L4/L5']);
    expect(further[0]!.derivedFrom![1]!.identifier!.value).toMatch(/^urn:uuid:/);

    const { page } = browser;
    await openChart(page, world.hospitalUrl, name);
    const card = cardWith(page, /grade I → II since/);
    await card.waitFor(patience);
    expect(await card.locator('.indicator').innerText()).toMatch(/needs attention/i);
    expect(await card.innerText()).toContain("more than the measurement's spread");
    // The earlier film's suspicion is part of this card: one thing is asked once.
    expect((await world.cards('patient-lindqvist')).filter(({ summary }) => summary.includes('L4/L5'))).toHaveLength(1);
    expect(await accessibilityFaults(page)).toEqual([]);

    const app = await openApp(page, card);
    expect(await app.locator('#course').innerText()).toMatch(/grade I → II \(\d+ % → \d+ %/);
    const shown = () => app.locator('#surface').getAttribute('data-sop');
    const film = await shown();
    await app.locator('#open-prior').click();
    await expect.poll(shown, patience).not.toBe(film);
    await app.getByRole('button', { name: /Back to/ }).click();
    await expect.poll(shown, patience).toBe(film);
    await page.getByRole('button', { name: /^Close/ }).click();
  }, 400_000);

  test('an accepted suggestion is a draft order, the service is told, and nothing is ordered until it is signed', async () => {
    const { page } = browser;
    await openChart(page, world.hospitalUrl, name);
    const card = cardWith(page, /grade I → II since/);
    await card.waitFor(patience);
    const suggestion = card.getByRole('button', { name: /flexion and extension views .*not yet reviewed/ });
    const told = page.waitForResponse((answer) => answer.url().endsWith('/suggestions'));
    await suggestion.click();
    expect(await (await told).json()).toMatchObject({ taken: true });
    await page.locator('.orders .chip.draft').waitFor(patience);
    const orders = () => world.search<ServiceRequest>('ServiceRequest?patient=patient-lindqvist&_count=50');
    expect((await orders()).map(({ status, intent }) => `${status} ${intent}`)).toEqual(['draft proposal']);
    // It is on record now: it is not suggested twice.
    await suggestion.waitFor({ state: 'detached', ...patience });
    expect(await accessibilityFaults(page)).toEqual([]);

    await page.getByRole('button', { name: 'Sign order', exact: true }).click();
    const anyway = page.getByRole('button', { name: 'Sign order anyway' });
    await anyway.waitFor(patience);
    await anyway.click();
    await page.locator('.orders .chip.waiting').waitFor(patience);
    const [order] = await orders();
    expect(order).toMatchObject({
      status: 'active',
      intent: 'order',
      code: { coding: [{ system: 'http://loinc.org', code: '24971-4' }] },
      requester: { reference: 'Practitioner/practitioner-vasquez' },
    });
  }, 400_000);

  test('an earlier finding that is rejected is compared with no more', async () => {
    const cards = async () => (await world.cards('patient-lindqvist')).map(({ summary }) => summary);
    expect((await cards()).join()).toContain('grade I → II');
    const { page } = browser;
    await openChart(page, world.hospitalUrl, name);
    const card = cardWith(page, /grade I → II since/);
    await card.waitFor(patience);
    const app = await openApp(page, card, /Open the earlier film of/);
    expect(await app.locator('h1').innerText()).toMatch(/Suspected L4\/L5 anterolisthesis, grade\s+I$/);
    await app.locator('#surface').focus();
    await page.keyboard.press('r');
    const dialog = app.getByRole('dialog');
    await dialog.getByRole('radio').first().check();
    await dialog.getByRole('button', { name: 'Reject', exact: true }).click();
    await app
      .getByText(/rejected/i)
      .first()
      .waitFor(patience);
    await eventually(async () => !(await cards()).join().includes('→'));
    // The report of today's film is written anew.
    await eventually(async () => {
      const reports = await world.search<DiagnosticReport>('DiagnosticReport?patient=patient-lindqvist&_count=50');
      return reports.every(({ conclusion = '' }) => !conclusion.includes('Compared with'));
    });
  }, 400_000);

  const fracturePack = join(import.meta.dirname, '../../models/vertebral-fracture/manifest.json');
  test.skipIf(!existsSync(fracturePack))(
    'a fracture is a card that opens the film with its bars and its map',
    async () => {
      const film = await world.arrive('patient-brandt', 'l1-wedge');
      const reports = () => world.search<DiagnosticReport>('DiagnosticReport?_count=200');
      await eventually(async () =>
        (await reports()).some(
          ({ imagingStudy, conclusion = '' }) =>
            imagingStudy?.some(({ reference }) => reference === film.imagingStudy) && /OVF/.test(conclusion),
        ),
      );
      const { page } = browser;
      await openChart(page, world.hospitalUrl, 'Hannelore Brandt');
      const card = cardWith(page, /OVF class \d/);
      await card.waitFor(patience);
      const app = await openApp(page, card);
      await app.locator('#explanation').waitFor(patience);
      expect(await app.locator('#explanation').innerText()).toContain('not how far a fracture extends');
      await app
        .locator('#overlay line.height.mark')
        .first()
        .waitFor({ state: 'attached', ...patience });
      await app.locator('#map-toggle').click();
      await app.locator('#overlay image.heat').waitFor({ state: 'attached', ...patience });
      await page.getByRole('button', { name: /^Close/ }).click();
    },
    400_000,
  );
});
