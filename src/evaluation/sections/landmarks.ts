/** Corners: how far off, and whether what was named is the thing of that name. */
import { share } from '../counts.ts';
import type { BootstrapOptions } from '../intervals.ts';
import { mean, median, quantile } from '../intervals.ts';
import { distances, type Landmarks } from '../landmarks.ts';
import { answered, withIntervals, type Pair } from '../pair.ts';
import { figureOf, type DataKind, type Section } from '../report.ts';

/** A length of known size in every picture, where no pixel size is known: `{ from, to, millimetres }`. */
export type Yardstick = { readonly from: string; readonly to: string; readonly millimetres: number };
export type LandmarkOptions = BootstrapOptions & { readonly yardstick?: Yardstick };

type Compared = {
  readonly pair: Pair;
  readonly named: boolean;
  readonly errors: readonly { name: string; value: number }[];
};

export function landmarkSection(
  kind: DataKind,
  test: readonly Pair[],
  options: LandmarkOptions = {},
): Section | undefined {
  const withTruth = test.filter(({ row }) => row.landmarks !== undefined);
  if (withTruth.length === 0) return undefined;
  const compare = (pairs: readonly Pair[]): Compared[] =>
    answered(pairs).flatMap((pair) => {
      const { landmarks } = pair.row;
      if (landmarks === undefined || pair.answer.landmarks === undefined) return [];
      const size = pixelSize(pair, options.yardstick);
      // Without its yardstick in view a picture has names, yet no lengths.
      const errors = (Number.isFinite(size) ? distances({ truth: landmarks, found: pair.answer.landmarks }) : []).map(
        ({ name, pixels }) => ({
          name,
          value: pixels * size,
        }),
      );
      return [{ pair, named: namesHold(landmarks, pair.answer.landmarks), errors }];
    });
  const compared = compare(withTruth);
  const allMillimetres = withTruth.every(
    ({ row }) => options.yardstick !== undefined || row.hints.spacing !== undefined,
  );
  const unit = allMillimetres ? 'mm' : 'pixels';
  const named = compared.filter((one) => one.named);
  const names = [...new Set(compared.flatMap(({ errors }) => errors.map(({ name }) => name)))];
  return {
    title: 'Landmarks',
    kind,
    images: withTruth.length,
    patients: new Set(withTruth.map(({ row }) => row.patient)).size,
    says:
      `Distances in ${unit}` +
      (options.yardstick === undefined
        ? '. '
        : `, taking ${options.yardstick.from} to ${options.yardstick.to} as ${options.yardstick.millimetres} mm in every picture. `) +
      'Names are right when every named part lies nearer to its own true part than to any other.',
    figures: [
      figureOf('read', share(compared.length, withTruth.length)),
      figureOf('names right, of those read', share(named.length, compared.length)),
      ...withIntervals(withTruth, (sample) => spread(compare(sample), 'read pictures'), options, unit),
      ...withIntervals(
        withTruth,
        (sample) =>
          spread(
            compare(sample).filter((one) => one.named),
            'with names right',
          ),
        options,
        unit,
      ),
    ],
    tables: [
      {
        title: 'By landmark',
        columns: ['landmark', 'pictures', `mean, ${unit}`, `median, ${unit}`],
        rows: names.map((name) => {
          const own = compared.flatMap(({ errors }) =>
            errors.filter((one) => one.name === name).map(({ value }) => value),
          );
          return [name, own.length, { name, value: mean(own), unit: '' }, { name, value: median(own), unit: '' }];
        }),
      },
      ...(named.length === compared.length
        ? []
        : [
            {
              title: 'Pictures with wrong names',
              columns: ['picture', `mean distance, ${unit}`],
              rows: compared
                .filter((one) => !one.named)
                .map(({ pair, errors }) => [
                  pair.row.file,
                  { name: 'mean', value: mean(errors.map(({ value }) => value)), unit: '' },
                ]),
            },
          ]),
    ],
    plots: [],
    worthALook: worthALook(compared, unit),
  };
}

/** Every picture with wrong names, and the five of the others that are furthest off. */
function worthALook(compared: readonly Compared[], unit: string) {
  const off = ({ errors }: Compared): number => mean(errors.map(({ value }) => value));
  const sorted = compared.toSorted((a, b) => off(b) - off(a));
  const entry = (one: Compared) => ({
    file: one.pair.row.file,
    why: `${one.named ? 'names right' : 'names wrong'}, mean distance ${off(one).toFixed(1)} ${unit}`,
  });
  return [...sorted.filter((one) => !one.named), ...sorted.filter((one) => one.named).slice(0, 5)].map(entry);
}

function spread(compared: readonly Compared[], where: string): Record<string, number> {
  const values = compared.flatMap(({ errors }) => errors.map(({ value }) => value)).sort((a, b) => a - b);
  return {
    [`mean distance, ${where}`]: mean(values),
    [`median distance, ${where}`]: median(values),
    [`95th percentile, ${where}`]: quantile(values, 0.95),
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
  const trueCentres = centres(truth);
  return [...centres(found)].every(([part, [x, y]]) => {
    const own = trueCentres.get(part);
    if (own === undefined) return true;
    const ownDistance = Math.hypot(own[0] - x, own[1] - y);
    return [...trueCentres.values()].every(([ox, oy]) => ownDistance <= Math.hypot(ox - x, oy - y));
  });
}

function centres(landmarks: Landmarks): Map<string, readonly [number, number]> {
  const parts = Map.groupBy(Object.entries(landmarks), ([name]) => name.split('.')[0]!);
  return new Map(
    [...parts].map(([part, points]) => [part, [mean(points.map(([, [x]]) => x)), mean(points.map(([, [, y]]) => y))]]),
  );
}

export const landmarkPrimary = (options: LandmarkOptions = {}) => ({
  name: 'mean distance of landmarks',
  of: (pairs: readonly Pair[]) =>
    mean(
      answered(pairs)
        .flatMap((pair) =>
          pair.row.landmarks && pair.answer.landmarks
            ? distances({ truth: pair.row.landmarks, found: pair.answer.landmarks }).map(
                ({ pixels }) => pixels * pixelSize(pair, options.yardstick),
              )
            : [],
        )
        .filter(Number.isFinite),
    ),
});
