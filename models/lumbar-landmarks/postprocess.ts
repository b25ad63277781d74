/** From the net's corners to findings: may the film be read, does a vertebra slip, how high are the bodies. */
import { definePack, type FindingDraft } from '../../src/kit/model-pack.ts';
import { bodyLevels, landmarksOf, outlineOf, readSpines } from './corners.ts';
import { refusalOf } from './gate.ts';
import { heightFindings } from './heights.ts';
import manifest from './manifest.json' with { type: 'json' };
import { slipFindings } from './slip.ts';

export default definePack(manifest, {
  postprocess(output) {
    const { kept, other } = readSpines(output);
    const { sopUid, frame } = output;
    const view = { concept: 'view-and-quality', site: { kind: 'image' }, measurements: [] } as const;
    const refusal = refusalOf(output, kept, other);
    if (refusal !== undefined) {
      const refused: FindingDraft = {
        ...view,
        result: { kind: 'not-assessable', ...refusal },
        summary: refusal.explanation,
      };
      // Where the corners would have been is told all the same: whoever looks into a refusal wants to see them.
      return { findings: [refused], landmarks: landmarksOf(output, kept) };
    }
    const readable: FindingDraft = {
      ...view,
      result: { kind: 'not-detected' },
      summary: 'Lateral lumbar film, L1 to S1 made out',
      evidence: {
        sopUid,
        frame,
        shapes: [
          ...bodyLevels.map(
            (level) => ({ kind: 'polygon', points: outlineOf(kept.bodies[level]), label: level }) as const,
          ),
          { kind: 'line', from: kept.sacrum.posteriorSuperior.at, to: kept.sacrum.anteriorSuperior.at, label: 'S1' },
        ],
      },
    };
    const slips = slipFindings(output, kept);
    return {
      findings: [readable, ...slips.findings, ...heightFindings(output, kept)],
      landmarks: landmarksOf(output, kept),
      scores: slips.scores,
    };
  },
});
