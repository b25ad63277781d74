/** Heights of the vertebral bodies, from their corners, and what of them is lost against what is usual at the level: measured, not judged. */
import {
  distance,
  inMillimetres,
  interval95,
  median,
  standardDeviationOf,
  type Covariance,
} from '../../src/kit/geometry.ts';
import type { FindingDraft, GenantGrade, Measurement, OverlayShape, Point } from '../../src/kit/model-pack.ts';
import {
  bodyLevels,
  cornersOf,
  lumbarLevels,
  outlineOf,
  type Body,
  type BodyLevel,
  type Corner,
  type Output,
  type Spine,
} from './corners.ts';
import { isMadeOut, isOnFilm } from './gate.ts';

type Lumbar = (typeof lumbarLevels)[number];

export const heightFindings = (output: Output, spine: Spine): FindingDraft[] =>
  lumbarLevels.map((level) => heightFinding(output, spine, level));

/** Every corner between the outermost pixels. */
export const isWhole = (body: Body, image: Output['image']): boolean =>
  cornersOf(body).every((corner) => isOnFilm(corner, image));

function heightFinding(output: Output, spine: Spine, level: Lumbar): FindingDraft {
  const { image, manifest, sopUid, frame } = output;
  const finding = { concept: 'vertebral-height', site: { kind: 'vertebra', level } } as const;
  const body = spine.bodies[level];
  if (!isWhole(body, image)) {
    const explanation = `${level} is not wholly on the film.`;
    return {
      ...finding,
      result: { kind: 'not-assessable', reason: 'level-not-visible', explanation },
      measurements: [],
      summary: `${level} not measured: it is not wholly on the film`,
    };
  }

  const measure = measuringOn(output);
  const ratio = measure('anterior-posterior-height-ratio', '1', [body], ([own]) => own!.anterior / own!.posterior);
  const neighbours = neighboursOf(level)
    .map((name) => spine.bodies[name])
    .filter((one) => isMadeOut(one, output));
  const loss = heightLossOf(output, spine, level);
  const measurements = [
    ratio,
    ...(neighbours.length === 0
      ? []
      : [
          measure('posterior-height-ratio-to-neighbours', '1', [body, ...neighbours], ([own, ...beside]) => {
            return (own!.posterior * beside.length) / beside.reduce((sum, { posterior }) => sum + posterior, 0);
          }),
        ]),
    ...(loss === undefined ? [] : [loss.anterior, loss.posterior]),
    ...(image.spacing === undefined
      ? []
      : [
          measure('anterior-height', 'mm', [body], ([own]) => own!.anterior),
          measure('posterior-height', 'mm', [body], ([own]) => own!.posterior),
        ]),
  ];
  const { mean, sd } = manifest.reference.anteriorPosteriorHeightRatio[level];
  const [low, high] = ratio.interval!;
  const usual = `usual ${(mean - 2 * sd).toFixed(2)} to ${(mean + 2 * sd).toFixed(2)}`;
  return {
    ...finding,
    result: { kind: 'measured' },
    measurements,
    summary: `${level} height, front to back: ${ratio.value.toFixed(2)} (95 % ${low.toFixed(2)} to ${high.toFixed(2)}; ${usual})`,
    evidence: { sopUid, frame, shapes: [{ kind: 'polygon', points: outlineOf(body), label: level }] },
  };
}

/** Share of the height between the corners that the end plates leave out at their middle: seen, not measured by corners. */
export type Hollow = {
  readonly share: number;
  /** Of intact bodies. */
  readonly usual: number;
  /** Of the share's error. */
  readonly standardDeviation: number;
};

export type HeightLoss = {
  readonly anterior: Measurement;
  /** Where somebody looked between the walls. */
  readonly middle?: Measurement;
  readonly posterior: Measurement;
  /** The largest of them, as `height-loss`. */
  readonly worst: Measurement;
};

/** Bodies further away than this are of another size. */
const furthestNeighbour = 3;

/**
 * In percent of what the level's front and back wall usually have. How large this person's vertebrae are is the median of
 * what the back walls of the bodies nearby say, each against its own level's usual height: one or two fractured neighbours
 * do not move it. The middle of a body has no corner: without `hollow`, a biconcave one loses less here than it has lost.
 */
export function heightLossOf(output: Output, spine: Spine, level: BodyLevel, hollow?: Hollow): HeightLoss | undefined {
  const { manifest } = output;
  const { anteriorPosteriorHeightRatio: ratios, posteriorHeightToDepthOfL3: backs } = manifest.reference;
  const place = bodyLevels.indexOf(level);
  const near = bodyLevels.filter(
    (name, other) =>
      other !== place && Math.abs(other - place) <= furthestNeighbour && isMadeOut(spine.bodies[name], output),
  );
  if (near.length === 0 || !isMadeOut(spine.bodies[level], output)) return undefined;
  const bodies = [level, ...near].map((name) => spine.bodies[name]);
  const usualBack = backs[level].mean;
  const sizeFrom = (others: readonly Heights[]): number =>
    median(others.map(({ posterior }, index) => posterior / backs[near[index]!].mean));
  const measure = measuringOn(output);
  const anterior = measure('anterior-height-loss', '%', bodies, ([own, ...others]) => {
    return 100 * (1 - own!.anterior / (sizeFrom(others) * usualBack * ratios[level].mean));
  });
  const posterior = measure('posterior-height-loss', '%', bodies, ([own, ...others]) => {
    return 100 * (1 - own!.posterior / (sizeFrom(others) * usualBack));
  });
  const walls = ([own, ...others]: Heights[]): number =>
    (own!.anterior + own!.posterior) / (sizeFrom(others) * usualBack * (1 + ratios[level].mean));
  const middle =
    hollow === undefined
      ? undefined
      : widened(
          measure(
            'middle-height-loss',
            '%',
            bodies,
            (heights) => 100 * (1 - (walls(heights) * (1 - hollow.share)) / (1 - hollow.usual)),
          ),
          // A body whose walls kept their usual height, or more, errs by this much of it.
          (100 * hollow.standardDeviation) / (1 - hollow.usual),
        );
  const found = [anterior, ...(middle === undefined ? [] : [middle]), posterior];
  const worst = found.reduce((most, one) => (one.value > most.value ? one : most));
  return {
    anterior,
    ...(middle === undefined ? {} : { middle }),
    posterior,
    worst: { ...worst, quantity: 'height-loss' },
  };
}

/** Genant 1993: mild from a fifth, moderate from a quarter, severe beyond two fifths of the height. */
export function genantGrade(lossPercent: number): GenantGrade {
  if (lossPercent < 20) return '0';
  if (lossPercent < 25) return '1';
  return lossPercent <= 40 ? '2' : '3';
}

/**
 * Front and back wall, and the height between them where it was seen, for the overlay; beside each, from its lower end, how
 * long it usually is at this level. How the hollow is shared between the two end plates is not known: by halves.
 */
export function heightLines(
  body: Body,
  level: BodyLevel,
  loss: HeightLoss | undefined,
  hollow?: Hollow,
): OverlayShape[] {
  const { anteriorSuperior, anteriorInferior, posteriorSuperior, posteriorInferior } = body;
  const between = ([x, y]: Point, [u, v]: Point, share: number): Point => [x + (u - x) * share, y + (v - y) * share];
  const usual = (wall: string, from: Point, to: Point, { value }: Measurement): OverlayShape[] => {
    // A wall that is nearly gone tells nothing of the way to its usual end.
    if (value > 80) return [];
    const stretch = 1 / (1 - value / 100);
    const end: Point = [from[0] + (to[0] - from[0]) * stretch, from[1] + (to[1] - from[1]) * stretch];
    return [{ kind: 'line', from, to: end, label: `usual ${wall} height of ${level}` }];
  };
  const lowerPlate = between(posteriorInferior.at, anteriorInferior.at, 0.5);
  const upperPlate = between(posteriorSuperior.at, anteriorSuperior.at, 0.5);
  const half = Math.max(hollow?.share ?? 0, 0) / 2;
  const low = between(lowerPlate, upperPlate, half);
  const high = between(lowerPlate, upperPlate, 1 - half);
  return [
    { kind: 'line', from: anteriorSuperior.at, to: anteriorInferior.at, label: `${level} anterior height` },
    ...(hollow === undefined ? [] : [{ kind: 'line', from: high, to: low, label: `${level} middle height` } as const]),
    { kind: 'line', from: posteriorSuperior.at, to: posteriorInferior.at, label: `${level} posterior height` },
    ...(loss === undefined
      ? []
      : [
          ...usual('anterior', anteriorInferior.at, anteriorSuperior.at, loss.anterior),
          ...(loss.middle === undefined ? [] : usual('middle', low, high, loss.middle)),
          ...usual('posterior', posteriorInferior.at, posteriorSuperior.at, loss.posterior),
        ]),
  ];
}

/** A number from the heights of bodies, with the interval that the corners' spread gives it, by way of the heights. */
function measuringOn(output: Output) {
  return (
    quantity: string,
    unit: Measurement['unit'],
    bodies: readonly Body[],
    compute: (heights: Heights[]) => number,
  ): Measurement => {
    const walls = bodies.map((body) => wallsOf(body, output));
    const computed = (lengths: readonly Point[]): number =>
      compute(lengths.map(([anterior, posterior]) => ({ anterior, posterior })));
    const lengths = walls.map((one) => one.lengths);
    const value = computed(lengths);
    const deviation = standardDeviationOf(
      computed,
      lengths,
      walls.map(({ spread }) => spread),
    );
    return { quantity, value, unit, interval: interval95(value, deviation) };
  };
}

/** With a further source of error, which the corners know nothing of. */
function widened(measurement: Measurement, standardDeviation: number): Measurement {
  const [low, high] = measurement.interval!;
  const own = (high - low) / 2 / 1.959964;
  return { ...measurement, interval: interval95(measurement.value, Math.hypot(own, standardDeviation)) };
}

type Heights = { readonly anterior: number; readonly posterior: number };

/** The lengths of the front and the back wall, and how far they are spread: on their own, as they share no corner. */
function wallsOf(body: Body, { image, manifest }: Output): { readonly lengths: Point; readonly spread: Covariance } {
  const factor = manifest.operatingPoints.varianceScale.height;
  const lengthOf = ([upper, lower]: readonly Point[]): number =>
    distance(inMillimetres(upper!, image.spacing), inMillimetres(lower!, image.spacing));
  const wall = (upper: Corner, lower: Corner) => {
    const ends = [upper.at, lower.at];
    const deviation = standardDeviationOf(lengthOf, ends, [upper.covariance, lower.covariance]);
    return { length: lengthOf(ends), variance: factor * deviation ** 2 };
  };
  const front = wall(body.anteriorSuperior, body.anteriorInferior);
  const back = wall(body.posteriorSuperior, body.posteriorInferior);
  return { lengths: [front.length, back.length], spread: { xx: front.variance, yy: back.variance, xy: 0 } };
}

/** The sacrum has no height to compare with, so L5 has one neighbour. */
function neighboursOf(level: Lumbar): BodyLevel[] {
  const place = bodyLevels.indexOf(level);
  return [bodyLevels[place - 1], bodyLevels[place + 1]].filter((name) => name !== undefined);
}
