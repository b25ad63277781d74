/** A small picture for a report: what is true and what was said of it, told apart by colour and by form. */
import type { GreyImage } from '../../domain/image.ts';
import type { Answer } from '../../evaluation/answers.ts';
import type { Box } from '../../evaluation/detection.ts';
import type { Landmarks } from '../../evaluation/landmarks.ts';
import type { TruthRow } from '../../evaluation/truth.ts';
import { lettering } from './letters.ts';
import { sheetOf, type Colour, type Sheet } from './sheet.ts';

/** As wide as the report shows it on a large screen, twice as fine. */
const width = 360;
const truthColour: Colour = [120, 225, 160];
const answerColour: Colour = [255, 176, 46];
/** Of a refused picture, or of the same picture changed: it is not the model's answer about this picture. */
const otherColour: Colour = [150, 205, 235];

export function filmSheet(
  image: Pick<GreyImage, 'rows' | 'columns' | 'intensities'>,
  truth: Pick<TruthRow, 'boxes' | 'landmarks'>,
  answer: Answer | undefined,
  changed?: Answer,
): Buffer {
  const factor = Math.max(1, Math.ceil(image.columns / width));
  const sheet = sheetOf(shrunk(image, factor));
  const scaled = (landmarks: Landmarks = {}): Landmarks =>
    Object.fromEntries(Object.entries(landmarks).map(([name, [x, y]]) => [name, [x / factor, y / factor]]));
  const refused = answer?.abstained !== undefined;
  const colour = refused ? otherColour : answerColour;
  for (const { box, label } of truth.boxes ?? []) frame(sheet, box, label, truthColour, factor);
  for (const { box, label, called } of answer?.boxes ?? [])
    if (called !== false) frame(sheet, box, label, answerColour, factor);
  drawParts(sheet, scaled(truth.landmarks), truthColour, 'left');
  if (changed !== undefined) drawParts(sheet, scaled(changed.landmarks), otherColour, 'left');
  drawParts(sheet, scaled(answer?.landmarks), colour, 'right', refused ? 0.6 : 1);
  legend(sheet, [
    ...(truth.boxes !== undefined || truth.landmarks !== undefined ? [['truth', truthColour] as const] : []),
    [refused ? 'refused' : 'answer', colour],
    ...(changed === undefined ? [] : [['changed', otherColour] as const]),
  ]);
  return sheet.png();
}

/** Small pictures show no more greys; with all of them a report of a hundred films would be twice as large. */
const greys = 42;

/** The mean of each block of pixels. */
function shrunk({ rows, columns, intensities }: Pick<GreyImage, 'rows' | 'columns' | 'intensities'>, factor: number) {
  const [height, across] = [Math.max(1, Math.floor(rows / factor)), Math.max(1, Math.floor(columns / factor))];
  const small = new Float32Array(height * across);
  for (let y = 0; y < Math.min(rows, height * factor); y += 1)
    for (let x = 0; x < Math.min(columns, across * factor); x += 1)
      small[Math.floor(y / factor) * across + Math.floor(x / factor)]! += intensities[y * columns + x]! / factor ** 2;
  return { rows: height, columns: across, intensities: small.map((value) => Math.round(value * greys) / greys) };
}

function frame(sheet: Sheet, box: Box, label: string, colour: Colour, factor: number): void {
  const [left, top, right, bottom] = box.map((value) => value / factor) as [number, number, number, number];
  sheet.lines(
    [
      [
        [left, top],
        [right, top],
        [right, bottom],
        [left, bottom],
        [left, top],
      ],
    ],
    { colour, width: 1.2 },
  );
  sheet.text(label, [right + 4, colour === truthColour ? top + 6 : bottom - 6], letters, colour);
}

const letters = 9;

/** `L4.anteriorSuperior` is a corner of L4: the corners of a part are joined, and the part is named beside them. */
function drawParts(sheet: Sheet, landmarks: Landmarks, colour: Colour, side: 'left' | 'right', opacity = 1): void {
  const pen = { colour, width: 1.1, opacity };
  for (const [part, corners] of Map.groupBy(Object.entries(landmarks), ([name]) => name.split('.')[0]!)) {
    const points = corners.map(([, [x, y]]) => [x, y] as const);
    if (points.length === 1) cross(sheet, points[0]!, pen);
    else sheet.lines([points.length === 2 ? points : [...aroundTheMiddle(points), aroundTheMiddle(points)[0]!]], pen);
    const xs = points.map(([x]) => x);
    const y = points.reduce((sum, [, py]) => sum + py, 0) / points.length;
    if (side === 'right') sheet.text(part, [Math.max(...xs) + 5, y], letters, colour);
    else sheet.text(part, [Math.min(...xs) - 5, y], letters, colour, 'right');
  }
}

type Place = readonly [x: number, y: number];

/** In whatever order the corners are named, the outline does not cross itself. */
function aroundTheMiddle(points: readonly Place[]): Place[] {
  const [cx, cy] = [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis]!, 0) / points.length) as [
    number,
    number,
  ];
  return points.toSorted((a, b) => Math.atan2(a[1] - cy, a[0] - cx) - Math.atan2(b[1] - cy, b[0] - cx));
}

const arm = 4;
const cross = (sheet: Sheet, [x, y]: Place, pen: Parameters<Sheet['lines']>[1]): void =>
  sheet.lines(
    [
      [
        [x - arm, y - arm],
        [x + arm, y + arm],
      ],
      [
        [x - arm, y + arm],
        [x + arm, y - arm],
      ],
    ],
    pen,
  );

function legend(sheet: Sheet, entries: readonly (readonly [string, Colour])[]): void {
  const gap = 12;
  const wide = entries.reduce((sum, [words]) => sum + lettering(words, letters).width + gap, gap);
  sheet.dim(0, 0, wide, letters * 2, 0.55);
  let x = gap / 2;
  for (const [words, colour] of entries) {
    sheet.text(words, [x, letters], letters, colour);
    x += lettering(words, letters).width + gap;
  }
}
