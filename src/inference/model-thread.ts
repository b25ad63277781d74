/** Runs the models: sessions kept warm, outputs checked, the pack's postprocess called. */
import { InferenceSession, listSupportedBackends, Tensor } from 'onnxruntime-node';
import { pathToFileURL } from 'node:url';
import { parentPort } from 'node:worker_threads';
import { asWetreadError, WetreadError } from '../domain/errors.ts';
import type { FindingDraft } from '../domain/finding.ts';
import {
  faultOfDrafts,
  type ModelOutput,
  type ModelPack,
  type OutputTensor,
  type PackManifest,
} from '../kit/model-pack.ts';
import type { Order, Report, RunOrder, ServedPack, StartOrder } from './process-messages.ts';

if (parentPort === null) throw new Error('model-thread.ts is started by model-process.ts');
const port = parentPort;

type WarmPack = { readonly manifest: PackManifest; readonly session: InferenceSession; readonly pack: ModelPack };
const warm = new Map<string, WarmPack>();

const report = (message: Report): void => port.postMessage(message);

/** One after the other: the service counts a picture's time from the answer to the one before it. */
let turn: Promise<void> = Promise.resolve();
port.on('message', (order: Order) => {
  turn = turn.then(() => (order.kind === 'start' ? start(order) : serve(order)));
});

async function start({ packs, provider, threads }: StartOrder): Promise<void> {
  const probeMs: Record<string, number> = {};
  try {
    if (!listSupportedBackends().some(({ name }) => name === provider)) {
      throw new WetreadError('model.provider-unavailable', `${provider} is not part of this ONNX Runtime`);
    }
    for (const served of packs) {
      const session = await openSession(served, provider, threads);
      verifyInterface(session, served);
      const module = (await import(pathToFileURL(served.postprocessFile).href)) as { readonly default: ModelPack };
      const { manifest } = served;
      warm.set(manifest.name, { manifest, session, pack: module.default });
      probeMs[manifest.name] = await probe(session, served, provider);
    }
    report({ kind: 'ready', probeMs });
  } catch (thrown) {
    report({ kind: 'not-ready', fault: faultOf(thrown) });
  }
}

async function openSession(
  served: ServedPack,
  provider: StartOrder['provider'],
  threads: number,
): Promise<InferenceSession> {
  try {
    // One provider only: with a second in the list the runtime would quietly take that one.
    return await InferenceSession.create(served.weightsFile, {
      executionProviders: [provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    });
  } catch (thrown) {
    const message = firstLine(thrown);
    if (provider === 'cpu') throw new WetreadError('model.pack-invalid', `${served.weightsFile}: ${message}`);
    // The file is at fault only when the processor cannot open it either.
    const opensOnCpu = await InferenceSession.create(served.weightsFile, { executionProviders: ['cpu'] }).then(
      () => true,
      () => false,
    );
    if (opensOnCpu) throw new WetreadError('model.provider-unavailable', `${provider}: ${message}`);
    throw new WetreadError('model.pack-invalid', `${served.weightsFile}: ${message}`);
  }
}

/** The tensors the manifest names must be those of the file. */
function verifyInterface(session: InferenceSession, { manifest, manifestFile }: ServedPack): void {
  const fault = (field: string, text: string) =>
    new WetreadError('model.pack-invalid', `${manifestFile}: ${field}: ${text}`);
  const { tensor, shape, type } = manifest.input;
  if (session.inputNames.join() !== tensor) {
    throw fault('input.tensor', `says ${tensor}, the model takes ${session.inputNames.join(', ')}`);
  }
  const input = session.inputMetadata[0];
  if (input?.isTensor === true && (input.type !== type || !fits(shape, input.shape))) {
    throw fault(
      'input.shape',
      `says ${type} [${shape.join(', ')}], the model takes ${input.type} [${input.shape.join(', ')}]`,
    );
  }
  for (const [name, declared] of Object.entries(manifest.outputs)) {
    const output = session.outputMetadata[session.outputNames.indexOf(name)];
    if (output === undefined) throw fault(`outputs.${name}`, `the model gives ${session.outputNames.join(', ')}`);
    if (output.isTensor && (output.type !== declared.type || !fits(declared.shape, output.shape))) {
      const given = `${output.type} [${output.shape.join(', ')}]`;
      throw fault(
        `outputs.${name}.shape`,
        `says ${declared.type} [${declared.shape.join(', ')}], the model gives ${given}`,
      );
    }
  }
}

/** Axes that either side leaves free fit anything. */
const fits = (declared: readonly (number | string)[], found: readonly (number | string)[]): boolean =>
  declared.length === found.length &&
  declared.every((size, axis) => typeof size === 'string' || typeof found[axis] !== 'number' || size === found[axis]);

/** A first run on an empty picture: proves the provider, and leaves the session warm. */
async function probe(
  session: InferenceSession,
  { manifest, weightsFile }: ServedPack,
  provider: string,
): Promise<number> {
  const [, , height, width] = manifest.input.shape;
  const bothFacings = manifest.input.preprocess.some(({ step }) => step === 'both-facings');
  const started = performance.now();
  try {
    await session.run(feeds(manifest, new Float32Array(height * width), bothFacings));
  } catch (thrown) {
    const [code, where] =
      provider === 'cpu'
        ? (['model.pack-invalid', weightsFile] as const)
        : (['model.provider-unavailable', provider] as const);
    throw new WetreadError(code, `${where}: the first run failed: ${firstLine(thrown)}`);
  }
  return performance.now() - started;
}

async function serve(order: RunOrder): Promise<void> {
  const { id } = order;
  try {
    const pack = warm.get(order.pack);
    if (pack === undefined) throw new WetreadError('model.run-failed', `the pack ${order.pack} is not in this process`);
    const started = performance.now();
    const outputs = await runNet(pack, order);
    const netMs = performance.now() - started;
    report({ kind: 'postprocessing', id });
    const findings = postprocess(pack, order, outputs);
    report({ kind: 'answer', id, findings, netMs, rssBytes: process.memoryUsage.rss() });
  } catch (thrown) {
    report({ kind: 'fault', id, fault: faultOf(thrown) });
  }
}

function feeds(manifest: PackManifest, canvas: Float32Array, bothFacings: boolean): Record<string, Tensor> {
  const [, , height, width] = manifest.input.shape;
  const data = bothFacings ? withMirrorImage(canvas, width) : canvas;
  return { [manifest.input.tensor]: new Tensor('float32', data, [data.length / (height * width), 1, height, width]) };
}

function withMirrorImage(canvas: Float32Array, width: number): Float32Array {
  const both = new Float32Array(canvas.length * 2);
  both.set(canvas);
  for (let row = 0; row < canvas.length; row += width) {
    both.set(canvas.subarray(row, row + width), canvas.length + row);
    both.subarray(canvas.length + row, canvas.length + row + width).reverse();
  }
  return both;
}

async function runNet({ manifest, session }: WarmPack, order: RunOrder): Promise<Record<string, OutputTensor>> {
  const wanted = Object.keys(manifest.outputs);
  let results: InferenceSession.ReturnType;
  try {
    results = await session.run(feeds(manifest, order.canvas, order.bothFacings), wanted);
  } catch (thrown) {
    throw new WetreadError('model.run-failed', firstLine(thrown), { cause: thrown });
  }
  return Object.fromEntries(wanted.map((name) => [name, checkedOutput(name, results[name], manifest)]));
}

function checkedOutput(
  name: string,
  tensor: InferenceSession.OnnxValueMapType[string] | undefined,
  manifest: PackManifest,
): OutputTensor {
  const declared = manifest.outputs[name]!;
  if (tensor === undefined || !(tensor.data instanceof Float32Array)) {
    throw new WetreadError('model.bad-output', `${name} is not a float32 tensor`);
  }
  const { data } = tensor;
  if (!fits(declared.shape, tensor.dims)) {
    throw new WetreadError('model.bad-output', `${name} has shape [${tensor.dims.join(', ')}]`);
  }
  if (!data.every(Number.isFinite))
    throw new WetreadError('model.bad-output', `${name} holds values that are not numbers`);
  return { dims: tensor.dims, data };
}

function postprocess(
  { manifest, pack }: WarmPack,
  order: RunOrder,
  outputs: Record<string, OutputTensor>,
): readonly FindingDraft[] {
  const { placement } = order;
  const magnification = [placement.columns / placement.width, placement.rows / placement.height] as const;
  const output: ModelOutput = {
    outputs,
    manifest,
    image: {
      rows: placement.rows,
      columns: placement.columns,
      ...(order.spacing && { spacing: order.spacing }),
      tags: order.tags,
      mean: order.mean,
      standardDeviation: order.standardDeviation,
    },
    toImage: (x, y) => [(x + 0.5 - placement.left) * magnification[0], (y + 0.5 - placement.top) * magnification[1]],
    magnification,
    sopUid: order.sopUid,
    frame: order.frame,
  };
  let findings: readonly FindingDraft[];
  try {
    findings = pack.postprocess(output);
  } catch (thrown) {
    throw new WetreadError('model.postprocess-failed', firstLine(thrown), { cause: thrown });
  }
  const fault = faultOfDrafts(findings);
  if (fault !== undefined) throw new WetreadError('model.postprocess-failed', `the findings are not usable: ${fault}`);
  return findings;
}

const firstLine = (thrown: unknown): string =>
  (thrown instanceof Error ? thrown.message : String(thrown)).split('\n', 1)[0]!.slice(0, 500);

function faultOf(thrown: unknown): { code: WetreadError['code']; detail: string } {
  const error = asWetreadError(thrown);
  return { code: error.code, detail: error.detail ?? firstLine(thrown) };
}
