/** The proof, at the start, that a network really runs where it was told to: a run, its answer compared with the processor's. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WetreadError } from '../domain/errors.ts';
import type { NetworkSpec, Tensor, Tensors } from './network.ts';

/** TF32 on NVIDIA's tensor cores keeps ten bits of the fraction; a provider that computes something else is far away. */
export const largestDifferenceAllowed = 0.02;
/** Nodes that only reckon with shapes may stay on the processor: what they give is smaller than this. */
const shapeBytes = 4096;
/** Part of what all nodes give, in bytes, that may come from the processor. */
const largestPartOnCpu = 0.05;

/** Nothing to see: what makes the session warm. */
export const emptyFeeds = (spec: Pick<NetworkSpec, 'inputs' | 'batch'>): Tensors => feedsOf(spec, () => 0);

/** A smooth picture, the same at every start: with noise, or with zeros, detectors answer nothing worth comparing. */
export const pictureFeeds = (spec: Pick<NetworkSpec, 'inputs' | 'batch'>): Tensors => feedsOf(spec, wave);

function feedsOf(
  { inputs, batch }: Pick<NetworkSpec, 'inputs' | 'batch'>,
  value: (x: number, y: number) => number,
): Tensors {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { type, shape }]) => {
      const dims = shape.map((size, axis) => (typeof size === 'number' ? size : axis === 0 ? batch : 1));
      const width = dims.at(-1) ?? 1;
      const length = dims.reduce((product, size) => product * size, 1);
      return [name, probeTensor(type, dims, length, (at) => value((at % width) / width, at / length))];
    }),
  );
}

const wave = (x: number, y: number): number => 0.5 + 0.25 * (Math.sin(9 * x) + Math.cos(7 * y));

function probeTensor(
  type: Tensor['type'],
  dims: readonly number[],
  length: number,
  value: (at: number) => number,
): Tensor {
  const numbers = Float32Array.from({ length }, (_, at) => value(at));
  switch (type) {
    case 'float32':
      return { type, dims, data: numbers };
    case 'float16':
      return { type, dims, data: Float16Array.from(numbers) };
    case 'int64':
      return { type, dims, data: BigInt64Array.from(numbers, (one) => BigInt(Math.round(one))) };
    case 'int32':
      return { type, dims, data: Int32Array.from(numbers, Math.round) };
    case 'uint8':
      return { type, dims, data: Uint8Array.from(numbers, (one) => Math.round(255 * one)) };
    case 'bool':
      return { type, dims, data: Uint8Array.from(numbers, Math.round) };
  }
}

/** The largest difference between two answers, as part of the largest value; undefined when they have different shapes. */
export function differenceBetween(one: Tensors, other: Tensors): number | undefined {
  let largest: number | undefined;
  for (const [name, { dims, data }] of Object.entries(one)) {
    const twin = other[name];
    // A detector near its threshold may find one box more: its answer says nothing either way.
    if (twin === undefined || twin.dims.join() !== dims.join()) continue;
    let scale = 1e-3;
    let difference = 0;
    for (let at = 0; at < data.length; at += 1) {
      const [a, b] = [Number(data[at]), Number(twin.data[at])];
      if (Number.isNaN(a) && Number.isNaN(b)) continue;
      scale = Math.max(scale, Math.abs(b));
      // Not `Math.max`: a difference that is not a number must win, too.
      if (!(Math.abs(a - b) <= difference)) difference = Math.abs(a - b);
    }
    const part = difference / scale;
    if (largest === undefined || !(part <= largest)) largest = part;
  }
  return largest;
}

export type WhereNodesRan = {
  readonly count: number;
  readonly of: number;
  /** Operators that did real work on the processor. */
  readonly fellBack: readonly string[];
};

type ProfileEvent = {
  readonly cat?: string;
  readonly args?: { readonly provider?: string; readonly op_name?: string; readonly output_size?: string };
};

/** Reads ONNX Runtime's own record of which provider computed which node. */
export async function whereNodesRan(profile: (prefix: string) => Promise<void>): Promise<WhereNodesRan> {
  const folder = await mkdtemp(join(tmpdir(), 'wetread-probe-'));
  try {
    await profile(join(folder, 'profile'));
    const [file] = await readdir(folder);
    if (file === undefined) throw new Error('ONNX Runtime wrote no profile');
    const events = JSON.parse(await readFile(join(folder, file), 'utf8')) as readonly ProfileEvent[];
    return judged(events);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function judged(events: readonly ProfileEvent[]): WhereNodesRan {
  const nodes = events.flatMap(({ cat, args }) => (cat === 'Node' && args?.provider ? [args] : []));
  const onCpu = nodes.filter(({ provider }) => provider === 'CPUExecutionProvider');
  const bytes = (all: typeof nodes): number => all.reduce((sum, node) => sum + Number(node.output_size ?? 0), 0);
  const working = onCpu.filter(({ output_size }) => Number(output_size ?? 0) > shapeBytes);
  const fellBack = bytes(working) > largestPartOnCpu * bytes(nodes) || onCpu.length === nodes.length;
  return {
    count: onCpu.length,
    of: nodes.length,
    fellBack: fellBack ? [...new Set((working.length > 0 ? working : onCpu).map((node) => node.op_name ?? '?'))] : [],
  };
}

export function mustNotHaveFallenBack(provider: string, { fellBack, count, of }: WhereNodesRan): void {
  if (fellBack.length === 0) return;
  throw new WetreadError(
    'model.provider-unavailable',
    `${provider}: ${count} of ${of} nodes ran on the processor instead (${fellBack.slice(0, 8).join(', ')})`,
  );
}
