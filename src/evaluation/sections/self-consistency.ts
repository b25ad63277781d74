/** Whether a model says the same of the same picture turned, cut, mirrored or toned a little: needs no labels. */
import type { Answer } from '../answers.ts';
import { ownLengthOf } from '../body-depth.ts';
import { share } from '../counts.ts';
import { inOrder, mean, median, quantile, type BootstrapOptions } from '../intervals.ts';
import { distances, type Landmarks } from '../landmarks.ts';
import { patientsOf, perPair, withIntervals, type Pair } from '../pair.ts';
import type { Cell, DataKind, Figure, Section, Table } from '../report.ts';
import { namesHold } from './landmarks.ts';

/** One changed picture beside its original, when both were read. */
type Twin = {
  readonly pair: Pair;
  readonly variation: string;
  /** Undefined without landmarks in common. */
  readonly moved?: { readonly namesKept: boolean; readonly percents: readonly number[] };
  readonly findings: readonly { readonly what: string; readonly same: boolean }[];
  readonly values: readonly { readonly quantity: string; readonly change: number }[];
  /** `sameFirst` where the labels exclude each other: scores of single findings have no first. */
  readonly scores?: { readonly sameFirst?: boolean; readonly changes: readonly number[] };
};

const isRead = ({ abstained, failed }: Answer): boolean => abstained === undefined && failed === undefined;

export function selfConsistencySection(
  kind: DataKind,
  pairs: readonly Pair[],
  options: BootstrapOptions = {},
): Section | undefined {
  const withTwins = pairs.filter(({ varied = [] }) => varied.length > 0);
  if (withTwins.length === 0) return undefined;
  const read = withTwins.filter(({ answer }) => isRead(answer));
  const refused = withTwins.filter(({ answer }) => answer.abstained !== undefined);
  const twins = twinsOf(read);
  const names = [...new Set(withTwins.flatMap(({ varied = [] }) => varied.map(({ variation }) => variation!)))];
  const lengths = new Set(read.flatMap(({ answer }) => ownLengthOf(answer.landmarks ?? {})?.what ?? []));
  const unit = lengths.size === 0 ? '' : `% of ${[...lengths].join(' or ')}`;
  return {
    title: 'The same picture, changed a little',
    kind,
    images: withTwins.length,
    patients: patientsOf(withTwins),
    says:
      `Each picture was read ${names.length} times more: ${names.join(', ')}. Landmarks were carried back to the original` +
      `${unit === '' ? '' : `, and their movement is in ${unit}, where the names stayed`}. Agreement with itself is no proof of being right.`,
    figures: withIntervals(read, (sample) => figuresOf(twinsOf(sample), sample), options).map((figure) =>
      counted(figure, twins, read),
    ),
    tables: [
      byVariation(names, read, twins, unit),
      ...byFinding(twins),
      ...byQuantity(twins),
      ...refusedAgain(refused),
    ],
    plots: [],
    worthALook: leastStable(twins),
  };
}

const twinsOfOne = perPair((pair): Twin[] => (pair.varied ?? []).filter(isRead).map((varied) => twinOf(pair, varied)));
const twinsOf = (read: readonly Pair[]): Twin[] => read.flatMap(twinsOfOne);

function twinOf(pair: Pair, varied: Answer): Twin {
  const { answer } = pair;
  const moved = movedBetween(answer.landmarks, varied.landmarks);
  const { scores: before, values = {}, findings = {} } = answer;
  const { scores: after } = varied;
  return {
    pair,
    variation: varied.variation!,
    ...(moved && { moved }),
    findings: Object.entries(findings).map(([what, said]) => ({ what, same: varied.findings?.[what] === said })),
    values: Object.entries(values).flatMap(([name, { value }]) => {
      const other = varied.values?.[name];
      return other === undefined ? [] : [{ quantity: name.split('@')[0]!, change: Math.abs(other.value - value) }];
    }),
    ...(before &&
      after && {
        scores: {
          ...(isShareOut(before) && { sameFirst: firstOf(before) === firstOf(after) }),
          changes: Object.entries(before).map(([label, score]) => Math.abs((after[label] ?? 0) - score)),
        },
      }),
  };
}

function movedBetween(before: Landmarks | undefined, after: Landmarks | undefined): Twin['moved'] {
  const length = before && ownLengthOf(before);
  if (before === undefined || after === undefined || length === undefined) return undefined;
  // What a cut left outside is compared in neither.
  const shared = (landmarks: Landmarks): Landmarks =>
    Object.fromEntries(Object.entries(landmarks).filter(([name]) => name in before && name in after));
  const percents = distances({ truth: before, found: after }).map(({ pixels }) => (100 * pixels) / length.pixels);
  if (percents.length === 0) return undefined;
  return { namesKept: namesHold(shared(before), shared(after)), percents };
}

const isShareOut = (scores: Readonly<Record<string, number>>): boolean =>
  Math.abs(Object.values(scores).reduce((sum, score) => sum + score, 0) - 1) < 0.02;

const firstOf = (scores: Readonly<Record<string, number>>): string | undefined =>
  Object.entries(scores).toSorted((a, b) => b[1] - a[1])[0]?.[0];

const names = {
  again: 'read again, of changes of pictures that were read',
  kept: 'names kept (no whole level off)',
  median: 'median movement of landmarks, %',
  high: '95th percentile of movement, %',
  findings: 'findings that agree',
  first: 'first label kept',
  score: 'mean change of a score',
} as const;

function figuresOf(twins: readonly Twin[], read: readonly Pair[]): Record<string, number> {
  const counts = countsOf(twins, read);
  const percents = percentsOf(twins);
  const scores = twins.flatMap((one) => one.scores?.changes ?? []);
  return {
    [names.again]: ratio(counts[names.again]!),
    ...(twins.some(({ moved }) => moved) && {
      [names.kept]: ratio(counts[names.kept]!),
      [names.median]: median(percents),
      [names.high]: quantile(inOrder(percents), 0.95),
    }),
    ...(twins.some(({ findings }) => findings.length > 0) && { [names.findings]: ratio(counts[names.findings]!) }),
    ...(counts[names.first]![1] > 0 && { [names.first]: ratio(counts[names.first]!) }),
    ...(scores.length > 0 && { [names.score]: mean(scores) }),
  };
}

type Count = readonly [k: number, n: number];
const ratio = ([k, n]: Count): number => k / n;
const among = <Item>(items: readonly Item[], holds: (item: Item) => boolean): Count => [
  items.filter(holds).length,
  items.length,
];

function countsOf(twins: readonly Twin[], read: readonly Pair[]): Record<string, Count> {
  const tried = read.reduce((sum, { varied = [] }) => sum + varied.length, 0);
  return {
    [names.again]: [twins.length, tried],
    [names.kept]: among(
      twins.flatMap(({ moved }) => moved ?? []),
      ({ namesKept }) => namesKept,
    ),
    [names.findings]: among(
      twins.flatMap(({ findings }) => findings),
      ({ same }) => same,
    ),
    [names.first]: among(
      twins.flatMap(({ scores }) => scores?.sameFirst ?? []),
      (same) => same,
    ),
  };
}

/** Whole levels are counted as such: their distances would drown all others. */
const percentsOf = (twins: readonly Twin[]): number[] =>
  twins.flatMap(({ moved }) => (moved?.namesKept ? moved.percents : []));

/** The interval stays the one by patient: changes of one picture are not independent. */
function counted(figure: Figure, twins: readonly Twin[], read: readonly Pair[]): Figure {
  const count = countsOf(twins, read)[figure.name];
  return count === undefined ? figure : { ...figure, k: count[0], n: count[1] };
}

const shown = ([k, n]: Count): string => (n === 0 ? '–' : `${k}/${n}`);
const number = (value: number): Cell => ({ name: '', value, unit: '' });

function byVariation(all: readonly string[], read: readonly Pair[], twins: readonly Twin[], unit: string): Table {
  const withPlaces = unit !== '';
  return {
    title: withPlaces ? `By change (movement in ${unit})` : 'By change',
    columns: [
      'change',
      'read again',
      ...(withPlaces ? ['names kept', 'median movement', '95th percentile'] : []),
      'findings that agree',
    ],
    rows: all.map((variation): Cell[] => {
      const own = twins.filter((one) => one.variation === variation);
      const tried = read.map((pair) => ({
        ...pair,
        varied: (pair.varied ?? []).filter((one) => one.variation === variation),
      }));
      const counts = countsOf(own, tried);
      const percents = percentsOf(own).sort((a, b) => a - b);
      return [
        variation,
        shown(counts[names.again]!),
        ...(withPlaces
          ? [shown(counts[names.kept]!), number(quantile(percents, 0.5)), number(quantile(percents, 0.95))]
          : []),
        shown(counts[names.findings]!),
      ];
    }),
  };
}

function byFinding(twins: readonly Twin[]): Table[] {
  const groups = Map.groupBy(
    twins.flatMap(({ findings }) => findings),
    ({ what }) => what,
  );
  if (groups.size === 0) return [];
  return [
    {
      title: 'By finding',
      columns: ['finding', 'agrees with the unchanged picture'],
      rows: [...groups].map(([what, members]): Cell[] => {
        const [k, n] = among(members, ({ same }) => same);
        return [what, `${shown([k, n])} (${Math.round((100 * k) / n)} %)`];
      }),
    },
  ];
}

function byQuantity(twins: readonly Twin[]): Table[] {
  const groups = Map.groupBy(
    // A level off measures another place.
    twins.filter(({ moved }) => moved === undefined || moved.namesKept).flatMap(({ values }) => values),
    ({ quantity }) => quantity,
  );
  if (groups.size === 0) return [];
  return [
    {
      title: 'Measured numbers: change, in their own unit',
      columns: ['quantity', 'numbers', 'median change', '95th percentile'],
      rows: [...groups].map(([quantity, members]): Cell[] => {
        const changes = members.map(({ change }) => change).sort((a, b) => a - b);
        return [quantity, changes.length, number(quantile(changes, 0.5)), number(quantile(changes, 0.95))];
      }),
    },
  ];
}

/** A refusal that a breath of contrast lifts stands on an edge. */
function refusedAgain(refused: readonly Pair[]): Table[] {
  if (refused.length === 0) return [];
  const tried = refused.flatMap(({ varied = [] }) => varied);
  const read = share(tried.filter(isRead).length, tried.length);
  const pictures = refused.filter(({ varied = [] }) => varied.some(isRead)).length;
  return [
    {
      title: 'Pictures that were refused as they were',
      columns: ['', 'count'],
      rows: [
        ['refused pictures', refused.length],
        ['of these read after at least one change', shown([pictures, refused.length])],
        ['of all changes of these read', shown([read.k, read.n])],
      ],
    },
  ];
}

/** The picture's worst change: names lost first, then the longest way. */
function leastStable(twins: readonly Twin[]) {
  const off = ({ moved }: Twin): number =>
    moved === undefined ? 0 : (moved.namesKept ? 0 : 1e6) + mean(moved.percents);
  const worst = [...Map.groupBy(twins, ({ pair }) => pair).values()]
    .map((own) => own.toSorted((a, b) => off(b) - off(a))[0]!)
    .filter((twin) => off(twin) > 0);
  return worst
    .toSorted((a, b) => off(b) - off(a))
    .slice(0, 12)
    .map(({ pair, variation, moved }) => ({
      file: pair.row.file,
      why: `${variation}: ${moved!.namesKept ? 'names kept' : 'other names'}, mean movement ${mean(moved!.percents).toFixed(1)} %`,
      variation,
    }));
}
