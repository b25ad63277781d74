/** Tensors as the KServe v2 protocol carries them: names of types, and bytes in row-major order, little endian. */
import { endianness } from 'node:os';
import { WetreadError } from '../domain/errors.ts';
import type { DeclaredTensor, Tensor, TensorType } from './network.ts';

const kserveTypes = {
  float32: 'FP32',
  float16: 'FP16',
  int64: 'INT64',
  int32: 'INT32',
  uint8: 'UINT8',
  bool: 'BOOL',
} as const satisfies Record<TensorType, string>;

if (endianness() !== 'LE') throw new Error('tensors are exchanged little endian, as this machine does not keep them');

export const kserveType = (type: TensorType): string => kserveTypes[type];

/** More than any answer of a network in a pack. */
export const largestAnswer = 2 ** 28;

/** Undefined for a type that packs cannot name. */
const tensorType = (name: string): TensorType | undefined =>
  (Object.entries(kserveTypes) as [TensorType, string][]).find(([, one]) => one === name)?.[0];

export const declaredTensor = (type: string, shape: readonly number[]): DeclaredTensor => ({
  // A type without a name here fits nothing that a manifest can say.
  type: tensorType(type) ?? (type as TensorType),
  shape: shape.map((size) => (size < 0 ? 'free' : size)),
});

export const bytesOf = ({ data }: Tensor): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

export function tensorOf(name: string, type: string, dims: readonly number[], bytes: Uint8Array): Tensor {
  const known = tensorType(type);
  if (known === undefined) throw new WetreadError('model.bad-output', `${name} has the type ${type}`);
  const length = dims.reduce((product, size) => product * size, 1);
  const size = { float32: 4, float16: 2, int64: 8, int32: 4, uint8: 1, bool: 1 }[known];
  if (!dims.every((one) => Number.isSafeInteger(one) && one >= 0) || bytes.length !== length * size) {
    const words = `${bytes.length} bytes for ${type} [${dims.join(', ')}]`;
    throw new WetreadError('model.bad-output', `${name}: ${words}`);
  }
  // Memory of its own: bytes in the middle of an answer need not lie where a float may.
  const { buffer } = Uint8Array.from(bytes);
  switch (known) {
    case 'float32':
      return { type: known, dims, data: new Float32Array(buffer) };
    case 'float16':
      return { type: known, dims, data: new Float16Array(buffer) };
    case 'int64':
      return { type: known, dims, data: new BigInt64Array(buffer) };
    case 'int32':
      return { type: known, dims, data: new Int32Array(buffer) };
    case 'uint8':
    case 'bool':
      return { type: known, dims, data: new Uint8Array(buffer) };
  }
}
