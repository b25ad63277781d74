/** Heights of the vertebral bodies, from their corners: measured, not judged. */
import { distance, inMillimetres, interval95, standardDeviationOf, type Covariance } from '../../src/kit/geometry.ts';
import type { FindingDraft, Measurement, Point } from '../../src/kit/model-pack.ts';
import { bodyLevels, cornersOf, outlineOf, type Body, type BodyLevel, type Output, type Spine } from './corners.ts';
import { isOnFilm } from './gate.ts';

type Lumbar = Exclude<BodyLevel, 'T12'>;
const lumbarLevels = bodyLevels.slice(1) as Lumbar[];

export const heightFindings = (output: Output, spine: Spine): FindingDraft[] =>
  lumbarLevels.map((level) => heightFinding(output, spine, level));

function heightFinding(output: Output, spine: Spine, level: Lumbar): FindingDraft {
  const { image, manifest, sopUid, frame } = output;
  const finding = { concept: 'vertebral-height', site: { kind: 'vertebra', level } } as const;
  const body = spine.bodies[level];
  const isVisible = (one: Body): boolean => cornersOf(one).every((corner) => isOnFilm(corner, image));
  if (!isVisible(body)) {
    const explanation = `${level} is not wholly on the film.`;
    return {
      ...finding,
      result: { kind: 'not-assessable', reason: 'level-not-visible', explanation },
      measurements: [],
      summary: `${level} not measured: it is not wholly on the film`,
    };
  }

  const factor = manifest.operatingPoints.varianceScale.height;
  const measure = (
    quantity: Measurement['quantity'],
    unit: Measurement['unit'],
    bodies: readonly Body[],
    compute: (heights: Heights[]) => number,
  ): Measurement => {
    const corners = bodies.flatMap(cornersOf);
    const value = (points: readonly Point[]): number => {
      const inMm = points.map((point) => inMillimetres(point, image.spacing));
      return compute(bodies.map((_, index) => heightsOf(inMm.slice(4 * index, 4 * index + 4))));
    };
    const points = corners.map(({ at }) => at);
    const covariances = corners.map(({ covariance: { xx, yy, xy } }): Covariance => ({
      xx: xx * factor,
      yy: yy * factor,
      xy: xy * factor,
    }));
    const found = value(points);
    return {
      quantity,
      value: found,
      unit,
      interval: interval95(found, standardDeviationOf(value, points, covariances)),
    };
  };

  const ratio = measure('anterior-posterior-height-ratio', '1', [body], ([own]) => own!.anterior / own!.posterior);
  const neighbours = neighboursOf(level)
    .map((name) => spine.bodies[name])
    .filter(isVisible);
  const measurements = [
    ratio,
    ...(neighbours.length === 0
      ? []
      : [
          measure('posterior-height-ratio-to-neighbours', '1', [body, ...neighbours], ([own, ...beside]) => {
            return (own!.posterior * beside.length) / beside.reduce((sum, { posterior }) => sum + posterior, 0);
          }),
        ]),
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

type Heights = { readonly anterior: number; readonly posterior: number };

function heightsOf(corners: readonly Point[]): Heights {
  const [posteriorInferior, anteriorInferior, anteriorSuperior, posteriorSuperior] = corners as [
    Point,
    Point,
    Point,
    Point,
  ];
  return {
    anterior: distance(anteriorSuperior, anteriorInferior),
    posterior: distance(posteriorSuperior, posteriorInferior),
  };
}

/** The sacrum has no height to compare with, so L5 has one neighbour. */
function neighboursOf(level: Lumbar): BodyLevel[] {
  const place = bodyLevels.indexOf(level);
  return [bodyLevels[place - 1], bodyLevels[place + 1]].filter((name) => name !== undefined);
}
