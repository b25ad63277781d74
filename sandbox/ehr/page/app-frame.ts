/** The app inside the chart: a full-size frame under a bar that says whose chart this is. Esc and Close bring the chart back. */
import { h } from './dom.ts';

export function openApp(options: {
  readonly url: string;
  readonly patient: string;
  readonly title: string;
  readonly closed: () => void;
}): void {
  const { url, patient, title, closed } = options;
  const before = document.activeElement;
  const origin = new URL(url).origin;
  const frame = h('iframe', { src: url, title: `${title} for ${patient}`, allow: 'fullscreen' });
  const dialog = h(
    'dialog',
    { class: 'app', 'aria-label': `${title} for ${patient}` },
    h(
      'div',
      { class: 'bar' },
      h('p', {}, h('strong', {}, patient), h('span', { class: 'facts' }, ` ${title}`)),
      h('button', { type: 'button', onclick: () => dialog.close() }, 'Close', h('kbd', {}, 'Esc')),
    ),
    frame,
  );
  // SMART Web Messaging: an app that is done says so. Keys pressed inside the frame do not reach this page otherwise.
  const onMessage = (event: MessageEvent): void => {
    if (event.origin !== origin || event.source !== frame.contentWindow) return;
    if ((event.data as { messageType?: unknown } | null)?.messageType === 'ui.done') dialog.close();
  };
  window.addEventListener('message', onMessage);
  dialog.addEventListener('close', () => {
    window.removeEventListener('message', onMessage);
    dialog.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
    closed();
  });
  document.body.append(dialog);
  dialog.showModal();
}
