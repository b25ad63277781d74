/** Networks computed here by ONNX Runtime: one session each, on the one execution provider that was asked for. */
import { InferenceSession, listSupportedBackends, Tensor as OnnxTensor } from 'onnxruntime-node';
import { WetreadError } from '../domain/errors.ts';
import { batched } from './batched.ts';
import { fits, type Network, type NetworkSpec, type Tensor, type Tensors } from './network.ts';
import {
  differenceBetween,
  emptyFeeds,
  largestDifferenceAllowed,
  mustNotHaveFallenBack,
  pictureFeeds,
  whereNodesRan,
} from './probe.ts';
import type { NetworkFacts, RuntimeChoice } from './process-messages.ts';

type Choice = Extract<RuntimeChoice, { kind: 'onnx-runtime' }>;

export type OpenedNetwork = { readonly network: Network; readonly facts: NetworkFacts };

/** Throws `model.provider-unavailable` or, where the file is at fault, `model.pack-invalid`. */
export async function openOnnxNetwork(spec: NetworkSpec, choice: Choice): Promise<OpenedNetwork> {
  verifyProvider(choice.provider);
  const facts = choice.provider === 'cpu' ? {} : await proveProvider(spec, choice);
  const session = await openSession(spec, choice);
  verifyInterface(session, spec);
  const network = networkOf(session, spec);
  const probeMs = await firstRun(network, spec, choice);
  return {
    network: batched(network, spec, choice.batch),
    facts: { pack: spec.pack, network: spec.network, probeMs, ...facts },
  };
}

function verifyProvider(provider: string): void {
  if (listSupportedBackends().some(({ name }) => name === provider)) return;
  throw new WetreadError('model.provider-unavailable', `${provider} is not part of this ONNX Runtime`);
}

/** The same picture on the provider and on the processor: the answers must agree, and the work must have been done there. */
async function proveProvider(
  spec: NetworkSpec,
  choice: Choice,
): Promise<Pick<NetworkFacts, 'differenceFromCpu' | 'nodesOnCpu'>> {
  const { provider } = choice;
  const feeds = pictureFeeds(spec);
  let answer: Tensors = {};
  const ran = await whereNodesRan(async (profileFilePrefix) => {
    const session = await openSession(spec, choice, { enableProfiling: true, profileFilePrefix });
    try {
      verifyInterface(session, spec);
      answer = await networkOf(session, spec)
        .run(feeds)
        .catch((thrown: unknown) => {
          throw firstRunFault(thrown, spec, provider);
        });
    } finally {
      session.endProfiling();
      await session.release();
    }
  });
  mustNotHaveFallenBack(provider, ran);
  const onCpu = await openSession(spec, { ...choice, provider: 'cpu' });
  const expected = await networkOf(onCpu, spec).run(feeds);
  await onCpu.release();
  const difference = differenceBetween(answer, expected);
  if (difference !== undefined && !(difference <= largestDifferenceAllowed)) {
    const words = `${provider} answers differently from the processor: by ${(100 * difference).toPrecision(2)} % of the largest value`;
    throw new WetreadError('model.provider-unavailable', `${words} (${spec.pack}, ${spec.network})`);
  }
  return {
    ...(difference !== undefined && { differenceFromCpu: difference }),
    ...(ran.count > 0 && { nodesOnCpu: { count: ran.count, of: ran.of } }),
  };
}

async function openSession(
  { weightsFile }: NetworkSpec,
  { provider, threads }: Choice,
  more: InferenceSession.SessionOptions = {},
): Promise<InferenceSession> {
  try {
    // One provider only: with a second in the list the runtime would quietly take that one.
    return await InferenceSession.create(weightsFile, {
      executionProviders: [provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
      ...more,
    });
  } catch (thrown) {
    const message = openingFault(firstLine(thrown));
    if (provider === 'cpu') throw new WetreadError('model.pack-invalid', `${weightsFile}: ${message}`);
    // The file is at fault only when the processor cannot open it either.
    const opensOnCpu = await InferenceSession.create(weightsFile, { executionProviders: ['cpu'] }).then(
      (session) => session.release().then(() => true),
      () => false,
    );
    if (opensOnCpu) throw new WetreadError('model.provider-unavailable', `${provider}: ${message}`);
    throw new WetreadError('model.pack-invalid', `${weightsFile}: ${message}`);
  }
}

/** "Fatal error: com.example:Blur(-1) is not a registered function/op": said so that its author knows what to do. */
function openingFault(message: string): string {
  const unknown = /(\S+?):(\w+)\(-?\d+\) is not a registered function\/op/.exec(message);
  return unknown === null
    ? message
    : `uses the operator ${unknown[1]}:${unknown[2]}, which is not part of ONNX Runtime; libraries of custom operators are not loaded`;
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

function networkOf(session: InferenceSession, { outputs }: NetworkSpec): Network {
  const wanted = Object.keys(outputs);
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
    Object.entries(feeds).map(([name, { type, data, dims }]) => {
      const tensor = new OnnxTensor(type, data as OnnxTensor['data'], dims);
      // The binding (1.30) knows half precision as plain 16-bit words only, the tensor takes nothing but Float16Array.
      if (data instanceof Float16Array)
        Object.assign(tensor, { cpuData: new Uint16Array(data.buffer, data.byteOffset, data.length) });
      return [name, tensor];
    }),
  );

/** Leaves the session warm. */
async function firstRun(network: Network, spec: NetworkSpec, { provider }: Choice): Promise<number> {
  const feeds = emptyFeeds(spec);
  const started = performance.now();
  try {
    await network.run(feeds);
  } catch (thrown) {
    throw firstRunFault(thrown, spec, provider);
  }
  return performance.now() - started;
}

function firstRunFault(thrown: unknown, { weightsFile }: NetworkSpec, provider: string): WetreadError {
  const words = thrown instanceof WetreadError ? (thrown.detail ?? thrown.message) : firstLine(thrown);
  return provider === 'cpu'
    ? new WetreadError('model.pack-invalid', `${weightsFile}: the first run failed: ${words}`)
    : new WetreadError('model.provider-unavailable', `${provider}: the first run failed: ${words}`);
}

const firstLine = (thrown: unknown): string =>
  (thrown instanceof Error ? thrown.message : String(thrown)).split('\n', 1)[0]!.slice(0, 500);
