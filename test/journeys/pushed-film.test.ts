/** A hospital whose archive cannot be asked: films are sent to Wetread, and go all the way to the card and the app. */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DiagnosticReport } from 'fhir/r4.d.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withElements } from '../../sandbox/dicom/part10.ts';
import { browserInstalled, openBrowser } from '../support/browser.ts';
import { haveTools, runTool } from '../support/dicom-tools.ts';
import { wetread } from '../support/wetread.ts';
import { freePort } from '../support/free-port.ts';
import { packsCalled } from '../support/packs.ts';
import { cardWith, openApp, openChart } from './clinician.ts';
import { eventually, openWorld, type World } from './world.ts';

const films = join(import.meta.dirname, '../../sandbox/films');
const secret = 'a-secret-between-two-systems';
const recordNumbers = {
  castellano: '40026630',
  haddad: '40028859',
  lindqvist: '40021877',
  tanabe: '40031244',
  whitfield: '40004417',
};

describe('films that are sent', () => {
  let world: World;
  let dimsePort: number;
  let copies: string;
  beforeAll(async () => {
    dimsePort = await freePort();
    copies = mkdtempSync(join(tmpdir(), 'wetread-copies-'));
    world = await openWorld({
      WETREAD_MODELS_DIR: packsCalled('lumbar-landmarks'),
      // Not set: there is nothing to ask.
      WETREAD_DICOMWEB_URL: '',
      WETREAD_STOW_SECRET: secret,
      WETREAD_DIMSE_PORT: String(dimsePort),
      WETREAD_DIMSE_CALLERS: 'XRAY1@127.0.0.1',
      WETREAD_QUIET_SECONDS: '2',
    });
    await world.startService();
  });
  afterAll(async () => {
    await world?.close();
    rmSync(copies, { recursive: true, force: true });
  });

  const send = async (film: string, ...options: string[]) => {
    const { code, out, err } = await wetread(['send', join(films, film), '--json', ...options], {
      WETREAD_DATA_DIR: copies,
    });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    return (JSON.parse(out) as { ok: boolean; studyUid: string }[])[0]!;
  };
  const byStow = (film: string, mrn: string, ...more: string[]) =>
    send(film, '--url', `${world.serviceUrl}/dicom-web-in`, '--secret', secret, '--mrn', mrn, ...more);
  const byDimse = (film: string, mrn: string, ...more: string[]) =>
    send(film, '--to', 'dimse', '--port', String(dimsePort), '--aet', 'XRAY1', '--mrn', mrn, ...more);
  const cardSaying = (patient: string, words: RegExp) =>
    eventually(async () => (await world.cards(patient)).find(({ summary }) => words.test(summary)));
  const reportsAbout = async (patient: string) =>
    (await world.search<DiagnosticReport>(`DiagnosticReport?subject=Patient/${patient}&_count=200`)).filter(
      ({ identifier }) => identifier?.some(({ value }) => value?.startsWith('urn:uuid:')),
    );

  test('by STOW-RS become a card with a report behind it', async () => {
    await byStow('l4-l5-grade-1.dcm', recordNumbers.castellano);
    const card = await cardSaying('patient-castellano', /Suspected L4\/L5 anterolisthesis, grade\sI/);
    expect(`${card.summary} ${card.detail}`).toMatch(/20 %/);
    const [report] = await eventually(async () => {
      const found = await reportsAbout('patient-castellano');
      return found.length > 0 && found;
    });
    expect(report?.status).toBe('partial');
  });

  test('by C-STORE become a card, and nothing when they are sent again', async () => {
    const { studyUid } = await byDimse('l5-s1-grade-2.dcm', recordNumbers.haddad, '--save', join(copies, 'haddad'));
    await cardSaying('patient-haddad', /Suspected L5\/S1/);
    const [copy] = readdirSync(join(copies, 'haddad'));
    const repeated = await wetread(
      ['send', join(copies, 'haddad', copy!), '--to', 'dimse', '--port', String(dimsePort), '--aet', 'XRAY1', '--json'],
      { WETREAD_DATA_DIR: copies },
    );
    expect(JSON.parse(repeated.out)).toMatchObject([{ ok: true, says: 'kept', studyUid }]);
    const reports = () => reportsAbout('patient-haddad');
    await eventually(async () => (await reports()).length > 0);
    // Twice as long as its senders have to be quiet: time enough for what should not come.
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(await reports()).toHaveLength(1);
  });

  test('that come late have their study read again, and the newer reading takes the place of the earlier one', async () => {
    const study = `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`)}`;
    const inStudy = (film: string, number: number) => {
      const path = join(copies, `late-${number}.dcm`);
      const file = withElements(new Uint8Array(readFileSync(join(films, film))), [
        ['0020000D', 'UI', study],
        ['0020000E', 'UI', `${study.slice(0, 50)}.${number}`],
        ['00080018', 'UI', `${study.slice(0, 50)}.${number}.1`],
        ['00100020', 'LO', recordNumbers.whitfield],
      ]);
      writeFileSync(path, file);
      return path;
    };
    const post = async (path: string) => {
      const where = ['--url', `${world.serviceUrl}/dicom-web-in`, '--secret', secret];
      expect((await wetread(['send', path, ...where], { WETREAD_DATA_DIR: copies })).out).toMatch(/^ok /);
    };
    // A front view, of which the model says that it cannot read it; the lateral film comes afterwards.
    await post(inStudy('wrong-view.dcm', 1));
    const [first] = await eventually(async () => {
      const reports = await reportsAbout('patient-whitfield');
      return reports.length > 0 && reports;
    });
    expect(first!.conclusion).not.toMatch(/Suspected/);

    await post(inStudy('l5-s1-grade-2.dcm', 2));
    await cardSaying('patient-whitfield', /Suspected L5\/S1/);
    const carriedOn = await eventually(async () => {
      const reports = await reportsAbout('patient-whitfield');
      return reports.some(({ conclusion }) => /Suspected L5\/S1/.test(conclusion ?? '')) && reports;
    });
    expect(carriedOn.map(({ id, status }) => ({ id, status }))).toEqual([{ id: first!.id, status: 'partial' }]);
  });

  test.skipIf(!haveTools('storescu'))('by storescu are announced after a crash as well', async () => {
    await byStow('l4-l5-grade-1.dcm', recordNumbers.lindqvist, '--save', join(copies, 'lindqvist'));
    await world.endService('SIGKILL');
    await world.startService();
    await cardSaying('patient-lindqvist', /Suspected L4\/L5/);
    const [copy] = readdirSync(join(copies, 'lindqvist'));
    // The same bytes by another road are the same object.
    const again = await runTool(
      ...(['storescu', '-v', '-R', '-xv', '-aet', 'XRAY1', '-aec', 'WETREAD', '127.0.0.1'] as const),
      String(dimsePort),
      join(copies, 'lindqvist', copy!),
    );
    expect(again).toMatchObject({ code: 0 });
    expect(again.said).toMatch(/\(Success\)/);
  });

  test.skipIf(!browserInstalled && !process.env['CI'])('are shown in the app, to whom the chart belongs', async () => {
    await byDimse('l4-l5-grade-1.dcm', recordNumbers.tanabe);
    await cardSaying('patient-tanabe', /Suspected L4\/L5/);
    const browser = await openBrowser();
    try {
      await openChart(browser.page, world.hospitalUrl, 'Tanabe');
      const card = cardWith(browser.page, /Suspected L4\/L5/);
      await card.waitFor({ timeout: 120_000 });
      const app = await openApp(browser.page, card);
      expect(await app.locator('h1').innerText()).toMatch(/Suspected L4\/L5/);
      expect(await app.locator('svg').first().isVisible()).toBe(true);
    } finally {
      await browser.close();
    }
  });

  test('leave nothing half-done in the inbox', () => {
    const incoming = join(world.dataDir, 'inbox', 'incoming');
    expect(existsSync(incoming) ? readdirSync(incoming) : []).toEqual([]);
  });
});
