/** What is done with a prepared picture: the pack's networks are run, their answers checked, postprocess called. */
import { WetreadError } from '../domain/errors.ts';
import type { FindingDraft } from '../domain/finding.ts';
import {
  faultOfDrafts,
  type ModelOutput,
  type ModelPack,
  type OutputTensor,
  type PackManifest,
} from '../kit/model-pack.ts';
import { fits, type Networks, type Tensor, type Tensors } from './network.ts';
import type { RunOrder } from './process-messages.ts';

/** A pack whose code is loaded. */
export type WarmPack = { readonly manifest: PackManifest; readonly pack: ModelPack };
export type PackJob = Omit<RunOrder, 'kind' | 'id'>;
export type PackAnswer = {
  readonly findings: readonly FindingDraft[];
  /** The networks alone. */
  readonly netMs: number;
};

/** `postprocessing` is called when the networks are done: from there on the time is the pack's own code. */
export async function runPack(
  served: WarmPack,
  networks: Networks,
  job: PackJob,
  postprocessing: () => void,
): Promise<PackAnswer> {
  const started = performance.now();
  const outputs = await runNet(served.manifest, networks, job);
  const netMs = performance.now() - started;
  postprocessing();
  return { findings: postprocess(served, job, outputs), netMs };
}

function feeds(manifest: PackManifest, canvas: Float32Array, bothFacings: boolean): Tensors {
  const [, , height, width] = manifest.input.shape;
  const data = bothFacings ? withMirrorImage(canvas, width) : canvas;
  const dims = [data.length / (height * width), 1, height, width];
  return { [manifest.input.tensor]: { type: 'float32', dims, data } };
}

function withMirrorImage(canvas: Float32Array, width: number): Float32Array {
  const both = new Float32Array(canvas.length * 2);
  both.set(canvas);
  for (let row = 0; row < canvas.length; row += width) {
    both.set(canvas.subarray(row, row + width), canvas.length + row);
    both.subarray(canvas.length + row, canvas.length + row + width).reverse();
  }
  return both;
}

async function runNet(manifest: PackManifest, networks: Networks, job: PackJob): Promise<Record<string, OutputTensor>> {
  const network = networks['main'];
  if (network === undefined) throw new WetreadError('model.run-failed', `${manifest.name} has no network called main`);
  const results = await network.run(feeds(manifest, job.canvas, job.bothFacings));
  const wanted = Object.keys(manifest.outputs);
  return Object.fromEntries(wanted.map((name) => [name, checkedOutput(name, results[name], manifest)]));
}

function checkedOutput(name: string, tensor: Tensor | undefined, manifest: PackManifest): OutputTensor {
  const declared = manifest.outputs[name]!;
  if (tensor?.type !== 'float32') throw new WetreadError('model.bad-output', `${name} is not a float32 tensor`);
  const { data, dims } = tensor;
  if (!fits(declared.shape, dims)) {
    throw new WetreadError('model.bad-output', `${name} has shape [${dims.join(', ')}]`);
  }
  if (!data.every(Number.isFinite))
    throw new WetreadError('model.bad-output', `${name} holds values that are not numbers`);
  return { dims, data };
}

function postprocess(
  { manifest, pack }: WarmPack,
  job: PackJob,
  outputs: Record<string, OutputTensor>,
): readonly FindingDraft[] {
  const { placement } = job;
  const magnification = [placement.columns / placement.width, placement.rows / placement.height] as const;
  const output: ModelOutput = {
    outputs,
    manifest,
    image: {
      rows: placement.rows,
      columns: placement.columns,
      ...(job.spacing && { spacing: job.spacing }),
      tags: job.tags,
      mean: job.mean,
      standardDeviation: job.standardDeviation,
    },
    toImage: (x, y) => [(x + 0.5 - placement.left) * magnification[0], (y + 0.5 - placement.top) * magnification[1]],
    magnification,
    sopUid: job.sopUid,
    frame: job.frame,
  };
  let findings: readonly FindingDraft[];
  try {
    findings = pack.postprocess(output);
  } catch (thrown) {
    const words = (thrown instanceof Error ? thrown.message : String(thrown)).split('\n', 1)[0]!.slice(0, 500);
    throw new WetreadError('model.postprocess-failed', words, { cause: thrown });
  }
  const fault = faultOfDrafts(findings);
  if (fault !== undefined) throw new WetreadError('model.postprocess-failed', `the findings are not usable: ${fault}`);
  return findings;
}
