/** One-key commands, silent while somebody types or a dialog is open, and never in place of the browser's own shortcuts. */

type Press = () => unknown;
export type Keys = Readonly<Record<string, Press | OverlayKey>> & { readonly overlay: OverlayKey };
/** A tap switches; a long press hides only as long as it lasts. */
type OverlayKey = { readonly key: string; readonly visible: () => boolean; readonly show: (visible: boolean) => void };

const longPressMs = 300;

export function bindKeys({ overlay, ...presses }: Keys): void {
  let pressedAt: number | undefined;
  let wasVisible = true;

  window.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || elsewhere(event)) return;
    if (event.key === overlay.key) {
      if (event.repeat) return;
      // When it happened, not when this page came round to it: a busy page must not take a tap for a long press.
      pressedAt = event.timeStamp;
      wasVisible = overlay.visible();
      overlay.show(!wasVisible);
      return;
    }
    const press = presses[event.key];
    if (typeof press !== 'function' || (event.repeat && !'+-=[]{}'.includes(event.key))) return;
    event.preventDefault();
    press();
  });

  window.addEventListener('keyup', (event) => {
    if (event.key !== overlay.key || pressedAt === undefined) return;
    if (wasVisible && event.timeStamp - pressedAt > longPressMs) overlay.show(true);
    pressedAt = undefined;
  });
}

function elsewhere(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null;
  if (target?.matches('input, textarea, select') || target?.isContentEditable) return true;
  return document.querySelector('dialog[open]') !== null;
}
