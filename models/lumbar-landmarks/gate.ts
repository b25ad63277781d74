/** When not to answer: signals of a film that this model cannot read, and what a person is told then. */
import { centroid, distance, isConvex, mean, median } from '../../src/kit/geometry.ts';
import { viewOf, type NotAssessableReason, type Point } from '../../src/kit/model-pack.ts';
import {
  cornersOf,
  lumbarLevels,
  measuredCorners,
  outlineOf,
  plateCorners,
  type Answer,
  type Body,
  type Corner,
  type Levels,
  type Output,
} from './corners.ts';

export type Refusal = { readonly reason: NotAssessableReason; readonly explanation: string };

/** From this share of a body's depth on, the film and its mirror image show another vertebra. */
const farApart = 0.5;

/** The same formulas as training/lumbar_landmarks/gate.py, where the weights are chosen. */
export function signalsOf({ spine, levels, apart }: Answer, image: Size) {
  const lumbar = lumbarLevels.map((level) => spine.bodies[level]);
  const typical = Math.max(median(lumbar.map(depthOf)), 1e-6);
  const centres = lumbar.map((body) => centroid(outlineOf(body)));
  const steps = centres.slice(1).map((centre, index) => distance(centre, centres[index]!));
  const [x, y] = centroid(plateCorners(spine.sacrum).map(({ at }) => at));
  return {
    missingMass: 1 - meanMass(measuredCorners(spine)),
    levelDoubt: 1 - Math.max(...Object.values(levels)),
    facingsApart: apart.filter((away) => away > farApart * typical).length / apart.length,
    cornerSpread: Math.max(...lumbar.map((body) => median(cornersOf(body).map(spreadOf)))) / typical,
    stepUnevenness: 1 - Math.min(...steps) / Math.max(...steps, 1e-6),
    brokenBodies: lumbar.filter((body) => !isConvex(outlineOf(body))).length,
    // One corner of S1 beyond the edge does not hide the sacrum from whoever counts.
    s1OutsideFilm: isWithin([x, y], image) ? 0 : 1,
  };
}

type Size = { readonly rows: number; readonly columns: number };

/** The centres of the outermost pixels are the last places a corner can be seen at. */
const isWithin = ([x, y]: Point, { rows, columns }: Size): boolean =>
  x >= 0.5 && y >= 0.5 && x <= columns - 0.5 && y <= rows - 0.5;
export const isOnFilm = ({ at }: Corner, image: Size): boolean => isWithin(at, image);

/** On the film, and as sure as every lumbar body must be: T10 to T12 are read where they are seen. */
export const isMadeOut = (body: Body, { image, manifest }: Output): boolean =>
  cornersOf(body).every((corner) => isOnFilm(corner, image)) &&
  meanMass(cornersOf(body)) >= manifest.operatingPoints.madeOut.bodyMass;

const depthOf = (body: Body): number =>
  (distance(body.anteriorInferior.at, body.posteriorInferior.at) +
    distance(body.anteriorSuperior.at, body.posteriorSuperior.at)) /
  2;
const spreadOf = ({ covariance: { xx, yy } }: Corner): number => Math.sqrt(Math.max(xx + yy, 0));
export const meanMass = (corners: readonly Corner[]): number => mean(corners.map(({ mass }) => mass));

/** A film with less contrast than this is a blank or an unexposed one. */
const leastContrast = 0.02;

export function refusalOf(output: Output, answer: Answer): Refusal | undefined {
  const { image, manifest } = output;
  if (image.standardDeviation < leastContrast) {
    return { reason: 'poor-quality', explanation: 'Not read: there is hardly any contrast on this film.' };
  }
  // Front and side views of one visit lie in one study: a false reading of the front view could outshine the right one.
  const claimed = image.tags.viewPosition === undefined ? undefined : viewOf(image.tags.viewPosition);
  if (claimed === 'frontal' || claimed === 'oblique') {
    return {
      reason: 'wrong-view',
      explanation: `Not read: the film is labelled as ${claimed}, and this model reads lateral films.`,
    };
  }
  const signals = signalsOf(answer, image);
  const never = impossible.find(({ signal }) => signals[signal] > 0);
  if (never !== undefined) return { reason: never.reason, explanation: `Not read: ${never.says}.` };
  const doubt = doubtOf(signals, manifest.operatingPoints);
  if (mostOf(doubt) <= 1) return undefined;
  const [first, ...others] = doubt;
  const told = [first!, ...others.filter(({ share }) => share >= tellingShare * mostOf(doubt))];
  const says = told.map(({ cause }) => (typeof cause.says === 'string' ? cause.says : cause.says(answer.levels)));
  return { reason: first!.cause.reason, explanation: `Not read: ${says.join('; ')}.` };
}

/** What each signal adds to the doubt, the most first: a film is refused when all together exceed 1. */
export const doubtOf = (
  signals: Readonly<Record<Weighed, number>>,
  { gateUsual, gateWeight }: Output['manifest']['operatingPoints'],
): readonly { readonly cause: Cause; readonly share: number }[] =>
  causes
    .map((cause) => {
      const { signal } = cause;
      return { cause, share: gateWeight[signal] * Math.max(0, signals[signal] - gateUsual[signal]) };
    })
    .toSorted((one, other) => other.share - one.share);

const mostOf = (doubt: readonly { readonly share: number }[]): number =>
  doubt.reduce((sum, { share }) => sum + share, 0);

/** "L5/S1 (60 %) or L4/L5 (38 %)": where the lowest disc that was found truly lies, the likeliest first. */
const discsOf = (levels: Levels): string =>
  (
    [
      ['S1/S2', levels.oneLower],
      ['L5/S1', levels.asNamed],
      ['L4/L5', levels.oneHigher],
    ] as const
  )
    .filter(([, chance]) => chance >= 0.01)
    .toSorted(([, one], [, other]) => other - one)
    .map(([disc, chance]) => `${disc} (${Math.round(100 * chance)} %)`)
    .join(' or ');

type Weighed = 'missingMass' | 'levelDoubt' | 'facingsApart' | 'cornerSpread' | 'stepUnevenness';
type Cause = {
  readonly signal: Weighed;
  readonly reason: NotAssessableReason;
  readonly says: string | ((levels: Levels) => string);
};

/** A cause is told beside the main one from this share of all doubt on. */
const tellingShare = 0.3;

const causes: readonly Cause[] = [
  { signal: 'missingMass', reason: 'wrong-view', says: 'this does not look like a lateral lumbar film' },
  {
    signal: 'levelDoubt',
    reason: 'levels-uncertain',
    says: (levels) => `the levels cannot be counted for certain: the disc found as L5/S1 is ${discsOf(levels)}`,
  },
  {
    signal: 'facingsApart',
    reason: 'levels-uncertain',
    says: 'the film and its mirror image give different answers, so neither is trusted',
  },
  {
    signal: 'cornerSpread',
    reason: 'unlike-training-data',
    says: 'the corners of at least one vertebra cannot be made out with enough certainty',
  },
  {
    signal: 'stepUnevenness',
    reason: 'unusual-anatomy',
    says: 'the vertebrae do not follow each other in the steps this model knows',
  },
];

/** What no readable film shows refuses it by itself. */
const impossible: readonly {
  readonly signal: 'brokenBodies' | 's1OutsideFilm';
  readonly reason: NotAssessableReason;
  readonly says: string;
}[] = [
  { signal: 'brokenBodies', reason: 'wrong-view', says: 'this does not look like a lateral lumbar film' },
  {
    signal: 's1OutsideFilm',
    reason: 'levels-uncertain',
    says: 'the sacrum cannot be made out, so the levels cannot be counted',
  },
];
