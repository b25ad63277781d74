/** A picture's truth and what was said of it; every section of a report is made from these. */
import type { Answer } from './answers.ts';
import { patientBootstrap, type BootstrapOptions, type Interval } from './intervals.ts';
import type { Figure } from './report.ts';
import type { TruthRow } from './truth.ts';

export type Pair = {
  readonly row: TruthRow;
  readonly answer: Answer;
  /** Of the same picture, changed in known ways. */
  readonly varied?: readonly Answer[];
};

/** A picture that was not answered at all is a failure: leaving it out would flatter the model. */
export function pairUp(rows: readonly TruthRow[], answers: readonly Answer[]): Pair[] {
  const byFile = Map.groupBy(answers, ({ file }) => file);
  return rows.map((row) => {
    const own = byFile.get(row.file) ?? [];
    // Should a file answer one picture twice, the last answer counts.
    const answer = own.findLast(({ variation }) => variation === undefined);
    const varied = own.filter(({ variation }) => variation !== undefined);
    return {
      row,
      answer: answer ?? { file: row.file, failed: 'no-answer' },
      ...(varied.length > 0 && { varied }),
    };
  });
}

export const answered = (pairs: readonly Pair[]): Pair[] =>
  pairs.filter(({ answer }) => answer.abstained === undefined && answer.failed === undefined);

export const patientsOf = (pairs: readonly Pair[]): number => new Set(pairs.map(({ row }) => row.patient)).size;

/** What follows from one pair alone is made once: a bootstrap asks for the same pairs thousands of times. */
export function perPair<Result>(of: (pair: Pair) => Result): (pair: Pair) => Result {
  const made = new WeakMap<Pair, { readonly result: Result }>();
  return (pair) => {
    const known = made.get(pair) ?? { result: of(pair) };
    made.set(pair, known);
    return known.result;
  };
}

/** Names to figures over any sample of the pairs, so that the bootstrap can ask again. */
export type FiguresOf = (sample: readonly Pair[]) => Readonly<Record<string, number>>;

export function withIntervals(
  pairs: readonly Pair[],
  figuresOf: FiguresOf,
  options?: BootstrapOptions,
  unit?: string,
): Figure[] {
  const intervals: Readonly<Record<string, Interval>> = patientBootstrap(
    pairs,
    ({ row }) => row.patient,
    figuresOf,
    options,
  );
  return Object.entries(figuresOf(pairs)).map(([name, value]) => ({
    name,
    value,
    interval: intervals[name]!,
    by: 'bootstrap by patient',
    ...(unit === undefined ? {} : { unit }),
  }));
}
