/** The networks of a pack, read from its manifest for whichever runtime opens them. */
import type { NetworkSpec } from './network.ts';
import type { ServedPack } from './process-messages.ts';

export function networksOf({ manifest, manifestFile, weightsFile }: ServedPack): readonly NetworkSpec[] {
  const { tensor, type, shape, preprocess } = manifest.input;
  return [
    {
      pack: manifest.name,
      version: manifest.version,
      network: 'main',
      weightsFile,
      sha256: manifest.weights.sha256,
      manifestFile,
      batch: preprocess.some(({ step }) => step === 'both-facings') ? 2 : 1,
      deadlineMs: manifest.deadlineMs,
      inputs: { [tensor]: { type, shape, field: 'input' } },
      outputs: Object.fromEntries(
        Object.entries(manifest.outputs).map(([name, output]) => [name, { ...output, field: `outputs.${name}` }]),
      ),
    },
  ];
}
