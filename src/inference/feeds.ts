/** The tensors of one run: made from whole pictures beforehand, from regions now, or given by the pack's own code. */
import { WetreadError } from '../domain/errors.ts';
import type { Region } from '../kit/model-pack.ts';
import type { NetworkInput, NetworkManifest } from '../kit/network-manifest.ts';
import type { Tensor } from './network.ts';
import { prepare, readsRegions, type PreparedInput, type PrepareOptions } from './preprocess.ts';
import type { PackJob } from './pack-job.ts';
import { tensorOf } from './to-tensor.ts';
import { areFinite } from './values.ts';

export type Feeds = {
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** Along the batch axis. */
  readonly items: number;
  /** Of the input that is a picture; the first where there are several. */
  readonly picture?: PreparedInput;
};

type Given = {
  readonly regions?: readonly Region[];
  readonly feeds?: Readonly<Record<string, { readonly dims: readonly number[]; readonly data: ArrayLike<number> }>>;
};

/** Nobody means to look at more parts of one picture; a loop gone wrong would. */
const mostRegions = 256;

export async function feedsFor(
  network: string,
  { inputs }: NetworkManifest,
  job: PackJob,
  { regions, feeds = {} }: Given,
): Promise<Feeds> {
  if ((regions?.length ?? 0) > mostRegions)
    throw new WetreadError('model.postprocess-failed', `${regions!.length} regions, at most ${mostRegions} are read`);
  const tensors: Record<string, Tensor> = {};
  let picture: PreparedInput | undefined;
  for (const [name, input] of Object.entries(inputs)) {
    if (input.preprocess === undefined) {
      const given = feeds[name];
      if (given === undefined)
        throw new WetreadError('model.postprocess-failed', `${network} was run without the numbers for ${name}`);
      tensors[name] = givenTensor(name, input, given);
      continue;
    }
    const prepared = readsRegions(input) ? await fromRegions(job, input, regions) : job.inputs[network]?.[name];
    if (prepared === undefined)
      throw new WetreadError('model.run-failed', `nothing was prepared for ${network}.${name}`);
    picture ??= prepared;
    if (prepared.items > 0) tensors[name] = tensorOf(prepared, input);
  }
  const items = picture === undefined ? (Object.values(tensors)[0]?.dims[0] ?? 0) : picture.maps.length;
  return { tensors, items, ...(picture && { picture }) };
}

async function fromRegions(job: PackJob, input: NetworkInput, regions: readonly Region[] | undefined) {
  const [picture] = job.pictures;
  if (picture === undefined || job.native === undefined)
    throw new WetreadError('model.run-failed', 'the picture was not sent along');
  const options: PrepareOptions = regions === undefined ? {} : { regions };
  const { native: intensities, hounsfield } = job;
  return prepare([{ ...picture, intensities, ...(hounsfield && { hounsfield }) }], input.preprocess!, options);
}

function givenTensor(
  name: string,
  { type, shape }: NetworkInput,
  { dims, data }: { readonly dims: readonly number[]; readonly data: ArrayLike<number> },
): Tensor {
  const count = dims.reduce((product, size) => product * size, 1);
  const fit =
    dims.length === shape.length && shape.every((size, axis) => typeof size === 'string' || size === dims[axis]);
  if (!fit || count !== data.length) {
    const detail = `${name} was given ${data.length} numbers as [${dims.join(', ')}], it takes [${shape.join(', ')}]`;
    throw new WetreadError('model.postprocess-failed', detail);
  }
  const values = Float32Array.from(data);
  if (!areFinite(values))
    throw new WetreadError('model.postprocess-failed', `${name} was given values that are not numbers`);
  if (type === 'float16') return { type, dims, data: new Float16Array(values) };
  return type === 'uint8'
    ? { type, dims, data: new Uint8Array(new Uint8ClampedArray(values).buffer) }
    : { type, dims, data: values };
}
