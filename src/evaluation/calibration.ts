/** Whether a probability means what it says: of films called 80 %, are 80 % positive? */

export type Probable = { readonly truth: boolean; readonly probability: number };

export type ReliabilityBin = {
  readonly from: number;
  readonly to: number;
  readonly n: number;
  readonly meanProbability: number;
  readonly observed: number;
};

export type Binning = 'equal-width' | 'equal-count';

export function reliability(cases: readonly Probable[], bins = 10, binning: Binning = 'equal-width'): ReliabilityBin[] {
  const groups = binning === 'equal-width' ? byWidth(cases, bins) : byCount(cases, bins);
  return groups
    .filter(({ members }) => members.length > 0)
    .map(({ from, to, members }) => ({
      from,
      to,
      n: members.length,
      meanProbability: members.reduce((sum, { probability }) => sum + probability, 0) / members.length,
      observed: members.filter(({ truth }) => truth).length / members.length,
    }));
}

function byWidth(cases: readonly Probable[], bins: number) {
  const groups = Array.from({ length: bins }, (_, index) => ({
    from: index / bins,
    to: (index + 1) / bins,
    members: [] as Probable[],
  }));
  // The last bin takes 1 itself.
  for (const one of cases) groups[Math.min(bins - 1, Math.floor(one.probability * bins))]!.members.push(one);
  return groups;
}

function byCount(cases: readonly Probable[], bins: number) {
  const sorted = cases.toSorted((a, b) => a.probability - b.probability);
  return Array.from({ length: bins }, (_, index) => {
    const members = sorted.slice(
      Math.round((index * sorted.length) / bins),
      Math.round(((index + 1) * sorted.length) / bins),
    );
    return { from: members[0]?.probability ?? 0, to: members.at(-1)?.probability ?? 0, members };
  });
}

/** Expected calibration error: the gap between said and seen, weighed by how many cases lie in each bin. */
export function expectedCalibrationError(
  cases: readonly Probable[],
  bins = 10,
  binning: Binning = 'equal-width',
): number {
  return reliability(cases, bins, binning).reduce(
    (sum, bin) => sum + (bin.n / cases.length) * Math.abs(bin.meanProbability - bin.observed),
    0,
  );
}

/** Mean squared distance of probability and truth: 0 is perfect, always saying 50 % gives 0.25. */
export const brierScore = (cases: readonly Probable[]): number =>
  cases.reduce((sum, { truth, probability }) => sum + (probability - Number(truth)) ** 2, 0) / cases.length;

/** Over several classes: squared distances of all classes added up, so it runs from 0 to 2. */
export const multiclassBrier = (
  cases: readonly { readonly truth: string; readonly scores: Readonly<Record<string, number>> }[],
): number =>
  cases.reduce(
    (sum, { truth, scores }) =>
      sum + Object.entries(scores).reduce((inner, [label, score]) => inner + (score - Number(label === truth)) ** 2, 0),
    0,
  ) / cases.length;
