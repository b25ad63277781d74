/** What the models saw, drawn over the picture they saw it on: thin, named, and the suspicion first. */
import { isSuspicion, type FindingDraft, type OverlayShape, type Point } from '../../domain/finding.ts';
import type { GreyPixels } from '../../inference/preprocess.ts';
import { refusalOfPicture } from '../refusal.ts';
import { lettering } from './letters.ts';
import { sheetOf, type Colour, type Sheet } from './sheet.ts';

export type ReadBy = {
  readonly title: string;
  readonly version: string;
  readonly demonstration: boolean;
  readonly findings: readonly FindingDraft[];
};

const amber: Colour = [255, 176, 46];
const white: Colour = [235, 240, 245];
const pale: Colour = [150, 205, 235];

export function overlayOf(
  picture: Pick<GreyPixels, 'rows' | 'columns' | 'intensities'>,
  readings: readonly ReadBy[],
): Buffer {
  const sheet = sheetOf(picture);
  const short = Math.min(picture.rows, picture.columns);
  const size = { line: Math.max(1.2, short / 550), letters: Math.min(40, Math.max(9, short / 48)) };
  const findings = readings.flatMap((reading) => reading.findings);
  const chosen = findings.filter(isSuspicion).flatMap(shapesOf);
  const context = different(findings.filter((one) => !isSuspicion(one)).flatMap(shapesOf), chosen);

  for (const shape of [...chosen, ...context]) if (shape.kind === 'heatmap') drawHeat(sheet, shape);
  for (const shape of context)
    // Lines of levels where nothing is suspected would only be many.
    if (
      shape.kind === 'polygon' ||
      (shape.kind === 'line' && shape.label !== 'slip' && !shape.label.includes('end plate'))
    )
      draw(sheet, shape, { colour: pale, width: size.line * 0.8, opacity: 0.75 });
  for (const shape of chosen) draw(sheet, shape, penOf(shape, size.line));

  const named = new Set<string>();
  for (const shape of [...chosen, ...context]) {
    // Of lines those alone that are a level themselves, such as the sacrum's end plate.
    const points = shape.kind === 'polygon' ? shape.points : isLevel(shape) ? [shape.from, shape.to] : [];
    if (points.length === 0 || named.has(shape.label)) continue;
    named.add(shape.label);
    const [x, y] =
      shape.kind === 'polygon' ? besideOf(points) : points.reduce((one, other) => (other[0] > one[0] ? other : one));
    sheet.text(shape.label, [x + size.letters * 0.8, y], size.letters, chosen.includes(shape) ? amber : white);
  }
  caption(sheet, readings, size.letters);
  return sheet.png();
}

const shapesOf = ({ evidence }: FindingDraft): readonly OverlayShape[] => evidence?.shapes ?? [];

const isLevel = (shape: OverlayShape): shape is Extract<OverlayShape, { kind: 'line' }> =>
  shape.kind === 'line' && /^[CTLS]\d+$/.test(shape.label);

const penOf = (shape: OverlayShape, line: number) =>
  shape.kind === 'line' && shape.label === 'slip'
    ? { colour: amber, width: line * 2.2 }
    : { colour: amber, width: shape.kind === 'point' ? line * 0.8 : line };

/** The same outline comes with several findings; it is drawn once, as the suspicion where it belongs to one. */
function different(shapes: readonly OverlayShape[], known: readonly OverlayShape[]): OverlayShape[] {
  const keys = new Set(known.map((shape) => JSON.stringify(shape)));
  return shapes.filter((shape) => {
    const key = JSON.stringify(shape);
    return keys.has(key) ? false : keys.add(key);
  });
}

function draw(sheet: Sheet, shape: OverlayShape, pen: Parameters<Sheet['lines']>[1]): void {
  switch (shape.kind) {
    case 'polygon':
      return sheet.lines([[...shape.points, shape.points[0]!]], pen);
    case 'line':
      return sheet.lines([[shape.from, shape.to]], pen);
    case 'point':
      return sheet.lines(shape.ellipse === undefined ? [[shape.at]] : [around(shape.at, shape.ellipse)], pen);
    case 'heatmap':
      return undefined;
  }
}

function around([x, y]: Point, { rx, ry, angleRad }: { rx: number; ry: number; angleRad: number }): Point[] {
  const [cos, sin] = [Math.cos(angleRad), Math.sin(angleRad)];
  return Array.from({ length: 37 }, (_, index): Point => {
    const turn = (index / 36) * 2 * Math.PI;
    const [px, py] = [rx * Math.cos(turn), ry * Math.sin(turn)];
    return [x + cos * px - sin * py, y + sin * px + cos * py];
  });
}

/** The middle of the right side, where no bone of the outline lies. */
function besideOf(points: readonly Point[]): Point {
  const right = Math.max(...points.map(([x]) => x));
  const ys = points.map(([, y]) => y);
  return [right, (Math.min(...ys) + Math.max(...ys)) / 2];
}

/** Between the middles of the grid's cells by the straight line, as screens enlarge pictures. */
function drawHeat(sheet: Sheet, { rows, columns, values, corners }: Extract<OverlayShape, { kind: 'heatmap' }>): void {
  const [[x0, y0], [x1, y1], [x2, y2]] = corners;
  const [ax, ay, bx, by] = [x1 - x0, y1 - y0, x2 - x0, y2 - y0];
  const area = ax * by - ay * bx;
  if (area === 0) return;
  const cell = (x: number, y: number): number =>
    values[Math.min(Math.max(y, 0), rows - 1) * columns + Math.min(Math.max(x, 0), columns - 1)]!;
  sheet.heat((x, y) => {
    const [dx, dy] = [x - x0, y - y0];
    const [u, v] = [(dx * by - dy * bx) / area, (dy * ax - dx * ay) / area];
    if (u < 0 || v < 0 || u > 1 || v > 1) return 0;
    const [gx, gy] = [u * columns - 0.5, v * rows - 0.5];
    const [cx, cy] = [Math.floor(gx), Math.floor(gy)];
    const [fx, fy] = [gx - cx, gy - cy];
    const upper = cell(cx, cy) * (1 - fx) + cell(cx + 1, cy) * fx;
    const lower = cell(cx, cy + 1) * (1 - fx) + cell(cx + 1, cy + 1) * fx;
    return upper * (1 - fy) + lower * fy;
  });
}

/** At the top left: what is suspected, or that nothing is, or why it was not read; then who says so. */
function caption(sheet: Sheet, readings: readonly ReadBy[], height: number): void {
  const lines = readings.flatMap(({ findings, title, version, demonstration }) => [
    ...headlines(findings).map((words) => ({ words, colour: findings.some(isSuspicion) ? amber : white, height })),
    {
      words: `AI suggestion, not reviewed · ${title} ${version}${demonstration ? ' · demonstration model' : ''}`,
      colour: white,
      height: height * 0.7,
    },
  ]);
  if (readings.some(({ findings }) => findings.flatMap(shapesOf).some(({ kind }) => kind === 'heatmap')))
    lines.push({
      words: 'Map: what the answer is associated with, not its extent',
      colour: white,
      height: height * 0.7,
    });
  const room = sheet.columns - height * 2;
  const fitted = lines.map((line) => ({
    ...line,
    height: Math.min(line.height, (line.height * room) / Math.max(1, lettering(line.words, line.height).width)),
  }));
  const bottom = fitted.reduce((sum, line) => sum + line.height * 1.9, height);
  const right = Math.max(...fitted.map((line) => lettering(line.words, line.height).width)) + height * 2;
  sheet.dim(0, 0, right, bottom, 0.5);
  let y = height * 0.6;
  for (const line of fitted) {
    sheet.text(line.words, [height, y + line.height / 2], line.height, line.colour);
    y += line.height * 1.9;
  }
}

function headlines(findings: readonly FindingDraft[]): string[] {
  const suspected = findings.filter(isSuspicion);
  if (suspected.length > 0) return suspected.map(({ summary }) => summary);
  return [refusalOfPicture(findings)?.explanation ?? 'Nothing suspected'];
}
