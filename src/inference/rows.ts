/** Tensors taken apart and put together along their first axis. */
import { WetreadError } from '../domain/errors.ts';
import type { Network, Tensor, Tensors } from './network.ts';

/** Views, not copies. */
export function rowsOf(tensors: Tensors, from: number, to: number): Tensors {
  return mapped(tensors, (tensor, name) => {
    const [all] = tensor.dims;
    if (all === undefined || all < to)
      throw new WetreadError('model.bad-output', `${name} has ${all ?? 'no'} rows, ${to} were expected`);
    const size = tensor.data.length / all;
    return {
      ...tensor,
      dims: [to - from, ...tensor.dims.slice(1)],
      data: tensor.data.subarray(from * size, to * size),
    };
  });
}

/** Of the same names, types and sizes but for the first. */
export function joinRows(parts: readonly Tensors[]): Tensors {
  const [first] = parts;
  if (first === undefined || parts.length === 1) return first ?? {};
  return mapped(first, (one, name) => {
    const tensors = parts.map((part) => part[name]!);
    const data = new (one.data.constructor as new (length: number) => Float32Array)(
      tensors.reduce((sum, { data }) => sum + data.length, 0),
    );
    let at = 0;
    for (const tensor of tensors) {
      data.set(tensor.data as Float32Array, at);
      at += tensor.data.length;
    }
    const rows = tensors.reduce((sum, { dims }) => sum + dims[0]!, 0);
    return { ...one, dims: [rows, ...one.dims.slice(1)], data };
  });
}

/** What brings more rows than the network takes at once is run in several turns. */
export async function runInParts(network: Network, feeds: Tensors, most: number): Promise<Tensors> {
  const rows = Object.values(feeds)[0]?.dims[0] ?? 0;
  if (rows <= most) return network.run(feeds);
  const parts: Tensors[] = [];
  for (let from = 0; from < rows; from += most)
    parts.push(await network.run(rowsOf(feeds, from, Math.min(from + most, rows))));
  return joinRows(parts);
}

const mapped = (tensors: Tensors, change: (tensor: Tensor, name: string) => object): Tensors =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, change(tensor, name) as Tensor]));
