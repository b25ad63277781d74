/** What is done with prepared pictures: the pack's networks are run, their answers checked, the pack's own code called. */
import { WetreadError } from '../domain/errors.ts';
import type { FindingDraft, Landmark } from '../domain/finding.ts';
import {
  faultOfAnswer,
  type ModelOutput,
  type ModelPack,
  type NetworkAnswer,
  type OutputTensor,
  type PackAnswer as AnswerOfPack,
  type PackManifest,
  type PackReading,
  type Region,
} from '../kit/model-pack.ts';
import type { NetworkManifest } from '../kit/network-manifest.ts';
import { calibrated } from './calibrate.ts';
import { explanationShapes, type Explained } from './explain-shapes.ts';
import { feedsFor, type Feeds } from './feeds.ts';
import { fits, type Network, type Networks, type Tensor, type Tensors } from './network.ts';
import { magnificationOf, throughMap, type PlaceMap } from './place-map.ts';
import { runInParts } from './rows.ts';
import { regionOf } from './planes.ts';
import type { PackJob } from './pack-job.ts';
import { areFinite } from './values.ts';

/** A pack whose code is loaded. */
export type WarmPack = { readonly manifest: PackManifest; readonly pack: ModelPack };

export type PackAnswer = {
  readonly findings: readonly FindingDraft[];
  readonly landmarks?: readonly Landmark[];
  readonly scores?: Readonly<Record<string, number>>;
  /** The networks alone. */
  readonly netMs: number;
};

/** One run of a network as `wetread models explain` sees it. */
export type RunSeen = {
  readonly network: string;
  readonly feeds: Feeds;
  readonly regions: readonly Region[];
  readonly answer: NetworkAnswer;
};

export type RunPackOptions = {
  /** Called whenever a network has answered: from there on the time is the pack's own code. */
  readonly postprocessing?: () => void;
  readonly watch?: (run: RunSeen) => void;
};

export async function runPack(
  { manifest, pack }: WarmPack,
  networks: Networks,
  job: PackJob,
  { postprocessing, watch }: RunPackOptions = {},
): Promise<PackAnswer> {
  let netMs = 0;
  const around = surroundings(manifest, job);

  const run = async (network: string, on: { regions?: readonly Region[]; feeds?: GivenFeeds } = {}) => {
    const declared = manifest.networks[network];
    const opened = networks[network];
    if (declared === undefined || opened === undefined)
      throw new WetreadError('model.run-failed', `${manifest.name} has no network called ${network}`);
    const feeds = await feedsFor(network, declared, job, on);
    const started = performance.now();
    const outputs = await runOn(opened, declared, feeds);
    netMs += performance.now() - started;
    postprocessing?.();
    const checked = Object.fromEntries(
      Object.entries(declared.outputs).map(([name, one]) => [name, checkedOutput(name, one, outputs[name], manifest)]),
    );
    const answer = answerOf(manifest, network, declared, feeds, checked);
    watch?.({ network, feeds, regions: on.regions ?? [], answer });
    return answer;
  };

  let answered: AnswerOfPack;
  if ('read' in pack) answered = await packCode(async () => pack.read({ ...around, run } as PackReading));
  else {
    const [only] = Object.keys(manifest.networks);
    const answer = await run(only!);
    // In an object: a promise must not be awaited, it would hide that postprocess waits for the world.
    answered = (await packCode(() => ({ said: pack.postprocess({ ...around, ...answer } as ModelOutput) }))).said;
  }
  const fault = faultOfAnswer(answered);
  if (fault !== undefined) throw new WetreadError('model.postprocess-failed', `the findings are not usable: ${fault}`);
  return 'findings' in answered ? { ...answered, netMs } : { findings: answered, netMs };
}

type GivenFeeds = Readonly<Record<string, { readonly dims: readonly number[]; readonly data: ArrayLike<number> }>>;

/** A fault of the pack's own code; what a network threw inside it keeps its code. */
async function packCode<Result>(call: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (thrown) {
    if (thrown instanceof WetreadError) throw thrown;
    const words = (thrown instanceof Error ? thrown.message : String(thrown)).split('\n', 1)[0]!.slice(0, 500);
    throw new WetreadError('model.postprocess-failed', words, { cause: thrown });
  }
}

function surroundings(manifest: PackManifest, job: PackJob) {
  const [picture] = job.pictures;
  if (picture === undefined) throw new WetreadError('model.run-failed', 'there is no picture');
  const [prepared] = Object.values(job.inputs).flatMap((inputs) => Object.values(inputs));
  const { mean = 0, standardDeviation = 0 } = prepared ?? {};
  const { rows, columns } = picture;
  const native = (): Float32Array => {
    if (job.native === undefined)
      throw new TypeError('the picture\'s own pixels need "picture": "native" in the manifest');
    return job.native;
  };
  return {
    manifest,
    image: { ...picture, mean, standardDeviation },
    pictures: job.pictures,
    sopUid: picture.sopUid,
    frame: picture.frame,
    pixels(region: Region, size: { readonly height: number; readonly width: number }): Float32Array {
      return regionOf({ rows, columns, values: native() }, region, { ...size, filter: 'triangle', outside: 'zero' });
    },
    grey: () => ({ rows, columns, values: native() }),
  };
}

/** More pictures than the network takes at once are run in several turns; none are not run at all. */
async function runOn(network: Network, { inputs, outputs, hardware }: NetworkManifest, feeds: Feeds): Promise<Tensors> {
  if (feeds.items === 0)
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { type, shape }]) => [name, emptyTensor(type, shape)]),
    );
  const fixed = Object.values(inputs)
    .map(({ shape }) => shape[0])
    .find((size) => typeof size === 'number');
  return runInParts(network, feeds.tensors, hardware?.most ?? fixed ?? 64);
}

const emptyTensor = (type: string, shape: readonly (number | string)[]): Tensor =>
  ({
    type,
    dims: [0, ...shape.slice(1).map((size) => (typeof size === 'number' ? size : 0))],
    data: new Float32Array(0),
  }) as Tensor;

type DeclaredOutput = NetworkManifest['outputs'][string];

function checkedOutput(
  name: string,
  declared: DeclaredOutput,
  tensor: Tensor | undefined,
  { operatingPoint }: PackManifest,
): OutputTensor {
  if (tensor?.type !== declared.type)
    throw new WetreadError('model.bad-output', `${name} is not a ${declared.type} tensor`);
  const { dims } = tensor;
  // No region, no run: a batch of none fits whatever the manifest says of its axis.
  if (!fits(declared.shape, dims) && !(dims[0] === 0 && dims.length === declared.shape.length)) {
    throw new WetreadError('model.bad-output', `${name} has shape [${dims.join(', ')}]`);
  }
  const data =
    tensor.data instanceof Float32Array ? tensor.data : Float32Array.from(tensor.data as ArrayLike<number>, Number);
  if (!areFinite(data)) throw new WetreadError('model.bad-output', `${name} holds values that are not numbers`);
  const plain: OutputTensor = { dims, data };
  return {
    ...plain,
    ...(declared.calibration && { calibrated: calibrated(plain, declared.calibration) }),
    ...(declared.thresholds && { threshold: declared.thresholds[operatingPoint!] }),
  };
}

function answerOf(
  manifest: PackManifest,
  network: string,
  declared: NetworkManifest,
  { items, picture }: Feeds,
  outputs: Readonly<Record<string, OutputTensor>>,
): NetworkAnswer {
  const maps: readonly PlaceMap[] = picture?.maps ?? [];
  const mapOf = (item: number): PlaceMap => {
    const map = maps[item];
    if (map === undefined) throw new RangeError(`there is no item ${item}, the batch has ${maps.length}`);
    return map;
  };
  const explained: Explained = {
    outputs,
    declared: declared.outputs,
    rows: picture?.rows ?? 0,
    columns: picture?.columns ?? 0,
    maps,
  };
  return {
    outputs,
    items,
    toImage: (x, y, item = 0) => throughMap(mapOf(item), [x + 0.5, y + 0.5]),
    magnification: maps[0] === undefined ? [1, 1] : magnificationOf(maps[0]),
    shapes(name, which) {
      const explanation = manifest.explanation[name];
      if (explanation === undefined || (explanation.network ?? network) !== network)
        throw new TypeError(`the manifest declares no explanation "${name}" of ${network}`);
      return explanationShapes(explanation, explained, which);
    },
  };
}
