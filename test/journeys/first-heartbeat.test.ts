/** The whole mission once, as a person sees it: order, film, card, app, confirmation, final report. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Device, DiagnosticReport, FhirResource, Observation, Provenance } from 'fhir/r4.d.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accessibilityFaults, browserInstalled, openBrowser } from '../support/browser.ts';
import { cardWith, filmArrives, openApp, openChart, orderLumbarFilm } from './clinician.ts';
import { eventually, openWorld, type World } from './world.ts';

// The app keeps "grade" and its number on one line: a space that does not break.
const suspected = /Suspected L4\/L5 anterolisthesis, grade\sI/;

describe.skipIf(!browserInstalled && !process.env['CI'])('the first heartbeat', () => {
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

  test('order, film, card, app, confirmation, final report; and the card does not come back', async () => {
    const { page } = browser;
    await openChart(page, world.hospitalUrl, 'Hannelore Brandt');
    await orderLumbarFilm(page);
    await filmArrives(page, 'l4-l5-grade-1');

    // The card comes by itself; nobody reloads a chart to see whether something is new.
    const card = cardWith(page, suspected);
    await card.waitFor({ timeout: 120_000 });
    expect(await card.innerText()).toMatch(/not yet reviewed/i);
    expect(await accessibilityFaults(page)).toEqual([]);
    // Each model writes its own report of the film.
    const [partial] = await eventually(() =>
      found(
        world
          .search<DiagnosticReport>('DiagnosticReport?status=partial')
          .then((reports) => reports.filter(({ conclusion }) => suspected.test(conclusion ?? ''))),
      ),
    );
    expect(partial!.basedOn?.[0]?.reference).toMatch(/^ServiceRequest\//);

    const app = await openApp(page, card);
    expect(await app.locator('h1').innerText()).toMatch(suspected);
    expect(await app.locator('body').innerText()).toMatch(/not yet reviewed/i);
    expect(await app.locator('svg').first().isVisible()).toBe(true);
    await app.locator('#surface').focus();
    await page.keyboard.press('c');
    await app
      .getByText(/confirmed/i)
      .first()
      .waitFor();

    const final = await eventually(async () => {
      const [report] = await world.search<DiagnosticReport>(`DiagnosticReport/${partial!.id}`);
      return report?.status === 'final' && report;
    });
    const provenances = await world.provenancesOf(final);
    const verifiers = provenances
      .flatMap(({ agent }) => agent)
      .filter(({ type }) => type?.coding?.some(({ code }) => code === 'verifier'));
    expect(verifiers.map(({ who }) => who.reference)).toContain('Practitioner/practitioner-vasquez');

    // The keys go to the app's frame, which tells the chart that it is done.
    await page.keyboard.press('Escape');
    await page.locator('dialog.app').waitFor({ state: 'detached' });
    await page.locator('.report.confirmed', { hasText: /final/i }).first().waitFor();
    await eventually(async () => (await cardWith(page, suspected).count()) === 0);
    await openChart(page, world.hospitalUrl, 'Hannelore Brandt');
    expect(await cardWith(page, suspected).count()).toBe(0);
    expect((await world.cards('patient-brandt')).filter(({ summary }) => suspected.test(summary))).toEqual([]);
  });

  test('a rejected suggestion is withdrawn from the report and does not come back either', async () => {
    const { page } = browser;
    await openChart(page, world.hospitalUrl, 'Samira Haddad');
    await orderLumbarFilm(page);
    await filmArrives(page, 'l5-s1-grade-2');
    const card = cardWith(page, /Suspected L5\/S1/);
    await card.waitFor({ timeout: 120_000 });
    const app = await openApp(page, card);
    await app.locator('#surface').focus();
    await page.keyboard.press('r');
    const dialog = app.getByRole('dialog');
    await dialog.getByRole('radio').first().check();
    await dialog.getByRole('button', { name: 'Reject', exact: true }).click();
    await app
      .getByText(/rejected/i)
      .first()
      .waitFor();
    await page.getByRole('button', { name: /^Close/ }).click();
    await eventually(async () => (await cardWith(page, /Suspected L5\/S1/).count()) === 0);
    const rejected = await eventually(() => found(world.search<Observation>('Observation?status=entered-in-error')));
    expect(rejected).toHaveLength(1);
  });

  test('a normal film makes no card, and its report says so without being final', async () => {
    const film = await world.arrive('patient-okafor', 'normal');
    const [report] = await eventually(() => found(world.reportsOf(film)));
    expect(report!.status).toBe('partial');
    expect(await world.cards('patient-okafor')).toEqual([]);
  });

  const java = existsSync('/usr/bin/java') && existsSync('/usr/bin/mvn');
  test.skipIf(!java && !process.env['CI'])('every resource that was written passes the validator', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wetread-written-'));
    const written: FhirResource[] = (
      await Promise.all([
        world.search<DiagnosticReport>('DiagnosticReport?_count=200'),
        world.search<Observation>('Observation?_count=200'),
        world.search<Provenance>('Provenance?_count=200'),
        world.search<Device>('Device?_count=200'),
      ])
    ).flat();
    // The hospital's own results were there before; what Wetread wrote carries its identity.
    const ours = written.filter(
      (resource) => JSON.stringify(resource).includes('urn:uuid:') || resource.resourceType === 'Provenance',
    );
    expect(new Set(ours.map(({ resourceType }) => resourceType)).size).toBe(4);
    mkdirSync(folder, { recursive: true });
    const files = ours.map((resource) => {
      const file = join(folder, `${resource.resourceType}-${resource.id}.json`);
      writeFileSync(file, JSON.stringify(resource));
      return file;
    });
    try {
      execFileSync(
        join(import.meta.dirname, '../../scripts/fhir-validate/fhir-validate'),
        ['--errors-only', ...files],
        { encoding: 'utf8', stdio: 'pipe' },
      );
    } catch (error) {
      throw new Error(String((error as { stdout?: string }).stdout), { cause: error });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    expect(files.length).toBeGreaterThan(20);
  });
});

const found = async <Resource>(search: Promise<Resource[]>): Promise<Resource[] | undefined> => {
  const all = await search;
  return all.length > 0 ? all : undefined;
};
