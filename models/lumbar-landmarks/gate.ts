/** When not to answer: signals of a film that this model cannot read, and what a person is told then. */
import { centroid, distance, isConvex, mean, median } from '../../src/kit/geometry.ts';
import { viewOf, type NotAssessableReason } from '../../src/kit/model-pack.ts';
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

/** The same formulas as training/lumbar_landmarks/gate.py, where the limits are chosen. */
export function signalsOf(
  { spine, levels, apart }: Answer,
  image: { readonly rows: number; readonly columns: number },
) {
  const lumbar = lumbarLevels.map((level) => spine.bodies[level]);
  const depths = lumbar.map(depthOf);
  const proportions = lumbar.map((body, index) => heightOf(body) / Math.max(depths[index]!, 1e-6));
  const typical = Math.max(median(depths), 1e-6);
  const plate = plateCorners(spine.sacrum);
  const centres = [...lumbar.map((body) => centroid(outlineOf(body))), centroid(plate.map(({ at }) => at))];
  const steps = centres.slice(1).map((centre, index) => distance(centre, centres[index]!) / typical);
  return {
    meanMass: meanMass(measuredCorners(spine)),
    minBodyMass: Math.min(...lumbar.map((body) => meanMass(cornersOf(body)))),
    s1Mass: meanMass(plate),
    levelCertainty: Math.max(...Object.values(levels)),
    facingsApart: median(apart) / typical,
    brokenBodies: lumbar.filter((body) => !isConvex(outlineOf(body))).length,
    depthSpread: Math.max(...depths) / Math.max(Math.min(...depths), 1e-6),
    minHeightToDepth: Math.min(...proportions),
    maxHeightToDepth: Math.max(...proportions),
    minStep: Math.min(...steps),
    maxStep: Math.max(...steps),
    s1OutsideFilm: plate.every((corner) => isOnFilm(corner, image)) ? 0 : 1,
  };
}

export type Signal = keyof ReturnType<typeof signalsOf>;

/** The centres of the outermost pixels are the last places a corner can be seen at. */
export const isOnFilm = (
  { at: [x, y] }: Corner,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): boolean => x >= 0.5 && y >= 0.5 && x <= columns - 0.5 && y <= rows - 0.5;

/** On the film, and as sure as every lumbar body must be: T10 to T12 are read where they are seen. */
export const isMadeOut = (body: Body, { image, manifest }: Output): boolean =>
  cornersOf(body).every((corner) => isOnFilm(corner, image)) &&
  meanMass(cornersOf(body)) >= manifest.operatingPoints.madeOut.bodyMass;

const depthOf = (body: Body): number =>
  (distance(body.anteriorInferior.at, body.posteriorInferior.at) +
    distance(body.anteriorSuperior.at, body.posteriorSuperior.at)) /
  2;
const heightOf = (body: Body): number =>
  (distance(body.posteriorSuperior.at, body.posteriorInferior.at) +
    distance(body.anteriorSuperior.at, body.anteriorInferior.at)) /
  2;
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
  const limits = manifest.operatingPoints;
  const least: Partial<Record<Signal, number>> = limits.gateLeast;
  const most: Partial<Record<Signal, number>> = limits.gateMost;
  const passes = (signal: Signal): boolean => {
    const value = signals[signal];
    return value < (least[signal] ?? -Infinity) || value > (most[signal] ?? Infinity);
  };
  const found = reasons.find(({ when }) => when.some(passes));
  if (found === undefined) return undefined;
  const { reason, explanation } = found;
  return { reason, explanation: typeof explanation === 'string' ? explanation : explanation(answer.levels) };
}

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

/** From what makes the others meaningless to what is least. */
const reasons: readonly {
  readonly when: readonly Signal[];
  readonly reason: NotAssessableReason;
  readonly explanation: string | ((levels: Levels) => string);
}[] = [
  {
    when: ['meanMass', 'brokenBodies'],
    reason: 'wrong-view',
    explanation: 'Not read: this does not look like a lateral lumbar film.',
  },
  {
    when: ['s1OutsideFilm', 's1Mass'],
    reason: 'levels-uncertain',
    explanation: 'Not read: the sacrum cannot be made out, so the levels cannot be counted.',
  },
  {
    when: ['levelCertainty'],
    reason: 'levels-uncertain',
    explanation: (levels) =>
      `Not read: the levels cannot be counted for certain. The disc found as L5/S1 is ${discsOf(levels)}.`,
  },
  {
    when: ['facingsApart'],
    reason: 'levels-uncertain',
    explanation: 'Not read: the film and its mirror image give different answers, so neither is trusted.',
  },
  {
    when: ['depthSpread', 'minHeightToDepth', 'maxHeightToDepth', 'minStep', 'maxStep'],
    reason: 'unusual-anatomy',
    explanation: 'Not read: the vertebrae do not have the proportions this model knows.',
  },
  {
    when: ['minBodyMass'],
    reason: 'unlike-training-data',
    explanation: 'Not read: at least one vertebra cannot be made out with enough certainty.',
  },
];
