/** Spondylolisthesis: how far each vertebra stands before or behind the one below. */
import {
  distance,
  ellipse95,
  inMillimetres,
  interval95,
  partAlong,
  standardDeviationOf,
  type Covariance,
} from '../../src/kit/geometry.ts';
import type {
  Direction,
  FindingDraft,
  Measurement,
  MeyerdingGrade,
  OverlayShape,
  Point,
} from '../../src/kit/model-pack.ts';
import { outlineOf, type Answer, type Body, type BodyLevel, type Corner, type Output, type Spine } from './corners.ts';
import { isOnFilm } from './gate.ts';
import { joined, type Measured } from './joined.ts';

/** T12/L1 is not reported: T12 only helps to count. */
const segments = [
  { segment: 'L1/L2', upper: 'L1', lower: 'L2' },
  { segment: 'L2/L3', upper: 'L2', lower: 'L3' },
  { segment: 'L3/L4', upper: 'L3', lower: 'L4' },
  { segment: 'L4/L5', upper: 'L4', lower: 'L5' },
  { segment: 'L5/S1', upper: 'L5', lower: 'S1' },
] as const;
type MeasuredSegment = (typeof segments)[number];

/** The findings, and for each level that was measured how sure it is that it slipped; one half is where it is called. */
export function slipFindings(
  output: Output,
  { spine, seenSlips }: Answer,
): { findings: FindingDraft[]; scores: Record<string, number> } {
  const read = segments.map((where) => ({
    where,
    ...slipFinding(output, spine, seenSlips.get(where.segment)!, where),
  }));
  return {
    findings: read.map(({ finding }) => finding),
    scores: Object.fromEntries(
      read.flatMap(({ where, score }) => (score === undefined ? [] : [[where.segment, score]])),
    ),
  };
}

function slipFinding(
  output: Output,
  { bodies, sacrum }: Spine,
  seen: Measured,
  { segment, upper, lower }: MeasuredSegment,
): { readonly finding: FindingDraft; readonly score?: number } {
  const { image, manifest, sopUid, frame } = output;
  const slipping = bodies[upper].posteriorInferior;
  const plate = lower === 'S1' ? sacrum : bodies[lower];
  const corners = [slipping, plate.posteriorSuperior, plate.anteriorSuperior];
  const finding = { concept: 'spondylolisthesis', site: { kind: 'segment', level: segment } } as const;
  const unseen = unseenBecause(output, corners);
  if (unseen !== undefined) {
    return {
      finding: {
        ...finding,
        result: { kind: 'not-assessable', reason: 'level-not-visible', explanation: `${segment} ${unseen}.` },
        measurements: [],
        summary: `Not read at ${segment}: the level ${unseen}`,
      },
    };
  }

  // The corners' spread as the net states it, scaled to what its errors on validation films were.
  const covariances = corners.map(({ covariance }) => scaled(covariance, manifest.operatingPoints.varianceScale.slip));
  const percentOf = (points: readonly Point[]): number => {
    const [moved, back, front] = points.map((point) => inMillimetres(point, image.spacing)) as [Point, Point, Point];
    return 100 * partAlong(moved, back, front);
  };
  const points = corners.map(({ at }) => at);
  const atBack = percentOf(points);
  const byCorners = { percent: atBack, deviation: standardDeviationOf(percentOf, points, covariances) };
  const { seenScale } = manifest.operatingPoints.slipEvidence;
  const { percent, deviation, share } = joined(byCorners, { ...seen, deviation: seenScale * seen.deviation });
  // Slipped levels and those at S1 are read worse than the net says: by so much more on validation films.
  const interval = interval95(percent, deviation * manifest.operatingPoints.slipIntervalFactor[segment]);
  const measurements: Measurement[] = [{ quantity: 'slip-percent', value: percent, unit: '%', interval }];
  let length = '';
  if (image.spacing !== undefined) {
    const plateMm = distance(inMillimetres(points[1]!, image.spacing), inMillimetres(points[2]!, image.spacing));
    const mm = (part: number): number => (part / 100) * plateMm;
    measurements.push({
      quantity: 'slip',
      value: mm(percent),
      unit: 'mm',
      interval: [mm(interval[0]), mm(interval[1])],
    });
    length = `; ${mm(percent).toFixed(1)} mm${image.spacing.plane === 'detector' ? ', magnified as on the detector' : ''}`;
  }

  const front = bodies[upper].anteriorInferior;
  const { direction, margin } = beyondNormal(manifest, segment, {
    percent,
    deviation,
    // Off the film the front says nothing, neither for nor against.
    frontBeforeBack: isOnFilm(front, image) ? percentOf([front.at, points[1]!, points[2]!]) - 100 - atBack : 0,
    share,
  });
  const score = 1 / (1 + Math.exp(-margin / scoreSlope));
  const numbers = `${whole(percent)} %, 95 % ${whole(interval[0])} to ${whole(interval[1])}${length}`;
  const evidence = { sopUid, frame, shapes: shapesOf(bodies, upper, lower, corners, covariances, percent) };
  if (margin < 0) {
    return {
      finding: {
        ...finding,
        result: { kind: 'not-detected' },
        measurements,
        summary: `No slip suspected at ${segment} (${numbers})`,
        evidence,
      },
      score,
    };
  }
  const name = direction === 'anterior' ? 'anterolisthesis' : 'retrolisthesis';
  return {
    finding: {
      ...finding,
      result: { kind: 'detected', grades: [{ scale: 'Meyerding', value: meyerding(percent) }], direction },
      measurements,
      summary: `Suspected ${segment} ${name}, ${gradeWords(percent, interval)} (${numbers})`,
      evidence,
    },
    score,
  };
}

/** In percent of the end plate: how fast the score leaves one half. It orders answers for curves and is no probability. */
const scoreSlope = 2;

/** Why a level counts as not seen: nearer to the edge than this, the plate may well be cut off, and its corner lie beyond. */
function unseenBecause({ image, manifest }: Output, corners: readonly Corner[]): string | undefined {
  if (!corners.every((corner) => isOnFilm(corner, image))) return 'is not on the film';
  const [, back, front] = corners.map(({ at }) => at);
  const room = manifest.operatingPoints.slipEvidence.edge * distance(back!, front!);
  const near = corners.some(
    ({ at: [x, y] }) => Math.min(x - 0.5, y - 0.5, image.columns - 0.5 - x, image.rows - 0.5 - y) < room,
  );
  return near ? 'lies so close to the edge of the film that it may be cut off' : undefined;
}

type Step = Measured & {
  /** The step at the front less that at the back. Facing end plates are about equally long, so a slip shows at both. */
  readonly frontBeforeBack: number;
  /** Of the corners in `percent`. */
  readonly share: number;
};

/**
 * By how much a level lies beyond what is called a slip, forwards or backwards, whichever it is nearer to; below zero it
 * is not called. In what the corners say the front counts too, and the limit grows with how uncertain the measurement is
 * and how far back and front disagree. All numbers are chosen on validation films (training/slip_detector/operating_point.py).
 */
function beyondNormal(
  { operatingPoints, reference }: Output['manifest'],
  segment: MeasuredSegment['segment'],
  { percent, deviation, frontBeforeBack, share }: Step,
): { readonly direction: Direction; readonly margin: number } {
  const { anteriorPercentAboveNormal, posteriorPercentBelowNormal, leastPercent, slipEvidence } = operatingPoints;
  const { frontShare, deviations, disagreement } = slipEvidence;
  const aboveNormal = percent + share * frontShare * frontBeforeBack - reference.slipPercent[segment].mean;
  const doubt = deviations * deviation + disagreement * Math.abs(frontBeforeBack);
  // Normal spines lie a little behind zero; a step that only makes up for that is no slip a reader would call one.
  const forwards = Math.min(aboveNormal - anteriorPercentAboveNormal[segment] - doubt, percent - leastPercent.anterior);
  const backwards = Math.min(
    -aboveNormal - posteriorPercentBelowNormal[segment] - doubt,
    -percent - leastPercent.posterior,
  );
  return forwards >= backwards
    ? { direction: 'anterior', margin: forwards }
    : { direction: 'posterior', margin: backwards };
}

/** Meyerding 1932, by quarters of the lower end plate; beyond its whole length the vertebra has fallen off it. */
export function meyerding(percent: number): MeyerdingGrade {
  const slip = Math.abs(percent);
  if (slip <= 25) return 'I';
  if (slip <= 50) return 'II';
  if (slip <= 75) return 'III';
  return slip <= 100 ? 'IV' : 'V';
}

/** The grade as measured, and those that the interval reaches: "grade I to II" where it crosses a boundary. */
export function gradeWords(percent: number, [low, high]: readonly [number, number]): string {
  const least = low <= 0 && high >= 0 ? 0 : Math.min(Math.abs(low), Math.abs(high));
  // Only the side on which the vertebra stands is a slip of this direction.
  const most = percent >= 0 ? high : -low;
  const [from, to] = [meyerding(least), meyerding(most)];
  return from === to ? `grade ${from}` : `grade ${from} to ${to}`;
}

/**
 * The two bodies, the end plate measured along, the slip on it as long as it is told, and the corners that decide with
 * their uncertainty: where the branch sees another slip than they, the line ends beside the moved corner.
 */
function shapesOf(
  bodies: Spine['bodies'],
  upper: BodyLevel,
  lower: BodyLevel | 'S1',
  corners: readonly Corner[],
  covariances: readonly Covariance[],
  percent: number,
): OverlayShape[] {
  const [, back, front] = corners.map(({ at }) => at) as [Point, Point, Point];
  const names = [`${upper} posterior inferior`, `${lower} posterior superior`, `${lower} anterior superior`];
  return [
    { kind: 'polygon', points: outlineOf(bodies[upper]), label: upper },
    ...(lower === 'S1' ? [] : [{ kind: 'polygon', points: outlineOf(bodies[lower]), label: lower } as const]),
    wallOf(upper, bodies[upper]),
    ...(lower === 'S1' ? [] : [wallOf(lower, bodies[lower])]),
    { kind: 'line', from: back, to: front, label: `${lower} upper end plate` },
    { kind: 'line', from: back, to: along(back, front, percent / 100), label: 'slip' },
    ...corners.map(
      ({ at }, index) =>
        ({ kind: 'point', at, label: names[index]!, ellipse: ellipse95(covariances[index]!) }) as const,
    ),
  ];
}

/** What a reader looks along: the step between the walls is the slip. */
const wallOf = (level: BodyLevel, { posteriorSuperior, posteriorInferior }: Body): OverlayShape => ({
  kind: 'line',
  from: posteriorSuperior.at,
  to: posteriorInferior.at,
  label: `${level} posterior wall`,
});

const along = ([x, y]: Point, [toX, toY]: Point, part: number): Point => [x + part * (toX - x), y + part * (toY - y)];

const scaled = ({ xx, yy, xy }: Covariance, factor: number): Covariance => ({
  xx: xx * factor,
  yy: yy * factor,
  xy: xy * factor,
});
/** Without a minus before zero. */
const whole = (value: number): string => String(Math.round(value) + 0);
