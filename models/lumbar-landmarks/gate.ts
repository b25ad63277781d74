/** When not to answer: signals of a film that this model cannot read, and what a person is told then. */
import { centroid, distance, isConvex, mean, median } from '../../src/kit/geometry.ts';
import { viewOf, type NotAssessableReason } from '../../src/kit/model-pack.ts';
import {
  bodyLevels,
  cornersOf,
  measuredCorners,
  outlineOf,
  plateCorners,
  type Body,
  type Corner,
  type Output,
  type Spine,
} from './corners.ts';

export type Refusal = { readonly reason: NotAssessableReason; readonly explanation: string };

/** The same formulas as training/lumbar_landmarks/gate.py, where the limits are chosen. */
export function signalsOf(kept: Spine, other: Spine, image: { readonly rows: number; readonly columns: number }) {
  const lumbar = bodyLevels.slice(1).map((level) => kept.bodies[level]);
  const depths = lumbar.map(depthOf);
  const proportions = lumbar.map((body, index) => heightOf(body) / Math.max(depths[index]!, 1e-6));
  const typical = Math.max(median(depths), 1e-6);
  const plate = plateCorners(kept.sacrum);
  const centres = [...lumbar.map((body) => centroid(outlineOf(body))), centroid(plate.map(({ at }) => at))];
  const steps = centres.slice(1).map((centre, index) => distance(centre, centres[index]!) / typical);
  const others = measuredCorners(other);
  return {
    meanPeak: meanPeak(measuredCorners(kept)),
    minBodyPeak: Math.min(...lumbar.map((body) => meanPeak(cornersOf(body)))),
    s1Peak: meanPeak(plate),
    mirrorDisagreement: median(measuredCorners(kept).map(({ at }, index) => distance(at, others[index]!.at))) / typical,
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

const depthOf = (body: Body): number =>
  (distance(body.anteriorInferior.at, body.posteriorInferior.at) +
    distance(body.anteriorSuperior.at, body.posteriorSuperior.at)) /
  2;
const heightOf = (body: Body): number =>
  (distance(body.posteriorSuperior.at, body.posteriorInferior.at) +
    distance(body.anteriorSuperior.at, body.anteriorInferior.at)) /
  2;
export const meanPeak = (corners: readonly Corner[]): number => mean(corners.map(({ peak }) => peak));

/** A film with less contrast than this is a blank or an unexposed one. */
const leastContrast = 0.02;

export function refusalOf(output: Output, kept: Spine, other: Spine): Refusal | undefined {
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
  const signals = signalsOf(kept, other, image);
  const limits = manifest.operatingPoints;
  const least: Partial<Record<Signal, number>> = limits.gateLeast;
  const most: Partial<Record<Signal, number>> = limits.gateMost;
  const passes = (signal: Signal): boolean => {
    const value = signals[signal];
    return value < (least[signal] ?? -Infinity) || value > (most[signal] ?? Infinity);
  };
  const found = reasons.find(({ when }) => when.some(passes));
  return found && { reason: found.reason, explanation: found.explanation };
}

/** From what makes the others meaningless to what is least. */
const reasons: readonly (Refusal & { readonly when: readonly Signal[] })[] = [
  {
    when: ['meanPeak', 'brokenBodies'],
    reason: 'wrong-view',
    explanation: 'Not read: this does not look like a lateral lumbar film.',
  },
  {
    when: ['s1OutsideFilm', 's1Peak'],
    reason: 'levels-uncertain',
    explanation: 'Not read: the sacrum cannot be made out, so the levels cannot be counted.',
  },
  {
    when: ['mirrorDisagreement'],
    reason: 'levels-uncertain',
    explanation: 'Not read: the film and its mirror image give different answers, so neither is trusted.',
  },
  {
    when: ['depthSpread', 'minHeightToDepth', 'maxHeightToDepth', 'minStep', 'maxStep'],
    reason: 'unusual-anatomy',
    explanation: 'Not read: the vertebrae do not have the proportions this model knows.',
  },
  {
    when: ['minBodyPeak'],
    reason: 'unlike-training-data',
    explanation: 'Not read: at least one vertebra cannot be made out with enough certainty.',
  },
];
