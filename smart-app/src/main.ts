/** Starts the app: swaps the launch's one-time code for a session, then opens the viewing room. */
import { element } from './element.ts';
import { openRoom } from './room.ts';
import { inWords, openSession, type ServiceError } from './service.ts';

const place = document.getElementById('room')!;

function message(title: string, ...lines: readonly string[]): void {
  place.replaceChildren(
    element(
      'main',
      { class: 'message', tabindex: -1, id: 'message' },
      element('h1', {}, title),
      ...lines.map((line) => element('p', {}, line)),
    ),
  );
  document.getElementById('message')?.focus();
}

/** Nothing of the patient stays on a screen whose session is over. */
function sessionOver(error: ServiceError): void {
  document.querySelectorAll('dialog').forEach((dialog) => dialog.remove());
  message(
    'This session is over',
    'It ended because it was not used for a while.',
    'Open the app from the chart again.',
  );
  console.info(error.code);
}

async function start(): Promise<void> {
  const code = /^#code=([A-Za-z0-9_-]{20,200})$/.exec(location.hash)?.[1];
  // The code is spent at once; it has no business in the address bar or the history.
  history.replaceState(null, '', location.pathname);
  if (code === undefined) {
    return message(
      'Open this app from a patient’s chart',
      'It shows the images of one patient, and starts from that patient’s chart.',
      'If you reloaded the page: for safety the session is kept in memory only. Open the app from the chart again.',
    );
  }
  try {
    const service = await openSession(code);
    // A page that is left forgets its token; the service forgets the session with it.
    window.addEventListener('pagehide', () => service.end());
    await openRoom(place, service, sessionOver);
  } catch (thrown) {
    console.error(thrown);
    const error = inWords(thrown);
    message('The images could not be opened', error.message, error.next);
  }
}

// Arriving with a new code while the page is open is a new launch.
window.addEventListener('hashchange', () => location.hash.startsWith('#code=') && location.reload());
void start();
