/** The data manifest: one row a picture, with what is true of it and whom it belongs to. */
import { line, readCsv, type CsvRow } from './csv.ts';
import type { Box, TrueBox } from './detection.ts';
import type { Landmarks } from './landmarks.ts';
import type { DataKind } from './report.ts';

export type Split = 'validation' | 'test';

export type TruthRow = {
  /** Of the manifest, for messages; rows made of a folder have none. */
  readonly line?: number;
  /** As the manifest writes it; answers are found by it. */
  readonly file: string;
  readonly patient: string;
  readonly kind: DataKind;
  readonly split: Split;
  /** `abstain`: a picture of something else, which the model must refuse. */
  readonly expect: 'read' | 'abstain';
  /** Classification: the one right label. */
  readonly label?: string;
  /** Detection: an empty list is a picture with nothing to find, undefined one without drawn boxes. */
  readonly boxes?: readonly TrueBox[];
  /** By name, such as `slip-percent@L4/L5`. */
  readonly values: Readonly<Record<string, number>>;
  /** By name, such as `grade@L4/L5`; a grade is a word. */
  readonly grades: Readonly<Record<string, string>>;
  /** By the same names as `values`: the standard deviation of the truth itself, such as that between readers. */
  readonly scatter: Readonly<Record<string, number>>;
  readonly landmarks?: Landmarks;
  /** Sex, age band, scanner, site and whatever the manifest names `group:…`. */
  readonly groups: Readonly<Record<string, string>>;
  /** What a plain picture does not say of itself. */
  readonly hints: {
    readonly modality?: string;
    readonly view?: string;
    readonly region?: string;
    readonly spacing?: number;
  };
};

export type TruthOptions = {
  /** For manifests without a `kind` column. */
  readonly kind?: DataKind;
  /** Reads a landmark file named in a row; throws SyntaxError saying what is wrong with it. */
  readonly landmarksOf?: (file: string) => Landmarks;
};

/** Throws SyntaxError naming the line and the column. */
export function readTruth(text: string, options: TruthOptions = {}): TruthRow[] {
  const { columns, rows } = readCsv(text);
  if (columns.every((name) => name === ''))
    throw new SyntaxError('is empty: line 1 names the columns (file, kind, label …), each line below is a picture');
  const double = columns.find((name, at) => columns.indexOf(name) !== at);
  if (double !== undefined) throw new SyntaxError(`line 1: the column "${double}" is there twice`);
  if (!columns.includes('file'))
    throw new SyntaxError(
      `line 1: there is no column "file", only ${columns.map((name) => `"${name}"`).join(', ')}${/[;\t]/.test(columns[0]!) ? '; columns are parted by commas' : ''}`,
    );
  if (options.kind === undefined && !columns.includes('kind'))
    throw new SyntaxError(
      'line 1: there is no column "kind" (real or synthetic); add it, or say --kind real or --kind synthetic',
    );
  if (rows.length === 0) throw new SyntaxError('there is no line below the header: each is one picture');
  const seen = new Set<string>();
  return rows.map((row) => {
    if (row['file'] === '') throw fault(row, 'file', 'is empty');
    if (seen.has(row['file']!)) throw fault(row, 'file', `names ${row['file']} a second time`);
    seen.add(row['file']!);
    return truthRow(row, options);
  });
}

function truthRow(row: CsvRow, { kind, landmarksOf }: TruthOptions): TruthRow {
  const file = row['file']!;
  const landmarks = row['landmarks'];
  return {
    line: row[line],
    file,
    // Without patients every picture counts as one: stated in the report, since intervals then are too narrow.
    patient: row['patient'] || file,
    kind: oneOf(row, 'kind', ['real', 'synthetic'] as const, kind),
    split: oneOf(row, 'split', ['validation', 'test'] as const, 'test', { val: 'validation', valid: 'validation' }),
    expect: oneOf(row, 'expect', ['read', 'abstain'] as const, 'read'),
    ...(row['label'] ? { label: row['label'] } : {}),
    ...(row['boxes'] === undefined ? {} : { boxes: boxesOf(row) }),
    values: named(row, 'value:', (text, column) => number(row, column, text)),
    grades: named(row, 'grade:', (text) => text),
    scatter: named(row, 'scatter:', (text, column) => number(row, column, text)),
    ...(landmarks && landmarksOf ? { landmarks: landmarksIn(landmarks, landmarksOf, row) } : {}),
    groups: groupsOf(row),
    hints: {
      ...(row['modality'] ? { modality: row['modality'] } : {}),
      ...(row['view'] ? { view: row['view'] } : {}),
      ...(row['region'] ? { region: row['region'] } : {}),
      ...(row['spacing'] ? { spacing: number(row, 'spacing', row['spacing']) } : {}),
    },
  };
}

function landmarksIn(file: string, read: (file: string) => Landmarks, row: CsvRow): Landmarks {
  try {
    return read(file);
  } catch (error) {
    if (error instanceof SyntaxError) throw fault(row, 'landmarks', `"${file}" ${error.message}`);
    throw error;
  }
}

/** `L4/L5 120 300 260 420; L5/S1 …` */
function boxesOf(row: CsvRow): TrueBox[] {
  return row['boxes']!.split(';')
    .map((text) => text.trim())
    .filter(Boolean)
    .map((text) => {
      const [label, ...numbers] = text.split(/\s+/);
      const box = numbers.map((one) => number(row, 'boxes', one));
      if (box.length !== 4 || box[0]! >= box[2]! || box[1]! >= box[3]!)
        throw fault(row, 'boxes', `"${text}" is not "label left top right bottom"`);
      return { label: label!, box: box as unknown as Box };
    });
}

function groupsOf(row: CsvRow): Record<string, string> {
  const groups: Record<string, string> = {};
  for (const column of ['sex', 'scanner', 'site']) if (row[column]) groups[column] = row[column];
  if (row['age']) groups['age'] = ageBand(number(row, 'age', row['age']));
  return { ...groups, ...named(row, 'group:', (text) => text) };
}

/** By twenty years: finer bands leave too few cases for an interval. */
export function ageBand(years: number): string {
  if (years < 18) return 'under 18';
  if (years < 40) return '18 to 39';
  if (years < 60) return '40 to 59';
  return years < 80 ? '60 to 79' : '80 and over';
}

function named<Value>(
  row: CsvRow,
  prefix: string,
  read: (text: string, column: string) => Value,
): Record<string, Value> {
  return Object.fromEntries(
    Object.entries(row)
      .filter(([column, text]) => column.startsWith(prefix) && text !== '')
      .map(([column, text]) => [column.slice(prefix.length), read(text, column)]),
  );
}

function oneOf<const Word extends string>(
  row: CsvRow,
  column: string,
  words: readonly Word[],
  otherwise: Word | undefined,
  also: Readonly<Record<string, Word>> = {},
): Word {
  const text = (row[column] ?? '').toLowerCase();
  const word = words.find((one) => one === text) ?? also[text] ?? (text === '' ? otherwise : undefined);
  if (word === undefined)
    throw fault(
      row,
      column,
      text === '' ? `is empty; write ${words.join(' or ')}` : `"${text}" is not ${words.join(' or ')}`,
    );
  return word;
}

function number(row: CsvRow, column: string, text: string): number {
  const value = Number(text);
  if (text === '' || !Number.isFinite(value)) throw fault(row, column, `"${text}" is not a number`);
  return value;
}

const fault = (row: CsvRow, column: string, text: string): SyntaxError =>
  new SyntaxError(`line ${row[line]}: ${column} ${text}`);
