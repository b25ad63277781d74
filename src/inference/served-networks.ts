/** The networks of a pack, read from its manifest for whichever runtime opens them. */
import { fieldNames, isShort } from '../kit/pack-manifest.ts';
import type { NetworkSpec } from './network.ts';
import type { ServedPack } from './process-messages.ts';

export function networksOf({ manifest, manifestFile, weightsFiles }: ServedPack): readonly NetworkSpec[] {
  const fields = fieldNames(isShort(manifest));
  return Object.entries(manifest.networks).map(([network, { weights, inputs, outputs }]) => ({
    pack: manifest.name,
    version: manifest.version,
    network,
    weightsFile: weightsFiles[network]!,
    sha256: weights.sha256,
    manifestFile,
    deadlineMs: manifest.deadlineMs,
    batch: Object.values(inputs).some(({ preprocess }) => preprocess?.at(-1)?.step === 'both-facings') ? 2 : 1,
    inputs: Object.fromEntries(
      Object.entries(inputs).map(([name, { type, shape }]) => [
        name,
        { type, shape, field: fields.input(network, name).join('.') },
      ]),
    ),
    outputs: Object.fromEntries(
      Object.entries(outputs).map(([name, { type, shape }]) => [
        name,
        { type, shape, field: [...fields.outputs(network), name].join('.') },
      ]),
    ),
  }));
}
