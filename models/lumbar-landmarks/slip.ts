/** Spondylolisthesis: how far each vertebra stands before or behind the one below. */
import {
  distance,
  ellipse95,
  footOn,
  inMillimetres,
  interval95,
  partAlong,
  standardDeviationOf,
  type Covariance,
} from '../../src/kit/geometry.ts';
import type { FindingDraft, Measurement, MeyerdingGrade, OverlayShape, Point } from '../../src/kit/model-pack.ts';
import { outlineOf, type BodyLevel, type Corner, type Output, type Spine } from './corners.ts';
import { isOnFilm } from './gate.ts';

/** T12/L1 is not reported: T12 only helps to count. */
const segments = [
  { segment: 'L1/L2', upper: 'L1', lower: 'L2' },
  { segment: 'L2/L3', upper: 'L2', lower: 'L3' },
  { segment: 'L3/L4', upper: 'L3', lower: 'L4' },
  { segment: 'L4/L5', upper: 'L4', lower: 'L5' },
  { segment: 'L5/S1', upper: 'L5', lower: 'S1' },
] as const;
type MeasuredSegment = (typeof segments)[number];

export const slipFindings = (output: Output, spine: Spine): FindingDraft[] =>
  segments.map((where) => slipFinding(output, spine, where));

function slipFinding(
  output: Output,
  { bodies, sacrum }: Spine,
  { segment, upper, lower }: MeasuredSegment,
): FindingDraft {
  const { image, manifest, sopUid, frame } = output;
  const slipping = bodies[upper].posteriorInferior;
  const plate = lower === 'S1' ? sacrum : bodies[lower];
  const corners = [slipping, plate.posteriorSuperior, plate.anteriorSuperior];
  const finding = { concept: 'spondylolisthesis', site: { kind: 'segment', level: segment } } as const;
  if (!corners.every((corner) => isOnFilm(corner, image))) {
    const explanation = `${segment} is not on the film.`;
    return {
      ...finding,
      result: { kind: 'not-assessable', reason: 'level-not-visible', explanation },
      measurements: [],
      summary: `Not read at ${segment}: the level is not on the film`,
    };
  }

  // The corners' spread as the net states it, scaled to what its errors on validation films were.
  const { operatingPoints, reference } = manifest;
  const covariances = corners.map(({ covariance }) => scaled(covariance, operatingPoints.varianceScale.slip));
  const percentOf = (points: readonly Point[]): number => {
    const [moved, back, front] = points.map((point) => inMillimetres(point, image.spacing)) as [Point, Point, Point];
    return 100 * partAlong(moved, back, front);
  };
  const points = corners.map(({ at }) => at);
  const percent = percentOf(points);
  const percentInterval = interval95(percent, standardDeviationOf(percentOf, points, covariances));
  const measurements: Measurement[] = [
    { quantity: 'slip-percent', value: percent, unit: '%', interval: percentInterval },
  ];
  let length = '';
  if (image.spacing !== undefined) {
    const plateMm = distance(inMillimetres(points[1]!, image.spacing), inMillimetres(points[2]!, image.spacing));
    const mm = (part: number): number => (part / 100) * plateMm;
    measurements.push({
      quantity: 'slip',
      value: mm(percent),
      unit: 'mm',
      interval: [mm(percentInterval[0]), mm(percentInterval[1])],
    });
    length = `; ${mm(percent).toFixed(1)} mm${image.spacing.plane === 'detector' ? ' on the detector' : ''}`;
  }

  const aboveNormal = percent - reference.slipPercent[segment].mean;
  const { anteriorPercentAboveNormal, posteriorPercentBelowNormal, leastPercent } = operatingPoints;
  // Normal spines lie a little behind zero; a step that only makes up for that is no slip a reader would call one.
  const anterior = aboveNormal >= anteriorPercentAboveNormal[segment] && percent >= leastPercent.anterior;
  const posterior = -aboveNormal >= posteriorPercentBelowNormal[segment] && -percent >= leastPercent.posterior;
  const numbers = `${whole(percent)} %, 95 % ${whole(percentInterval[0])} to ${whole(percentInterval[1])}${length}`;
  const evidence = { sopUid, frame, shapes: shapesOf({ bodies, sacrum }, upper, lower, corners, covariances) };
  if (!anterior && !posterior) {
    return {
      ...finding,
      result: { kind: 'not-detected' },
      measurements,
      summary: `No slip suspected at ${segment} (${numbers})`,
      evidence,
    };
  }
  const grade = meyerding(percent);
  return {
    ...finding,
    result: {
      kind: 'detected',
      grades: [{ scale: 'Meyerding', value: grade }],
      direction: anterior ? 'anterior' : 'posterior',
    },
    measurements,
    summary: `Suspected ${segment} ${anterior ? 'anterolisthesis' : 'retrolisthesis'}, grade ${grade} (${numbers})`,
    evidence,
  };
}

/** Meyerding 1932, by quarters of the lower end plate; beyond its whole length the vertebra has fallen off it. */
export function meyerding(percent: number): MeyerdingGrade {
  const slip = Math.abs(percent);
  if (slip <= 25) return 'I';
  if (slip <= 50) return 'II';
  if (slip <= 75) return 'III';
  return slip <= 100 ? 'IV' : 'V';
}

/** The two bodies, the end plate measured along, the slip on it, and the corners that decide with their uncertainty. */
function shapesOf(
  { bodies }: Spine,
  upper: BodyLevel,
  lower: BodyLevel | 'S1',
  corners: readonly Corner[],
  covariances: readonly Covariance[],
): OverlayShape[] {
  const [moved, back, front] = corners.map(({ at }) => at) as [Point, Point, Point];
  const names = [`${upper} posterior inferior`, `${lower} posterior superior`, `${lower} anterior superior`];
  return [
    { kind: 'polygon', points: outlineOf(bodies[upper]), label: upper },
    ...(lower === 'S1' ? [] : [{ kind: 'polygon', points: outlineOf(bodies[lower]), label: lower } as const]),
    { kind: 'line', from: back, to: front, label: `${lower} upper end plate` },
    { kind: 'line', from: back, to: footOn(moved, back, front), label: 'slip' },
    ...corners.map(
      ({ at }, index) =>
        ({ kind: 'point', at, label: names[index]!, ellipse: ellipse95(covariances[index]!) }) as const,
    ),
  ];
}

const scaled = ({ xx, yy, xy }: Covariance, factor: number): Covariance => ({
  xx: xx * factor,
  yy: yy * factor,
  xy: xy * factor,
});
/** Without a minus before zero. */
const whole = (value: number): string => String(Math.round(value) + 0);
