/**
 * Networks computed by a server that speaks the KServe v2 inference protocol (Triton, KServe, OpenVINO Model Server), by HTTP or gRPC.
 *
 * Whether the server holds the weights that the manifest names is settled before the first picture: by the hash where
 * the server tells its model configuration (Triton), else by the version, which must be the pack's.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { WetreadError } from '../domain/errors.ts';
import { grpcTransport } from './kserve-grpc.ts';
import { httpTransport } from './kserve-http.ts';
import {
  connectionFault,
  type KserveTransport,
  type ModelConfiguration,
  type ModelName,
  type ServedModel,
  type ServerChoice,
} from './kserve-transport.ts';
import { fits, type Network, type NetworkSpec } from './network.ts';
import type { OpenedNetwork } from './onnx-runtime.ts';
import { emptyFeeds } from './probe.ts';
import { runInParts } from './rows.ts';

/** Packs' names have no underscore, so no two networks share a name. */
export const servedNameOf = ({ pack, network }: Pick<NetworkSpec, 'pack' | 'network'>): string =>
  network === 'main' ? pack : `${pack}_${network}`;

/** Servers number their versions: 1.20.3 is 1020003. */
export function servedVersionOf({ version }: Pick<NetworkSpec, 'version'>): string {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number);
  return String(Math.max(1, (major * 1000 + minor) * 1000 + patch));
}

/** Key of the weights' hash among the parameters of a model's configuration. */
export const hashParameter = (spec: Pick<NetworkSpec, 'version'>): string => `wetread_sha256_${servedVersionOf(spec)}`;

const tries = 4;
const firstPauseMs = 100;
const openingMs = 15_000;

export function kserveRuntime(choice: ServerChoice): { open(spec: NetworkSpec): Promise<OpenedNetwork> } {
  const transport = /^grpcs?:/.test(choice.url) ? grpcTransport(choice) : httpTransport(choice);
  return { open: (spec) => openServed(spec, transport, choice) };
}

async function openServed(spec: NetworkSpec, transport: KserveTransport, choice: ServerChoice): Promise<OpenedNetwork> {
  const signal = AbortSignal.timeout(openingMs);
  const asking = <Answer>(ask: () => Promise<Answer>): Promise<Answer> => persistently(ask, signal, choice.url);
  const model = { name: servedNameOf(spec), version: servedVersionOf(spec) };
  await asking(async () => {
    if (await transport.serverReady(signal)) return;
    const alive = await transport.serverLive(signal);
    // It may be loading its models; if that lasts, its log tells which one fails.
    throw new WetreadError(
      'model.server-unreachable',
      `${choice.url} is ${alive ? 'alive, but not ready' : 'not alive'}`,
    );
  });
  const server = await asking(() => transport.serverMetadata(signal));
  await asking(async () => {
    if (await transport.modelReady(model, signal)) return;
    const words = `${choice.url} has no ${model.name} ready in version ${model.version} (that is ${spec.version})`;
    throw new WetreadError('model.server-mismatch', words);
  });
  const metadata = await asking(() => transport.modelMetadata(model, signal));
  const configuration = await asking(() => transport.modelConfiguration(model, signal));
  verifyTensors(spec, model, metadata);
  const provenBy = proofOf(spec, model, metadata, configuration);
  const maxBatchSize = configuration?.maxBatchSize || Infinity;
  const most = Math.min(spec.most ?? Infinity, maxBatchSize);
  const network = networkOf(spec, model, transport, most, choice);
  const started = performance.now();
  await network.run(emptyFeeds(spec));
  const probeMs = performance.now() - started;
  return { network, facts: { pack: spec.pack, network: spec.network, probeMs, server: { ...server, provenBy } } };
}

function networkOf(
  spec: NetworkSpec,
  model: ModelName,
  transport: KserveTransport,
  most: number,
  { url }: ServerChoice,
): Network {
  const outputs = Object.keys(spec.outputs);
  const one: Network = {
    run(feeds) {
      const signal = AbortSignal.timeout(spec.deadlineMs);
      // A run changes nothing at the server: asking again is safe.
      return persistently(() => transport.infer(model, feeds, outputs, signal), signal, url).catch(
        (thrown: unknown) => {
          if (!signal.aborted) throw thrown;
          throw new WetreadError('model.deadline-exceeded', `${model.name} at ${url}: ${spec.deadlineMs} ms`, {
            cause: thrown,
          });
        },
      );
    },
  };
  return { run: (feeds) => runInParts(one, feeds, most) };
}

/** Tries again what may pass by itself: a server that restarts, a full queue, a cut connection. */
async function persistently<Answer>(ask: () => Promise<Answer>, signal: AbortSignal, url: string): Promise<Answer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (thrown) {
      const fault = thrown instanceof WetreadError ? thrown : connectionFault(url, thrown);
      if (attempt === tries || fault.code !== 'model.server-unreachable' || signal.aborted) throw fault;
      // Doubled each time, and not all processes at the same moment.
      const waitMs = firstPauseMs * 2 ** (attempt - 1) * (0.5 + Math.random());
      await pause(waitMs, undefined, { signal }).catch(() => {
        throw fault;
      });
    }
  }
}

function verifyTensors(spec: NetworkSpec, { name }: ModelName, served: ServedModel): void {
  for (const direction of ['inputs', 'outputs'] as const) {
    const missing = Object.keys(spec[direction]).filter((tensor) => !(tensor in served[direction]));
    if (missing.length > 0) {
      const there = Object.keys(served[direction]).join(', ');
      throw new WetreadError(
        'model.server-mismatch',
        `${name}: has no ${missing.join(', ')} among its ${direction} (${there})`,
      );
    }
    for (const [tensor, { type, shape }] of Object.entries(spec[direction])) {
      const there = served[direction][tensor]!;
      if (there.type === type && fits(shape, there.shape)) continue;
      const words = `is ${there.type} [${there.shape.join(', ')}] there, ${type} [${shape.join(', ')}] in the manifest`;
      throw new WetreadError('model.server-mismatch', `${name}: ${tensor} ${words}`);
    }
  }
}

function proofOf(
  spec: NetworkSpec,
  { name, version = '' }: ModelName,
  { versions }: ServedModel,
  configuration: ModelConfiguration | undefined,
): 'sha256' | 'version' {
  const told = configuration?.parameters[hashParameter(spec)];
  if (told === spec.sha256) return 'sha256';
  if (told !== undefined)
    throw new WetreadError(
      'model.server-mismatch',
      `${name}: sha256 there ${told.slice(0, 12)}…, in the manifest ${spec.sha256.slice(0, 12)}…`,
    );
  if (versions.includes(version)) return 'version';
  throw new WetreadError(
    'model.server-mismatch',
    `${name}: there in versions ${versions.join(', ')}, not in ${version}`,
  );
}
