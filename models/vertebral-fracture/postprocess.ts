/** Fractures of vertebrae: corners of the spine, a crop of each body, features by hand and by network, a class for each. */
import { distance, ellipse95 } from '../../src/kit/geometry.ts';
import { defineChain, type FindingDraft, type OutputTensor, type PackReading } from '../../src/kit/model-pack.ts';
import type { BodyCorners } from '../../src/kit/upright-crop.ts';
import {
  answerOf,
  bodyLevels,
  cornersOf,
  lumbarLevels,
  outlineOf,
  type Body,
  type BodyLevel,
  type Output,
  type Spine,
} from '../lumbar-landmarks/corners.ts';
import { isMadeOut, refusalOf } from '../lumbar-landmarks/gate.ts';
import { heightLossOf, isWhole } from '../lumbar-landmarks/heights.ts';
import landmarksManifest from '../lumbar-landmarks/manifest.json' with { type: 'json' };
import { judgedFinding, notJudged, scaled } from './findings.ts';
import { classes, hollowOf } from './linear-model.ts';
import { cropsTensor, cut, explanationOf, heatmapOf, judged, type Cut } from './look.ts';
import manifest from './manifest.json' with { type: 'json' };

type Reading = PackReading<typeof manifest>;

export default defineChain(manifest, {
  async read(reading) {
    // The corner finder's own code reads its answer, by its own manifest: names, gate, how sure it is.
    const output = { ...reading, ...(await reading.run('corners')), manifest: landmarksManifest } as unknown as Output;
    const answer = answerOf(output);
    const { spine } = answer;
    const refusal = refusalOf(output, answer);
    if (refusal !== undefined) {
      const result = { kind: 'not-assessable', ...refusal } as const;
      const refused: FindingDraft = {
        concept: 'view-and-quality',
        site: { kind: 'image' },
        result,
        measurements: [],
        summary: refusal.explanation,
      };
      return { findings: [refused] };
    }

    const film = reading.grey();
    const looks = bodyLevels.flatMap((level) => {
      const look = lookAt(output, film, spine, level);
      return look === undefined ? [] : [{ level, body: spine.bodies[level], ...look }];
    });
    const cuts = looks.flatMap(({ taken }) => (taken === undefined ? [] : [taken]));
    const { features, maps } = await seen(reading, cuts);
    const width = features.dims[1]!;
    const scores: Record<string, number> = {};
    const findings = looks.map(({ level, body, taken, refused }): FindingDraft => {
      if (taken === undefined) return refused!;
      const item = cuts.indexOf(taken);
      const deep = features.data.subarray(item * width, (item + 1) * width);
      const one = judged(taken, deep);
      if (!one.isLikeTrainingData)
        return notJudged(level, 'unlike-training-data', 'does not look like any vertebra this model was trained on');
      for (const [index, name] of classes.entries()) scores[`OVF class@${level}=${name}`] = one.probabilities[index]!;
      const hollow = hollowOf(deep);
      return judgedFinding(output, {
        level,
        body,
        judged: one,
        loss: heightLossOf(output, spine, level, hollow),
        hollow,
        explanation: explanationOf(one, manifest.settings.definition),
        heatmap: heatmapOf(taken, one, maps, item),
      });
    });
    return { findings, scores };
  },
});

type Look = { readonly taken?: Cut; readonly refused?: FindingDraft };

/** Each lumbar vertebra is judged or told why not; those above are judged where the film shows them, and no word is said where not. */
function lookAt(
  output: Output,
  film: ReturnType<Reading['grey']>,
  { bodies }: Spine,
  level: BodyLevel,
): Look | undefined {
  const body = bodies[level];
  if (isMadeOut(body, output) && isSure(output, body)) {
    const taken = cut(film, outlineOf(body) as unknown as BodyCorners);
    return taken === undefined ? { refused: notJudged(level, 'poor-quality', 'shows hardly any contrast') } : { taken };
  }
  if (!lumbarLevels.some((one) => one === level)) return undefined;
  if (!isWhole(body, output.image))
    return { refused: notJudged(level, 'level-not-visible', 'is not wholly on the film') };
  // The corner finder's words for the same corners: made out is made out, though heights need them surer than levels do.
  return {
    refused: isMadeOut(body, output)
      ? notJudged(level, 'unlike-training-data', 'is made out, but its corners are not certain enough to judge it by')
      : notJudged(level, 'unlike-training-data', 'cannot be made out with enough certainty'),
  };
}

/** Its corners must be sure enough to crop by and to measure. */
function isSure({ manifest: { operatingPoints } }: Output, body: Body): boolean {
  const [pi, ai, as, ps] = outlineOf(body) as unknown as BodyCorners;
  const depth = (distance(ai, pi) + distance(as, ps)) / 2;
  const widest = Math.max(
    ...cornersOf(body).map(({ covariance }) => ellipse95(scaled(covariance, operatingPoints.varianceScale.height)).rx),
  );
  return widest <= manifest.operatingPoints.corners.mostSpreadToDepth * depth;
}

async function seen({ run }: Reading, cuts: readonly Cut[]): Promise<{ features: OutputTensor; maps: OutputTensor }> {
  if (cuts.length === 0) {
    const empty = { dims: [0, 0, 0, 0], data: new Float32Array(0) };
    return { features: empty, maps: empty };
  }
  const { outputs } = await run('backbone', { feeds: { crops: cropsTensor(cuts) } });
  return outputs;
}
