/** Mouse, touch, wheel and arrow keys on the film: drag for brightness and contrast, wheel or pinch to zoom, shift or two fingers to move. */
import type { Film, PagePoint } from './film.ts';

export function bindFilmInput(surface: HTMLElement, film: Film, onUse: () => void): void {
  const held = new Map<number, PagePoint>();
  let moves = false;

  const within = (event: { clientX: number; clientY: number }): PagePoint => {
    const { left, top } = surface.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };

  surface.addEventListener('pointerdown', (event) => {
    // Right, middle or shift moves the film; one finger does too, as everywhere on touch.
    moves = event.button !== 0 || event.shiftKey || event.pointerType === 'touch';
    held.set(event.pointerId, within(event));
    surface.setPointerCapture(event.pointerId);
  });

  surface.addEventListener('pointermove', (event) => {
    const before = held.get(event.pointerId);
    if (before === undefined || film.size === undefined) return;
    const now = within(event);
    onUse();
    const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
    if (other !== undefined) pinch(film, other, before, now);
    else if (moves) film.panBy(now[0] - before[0], now[1] - before[1]);
    else film.windowBy((before[1] - now[1]) / 400, (before[0] - now[0]) / 400);
    held.set(event.pointerId, now);
  });

  const release = (event: PointerEvent) => void held.delete(event.pointerId);
  surface.addEventListener('pointerup', release);
  surface.addEventListener('pointercancel', release);
  surface.addEventListener('contextmenu', (event) => event.preventDefault());

  surface.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      if (film.size === undefined) return;
      onUse();
      film.zoomBy(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 240), within(event));
    },
    { passive: false },
  );

  const arrows: Readonly<Record<string, PagePoint>> = {
    ArrowLeft: [40, 0],
    ArrowRight: [-40, 0],
    ArrowUp: [0, 40],
    ArrowDown: [0, -40],
  };
  surface.addEventListener('keydown', (event) => {
    const step = arrows[event.key];
    if (step === undefined || film.size === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    onUse();
    film.panBy(...step);
  });
}

function pinch(film: Film, other: PagePoint, before: PagePoint, now: PagePoint): void {
  const spread = (point: PagePoint) => Math.hypot(point[0] - other[0], point[1] - other[1]);
  if (spread(before) < 8) return;
  film.zoomBy(spread(now) / spread(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
  film.panBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
}
