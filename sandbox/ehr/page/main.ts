/** The EHR page: which chart is open, what has changed in it, and when decision support is asked. */
import type {
  Card,
  CardLink,
  ChartView,
  HospitalEvent,
  PatientRow,
  ServiceAnswer,
  Setting,
  StudyView,
} from '../chart-contract.ts';
import { openApp } from './app-frame.ts';
import { cardList } from './cards.ts';
import { chartFrame, drawBanner, drawHistory, type ChartPlaces } from './chart.ts';
import { h, redraw, say } from './dom.ts';
import { showHelp, welcome } from './help.ts';
import { imagingSection } from './imaging.ts';
import { onKeys } from './keys.ts';
import { orderForm, orderList } from './orders.ts';
import { patientList } from './patients.ts';
import { ask, listen, NotDone } from './server.ts';

const byId = (id: string): HTMLElement => document.getElementById(id)!;
const setting = await ask<Setting>('/setting');
type Suggestion = NonNullable<Card['suggestions']>[number];
let rows: readonly PatientRow[] = [];
let open:
  | {
      readonly id: string;
      readonly places: ChartPlaces;
      chart: ChartView;
      services: readonly ServiceAnswer[] | undefined;
    }
  | undefined;

/** While a film is being read the cards are asked for again, soon at first, then more patiently, and not for ever. */
const patienceMs = [1_000, 1_500, 2_000, 3_000, 4_000, 5_000, 8_000, 10_000, 15_000, 20_000, 30_000];
let waits = 0;
let timer: number | undefined;

async function showRows(): Promise<void> {
  rows = await ask<PatientRow[]>('/patients');
  patientList(byId('patients'), rows, open?.id);
}

async function openChart(id: string): Promise<void> {
  const places = chartFrame();
  const chart = await ask<ChartView>(`/patients/${id}`);
  if (location.hash !== `#/patients/${id}`) return;
  open = { id, places, chart, services: undefined };
  byId('room').setAttribute('data-view', 'chart');
  redraw(byId('chart'), places.root);
  document.title = `${chart.patient.name} – ${setting.hospital}`;
  drawBanner(places.banner, chart);
  drawHistory(places.history, chart);
  drawImaging();
  drawOrders();
  drawCards();
  patientList(byId('patients'), rows, id);
  byId('chart').focus({ preventScroll: true });
  window.scrollTo(0, 0);
  beginWaiting();
  await askForCards();
}

function closeChart(): void {
  open = undefined;
  clearTimeout(timer);
  document.title = setting.hospital;
  byId('room').setAttribute('data-view', 'list');
  redraw(byId('chart'), welcome(setting.hospital, rows.length));
  patientList(byId('patients'), rows, undefined);
}

async function refreshChart(): Promise<void> {
  if (open === undefined) return;
  const asked = open;
  const chart = await ask<ChartView>(`/patients/${asked.id}`);
  if (open !== asked) return;
  open.chart = chart;
  drawImaging();
  drawOrders();
}

function drawImaging(): void {
  if (open !== undefined) redraw(open.places.imaging, imagingSection(open.chart, setting, { openImages, filmArrives }));
}

function drawOrders(): void {
  if (open === undefined) return;
  redraw(
    open.places.orders,
    orderList(open.chart, setting, { filmArrives, launch, changed: () => void refreshChart() }),
  );
}

function newOrder(): void {
  if (open === undefined) return;
  const { orderForm: place } = open.places;
  if (place.childElementCount === 0) {
    const form = orderForm(open.chart, setting, { filmArrives, launch, changed: () => void refreshChart() });
    form.addEventListener('closed', () => {
      redraw(place);
      document.querySelector<HTMLElement>('#new-order')?.focus();
    });
    redraw(place, form);
  }
  place.querySelector('select')?.focus();
  place.scrollIntoView({ block: 'nearest' });
}

async function askForCards(): Promise<void> {
  if (open === undefined) return;
  const asked = open;
  const { services } = await ask<{ services: ServiceAnswer[] }>(`/patients/${asked.id}/hooks/patient-view`, {});
  if (open !== asked || JSON.stringify(asked.services) === JSON.stringify(services)) return;
  // A card somebody is answering must not be drawn anew under the pen.
  if (asked.services !== undefined && asked.places.cards.querySelector('details[open]') !== null) return;
  const known = asked.services?.flatMap(({ cards }) => cards.map(({ summary }) => summary)) ?? [];
  const fresh = services.flatMap(({ cards }) => cards).filter(({ summary }) => !known.includes(summary));
  if (asked.services !== undefined && fresh.length > 0) say(`New card: ${fresh[0]!.summary}`);
  asked.services = services;
  drawCards();
}

function drawCards(): void {
  if (open === undefined) return;
  const { services, places } = open;
  const dismissed = () => {
    if (open === undefined) return;
    open.services = undefined;
    void askForCards();
  };
  const cards = services === undefined ? [] : cardList(services, { launch, dismissed, accept });
  const empty = services === undefined ? 'Decision support is being asked.' : 'Nothing to point out in this chart.';
  redraw(places.cards, cards.length > 0 ? cards : h('p', { class: 'empty' }, empty));
}

async function accept(service: string, card: Card, { uuid, actions = [] }: Suggestion): Promise<void> {
  if (open === undefined) return;
  const { id } = open;
  await telling(async () => {
    const made = actions.map(({ type, resource }) => ({ type, resource }));
    await ask(`/patients/${id}/suggestions`, { service, card: card.uuid, suggestion: uuid, actions: made });
    say('A draft order is in the chart. Nothing is ordered until it is signed.');
    await refreshChart();
    await askForCards();
    document.querySelector('.orders .chip.draft')?.scrollIntoView({ block: 'nearest' });
  });
}

const waiting = (): boolean =>
  open?.chart.studies.some(({ progress, reports }) => progress !== undefined && reports.length === 0) === true;

function beginWaiting(): void {
  waits = 0;
  clearTimeout(timer);
  if (waiting()) waitOnce();
}

function waitOnce(): void {
  const pause = patienceMs[waits];
  if (pause === undefined) return;
  waits += 1;
  timer = window.setTimeout(() => {
    void askForCards().catch(() => undefined);
    drawImaging();
    if (waiting()) waitOnce();
  }, pause);
}

function filmArrives(film: string, order?: string): void {
  if (open === undefined) return;
  say('The film is arriving.');
  void telling(async () => {
    await ask('/films', { patient: open!.id, film, ...(order === undefined ? {} : { order }) });
    await refreshChart();
    beginWaiting();
  });
}

function openImages(study: StudyView): void {
  void launchApp({ url: setting.appUrl, imagingStudy: study.id, appContext: JSON.stringify({ study: study.uid }) });
}

function launch(link: CardLink): void {
  void launchApp({ url: link.url, ...(link.appContext === undefined ? {} : { appContext: link.appContext }) });
}

async function launchApp(context: {
  readonly url: string;
  readonly appContext?: string;
  readonly imagingStudy?: string;
}): Promise<void> {
  if (open === undefined) return;
  const { patient } = open.chart;
  await telling(async () => {
    const { url } = await ask<{ url: string }>('/launch', { patient: patient.id, ...context });
    const closed = (): void => {
      void refreshChart();
      void askForCards();
    };
    openApp({ url, patient: `${patient.name}, ${patient.age} years, ${patient.mrn}`, title: 'Wetread viewer', closed });
  });
}

async function telling(work: () => Promise<void>): Promise<void> {
  const place = byId('trouble');
  try {
    place.textContent = '';
    await work();
  } catch (error) {
    if (!(error instanceof NotDone)) throw error;
    place.textContent = error.message;
  }
}

/** Several changes come with one transaction: the chart is read once after the last of them. */
let refreshing: number | undefined;
/** A report among those changes brings cards, also when it is not the last of them. */
let cardsToAsk = false;
function onEvent(event: HospitalEvent): void {
  if (event.kind === 'chart' && event.resourceType === 'ImagingStudy') void showRows();
  if (event.kind === 'film' && event.steps.reported !== undefined) void showRows();
  if (event.patient !== open?.id) return;
  cardsToAsk ||= event.kind === 'film' || event.resourceType === 'DiagnosticReport';
  clearTimeout(refreshing);
  refreshing = window.setTimeout(() => {
    void refreshChart();
    if (cardsToAsk) void askForCards();
    cardsToAsk = false;
  }, 120);
}

function drawTop(): void {
  const staff = h(
    'select',
    {
      id: 'signed-in',
      onchange: () =>
        void ask('/session', { practitioner: staff.value }).then(() => {
          say('You are signed in as somebody else.');
          return open === undefined ? undefined : askForCards();
        }),
    },
    setting.staff.map(({ id, name, role }) =>
      h('option', { value: id, selected: id === setting.user.id }, `${name}, ${role.toLowerCase()}`),
    ),
  );
  redraw(
    byId('top'),
    h(
      'a',
      { class: 'hospital', href: '#/' },
      h('img', { src: '/hospital.svg', alt: '', width: 24, height: 24 }),
      setting.hospital,
    ),
    h('p', { id: 'trouble', role: 'alert' }),
    h('label', { for: 'signed-in' }, 'Signed in'),
    staff,
    h('button', { type: 'button', onclick: showHelp, 'aria-label': 'Help and keys' }, 'Help'),
  );
}

function route(): void {
  const [, id] = /^#\/patients\/([\w.-]+)$/.exec(location.hash) ?? [];
  void telling(async () => {
    if (id === undefined) closeChart();
    else if (id !== open?.id) await openChart(id);
  });
}

drawTop();
await showRows();
route();
window.addEventListener('hashchange', route);
document.addEventListener('click', (event) => {
  if ((event.target as Element).closest('#new-order') !== null) newOrder();
});
onKeys({ help: showHelp, newOrder });
listen(onEvent);
