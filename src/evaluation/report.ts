/** An evaluation as data: the terminal table, the JSON file and the page are three ways of showing it. */
import { trueMinus } from '../domain/true-minus.ts';
import type { Interval } from './intervals.ts';
import type { Share } from './counts.ts';

/** Never one without the other word: a figure from drawings is not a figure from patients. */
export type DataKind = 'real' | 'synthetic';

export type Figure = {
  readonly name: string;
  readonly value: number;
  readonly interval?: Interval;
  /** How the interval was made. */
  readonly by?: 'Wilson' | 'bootstrap by patient' | 'DeLong';
  readonly k?: number;
  readonly n?: number;
  /** Written behind the number; empty for a number with a unit that the heading names. */
  readonly unit?: string;
};

export type Cell = string | number | Figure;
export type Table = {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
};

export type Plot =
  | {
      readonly kind: 'curve';
      readonly title: string;
      readonly x: string;
      readonly y: string;
      readonly series: readonly { readonly name: string; readonly points: readonly (readonly [number, number])[] }[];
      /** Both axes run from 0 to 1 unless a longest x is given. */
      readonly longestX?: number;
      /** What chance, or perfect calibration, would draw. */
      readonly diagonal?: 'rising';
      readonly marked?: { readonly at: readonly [number, number]; readonly label: string };
    }
  | {
      readonly kind: 'matrix';
      readonly title: string;
      readonly labels: readonly string[];
      readonly counts: readonly (readonly number[])[];
    }
  | {
      readonly kind: 'dots';
      readonly title: string;
      readonly x: string;
      readonly y: string;
      readonly points: readonly (readonly [number, number])[];
      /** Truth and answer on the same scale: draws the line of equality. */
      readonly equality?: boolean;
    };

/** A picture for the page, already small; shown with its caption. */
export type Picture = { readonly caption: string; readonly pngBase64: string };

/** `variation`: the picture as it is, with what was said of it before and after that change. */
export type WorthALook = { readonly file: string; readonly why: string; readonly variation?: string };

export type Section = {
  readonly title: string;
  readonly kind: DataKind;
  /** What the figures mean, in one or two sentences. */
  readonly says: string;
  readonly images: number;
  readonly patients: number;
  readonly figures: readonly Figure[];
  readonly tables: readonly Table[];
  readonly plots: readonly Plot[];
  /** Pictures worth a look: whoever has their pixels may turn them into `pictures`. */
  readonly worthALook?: readonly WorthALook[];
  /** All of these belong on the page, not only the first few. */
  readonly showsAll?: true;
  readonly pictures?: readonly Picture[];
};

export type ModelStatement = {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  readonly trainedOn?: string;
  readonly intendedUse?: string;
  readonly executionProvider?: string;
};

export type Report = {
  readonly title: string;
  readonly madeAt: string;
  readonly wetread: string;
  readonly models: readonly ModelStatement[];
  readonly data: {
    readonly file: string;
    readonly sha256: string;
    /** Over the pictures' own bytes, in the order of the manifest; undefined when only answers were given. */
    readonly picturesSha256?: string;
    readonly images: number;
    readonly patients: number;
    readonly real: number;
    readonly synthetic: number;
  };
  readonly sections: readonly Section[];
  /** What a reader must know before quoting a figure. */
  readonly notes: readonly string[];
};

export const figureOf = (name: string, { value, k, n, interval }: Share): Figure => ({
  name,
  value,
  k,
  n,
  interval,
  by: 'Wilson',
});

/** A cell that is no figure, for people; words stay as they are. */
export const plainCell = (cell: string | number): string => (typeof cell === 'number' ? trueMinus(String(cell)) : cell);

/** `0.935 (0.901 to 0.958; 257/275)`, as the tables of papers write it. */
export function figureText({ value, interval, k, n, unit }: Figure): string {
  const digits = unit === undefined ? 3 : 2;
  const write = (number: number): string => (Number.isFinite(number) ? trueMinus(number.toFixed(digits)) : 'n/a');
  const inside = [
    ...(interval !== undefined && Number.isFinite(value) ? [`${write(interval[0])} to ${write(interval[1])}`] : []),
    ...(k !== undefined && n !== undefined ? [`${k}/${n}`] : n !== undefined ? [`n ${n}`] : []),
  ];
  const number = unit ? `${write(value)} ${unit}` : write(value);
  return inside.length === 0 ? number : `${number} (${inside.join('; ')})`;
}
