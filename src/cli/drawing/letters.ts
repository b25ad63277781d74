/** Letters as strokes, drawn for this project: they stay sharp at any size and need no font file. */

/**
 * Points as two digits, x to the right and y down: capitals stand on 6, small letters reach up to 2, tails down to 8.
 * A bar lifts the pen.
 */
const strokes: Readonly<Record<string, string>> = {
  A: '06 20 46|14 34',
  B: '00 06 36 45 44 33 03|00 30 41 42 33',
  C: '41 30 10 01 05 16 36 45',
  D: '00 06 26 44 42 20 00',
  E: '40 00 06 46|03 33',
  F: '40 00 06|03 33',
  G: '41 30 10 01 05 16 36 45 43 23',
  H: '00 06|40 46|03 43',
  I: '00 20|10 16|06 26',
  J: '40 45 36 16 05',
  K: '00 06|40 03 46',
  L: '00 06 46',
  M: '06 00 23 40 46',
  N: '06 00 46 40',
  O: '10 30 41 45 36 16 05 01 10',
  P: '06 00 30 41 42 33 03',
  Q: '10 30 41 45 36 16 05 01 10|24 46',
  R: '06 00 30 41 42 33 03|23 46',
  S: '41 30 10 01 02 13 33 44 45 36 16 05',
  T: '00 40|20 26',
  U: '00 05 16 36 45 40',
  V: '00 26 40',
  W: '00 16 22 36 40',
  X: '00 46|40 06',
  Y: '00 23 40|23 26',
  Z: '00 40 06 46',
  a: '12 32 43 46 16 05 14 44',
  b: '00 06 36 45 43 32 02',
  c: '43 32 12 03 05 16 36 45',
  d: '40 46 16 05 03 12 42',
  e: '04 44 43 32 12 03 05 16 36 45',
  f: '30 20 11 16|02 32',
  g: '42 47 38 18 07|46 16 05 03 12 42',
  h: '00 06|03 12 32 43 46',
  i: '02 06|00 00',
  j: '12 17 08|10 10',
  k: '00 06|32 04 36',
  l: '00 06',
  m: '06 02 12 23 26|23 32 43 46',
  n: '02 06|03 12 32 43 46',
  o: '12 32 43 45 36 16 05 03 12',
  p: '02 08|02 32 43 45 36 06',
  q: '42 48|42 12 03 05 16 46',
  r: '02 06|03 12 32',
  s: '43 32 12 03 14 34 45 36 16 05',
  t: '10 15 26 36|02 32',
  u: '02 05 16 36 45|42 46',
  v: '02 26 42',
  w: '02 16 23 36 42',
  x: '02 46|42 06',
  y: '02 26|42 26 08',
  z: '02 42 06 46',
  0: '10 30 41 45 36 16 05 01 10',
  1: '01 10 16|06 26',
  2: '01 10 30 41 42 06 46',
  3: '01 10 30 41 42 33 13|33 44 45 36 16 05',
  4: '36 30 04 44',
  5: '40 00 03 33 44 45 36 16 05',
  6: '41 30 10 01 05 16 36 45 44 33 13 04',
  7: '00 40 16',
  8: '10 30 41 42 33 13 02 01 10|13 04 05 16 36 45 44 33',
  9: '05 16 36 45 41 30 10 01 02 13 33 42',
  '.': '06 06',
  ',': '16 07',
  ':': '03 03|06 06',
  ';': '13 13|16 07',
  '-': '04 34',
  '–': '04 34',
  '/': '06 40',
  '%': '40 06|00 10 11 01 00|35 45 46 36 35',
  '(': '10 02 04 16',
  ')': '00 12 14 06',
  '+': '04 44|22 26',
  '·': '04 04',
  "'": '00 01',
  '"': '00 01|10 11',
  '±': '03 43|21 25|06 46',
  '°': '00 10 11 01 00',
  '→': '04 44|33 44 35',
  '×': '03 25|23 05',
  '=': '03 43|05 45',
  '<': '32 04 36',
  '>': '02 34 06',
  '?': '01 10 30 41 32 23 24|26 26',
  '!': '00 04|06 06',
  _: '06 46',
  '#': '10 06|30 26|02 42|04 44',
};

type Place = readonly [x: number, y: number];

/** Height of a capital, in the letters' own units. */
const capital = 6;
const space = 3;
const gap = 1.7;

const glyphs = new Map(
  Object.entries(strokes).map(([letter, text]) => {
    const lines = text
      .split('|')
      .map((line) => line.split(' ').map((point): Place => [Number(point[0]), Number(point[1])]));
    return [letter, { lines, width: Math.max(...lines.flat().map(([x]) => x)) }] as const;
  }),
);

/** Polylines of a text whose capitals are `height` high, and how far it goes; its first letter begins at 0, 0. */
export function lettering(text: string, height: number): { readonly lines: Place[][]; readonly width: number } {
  const unit = height / capital;
  const lines: Place[][] = [];
  let x = 0;
  for (const letter of text.normalize('NFC')) {
    if (letter === ' ') {
      x += space;
      continue;
    }
    const glyph = glyphs.get(letter) ?? glyphs.get('?')!;
    for (const line of glyph.lines) lines.push(line.map(([px, py]) => [(x + px) * unit, py * unit]));
    x += glyph.width + gap;
  }
  return { lines, width: Math.max(0, x - gap) * unit };
}
