/** The last step: prepared pictures in the order of axes, the number type and the channels that a tensor wants. */
import { WetreadError } from '../domain/errors.ts';
import { axisOf, type NetworkInput } from '../kit/network-manifest.ts';
import type { Tensor } from './network.ts';
import { mirrorRows, type PreparedInput } from './preprocess.ts';

export function tensorOf(prepared: PreparedInput, input: NetworkInput): Tensor {
  const { rows, columns, isDepth } = prepared;
  const size = rows * columns;
  const declared = isDepth ? 1 : input.shape[axisOf(input.layout, 'C')];
  const wanted = typeof declared === 'number' ? declared : prepared.channels;
  const repeated = !isDepth && prepared.channels === 1 && wanted > 1 ? wanted : 1;
  if (!isDepth && axisOf(input.layout, 'C') > 0 && prepared.channels * repeated !== wanted)
    throw new WetreadError('model.run-failed', `${prepared.channels} pictures for ${wanted} channels`);

  const channels = prepared.channels * repeated;
  let data = repeated === 1 ? prepared.data : repeatPlanes(prepared.data, size, repeated);
  if (prepared.bothFacings) data = withMirrorImages(data, columns);
  const items = prepared.items * (prepared.bothFacings ? 2 : 1);
  if (input.layout === 'NHWC') data = channelsLast(data, items, channels, size);
  return typed(input.type, dimsOf(input, { items, channels, rows, columns }), data);
}

function dimsOf(
  { layout }: NetworkInput,
  { items, channels, rows, columns }: { items: number; channels: number; rows: number; columns: number },
): number[] {
  switch (layout) {
    case 'NCHW':
      return [items, channels, rows, columns];
    case 'NHWC':
      return [items, rows, columns, channels];
    case 'NHW':
      return [items * channels, rows, columns];
    case 'NCDHW':
      return [items, 1, channels, rows, columns];
  }
}

function typed(type: NetworkInput['type'], dims: readonly number[], data: Float32Array): Tensor {
  switch (type) {
    case 'float32':
      return { type, dims, data };
    case 'float16':
      return { type, dims, data: new Float16Array(data) };
    case 'uint8': {
      const bytes = new Uint8ClampedArray(data);
      return { type, dims, data: new Uint8Array(bytes.buffer) };
    }
  }
}

function repeatPlanes(data: Float32Array, size: number, times: number): Float32Array {
  const repeated = new Float32Array(data.length * times);
  for (let at = 0, to = 0; at < data.length; at += size)
    for (let time = 0; time < times; time += 1, to += size) repeated.set(data.subarray(at, at + size), to);
  return repeated;
}

function withMirrorImages(data: Float32Array, columns: number): Float32Array {
  const both = new Float32Array(data.length * 2);
  both.set(data);
  both.set(data, data.length);
  mirrorRows(both.subarray(data.length), columns);
  return both;
}

function channelsLast(data: Float32Array, items: number, channels: number, size: number): Float32Array {
  if (channels === 1) return data;
  const mixed = new Float32Array(data.length);
  for (let item = 0; item < items; item += 1)
    for (let channel = 0; channel < channels; channel += 1) {
      const from = (item * channels + channel) * size;
      for (let at = 0; at < size; at += 1) mixed[(item * size + at) * channels + channel] = data[from + at]!;
    }
  return mixed;
}
