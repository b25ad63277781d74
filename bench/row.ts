/** One line of a bench: a number of ours, the limit measured in the same run, and whether the target is reached. */
export type BenchRow = {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The same work done the barest way, measured in the same run. */
  readonly limit?: number;
  readonly limitName?: string;
  readonly ratio?: number;
  readonly target?: string;
  readonly pass?: boolean;
};
