/** From the net's corners to findings: may the film be read, does a vertebra slip, how high are the bodies. */
import { definePack, type FindingDraft } from '../../src/kit/model-pack.ts';
import { bodyLevels, landmarksOf, outlineOf, answerOf } from './corners.ts';
import { isMadeOut, refusalOf } from './gate.ts';
import { heightFindings } from './heights.ts';
import manifest from './manifest.json' with { type: 'json' };
import { slipFindings } from './slip.ts';

export default definePack(manifest, {
  postprocess(output) {
    const answer = answerOf(output);
    const { spine } = answer;
    const { sopUid, frame } = output;
    const view = { concept: 'view-and-quality', site: { kind: 'image' }, measurements: [] } as const;
    const refusal = refusalOf(output, answer);
    if (refusal !== undefined) {
      const refused: FindingDraft = {
        ...view,
        result: { kind: 'not-assessable', ...refusal },
        summary: refusal.explanation,
      };
      // Where the corners would have been is told all the same: whoever looks into a refusal wants to see them.
      return { findings: [refused], landmarks: landmarksOf(output, spine) };
    }
    const readable: FindingDraft = {
      ...view,
      result: { kind: 'not-detected' },
      summary: 'Lateral lumbar film, L1 to S1 made out',
      evidence: {
        sopUid,
        frame,
        shapes: [
          ...bodyLevels
            .filter((level) => isMadeOut(spine.bodies[level], output))
            .map((level) => ({ kind: 'polygon', points: outlineOf(spine.bodies[level]), label: level }) as const),
          { kind: 'line', from: spine.sacrum.posteriorSuperior.at, to: spine.sacrum.anteriorSuperior.at, label: 'S1' },
        ],
      },
    };
    const slips = slipFindings(output, answer);
    return {
      findings: [readable, ...slips.findings, ...heightFindings(output, spine)],
      landmarks: landmarksOf(output, spine),
      scores: slips.scores,
    };
  },
});
