/** Runs a pack's code on real ONNX Runtime in this process: what a model process does, without the process. */
import { stat } from 'node:fs/promises';
import type { GreyImage } from '../../src/domain/image.ts';
import { sha256Of } from '../../src/inference/load-packs.ts';
import { openOnnxNetwork } from '../../src/inference/onnx-runtime.ts';
import type { Network } from '../../src/inference/network.ts';
import { packJob } from '../../src/inference/pack-job.ts';
import { runPack, type PackAnswer, type RunSeen } from '../../src/inference/run-pack.ts';
import { networksOf } from '../../src/inference/served-networks.ts';
import { parseManifest, type ModelPack, type PackManifest } from '../../src/kit/model-pack.ts';
import { onnxFile } from './fixture-pack.ts';

type NetworkOf = {
  readonly onnx: string;
  readonly inputs: object;
  readonly outputs: object;
  readonly hardware?: object;
};

/** A manifest of several networks with everything that does not matter here. */
export async function manifestOf(
  networks: Readonly<Record<string, NetworkOf>>,
  more: Readonly<Record<string, unknown>> = {},
): Promise<PackManifest> {
  const written: Record<string, unknown> = {};
  for (const [name, { onnx, ...rest }] of Object.entries(networks)) {
    const file = onnxFile(onnx);
    const weights = { file: `${onnx}.onnx`, sha256: await sha256Of(file), bytes: (await stat(file)).size };
    written[name] = { weights, ...rest };
  }
  return parseManifest(
    JSON.stringify({
      name: 'in-process',
      version: '1.0.0',
      title: 'Tiny nets',
      intendedUse: 'Tests.',
      contraindications: [],
      limitations: ['Know nothing.'],
      trainedOn: 'Nothing.',
      licence: { code: 'Apache-2.0', weights: 'Apache-2.0', data: 'none' },
      demonstration: true,
      selection: { modalities: ['DX'], regions: ['lumbar-spine'], views: ['lateral'], spacing: 'optional' },
      networks: written,
      operatingPoints: {},
      deadlineMs: 30_000,
      ...more,
    }),
    'models/in-process/manifest.json',
  );
}

export type Watched = PackAnswer & { readonly seen: readonly RunSeen[]; readonly runs: number };

export async function runHere(manifest: PackManifest, pack: ModelPack, images: readonly GreyImage[]): Promise<Watched> {
  const weightsFiles = Object.fromEntries(
    Object.entries(manifest.networks).map(([name, { weights }]) => [name, onnxFile(weights.file.replace('.onnx', ''))]),
  );
  const served = { manifest, manifestFile: 'manifest.json', weightsFiles, postprocessFile: '' };
  let runs = 0;
  const networks: Record<string, Network> = {};
  for (const spec of networksOf(served)) {
    const { network } = await openOnnxNetwork(spec, {
      kind: 'onnx-runtime',
      provider: 'cpu',
      threads: 1,
      batch: { most: 1, waitMs: 0 },
    });
    networks[spec.network] = {
      run: (feeds) => {
        runs += 1;
        return network.run(feeds);
      },
    };
  }
  const seen: RunSeen[] = [];
  const answer = await runPack({ manifest, pack }, networks, await packJob(manifest, images), {
    watch: (run) => seen.push(run),
  });
  return { ...answer, seen, runs };
}
