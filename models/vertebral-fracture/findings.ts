/** What is said of one vertebra: a class where it could be judged, the height lost beside it, and why not where it could not. */
import { ellipse95, type Covariance } from '../../src/kit/geometry.ts';
import type {
  FindingDraft,
  FindingExplanation,
  Grade,
  Measurement,
  NotAssessableReason,
  OverlayShape,
  OvfClass,
} from '../../src/kit/model-pack.ts';
import { cornersOf, outlineOf, type Body, type BodyLevel, type Output } from '../lumbar-landmarks/corners.ts';
import { genantGrade, heightLines, type HeightLoss, type Hollow } from '../lumbar-landmarks/heights.ts';
import { classes, type Judged } from './linear-model.ts';
import manifest from './manifest.json' with { type: 'json' };

const { definition, detectedFrom, trainedOnWords } = manifest.settings;

const about = (level: BodyLevel) => ({ concept: 'vertebral-fracture', site: { kind: 'vertebra', level } }) as const;

export function notJudged(level: BodyLevel, reason: NotAssessableReason, because: string): FindingDraft {
  const explanation = `${level} ${because}.`;
  return {
    ...about(level),
    result: { kind: 'not-assessable', reason, explanation },
    measurements: [],
    summary: `${level} not judged: it ${because}`,
  };
}

export type Seen = {
  readonly level: BodyLevel;
  readonly body: Body;
  readonly judged: Judged;
  readonly loss: HeightLoss | undefined;
  readonly hollow: Hollow;
  readonly explanation: FindingExplanation;
  readonly heatmap: readonly OverlayShape[];
};

export function judgedFinding(
  output: Output,
  { level, body, judged, loss, hollow, explanation, heatmap }: Seen,
): FindingDraft {
  const { sopUid, frame } = output;
  const ovf = classes[judged.leading] as OvfClass;
  const genant = loss && genantGrade(loss.worst.value);
  const grades: Grade[] = [
    { scale: 'OVF class', value: ovf, definition },
    ...(genant === undefined ? [] : [{ scale: 'Genant', value: genant } as const]),
  ];
  const between = loss?.middle === undefined ? [] : [loss.middle];
  const measurements: Measurement[] = loss === undefined ? [] : [loss.worst, loss.anterior, ...between, loss.posterior];
  const finding = { ...about(level), measurements };
  const outline: OverlayShape = { kind: 'polygon', points: outlineOf(body), label: level };
  const plain = { sopUid, frame, shapes: [outline] };
  const lost = loss === undefined ? 'height not measured' : inWords(loss.worst.value);
  const called = Number(ovf) >= Number(detectedFrom);
  const shapes = [outline, ...heightLines(body, level, loss, hollow), ...cornerPoints(output, body, level), ...heatmap];
  if (called && mayHaveLostHeight(loss)) {
    return {
      ...finding,
      result: { kind: 'detected', grades },
      summary: `Suspected OVF class ${ovf} at ${level} (${definition}; ${trainedOnWords}), ${lost}${genant === undefined ? '' : `, Genant ${genant}`}`,
      evidence: { sopUid, frame, shapes },
      explanation,
    };
  }
  // The crop and the corners disagree: neither a suspicion nor a clean answer.
  if (called) {
    return {
      ...finding,
      result: { kind: 'measured', grades },
      summary: `${level} looks like OVF class ${ovf} (${definition}; ${trainedOnWords}), but has its usual height (${lost}): not suspected`,
      evidence: { sopUid, frame, shapes },
      explanation,
    };
  }
  const [least] = loss?.worst.interval ?? [0];
  if (loss !== undefined && genantGrade(least) !== '0') {
    return {
      ...finding,
      result: { kind: 'measured', grades },
      summary: `${level} is lower than usual (${lost}, Genant ${genant}), though no fracture is suspected from its look`,
      evidence: { ...plain, shapes: [outline, ...heightLines(body, level, loss, hollow)] },
      explanation,
    };
  }
  return {
    ...finding,
    result: { kind: 'not-detected', grades },
    summary: `No fracture suspected at ${level} (${lost})`,
    evidence: plain,
  };
}

/**
 * A fracture is a loss of height (Genant: a fifth); a crop that looks like one, of a body that has certainly lost less,
 * is more often a film unlike the drawings. Where nothing could be measured, the look decides. What the network says
 * between the walls errs more than the walls' corners, so it must itself reach a fifth.
 */
function mayHaveLostHeight(loss: HeightLoss | undefined): boolean {
  if (loss === undefined) return true;
  const least = manifest.operatingPoints.suspicion.leastLossPercent;
  const walls = [loss.anterior, loss.posterior].map(({ value, interval }) => interval?.[1] ?? value);
  return Math.max(...walls) >= least || (loss.middle?.value ?? 0) >= least;
}

function cornerPoints({ manifest: { operatingPoints } }: Output, body: Body, level: BodyLevel): OverlayShape[] {
  const names = ['posterior inferior', 'anterior inferior', 'anterior superior', 'posterior superior'];
  return cornersOf(body).map(({ at, covariance }, index) => ({
    kind: 'point',
    at,
    label: `${level} ${names[index]}`,
    ellipse: ellipse95(scaled(covariance, operatingPoints.varianceScale.height)),
  }));
}

export const scaled = ({ xx, yy, xy }: Covariance, factor: number): Covariance => ({
  xx: xx * factor,
  yy: yy * factor,
  xy: xy * factor,
});

/** A body taller than its neighbours foretell has lost nothing. */
const inWords = (lossPercent: number): string =>
  lossPercent < 0.5 ? 'no height lost' : `height loss ${Math.round(lossPercent)} %`;
