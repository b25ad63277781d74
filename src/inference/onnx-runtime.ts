/** Networks computed here by ONNX Runtime: one session each, on the one execution provider that was asked for. */
import { InferenceSession, listSupportedBackends, Tensor as OnnxTensor } from 'onnxruntime-node';
import { WetreadError } from '../domain/errors.ts';
import { fits, type Network, type NetworkSpec, type Tensor, type Tensors } from './network.ts';
import type { ExecutionProvider } from './process-messages.ts';

export type OnnxRuntimeOptions = { readonly provider: ExecutionProvider; readonly threads: number };

export type OpenedNetwork = {
  readonly network: Network;
  /** First run, on an empty picture. */ readonly probeMs: number;
};

/** Throws `model.provider-unavailable` or, where the file is at fault, `model.pack-invalid`. */
export async function openNetwork(spec: NetworkSpec, options: OnnxRuntimeOptions): Promise<OpenedNetwork> {
  const session = await openSession(spec, options);
  verifyInterface(session, spec);
  const network = networkOf(session, Object.keys(spec.outputs));
  return { network, probeMs: await probe(network, spec, options) };
}

export function verifyProvider(provider: ExecutionProvider): void {
  if (listSupportedBackends().some(({ name }) => name === provider)) return;
  throw new WetreadError('model.provider-unavailable', `${provider} is not part of this ONNX Runtime`);
}

async function openSession(
  { weightsFile }: NetworkSpec,
  { provider, threads }: OnnxRuntimeOptions,
): Promise<InferenceSession> {
  try {
    // One provider only: with a second in the list the runtime would quietly take that one.
    return await InferenceSession.create(weightsFile, {
      executionProviders: [provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    });
  } catch (thrown) {
    const message = firstLine(thrown);
    if (provider === 'cpu') throw new WetreadError('model.pack-invalid', `${weightsFile}: ${message}`);
    // The file is at fault only when the processor cannot open it either.
    const opensOnCpu = await InferenceSession.create(weightsFile, { executionProviders: ['cpu'] }).then(
      () => true,
      () => false,
    );
    if (opensOnCpu) throw new WetreadError('model.provider-unavailable', `${provider}: ${message}`);
    throw new WetreadError('model.pack-invalid', `${weightsFile}: ${message}`);
  }
}

/** The tensors the manifest names must be those of the file. */
function verifyInterface(session: InferenceSession, { inputs, outputs, manifestFile }: NetworkSpec): void {
  const fault = (field: string, text: string) =>
    new WetreadError('model.pack-invalid', `${manifestFile}: ${field}: ${text}`);
  const taken = session.inputNames;
  if (taken.toSorted().join() !== Object.keys(inputs).toSorted().join()) {
    const [name, { field }] =
      Object.entries(inputs).find(([one]) => !taken.includes(one)) ?? Object.entries(inputs)[0]!;
    throw fault(`${field}.tensor`, `says ${name}, the model takes ${taken.join(', ')}`);
  }
  for (const [name, { type, shape, field }] of Object.entries(inputs)) {
    const input = session.inputMetadata[taken.indexOf(name)];
    if (input?.isTensor === true && (input.type !== type || !fits(shape, input.shape))) {
      throw fault(
        `${field}.shape`,
        `says ${type} [${shape.join(', ')}], the model takes ${input.type} [${input.shape.join(', ')}]`,
      );
    }
  }
  for (const [name, { type, shape, field }] of Object.entries(outputs)) {
    const output = session.outputMetadata[session.outputNames.indexOf(name)];
    if (output === undefined) throw fault(field, `the model gives ${session.outputNames.join(', ')}`);
    if (output.isTensor && (output.type !== type || !fits(shape, output.shape))) {
      const given = `${output.type} [${output.shape.join(', ')}]`;
      throw fault(`${field}.shape`, `says ${type} [${shape.join(', ')}], the model gives ${given}`);
    }
  }
}

function networkOf(session: InferenceSession, wanted: readonly string[]): Network {
  return {
    async run(feeds) {
      let results: InferenceSession.ReturnType;
      try {
        results = await session.run(onnxFeeds(feeds), wanted);
      } catch (thrown) {
        throw new WetreadError('model.run-failed', firstLine(thrown), { cause: thrown });
      }
      return Object.fromEntries(
        Object.entries(results).map(([name, { type, dims, data }]) => [name, { type, dims, data } as Tensor]),
      );
    },
  };
}

const onnxFeeds = (feeds: Tensors): Record<string, OnnxTensor> =>
  Object.fromEntries(
    Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new OnnxTensor(type, data as OnnxTensor['data'], dims)]),
  );

/** A first run on an empty picture: proves the provider, and leaves the session warm. */
async function probe(network: Network, spec: NetworkSpec, { provider }: OnnxRuntimeOptions): Promise<number> {
  const started = performance.now();
  try {
    await network.run(emptyFeeds(spec));
  } catch (thrown) {
    const [code, where] =
      provider === 'cpu'
        ? (['model.pack-invalid', spec.weightsFile] as const)
        : (['model.provider-unavailable', provider] as const);
    const words = thrown instanceof WetreadError ? (thrown.detail ?? thrown.message) : firstLine(thrown);
    throw new WetreadError(code, `${where}: the first run failed: ${words}`);
  }
  return performance.now() - started;
}

/** Zeros of the declared shapes. */
export function emptyFeeds({ inputs, batch }: NetworkSpec): Tensors {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { type, shape }]) => {
      const dims = shape.map((size, axis) => (typeof size === 'number' ? size : axis === 0 ? batch : 1));
      const length = dims.reduce((product, size) => product * size, 1);
      return [name, emptyTensor(type, dims, length)];
    }),
  );
}

function emptyTensor(type: Tensor['type'], dims: readonly number[], length: number): Tensor {
  switch (type) {
    case 'float32':
      return { type, dims, data: new Float32Array(length) };
    case 'float16':
      return { type, dims, data: new Float16Array(length) };
    case 'int64':
      return { type, dims, data: new BigInt64Array(length) };
    case 'int32':
      return { type, dims, data: new Int32Array(length) };
    case 'uint8':
    case 'bool':
      return { type, dims, data: new Uint8Array(length) };
  }
}

const firstLine = (thrown: unknown): string =>
  (thrown instanceof Error ? thrown.message : String(thrown)).split('\n', 1)[0]!.slice(0, 500);
