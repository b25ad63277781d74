/** A small picture with the truth and the answer drawn over it, told apart by colour and by form. */
import type { GreyImage } from '../../domain/image.ts';
import type { Answer } from '../../evaluation/answers.ts';
import type { Box } from '../../evaluation/detection.ts';
import type { TruthRow } from '../../evaluation/truth.ts';
import { sheetOf, type Colour, type Sheet } from './sheet.ts';

const width = 420;
const truthColour: Colour = [120, 225, 160];
const answerColour: Colour = [255, 176, 46];

export function truthAndAnswer(
  image: Pick<GreyImage, 'rows' | 'columns' | 'intensities'>,
  truth: Pick<TruthRow, 'boxes' | 'landmarks'>,
  answer: Answer | undefined,
): Buffer {
  const factor = Math.max(1, Math.ceil(image.columns / width));
  const sheet = sheetOf(shrunk(image, factor));
  const scaled = (value: number): number => value / factor;
  for (const { box, label } of truth.boxes ?? []) frame(sheet, box, label, truthColour, scaled);
  for (const { box, label } of answer?.boxes ?? []) frame(sheet, box, label, answerColour, scaled);
  for (const [x, y] of Object.values(truth.landmarks ?? {})) plus(sheet, scaled(x), scaled(y), truthColour);
  for (const [x, y] of Object.values(answer?.landmarks ?? {})) cross(sheet, scaled(x), scaled(y), answerColour);
  sheet.dim(0, 0, 150, 18, 0.55);
  sheet.text('+ truth', [6, 9], 9, truthColour);
  sheet.text('x answer', [72, 9], 9, answerColour);
  return sheet.png();
}

/** The mean of each block of pixels. */
function shrunk({ rows, columns, intensities }: Pick<GreyImage, 'rows' | 'columns' | 'intensities'>, factor: number) {
  const [height, across] = [Math.floor(rows / factor), Math.floor(columns / factor)];
  const small = new Float32Array(height * across);
  for (let y = 0; y < height * factor; y += 1)
    for (let x = 0; x < across * factor; x += 1)
      small[Math.floor(y / factor) * across + Math.floor(x / factor)]! += intensities[y * columns + x]! / factor ** 2;
  return { rows: height, columns: across, intensities: small };
}

function frame(
  sheet: Sheet,
  [x1, y1, x2, y2]: Box,
  label: string,
  colour: Colour,
  scaled: (value: number) => number,
): void {
  const [left, top, right, bottom] = [scaled(x1), scaled(y1), scaled(x2), scaled(y2)];
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
  sheet.text(label, [right + 4, colour === truthColour ? top + 6 : bottom - 6], 9, colour);
}

const arm = 4;
const plus = (sheet: Sheet, x: number, y: number, colour: Colour): void =>
  sheet.lines(
    [
      [
        [x - arm, y],
        [x + arm, y],
      ],
      [
        [x, y - arm],
        [x, y + arm],
      ],
    ],
    { colour, width: 1.3 },
  );
const cross = (sheet: Sheet, x: number, y: number, colour: Colour): void =>
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
    { colour, width: 1.3 },
  );
