/** Draws what the model saw over the film: thin lines that follow every move, and no label where the finding is. */
import type { EvidenceView, OverlayShapeView } from '../../src/viewer-api/contract.ts';
import { drawn } from './element.ts';
import type { Film, PagePoint } from './film.ts';
import { heatPicture, heatPoints } from './heat.ts';

export type OverlayContent = {
  /** What the chosen finding rests on. */
  readonly chosen: readonly OverlayShapeView[];
  readonly tone: 'suspected' | 'confirmed' | 'rejected' | 'plain';
  /** "L4/L5 18 %", written at the film's edge. */
  readonly label: string;
  /** Everything else the reading marked on this picture. */
  readonly context: readonly OverlayShapeView[];
  /** The chosen finding's map, where it has one. */
  readonly map: boolean;
};

export type Overlay = {
  show(content: OverlayContent | undefined): void;
  redraw(): void;
  visible: boolean;
};

export const heatWords = 'Map: what the answer is associated with, not its extent';

/** Keeps level names apart in the small. */
const lineHeight = 16;
const edge = 8;

export function makeOverlay(canvas: SVGSVGElement, film: Pick<Film, 'toPage' | 'size'>): Overlay {
  let content: OverlayContent | undefined;
  let visible = true;
  let due = false;

  const draw = () => {
    due = false;
    canvas.replaceChildren();
    canvas.toggleAttribute('hidden', !visible);
    if (!visible || content === undefined || film.size === undefined) return;
    // Names stand inside the film, where the eye is, not in the black beside it.
    const filmEnd = film.toPage([film.size.columns, 0])[0];
    const width = Math.min(canvas.clientWidth, Math.max(filmEnd, canvas.clientWidth / 3));
    const place: Placing = { to: film.toPage, width, height: canvas.clientHeight };
    const context = drawn('g', { class: 'context' }, ...content.context.flatMap((shape) => marks(shape, place, false)));
    const chosen = drawn(
      'g',
      { class: `chosen ${content.tone}` },
      ...content.chosen
        .filter(({ kind }) => kind !== 'heatmap' || content!.map)
        .flatMap((shape) => marks(shape, place, true)),
    );
    canvas.append(context, chosen, ...labels(content, place));
  };

  return {
    show(next) {
      content = next;
      this.redraw();
    },
    redraw() {
      if (due) return;
      due = true;
      requestAnimationFrame(draw);
    },
    get visible() {
      return visible;
    },
    set visible(wanted) {
      visible = wanted;
      this.redraw();
    },
  };
}

type Placing = { readonly to: Film['toPage']; readonly width: number; readonly height: number };

function marks(shape: OverlayShapeView, { to }: Placing, withDoubt: boolean): SVGElement[] {
  switch (shape.kind) {
    case 'polygon':
      return haloed('polygon', { points: shape.points.map((point) => to(point).join()).join(' ') });
    case 'line': {
      const [from, end] = [to(shape.from), to(shape.to)];
      return lineMarks(from, end, lineKind(shape.label));
    }
    case 'point': {
      if (!withDoubt) return [];
      const [cx, cy] = to(shape.at);
      const dot = drawn('circle', { class: 'dot', cx, cy, r: 1.75 });
      if (shape.ellipse === undefined) return [dot];
      const { rx, ry, angleRad } = shape.ellipse;
      // One image pixel may be wider than high: the ellipse is turned in image space, then scaled to the page.
      const [right, below] = [to([shape.at[0] + 1, shape.at[1]]), to([shape.at[0], shape.at[1] + 1])];
      const transform = `matrix(${right[0] - cx} ${right[1] - cy} ${below[0] - cx} ${below[1] - cy} ${cx} ${cy}) rotate(${(angleRad * 180) / Math.PI})`;
      return [...haloed('ellipse', { class: 'doubt', rx, ry, transform }), dot];
    }
    case 'heatmap': {
      // A map of everything at once would hide the film: only the chosen finding shows its own.
      if (!withDoubt) return [];
      const [left, right, below] = shape.corners.map(to) as [PagePoint, PagePoint, PagePoint];
      const { columns, rows } = shape;
      const transform = `matrix(${(right[0] - left[0]) / columns} ${(right[1] - left[1]) / columns} ${(below[0] - left[0]) / rows} ${(below[1] - left[1]) / rows} ${left[0]} ${left[1]})`;
      const size = { width: columns, height: rows, preserveAspectRatio: 'none' };
      return [drawn('image', { class: 'heat', href: heatPicture(shape), transform, ...size })];
    }
  }
}

type LineKind = 'slip' | 'wall' | 'height' | 'usual' | 'plain';

/** Lines are told apart by their form, as src/domain/finding.ts names them. */
export function lineKind(label: string): LineKind {
  if (label === 'slip') return 'slip';
  if (/^usual .*height\b/.test(label)) return 'usual';
  if (/\b(anterior|middle|posterior) height$/.test(label)) return 'height';
  return /\bposterior wall$/.test(label) ? 'wall' : 'plain';
}

/** How far end marks reach to either side, in CSS pixels. */
const capReach = { slip: 9, height: 6, usual: 9 } as const;

function lineMarks(from: PagePoint, to: PagePoint, kind: LineKind): SVGElement[] {
  const line = (one: PagePoint, other: PagePoint) =>
    haloed('line', { x1: one[0], y1: one[1], x2: other[0], y2: other[1], class: kind });
  switch (kind) {
    case 'slip':
    case 'height':
      return [
        ...line(from, to),
        ...line(...capAt(from, from, to, capReach[kind])),
        ...line(...capAt(to, from, to, capReach[kind])),
      ];
    case 'usual':
      // Dotted as far as it would reach, so that the tick is seen to belong to its bar.
      return [...line(from, to), ...line(...capAt(to, from, to, capReach.usual)).map(solid)];
    case 'wall':
    case 'plain':
      return line(from, to);
  }
}

const solid = (mark: SVGElement): SVGElement => {
  mark.classList.add('tick');
  return mark;
};

/** A short line through `at`, square to the way from one to the other. */
function capAt(at: PagePoint, [x1, y1]: PagePoint, [x2, y2]: PagePoint, reach: number): [PagePoint, PagePoint] {
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [dx, dy] = [((y2 - y1) / length) * reach, (-(x2 - x1) / length) * reach];
  return [
    [at[0] - dx, at[1] - dy],
    [at[0] + dx, at[1] + dy],
  ];
}

/** What is drawn, for whoever does not see it. */
export function overlayInWords({ chosen, label, map }: OverlayContent): string {
  const lines = chosen.filter((shape) => shape.kind === 'line');
  const of = (kind: LineKind): string[] =>
    lines.filter((line) => lineKind(line.label) === kind).map((line) => line.label);
  const outlines = chosen.filter(({ kind }) => kind === 'polygon').map((shape) => shape.label);
  const corners = chosen.filter(({ kind }) => kind === 'point').map((shape) => shape.label);
  const hasMap = chosen.some(({ kind }) => kind === 'heatmap');
  const parts = [
    outlines.length > 0 && `outlines of ${listed(outlines)}`,
    of('wall').length > 0 && `${listed(of('wall'))} as thin lines`,
    of('slip').length > 0 && 'the slip as a thick line with marked ends',
    of('height').length > 0 &&
      `${listed(of('height'))} as bars${of('usual').length > 0 ? ', with what is usual at the level as ticks' : ''}`,
    corners.length > 0 && `${listed(corners)} with 95 % ellipses`,
    hasMap && (map ? 'a map of what the answer is associated with' : 'a map is there and not shown'),
  ].filter((part) => part !== false);
  if (parts.length === 0) return '';
  return `Drawn on the film${label === '' ? '' : ` for ${label}`}: ${parts.join('; ')}.`;
}

const listed = (words: readonly string[]): string => new Intl.ListFormat('en').format(words);

/** A dark line under the bright one: visible on bone and on air. */
function haloed(
  name: 'polygon' | 'line' | 'ellipse',
  attributes: Readonly<Record<string, string | number>>,
): SVGElement[] {
  return [
    drawn(name, { ...attributes, class: `${attributes['class'] ?? ''} halo` }),
    drawn(name, { ...attributes, class: `${attributes['class'] ?? ''} mark` }),
  ];
}

/** Names stand at the film's right edge, like a ruler; only the chosen one has a thin leader to its place. */
function labels(content: OverlayContent, place: Placing): SVGElement[] {
  const chosenPoints = content.chosen.flatMap(pointsOf).map(place.to);
  const at = chosenPoints.length === 0 ? undefined : labelHeight(content.chosen, place);
  const taken: number[] = [];
  const made: SVGElement[] = [];
  if (at !== undefined && at > 0 && at < place.height && content.label !== '') {
    taken.push(at);
    const text = drawn('text', { x: place.width - edge, y: at, class: `label ${content.tone}` }, content.label);
    const from = Math.max(...chosenPoints.map(([x]) => x)) + 10;
    const to = place.width - edge - content.label.length * 8 - 8;
    if (to > from) made.push(drawn('line', { class: `leader ${content.tone}`, x1: from, y1: at, x2: to, y2: at }));
    made.push(text);
  }
  // A map is where the net looked; how far something extends it does not know.
  if (content.map && content.chosen.some(({ kind }) => kind === 'heatmap')) {
    const y = place.height - edge - lineHeight / 2;
    taken.push(y);
    made.push(drawn('text', { x: place.width - edge, y, class: 'label heat-words' }, heatWords));
  }
  for (const shape of [...content.chosen, ...content.context]) {
    if (shape.kind !== 'polygon') continue;
    const height = middle(shape.points.map(place.to).map(([, y]) => y));
    if (height < lineHeight / 2 || height > place.height - lineHeight / 2) continue;
    if (taken.some((other) => Math.abs(other - height) < lineHeight)) continue;
    taken.push(height);
    made.push(drawn('text', { x: place.width - edge, y: height, class: 'label' }, shape.label));
  }
  return made;
}

/** Beside the slip itself when it is drawn, else in the middle of what is. */
function labelHeight(shapes: readonly OverlayShapeView[], { to }: Placing): number {
  const lines = shapes.filter((shape) => shape.kind === 'line');
  return middle((lines.length > 0 ? lines : shapes).flatMap(pointsOf).map((point) => to(point)[1]));
}

const middle = (values: readonly number[]): number => (Math.min(...values) + Math.max(...values)) / 2;

function pointsOf(shape: OverlayShapeView): readonly PagePoint[] {
  if (shape.kind === 'point') return [shape.at];
  if (shape.kind === 'heatmap') return heatPoints(shape);
  return shape.kind === 'line' ? [shape.from, shape.to] : shape.points;
}

/** The part of the film to look at: the evidence with as much around it as a reader needs to judge it. */
export function surroundings(evidence: EvidenceView, size: { readonly columns: number; readonly rows: number }) {
  const points = evidence.shapes.flatMap(pointsOf);
  if (points.length === 0) return undefined;
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const margin = 0.6 * Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys), 40);
  return {
    left: Math.max(0, Math.min(...xs) - margin),
    top: Math.max(0, Math.min(...ys) - margin),
    right: Math.min(size.columns, Math.max(...xs) + margin),
    bottom: Math.min(size.rows, Math.max(...ys) + margin),
  };
}
