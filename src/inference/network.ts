/** One neural network as whoever runs a pack sees it: named tensors in, named tensors out, wherever it is computed. */

export type TensorType = 'float32' | 'float16' | 'int64' | 'int32' | 'uint8' | 'bool';

type DataOf = {
  readonly float32: Float32Array;
  readonly float16: Float16Array;
  readonly int64: BigInt64Array;
  readonly int32: Int32Array;
  readonly uint8: Uint8Array;
  readonly bool: Uint8Array;
};

export type Tensor = {
  readonly [Type in TensorType]: { readonly type: Type; readonly dims: readonly number[]; readonly data: DataOf[Type] };
}[TensorType];

export type Tensors = Readonly<Record<string, Tensor>>;

export type Network = {
  /** Answers with the outputs the manifest names. */
  run(feeds: Tensors): Promise<Tensors>;
};

/** By their names in the manifest. */
export type Networks = Readonly<Record<string, Network>>;

/** Sizes along the axes; a word where the axis is free. */
export type DeclaredTensor = { readonly type: TensorType; readonly shape: readonly (number | string)[] };

/** What a runtime must know to open a network, and to hold it to its manifest. */
export type NetworkSpec = {
  readonly pack: string;
  readonly version: string;
  readonly network: string;
  readonly weightsFile: string;
  readonly sha256: string;
  readonly manifestFile: string;
  /** Along the batch axis of a usual run; the probe at the start takes as many. */
  readonly batch: number;
  /** Longest along that axis in one run; what brings more is run in several. */
  readonly most?: number;
  readonly deadlineMs: number;
  /** `field`: where in the manifest a fault is to be named. */
  readonly inputs: Readonly<Record<string, DeclaredTensor & { readonly field: string }>>;
  readonly outputs: Readonly<Record<string, DeclaredTensor & { readonly field: string }>>;
};

/** Axes that either side leaves free fit anything. */
export const fits = (declared: readonly (number | string)[], found: readonly (number | string)[]): boolean =>
  declared.length === found.length &&
  declared.every((size, axis) => typeof size === 'string' || typeof found[axis] !== 'number' || size === found[axis]);
