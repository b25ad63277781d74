/** Corners: how far off, and whether what was named is the thing of that name. */
import { ownLengthOf } from '../body-depth.ts';
import { f1Of, share } from '../counts.ts';
import type { BootstrapOptions } from '../intervals.ts';
import { inOrder, mean, median, quantile } from '../intervals.ts';
import { centresOf, distances, whateverCalled, type Landmarks } from '../landmarks.ts';
import { answered, perPair, withIntervals, type Pair } from '../pair.ts';
import { figureOf, type Cell, type DataKind, type Figure, type Section, type Table } from '../report.ts';
import { bestShift } from '../whole-levels.ts';

/** A length of known size in every picture, where no pixel size is known: `{ from, to, millimetres }`. */
export type Yardstick = { readonly from: string; readonly to: string; readonly millimetres: number };
export type LandmarkOptions = BootstrapOptions & {
  readonly yardstick?: Yardstick;
  /** Only landmarks of these parts, such as `L4`, are compared. */
  readonly names?: readonly string[];
};

type Distance = { readonly name: string; readonly value: number };
type Compared = {
  readonly pair: Pair;
  readonly named: boolean;
  readonly errors: readonly Distance[];
  /** Under the names of the vertebrae so many further down that fit best; only where parts are vertebrae. */
  readonly shifted?: { readonly levels: number; readonly errors: readonly Distance[] };
  /** Of the true parts those where something was found, whatever it was called. */
  readonly there: {
    readonly names: readonly { readonly part: string; readonly called: string }[];
    readonly of: readonly string[];
    readonly errors: readonly Distance[];
  };
  /** Every part that is asked for is in the truth. */
  readonly complete: boolean;
  /** Parts of the answer, and those of them that lie on the true part of that name. */
  readonly parts: { readonly told: number; readonly right: number; readonly of: number };
};

export function landmarkSection(
  kind: DataKind,
  test: readonly Pair[],
  options: LandmarkOptions = {},
): Section | undefined {
  const withTruth = test.filter(({ row }) => row.landmarks !== undefined);
  if (withTruth.length === 0) return undefined;
  const comparedOnce = perPair((pair) => compared(pair, options));
  const compare = (pairs: readonly Pair[]): Compared[] => pairs.flatMap(comparedOnce);
  const read = compare(answered(withTruth));
  const allMillimetres = withTruth.every(
    ({ row }) => options.yardstick !== undefined || row.hints.spacing !== undefined,
  );
  const unit = allMillimetres ? 'mm' : 'pixels';
  const named = read.filter((one) => one.named);
  const wrong = read.filter((one) => !one.named);
  const refused = compare(withTruth.filter(({ answer }) => answer.abstained !== undefined));
  const rightThoughRefused = refused.filter((one) => one.named && one.complete).length;
  const distanceFigures = withIntervals(
    answered(withTruth),
    (sample) => {
      const all = compare(sample);
      return {
        ...spread(all, 'read pictures'),
        ...spread(
          all.filter((one) => one.named),
          'with names right',
        ),
      };
    },
    options,
    unit,
  );
  return {
    title: 'Landmarks',
    kind,
    images: withTruth.length,
    patients: new Set(withTruth.map(({ row }) => row.patient)).size,
    says: saysOf(unit, options),
    figures: [
      figureOf('read', share(read.length, withTruth.length)),
      figureOf('names right, of those read', share(named.length, read.length)),
      ...(refused.length === 0
        ? []
        : [
            figureOf(
              'refused, of those with every part in view and named right',
              share(rightThoughRefused, rightThoughRefused + named.filter(({ complete }) => complete).length),
            ),
          ]),
      ...withIntervals(answered(withTruth), (sample) => ({ 'F1 of named parts': partF1(compare(sample)) }), options),
      ...distanceFigures,
    ],
    tables: [
      ...inPercent(
        distanceFigures.filter(({ name }) => name.endsWith('read pictures')),
        options,
      ),
      ...hadTheyBeenRead(withTruth, compare, unit, options),
      ...levelsOff(read, refused),
      ...thereAtAll(read, refused, unit),
      ...calledWhat(read, refused),
      byLandmark('By landmark', read, unit),
      ...(refused.length === 0 ? [] : [byLandmark('By landmark, had refused pictures been read', refused, unit)]),
      ...(wrong.length === 0
        ? []
        : [
            {
              title: 'Pictures with wrong names',
              columns: ['picture', `mean distance, ${unit}`],
              rows: wrong.map(({ pair, errors }): Cell[] => [pair.row.file, cell(mean(valuesOf(errors)))]),
            },
          ]),
    ],
    plots: [],
    worthALook: worthALook(read, refused, unit),
  };
}

function saysOf(unit: string, { yardstick, names }: LandmarkOptions): string {
  const taken =
    yardstick === undefined
      ? ''
      : `, taking ${yardstick.from} to ${yardstick.to} as ${yardstick.millimetres} mm in every picture`;
  return (
    `Distances in ${unit}${taken}. ` +
    (names === undefined ? '' : `Compared are ${names.join(', ')} alone. `) +
    'Names are right when every named part lies nearer to its own true part than to any other; ' +
    'a part counts as found within half a body of the true part of its name.'
  );
}

function compared(pair: Pair, options: LandmarkOptions): Compared[] {
  const wanted = ([name]: [string, unknown]): boolean =>
    options.names === undefined || options.names.includes(name.split('.')[0]!);
  if (pair.row.landmarks === undefined || pair.answer.landmarks === undefined) return [];
  const truth: Landmarks = Object.fromEntries(Object.entries(pair.row.landmarks).filter(wanted));
  const found: Landmarks = Object.fromEntries(Object.entries(pair.answer.landmarks).filter(wanted));
  const size = pixelSize(pair, options.yardstick);
  // Without its yardstick in view a picture has names, yet no lengths.
  const lengths = (of: Landmarks): Distance[] =>
    Number.isFinite(size)
      ? distances({ truth, found: of }).map(({ name, pixels }) => ({ name, value: pixels * size }))
      : [];
  const shift = bestShift(truth, pair.answer.landmarks);
  const there = whateverCalled({ truth, found: pair.answer.landmarks }, nearby(truth));
  return [
    {
      pair,
      named: namesHold(truth, found),
      errors: lengths(found),
      there: { names: there.names, of: [...centresOf(truth).keys()], errors: lengths(there.found) },
      complete: options.names === undefined || options.names.every((name) => centresOf(truth).has(name)),
      parts: partsOf(truth, found),
      ...(shift && { shifted: { levels: shift.levels, errors: lengths(shift.landmarks) } }),
    },
  ];
}

/** Half a body away lies the next disc. */
const nearby = (truth: Landmarks): number => (ownLengthOf(truth)?.pixels ?? 0) / 2;

/** Named parts as detections: what is told beside the true part of its name is a false alarm, and that part is missed. */
function partsOf(truth: Landmarks, found: Landmarks): Compared['parts'] {
  const [own, told] = [centresOf(truth), centresOf(found)];
  const known = [...told].filter(([part]) => own.has(part));
  const right = known.filter(([part, [x, y]]) => {
    const [ox, oy] = own.get(part)!;
    return Math.hypot(ox - x, oy - y) <= nearby(truth);
  });
  return { told: known.length, right: right.length, of: own.size };
}

type Compare = (pairs: readonly Pair[]) => Compared[];

const valuesOf = (errors: readonly Distance[]): number[] => errors.map(({ value }) => value);
const valuesIn = (all: readonly Compared[]): number[] => all.flatMap(({ errors }) => valuesOf(errors));
const namesIn = (all: readonly Compared[]): string[] => [
  ...new Set(all.flatMap(({ errors }) => errors.map(({ name }) => name))),
];
const cell = (value: number): Figure => ({ name: '', value, unit: '' });

function byName(name: string, all: readonly Compared[]): Cell[] {
  const own = all.flatMap(({ errors }) => valuesOf(errors.filter((one) => one.name === name))).sort((a, b) => a - b);
  return [name, own.length, cell(mean(own)), cell(quantile(own, 0.5)), cell(quantile(own, 0.95))];
}

const byLandmark = (title: string, group: readonly Compared[], unit: string): Table => ({
  title,
  columns: ['landmark', 'pictures', `mean, ${unit}`, `median, ${unit}`, `95th percentile, ${unit}`],
  rows: namesIn(group).map((name) => byName(name, group)),
});

/** A person's own length is what an error is large or small against. */
function inPercent(figures: readonly Figure[], { yardstick }: LandmarkOptions): Table[] {
  if (yardstick === undefined || figures.length === 0) return [];
  const percent = (millimetres: number): number => (100 * millimetres) / yardstick.millimetres;
  return [
    {
      title: `In percent of ${yardstick.from} to ${yardstick.to}`,
      columns: ['figure', '%'],
      rows: figures.map(({ name, value, interval }): Cell[] => [
        name,
        {
          name,
          value: percent(value),
          unit: '',
          ...(interval && { interval: [percent(interval[0]), percent(interval[1])] as const }),
        },
      ]),
    },
  ];
}

/** A gate can be right to refuse and the places right all the same: both must be seen, never mixed. */
function hadTheyBeenRead(pairs: readonly Pair[], compare: Compare, unit: string, options: LandmarkOptions): Table[] {
  const refused = pairs.filter(({ answer }) => answer.abstained !== undefined && answer.landmarks !== undefined);
  const read = answered(pairs);
  const isShifted = compare([...read, ...refused]).some(({ shifted }) => shifted !== undefined && shifted.levels !== 0);
  if (refused.length === 0 && !isShifted) return [];
  const columns = ['mean', 'median', '95th percentile', 'mean after the best shift', 'median after the best shift'];
  const shown = isShifted ? columns : columns.slice(0, 3);
  const row = (title: string, group: readonly Pair[]): Cell[] => {
    const all = compare(group);
    const figures = withIntervals(
      group,
      (sample) => {
        const again = compare(sample);
        const own = inOrder(valuesIn(again));
        const best = again.flatMap(({ shifted, errors }) => valuesOf(shifted?.errors ?? errors));
        const values = [mean(valuesIn(again)), quantile(own, 0.5), quantile(own, 0.95), mean(best), median(best)];
        return Object.fromEntries(shown.map((name, index) => [name, values[index]!]));
      },
      { ...options, replicates: Math.min(options.replicates ?? 500, 500) },
      '',
    );
    return [title, figureOf('names right', share(all.filter(({ named }) => named).length, all.length)), ...figures];
  };
  return [
    {
      title: `Had refused pictures been read (distances in ${unit})`,
      columns: ['pictures', 'names right', ...shown],
      rows: [
        ...(read.length > 0 ? [row('read', read)] : []),
        ...(refused.length > 0 ? [row('refused', refused), row('all', [...read, ...refused])] : []),
      ],
    },
  ];
}

/** Of spines: a wrong count is one error, not twenty corners. */
function levelsOff(read: readonly Compared[], refused: readonly Compared[]): Table[] {
  const off = ({ shifted }: Compared): number => shifted?.levels ?? 0;
  const levels = [...new Set([...read, ...refused].map(off))].sort((a, b) => a - b);
  if (levels.length < 2 && (levels[0] ?? 0) === 0) return [];
  const count = (all: readonly Compared[], level: number): string =>
    `${all.filter((one) => off(one) === level).length}/${all.length}`;
  const words = (level: number): string =>
    level === 0
      ? 'counted rightly'
      : `${Math.abs(level)} too ${level > 0 ? 'low' : 'high'} (L1 called ${level > 0 ? `L${1 + level}` : `T${13 + level}`})`;
  return [
    {
      title: 'Whole levels off, by the shift that fits best',
      columns: ['count', 'read', 'refused'],
      rows: levels.map((level): Cell[] => [words(level), count(read, level), count(refused, level)]),
    },
  ];
}

/** Measuring apart from counting: how well a part is outlined that was found under another's name. */
function thereAtAll(read: readonly Compared[], refused: readonly Compared[], unit: string): Table[] {
  const groups = (
    [
      ['read', read],
      ['refused', refused],
      ['all', [...read, ...refused]],
    ] as const
  ).filter(([, group]) => group.length > 0);
  if ([...read, ...refused].every(({ named }) => named)) return [];
  const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
  return [
    {
      title: `Parts found, whatever they were called (distances in ${unit})`,
      columns: ['pictures', 'true parts with something there', 'mean', 'median', '95th percentile'],
      rows: groups.map(([title, group]): Cell[] => {
        const values = group.flatMap(({ there }) => valuesOf(there.errors)).sort((a, b) => a - b);
        const found = share(
          sum(group.map(({ there }) => there.names.length)),
          sum(group.map(({ there }) => there.of.length)),
        );
        // Parts of one picture are not independent: the share stands without an interval.
        const { value, k, n } = found;
        return [
          title,
          { name: 'there', value, k, n },
          cell(mean(values)),
          cell(quantile(values, 0.5)),
          cell(quantile(values, 0.95)),
        ];
      }),
    },
  ];
}

/** Which names go wrong, and in which direction. */
function calledWhat(read: readonly Compared[], refused: readonly Compared[]): Table[] {
  const all = [...read, ...refused];
  if (all.every(({ named }) => named)) return [];
  const parts = [...new Set(all.flatMap(({ there }) => there.of))];
  return [
    {
      title: `What each part was called${refused.length === 0 ? '' : ', refused pictures too'}`,
      columns: ['true part', 'pictures', 'called so', 'called otherwise', 'nothing there'],
      rows: parts.map((part): Cell[] => {
        const showing = all.filter(({ there }) => there.of.includes(part));
        const names = showing.map(({ there }) => there.names.find((one) => one.part === part)?.called);
        const others = Map.groupBy(
          names.filter((name) => name !== undefined && name !== part),
          (name) => name!,
        );
        const listed = [...others].toSorted((a, b) => b[1].length - a[1].length);
        return [
          part,
          showing.length,
          names.filter((name) => name === part).length,
          listed.map(([name, { length }]) => `${name} ${length}`).join(', '),
          names.filter((name) => name === undefined).length,
        ];
      }),
    },
  ];
}

/** Every picture with wrong names, read or refused, and the five of the others that are furthest off. */
function worthALook(read: readonly Compared[], refused: readonly Compared[], unit: string) {
  const off = ({ errors }: Compared): number => mean(valuesOf(errors));
  const inOrder = (all: readonly Compared[]): Compared[] => all.toSorted((a, b) => off(b) - off(a));
  const entry = (one: Compared) => ({
    file: one.pair.row.file,
    why: `${one.pair.answer.abstained === undefined ? '' : 'refused; '}names ${one.named ? 'right' : 'wrong'}, mean distance ${off(one).toFixed(1)} ${unit}`,
  });
  return [
    ...inOrder(read.filter((one) => !one.named)),
    ...inOrder(refused.filter((one) => !one.named)),
    ...inOrder(read.filter((one) => one.named)).slice(0, 5),
  ].map(entry);
}

const partF1 = (all: readonly Compared[]): number => {
  const sum = (of: (one: Compared) => number): number => all.reduce((total, one) => total + of(one), 0);
  const right = sum(({ parts }) => parts.right);
  return f1Of(right, sum(({ parts }) => parts.told) - right, sum(({ parts }) => parts.of) - right);
};

function spread(all: readonly Compared[], where: string): Record<string, number> {
  const values = valuesIn(all);
  const sorted = inOrder(values);
  return {
    [`mean distance, ${where}`]: mean(values),
    [`median distance, ${where}`]: quantile(sorted, 0.5),
    [`95th percentile, ${where}`]: quantile(sorted, 0.95),
  };
}

/** Millimetres of one pixel; 1 where nothing is known, so that figures stay in pixels. */
function pixelSize({ row }: Pair, yardstick: Yardstick | undefined): number {
  if (yardstick === undefined) return row.hints.spacing ?? 1;
  const [from, to] = [row.landmarks?.[yardstick.from], row.landmarks?.[yardstick.to]];
  return from && to ? yardstick.millimetres / Math.hypot(to[0] - from[0], to[1] - from[1]) : NaN;
}

/** `L4.anteriorSuperior` belongs to L4: its centre must lie nearest to the true centre of L4. One level off is one name wrong. */
export function namesHold(truth: Landmarks, found: Landmarks): boolean {
  const trueCentres = centresOf(truth);
  return [...centresOf(found)].every(([part, [x, y]]) => {
    const own = trueCentres.get(part);
    if (own === undefined) return true;
    const ownDistance = Math.hypot(own[0] - x, own[1] - y);
    return [...trueCentres.values()].every(([ox, oy]) => ownDistance <= Math.hypot(ox - x, oy - y));
  });
}

export function landmarkPrimary(options: LandmarkOptions = {}) {
  const comparedOnce = perPair((pair) => compared(pair, options));
  return {
    name: 'mean distance of landmarks',
    of: (pairs: readonly Pair[]) => mean(valuesIn(answered(pairs).flatMap(comparedOnce))),
  };
}
