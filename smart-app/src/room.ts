/** The viewing room: one patient, the film in front, the words beside it, and what the keys do. */
import type { FindingView, PackView, ReadingView, StudyView } from '../../src/viewer-api/contract.ts';
import { drawn, element } from './element.ts';
import { bindFilmInput } from './film-input.ts';
import { makeFilm } from './film.ts';
import { bindKeys } from './keys.ts';
import { showKeys } from './keys-dialog.ts';
import { makeOverlay, overlayInWords, surroundings, type OverlayContent } from './overlay.ts';
import { panel, who } from './panel.ts';
import { fetchPicture, pictureFinder, type Picture } from './pictures.ts';
import { askReason } from './reject-dialog.ts';
import { inWords, type Service, type ServiceError } from './service.ts';
import { day, headline, level, measured, value } from './words.ts';
import { evidenceOf, firstToShow, itemsOf, stateOf, type Item } from './worklist.ts';

/** How often a study that is being read is asked after. */
const pollMs = 3_000;

export async function openRoom(
  place: HTMLElement,
  service: Service,
  onSessionOver: (error: ServiceError) => void,
): Promise<void> {
  let studies = await service.studies();
  let items = itemsOf(studies);
  let item = firstToShow(items, service.session.opens);
  let busy = false;
  let trouble: { message: string; next: string } | undefined;
  let pack: PackView | undefined;
  /** What of the reading is looked at: the item's own finding, or another level chosen in the table. */
  let focus: FindingView | undefined;
  let pictures: readonly Picture[] = [];
  let picture: Picture | undefined;
  let view: 'level' | 'whole' | 'free' = 'level';
  /** Undefined: a map is shown when there is nothing else to see. */
  let mapWanted: boolean | undefined;
  /** Where the reader was before looking at an earlier film. */
  let cameFrom: { readonly item: Item; readonly focus: FindingView | undefined } | undefined;
  let loading = new AbortController();
  /** Once the session is over nothing may be drawn again: the patient has left the screen. */
  let over = false;
  const sessionOver = (error: ServiceError): void => {
    over = true;
    loading.abort();
    film.clear();
    onSessionOver(error);
  };

  const surface = element('div', {
    class: 'surface',
    id: 'surface',
    tabindex: 0,
    role: 'group',
    'aria-label': 'Film',
    'aria-describedby': 'film-note drawn-words',
  });
  const canvas = drawn('svg', { class: 'overlay', id: 'overlay', 'aria-hidden': 'true' });
  const note = element('div', { class: 'note', id: 'film-note', role: 'status' });
  const spoken = element('p', { class: 'unseen', role: 'status' });
  const drawnWords = element('p', { class: 'unseen', id: 'drawn-words' });
  const tool = (id: string, text: string, key: string, click: () => void) =>
    element(
      'button',
      { type: 'button', id, 'aria-keyshortcuts': key, click },
      element('span', {}, text),
      element('kbd', { 'aria-hidden': 'true' }, key),
    );
  const wholeButton = tool('whole', 'Whole film', 'f', () => toggleWhole());
  const overlayButton = tool('overlay-toggle', 'Overlay', 'o', () => showOverlay(!overlay.visible));
  const mapButton = tool('map-toggle', 'Show map', 'm', () => toggleMap());
  const priorButton = tool('prior-toggle', 'Earlier film', 'p', () => comparePrior());
  const pager = element('div', { class: 'pager', hidden: true });
  const tools = element(
    'div',
    { class: 'tools', role: 'toolbar', 'aria-label': 'Film tools' },
    wholeButton,
    overlayButton,
    mapButton,
    priorButton,
    tool('reset', 'Reset', '0', () => reset()),
    tool('keys', 'Keys', '?', showKeys),
    pager,
  );
  const filmSection = element(
    'section',
    { class: 'film', 'aria-label': 'Film' },
    element('div', { class: 'stage' }, surface, canvas, note, drawnWords),
    tools,
  );
  place.replaceChildren(who(service.session.patient, item?.study), filmSection, element('main'), spoken);

  const film = makeFilm(surface, () => overlay.redraw());
  const overlay = makeOverlay(canvas, film);
  bindFilmInput(surface, film, () => setView('free'));
  new ResizeObserver(() => {
    if (film.size === undefined) return;
    film.resize();
    if (view !== 'free') look(view);
    overlay.redraw();
  }).observe(surface);

  // ── what is shown ──────────────────────────────────────────────────────────────────────────────
  function render(): void {
    if (over) return;
    const active = document.activeElement?.id;
    const open = [...place.querySelectorAll('details[open]')].map(({ id }) => id);
    const words =
      item === undefined
        ? element(
            'main',
            { class: 'panel', id: 'panel', tabindex: -1 },
            element('h1', {}, 'No imaging study yet'),
            element(
              'p',
              { class: 'quiet' },
              'Wetread has not heard of a study of this patient. A new one appears here by itself when it arrives.',
            ),
          )
        : panel(
            { items, item, pack, busy, trouble },
            { choose, showFinding, openPrior: comparePrior, confirm, reject },
          );
    place.querySelector(':scope > main')!.replaceWith(words);
    place.querySelector(':scope > header')!.replaceWith(who(service.session.patient, item?.study));
    for (const id of open) document.getElementById(id)?.setAttribute('open', '');
    if (active) {
      const again = document.getElementById(active);
      // The pressed button is gone after a verdict: the focus goes to what replaced it, not to nowhere.
      (again ?? (active === 'confirm' || active === 'reject' ? words : undefined))?.focus({ preventScroll: true });
    }
    drawOverlay();
  }

  function drawOverlay(): void {
    const content = overlayContent();
    overlay.show(content);
    overlayButton.disabled = content === undefined;
    drawnWords.textContent = content === undefined || !overlay.visible ? '' : overlayInWords(content);
    const hasMap = content?.chosen.some(({ kind }) => kind === 'heatmap') === true;
    mapButton.toggleAttribute('hidden', !hasMap);
    mapButton.setAttribute('aria-pressed', String(content?.map === true));
    mapButton.firstElementChild!.textContent = content?.map === true ? 'Hide map' : 'Show map';
    priorButton.toggleAttribute('hidden', priorOfFocus() === undefined && cameFrom === undefined);
    const back = cameFrom?.item.study.startedAt;
    priorButton.firstElementChild!.textContent =
      cameFrom === undefined ? 'Earlier film' : back === undefined ? 'Back' : `Back to ${day(back)}`;
  }

  function toggleMap(): void {
    const content = overlayContent();
    if (content?.chosen.some(({ kind }) => kind === 'heatmap') !== true) return;
    mapWanted = !content.map;
    if (!overlay.visible) showOverlay(true);
    drawOverlay();
  }

  const priorOfFocus = () => focus?.prior ?? (item?.kind === 'finding' ? item.finding.prior : undefined);

  /** The same level on the earlier film, and back again. */
  function comparePrior(): void {
    if (cameFrom !== undefined) {
      const back = cameFrom;
      const again = items.find(({ key }) => key === back.item.key);
      cameFrom = undefined;
      if (again !== undefined) open(again, back.focus);
      return;
    }
    const prior = priorOfFocus();
    const earlier = prior && firstToShow(items, { finding: prior.finding });
    if (prior === undefined || item === undefined || earlier?.kind === 'study') return;
    const finding = earlier?.reading.findings.find(({ id }) => id === prior.finding);
    if (earlier === undefined || finding === undefined) return;
    const from = { item, focus };
    open(earlier, finding);
    cameFrom = from;
    drawOverlay();
  }

  function overlayContent(): OverlayContent | undefined {
    if (item === undefined || item.kind === 'study' || picture === undefined) return undefined;
    const here = item.reading.findings.filter(({ evidence }) => evidence?.sopUid === picture!.sopUid);
    if (here.every(({ evidence }) => evidence!.shapes.length === 0)) return undefined;
    const chosen = here.find(({ id }) => id === focus?.id);
    const shapes = chosen?.evidence?.shapes ?? [];
    const drawnAlready = new Set(shapes.map((shape) => JSON.stringify(shape)));
    const context = here
      // Slip lines and corners of other levels would say more than is asked.
      .flatMap(({ evidence, site }) =>
        evidence!.shapes.filter(({ kind }) => kind === 'polygon' || site.kind === 'image'),
      )
      .filter((shape) => {
        const key = JSON.stringify(shape);
        return !drawnAlready.has(key) && drawnAlready.add(key);
      });
    const extent = chosen && (measured(chosen, 'slip-percent') ?? measured(chosen, 'height-loss'));
    return {
      chosen: shapes,
      tone: tone(chosen),
      label:
        chosen === undefined || chosen.site.kind === 'image'
          ? ''
          : `${level(chosen)}${extent ? ` ${value(extent)}` : ''}`,
      context,
      map: mapWanted ?? shapes.every(({ kind }) => kind === 'heatmap'),
    };
  }

  function setView(wanted: typeof view): void {
    view = wanted;
    wholeButton.firstElementChild!.textContent =
      view === 'whole' && focus !== undefined && levelBox() !== undefined ? 'Back to level' : 'Whole film';
  }

  const levelBox = () => {
    const evidence = focus?.evidence ?? (item && evidenceOf(item));
    return evidence && film.size && evidence.sopUid === picture?.sopUid ? surroundings(evidence, film.size) : undefined;
  };

  function look(wanted: 'level' | 'whole'): void {
    if (film.size === undefined) return;
    // Without a suspicion there is no level to stand before: the whole film is the right start.
    const box = wanted === 'level' && focus !== undefined ? levelBox() : undefined;
    if (box) film.zoomTo(box);
    else film.zoomToWhole();
    setView(box ? 'level' : 'whole');
  }

  const toggleWhole = () => look(view === 'whole' ? 'level' : 'whole');

  function showOverlay(visible: boolean): void {
    overlay.visible = visible;
    overlayButton.setAttribute('aria-pressed', String(visible));
    overlayButton.firstElementChild!.textContent = visible ? 'Hide overlay' : 'Show overlay';
    drawOverlay();
  }

  function reset(): void {
    film.resetWindow();
    look('level');
  }

  // ── pictures ───────────────────────────────────────────────────────────────────────────────────
  const finder = pictureFinder(service);

  async function showPicture(wanted?: Picture): Promise<void> {
    loading.abort();
    const stopped = new AbortController();
    loading = stopped;
    const shown = item;
    if (shown === undefined) return say(undefined);
    const evidence = focus?.evidence ?? evidenceOf(shown);
    if (wanted === undefined && picture && evidence?.sopUid === picture.sopUid && film.size) return look('level');
    try {
      say(element('p', {}, 'Finding the film…'));
      const found = await finder.of(shown.study.studyUid);
      if (stopped.signal.aborted) return;
      pictures = found;
      const target = wanted ?? found.find(({ sopUid }) => sopUid === evidence?.sopUid) ?? found[0];
      if (target === undefined) {
        picture = undefined;
        film.clear();
        return say(element('p', {}, 'This study holds no image.'));
      }
      if (target.sopUid !== picture?.sopUid || film.size === undefined) {
        const bar = element('progress', { max: 1, 'aria-label': 'Film arriving' });
        say(element('div', {}, element('p', {}, 'The film is arriving…'), bar));
        const file = await fetchPicture(service, target, {
          signal: stopped.signal,
          onProgress: (bytes, of) => of && (bar.value = bytes / of),
        });
        if (stopped.signal.aborted) return;
        say(element('p', {}, 'The film is being unpacked…'));
        try {
          await film.show(file, evidence?.sopUid === target.sopUid ? evidence.frame : 0);
        } catch (error) {
          if (stopped.signal.aborted) return;
          console.error('film not decoded', error);
          picture = undefined;
          return say(
            retryable(
              'The film cannot be displayed: the file is damaged or of an unknown kind.',
              'Open it in your usual viewer, or ask for it to be sent again.',
            ),
          );
        }
        if (stopped.signal.aborted) return;
      }
      picture = target;
      surface.dataset['sop'] = target.sopUid;
      surface.setAttribute(
        'aria-label',
        `Film ${found.indexOf(target) + 1} of ${found.length}, ${shown.study.description ?? 'imaging study'}. ${headline(shown)}.`,
      );
      say(undefined);
      showPager();
      look('level');
      drawOverlay();
    } catch (thrown) {
      if (stopped.signal.aborted) return;
      const error = inWords(thrown);
      if (error.sessionIsOver) return sessionOver(error);
      say(retryable(error.message, error.next));
    }
  }

  const retryable = (message: string, next: string) =>
    element(
      'div',
      {},
      element('p', {}, message),
      element('p', { class: 'quiet' }, next),
      element('button', { type: 'button', click: () => void showPicture() }, 'Try again'),
    );

  function say(content: Node | undefined): void {
    note.replaceChildren(...(content ? [content] : []));
    note.toggleAttribute('hidden', content === undefined);
    filmSection.toggleAttribute('aria-busy', content !== undefined);
  }

  function showPager(): void {
    pager.toggleAttribute('hidden', pictures.length < 2);
    const at = pictures.findIndex(({ sopUid }) => sopUid === picture?.sopUid);
    const step = (text: string, by: number) =>
      element(
        'button',
        {
          type: 'button',
          disabled: pictures[at + by] === undefined,
          click: () => void showPicture(pictures[at + by]).then(render),
        },
        text,
      );
    pager.replaceChildren(
      step('Previous film', -1),
      element('span', {}, `${at + 1} of ${pictures.length}`),
      step('Next film', 1),
    );
  }

  // ── choosing and deciding ──────────────────────────────────────────────────────────────────────
  const mainFinding = (of: Item | undefined) => (of?.kind === 'finding' ? of.finding : undefined);

  const choose = (next: Item): void => {
    cameFrom = undefined;
    open(next, mainFinding(next));
  };

  function open(next: Item, at: FindingView | undefined): void {
    const otherStudy = next.study.studyUid !== item?.study.studyUid;
    item = next;
    focus = at;
    trouble = undefined;
    if (otherStudy) {
      picture = undefined;
      film.clear();
    }
    showAgain();
    spoken.textContent = `${headline(next)}. ${place.querySelector('#review-state')?.textContent ?? ''}`;
  }

  function showAgain(): void {
    render();
    void showPicture();
    void loadPack();
  }

  function showFinding(finding: FindingView): void {
    focus = finding;
    if (finding.evidence && finding.evidence.sopUid === picture?.sopUid) look('level');
    else void showPicture();
    drawOverlay();
  }

  function step(by: 1 | -1): void {
    const at = items.findIndex(({ key }) => key === item?.key);
    const next = items[at + by];
    if (next) choose(next);
  }

  async function loadPack(): Promise<void> {
    const name = item && item.kind !== 'study' ? item.reading.pack.name : undefined;
    if (name === pack?.name) return;
    pack = undefined;
    if (name === undefined) return;
    try {
      pack = await service.pack(name);
      render();
    } catch (thrown) {
      const error = inWords(thrown);
      if (error.sessionIsOver) return sessionOver(error);
      // A model that is no longer installed has no card to show; its readings stay readable.
    }
  }

  async function decide(act: () => Promise<ReadingView>): Promise<void> {
    if (busy) return;
    busy = true;
    trouble = undefined;
    render();
    try {
      take(await act());
      spoken.textContent = 'Saved.';
      // A film that was compared with this one is compared anew: what was rejected is no prior.
      if (studies.some(({ readings }) => readings.some(({ findings }) => findings.some(({ prior }) => prior))))
        await refresh();
    } catch (thrown) {
      const error = inWords(thrown);
      if (error.sessionIsOver) return sessionOver(error);
      trouble = { message: `Not saved. ${error.message}`, next: error.next };
      if (error.code === 'request.conflict') {
        trouble = { message: 'Not saved: somebody has decided in the meantime.', next: 'Their decision is shown now.' };
        await refresh();
      }
    } finally {
      busy = false;
      render();
    }
  }

  const confirm = () => {
    const chosen = item;
    if (chosen === undefined || chosen.kind === 'study' || stateOf(chosen) !== 'open') return;
    void decide(() =>
      chosen.kind === 'finding'
        ? service.giveVerdict(chosen.finding.id, { kind: 'confirmed' })
        : service.verify(chosen.reading.id),
    );
  };

  const reject = async () => {
    const chosen = item;
    if (chosen?.kind !== 'finding' || stateOf(chosen) !== 'open' || busy) return;
    const reason = await askReason(headline(chosen), chosen.finding.concept);
    if (reason !== undefined) await decide(() => service.giveVerdict(chosen.finding.id, { kind: 'rejected', reason }));
  };

  /** One reading changed: the rest of the room stays as it is. */
  function take(reading: ReadingView): void {
    setStudies(
      studies.map((study) => ({
        ...study,
        readings: study.readings.map((known) => (known.id === reading.id ? reading : known)),
      })),
    );
  }

  function setStudies(next: readonly StudyView[]): void {
    studies = next;
    items = itemsOf(studies);
    const before = item;
    const same = items.find(({ key }) => key === before?.key);
    // What was waiting has been read: its findings take its place.
    const successor =
      same ?? items.find(({ study }) => study.studyUid === before?.study.studyUid) ?? firstToShow(items, undefined);
    item = successor;
    if (same === undefined) focus = mainFinding(successor);
    else if (same.kind === 'finding' && focus?.id === same.finding.id) focus = same.finding;
  }

  async function refresh(): Promise<void> {
    const before = item?.key;
    setStudies(await service.studies());
    if (item?.key !== before) showAgain();
    else render();
  }

  async function poll(): Promise<void> {
    if (over) return;
    const waits = items.length === 0 || items.some((one) => stateOf(one) === 'waiting');
    if (waits && !document.hidden && !busy) {
      try {
        const before = item && headline(item);
        await refresh();
        if (item && headline(item) !== before) spoken.textContent = `${headline(item)}.`;
      } catch (thrown) {
        const error = inWords(thrown);
        if (error.sessionIsOver) return sessionOver(error);
      }
    }
    setTimeout(() => void poll(), pollMs);
  }

  bindKeys({
    j: () => step(1),
    k: () => step(-1),
    c: confirm,
    r: () => void reject(),
    f: toggleWhole,
    m: toggleMap,
    p: comparePrior,
    '0': reset,
    '+': () => zoom(1.25),
    '=': () => zoom(1.25),
    '-': () => zoom(0.8),
    '[': () => film.size && film.windowBy(-0.08, 0),
    ']': () => film.size && film.windowBy(0.08, 0),
    '{': () => film.size && film.windowBy(0, -0.12),
    '}': () => film.size && film.windowBy(0, 0.12),
    '?': showKeys,
    Escape: backToChart,
    overlay: { key: 'o', visible: () => overlay.visible, show: showOverlay },
  });
  const zoom = (factor: number) => {
    if (film.size === undefined) return;
    setView('free');
    film.zoomBy(factor);
  };

  focus = mainFinding(item);
  showOverlay(true);
  showAgain();
  // The EHR's page had the focus: without this the keys would go there.
  document.getElementById('panel')?.focus({ preventScroll: true });
  setTimeout(() => void poll(), pollMs);
}

/** SMART Web Messaging's "done"; it says nothing about anybody, so any EHR that frames the app may hear it. */
function backToChart(): void {
  if (window.parent !== window)
    window.parent.postMessage({ messageId: String(Date.now()), messageType: 'ui.done' }, '*');
}

function tone(finding: FindingView | undefined): OverlayContent['tone'] {
  if (finding?.result.kind !== 'detected') return 'plain';
  return finding.verdict.kind === 'unreviewed' ? 'suspected' : finding.verdict.kind;
}
