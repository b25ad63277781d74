/** The EHR page in a real browser: what a clinician sees and does there, at every width and with the keyboard alone. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { accessibilityFaults, browserInstalled, openBrowser } from '../support/browser.ts';
import { fhirCaller, json, startTestHospital, type Heard, type TestHospital } from './hospital.ts';

const card = {
  uuid: '5a3cbbd8-6b4c-8d3f-9d0c-0b5e8b1f2c11',
  summary: 'Suspected L4/L5 slip, grade I',
  indicator: 'warning',
  detail: [
    '**18 %** forward, see [the film](https://wetread.example/film) and [here](javascript:alert(1)).',
    '',
    '| Level | Slip |',
    '|---|---|',
    '| L4/L5 | 18 % |',
    '',
    '<img src=x onerror="document.title=\'broken\'"><script>document.title="broken"</script>',
    '',
    '![a picture](https://elsewhere.example/spy.png)',
  ].join('\n'),
  source: { label: 'Wetread' },
  overrideReasons: [
    { code: 'known', display: 'Known already' },
    { code: 'not-seen', display: 'I do not see it on the film' },
  ],
};

describe.skipIf(!browserInstalled && !process.env['CI'])('the EHR page', () => {
  let hospital: TestHospital;
  let browser: Awaited<ReturnType<typeof openBrowser>>;
  let cards: (heard: Heard) => unknown[] = () => [];
  const heard = (path: string) => hospital.listener.heard.filter((one) => one.path === path);

  beforeAll(async () => {
    [hospital, browser] = await Promise.all([startTestHospital(), openBrowser()]);
    const link = {
      label: 'Show it on the film',
      type: 'smart',
      url: `${hospital.listener.url}/app/launch`,
      appContext: '{"finding":"abc"}',
    };
    hospital.listener.answerWith((one) => {
      const service = (hook: string) => ({ id: `test-${hook}`, hook, title: 'Wetread', description: 'test' });
      if (one.path === '/cds-services')
        return { status: 200, body: { services: ['patient-view', 'order-select', 'order-sign'].map(service) } };
      if (one.path.startsWith('/cds-services/') && !one.path.endsWith('/feedback')) {
        return { status: 200, body: { cards: cards(one).map((given) => ({ ...(given as object), links: [link] })) } };
      }
      return { status: 200, body: {} };
    });
  });
  afterAll(async () => {
    await browser?.close();
    await hospital?.stop();
  });
  beforeEach(async () => {
    cards = () => [];
    hospital.listener.heard.length = 0;
    await browser.page.setViewportSize({ width: 1280, height: 900 });
  });
  const openChart = async (patient: string) => {
    await browser.page.goto('about:blank');
    await browser.page.goto(`${hospital.url}/#/patients/${patient}`);
    await browser.page.locator('.card-list').waitFor();
  };

  test.each([320, 768, 1280, 2560])(
    'has nothing to scroll sideways and no fault in accessibility at %i pixels',
    async (width) => {
      const { page } = browser;
      cards = () => [card];
      await page.setViewportSize({ width, height: 900 });
      await page.goto('about:blank');
      await page.goto(`${hospital.url}/`);
      await page.locator('.patient').first().waitFor();
      const sideways = () =>
        page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      expect([await sideways(), await accessibilityFaults(page)]).toEqual([0, []]);
      await openChart('patient-brandt');
      await page.locator('.card').waitFor();
      await page.locator('.dismiss summary').click();
      await page.locator('#new-order').click();
      expect([await sideways(), await accessibilityFaults(page)]).toEqual([0, []]);
    },
  );

  test("draws a card's markdown, and nothing in it that could run or be fetched", async () => {
    const { page } = browser;
    cards = () => [card];
    const requested: string[] = [];
    page.on('request', (request) => requested.push(request.url()));
    await openChart('patient-haddad');
    const shown = page.locator('.card .prose');
    await shown.waitFor();
    expect(await shown.locator('strong').allInnerTexts()).toEqual(['18 %']);
    expect(await shown.locator('td').allInnerTexts()).toEqual(['L4/L5', '18 %']);
    expect(await shown.locator('a').evaluateAll((links) => links.map((link) => link.getAttribute('href')))).toEqual([
      'https://wetread.example/film',
    ]);
    expect(await shown.locator('img, script').count()).toBe(0);
    expect(await shown.innerText()).toContain('<script>');
    expect(await page.title()).toContain('Samira Haddad');
    expect(requested.filter((url) => url.includes('elsewhere'))).toEqual([]);
  });

  test('can be walked with the keyboard: find a patient, open the chart, order, sign', async () => {
    const { page } = browser;
    cards = (one) => (one.path.endsWith('order-sign') ? [card] : []);
    await page.goto('about:blank');
    await page.goto(`${hospital.url}/`);
    await page.locator('.patient').first().waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('okafor');
    await page.keyboard.press('Escape');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.locator('h1', { hasText: 'Mr Tobias Chidi Okafor' }).waitFor();
    await page.keyboard.press('n');
    await page.keyboard.type('Lumbar spine X-ray, lateral');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    // Decision support speaks up once; then the order can be signed all the same.
    await page.locator('.order-cards .card').waitFor();
    expect(await page.locator('.orders li').count()).toBe(0);
    await page.locator('.order-form button', { hasText: 'Sign order anyway' }).press('Enter');
    await page.locator('.orders li', { hasText: 'Waiting for the film' }).waitFor();
    expect(heard('/cds-services/test-order-select').length).toBeGreaterThan(0);
  });

  test('lets the film of an order arrive and follows it to the verified report without being reloaded', async () => {
    const { page } = browser;
    await json(`${hospital.url}/ehr/api/patients/patient-whitfield/orders`, {
      exam: 'lumbar-lateral',
      cardsSeen: true,
    });
    await openChart('patient-whitfield');
    await page.locator('.orders select').selectOption('l5-s1-grade-2');
    await page.locator('.orders button', { hasText: 'Film arrives' }).click();
    await page.locator('.progress .done', { hasText: 'Film stored' }).waitFor();
    await page.locator('.orders li', { hasText: 'Film has arrived' }).waitFor();

    const call = fhirCaller(hospital.fhir, await hospital.backendToken('system/*.cruds'));
    const { body: found } = await call('GET', '/ImagingStudy?patient=Patient/patient-whitfield');
    cards = () => [card];
    const report = {
      resourceType: 'DiagnosticReport',
      meta: { security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'AIAST' }] },
      status: 'partial',
      code: { text: 'AI reading' },
      subject: { reference: 'Patient/patient-whitfield' },
      imagingStudy: [{ reference: `ImagingStudy/${found.entry![0]!.resource!.id}` }],
      conclusion: 'Suspected L5/S1 slip.',
    };
    const { body: written } = await call('POST', '/DiagnosticReport', report);
    await page.locator('.study .chip', { hasText: 'Partial – AI suggestion, not yet reviewed' }).waitFor();
    await page.locator('.card', { hasText: card.summary }).waitFor();

    await call('PUT', `/DiagnosticReport/${written.id}`, {
      ...report,
      meta: {},
      id: written.id,
      status: 'final',
      resultsInterpreter: [{ display: 'Dr Paul Moreau' }],
    });
    await page.locator('.study .chip', { hasText: 'Final – verified by Dr Paul Moreau' }).waitFor();
    expect(await page.locator('.study .chip').allInnerTexts()).toEqual(['Final – verified by Dr Paul Moreau']);
  });

  test('tells the service why a card is put aside, and takes it away when the service has', async () => {
    const { page } = browser;
    cards = () => (heard('/cds-services/test-patient-view/feedback').length > 0 ? [] : [card]);
    await openChart('patient-castellano');
    await page.locator('.card .dismiss summary').click();
    await page.getByLabel('I do not see it on the film').check();
    await page.getByLabel('Comment').fill('Looked twice');
    await page.locator('.dismiss button').click();
    await page.locator('.card-list', { hasText: 'Nothing to point out' }).waitFor();
    expect(heard('/cds-services/test-patient-view/feedback')[0]!.body).toMatchObject({
      feedback: [
        {
          card: card.uuid,
          outcome: 'overridden',
          overrideReason: { reason: { code: 'not-seen' }, userComment: 'Looked twice' },
        },
      ],
    });
  });

  test('opens the app in a frame with a launch of its own, and Esc brings the chart back', async () => {
    const { page } = browser;
    cards = () => [card];
    await openChart('patient-tanabe');
    await page.locator('.card .primary').click();
    await page.locator('dialog.app iframe').waitFor();
    const source = new URL((await page.locator('dialog.app iframe').getAttribute('src'))!);
    expect(`${source.origin}${source.pathname}`).toBe(`${hospital.listener.url}/app/launch`);
    expect(source.searchParams.get('iss')).toBe(hospital.fhir);
    expect(source.searchParams.get('launch')).toMatch(/^[\w-]{43}$/);
    await page.locator('dialog.app .bar button').focus();
    await page.keyboard.press('Escape');
    await page.locator('dialog.app').waitFor({ state: 'detached' });
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Show it on the film');
  });

  test('says that decision support is away, and opens the chart all the same', async () => {
    const { page } = browser;
    cards = () => {
      throw new Error('the service is broken');
    };
    await openChart('patient-lindqvist');
    await page.locator('.cards .notice', { hasText: 'did not answer' }).waitFor();
    expect(await page.locator('.history li', { hasText: 'Essential hypertension' }).count()).toBe(1);
  });
});
