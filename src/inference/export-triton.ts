/** A pack's networks as a model repository for NVIDIA Triton: one folder each, with its configuration, version and weights. */
import { copyFile, mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hasBatchAxis } from './batched.ts';
import { hashParameter, servedNameOf, servedVersionOf } from './kserve.ts';
import { kserveType } from './kserve-tensors.ts';
import type { NetworkSpec, TensorType } from './network.ts';

/** `onnxruntime` for a site; `python` where Triton comes without that backend, as in the tests of this project. */
export const tritonBackends = ['onnxruntime', 'python'] as const;
export type TritonBackend = (typeof tritonBackends)[number];

export type ExportOptions = {
  readonly backend: TritonBackend;
  /** Of each instance on the processor. Default: the server's. */
  readonly threads?: number;
  /** How long the first picture waits for others to share its run. */
  readonly queueDelayMs: number;
};

/** Unless the manifest says less; larger ones are cut by Wetread itself. */
const largestBatch = 16;

export type ExportedModel = { readonly name: string; readonly version: string; readonly files: readonly string[] };

export async function exportToTriton(
  spec: NetworkSpec,
  repository: string,
  options: ExportOptions,
): Promise<ExportedModel> {
  const name = servedNameOf(spec);
  const version = servedVersionOf(spec);
  const configuration = join(name, 'config.pbtxt');
  const weights = join(name, version, 'model.onnx');
  await mkdir(join(repository, name, version), { recursive: true });
  // The configuration last: Triton looks for new models while these are written.
  await intoPlace(join(repository, weights), (file) => copyFile(spec.weightsFile, file));
  const files = [weights];
  if (options.backend === 'python') {
    const code = join(name, version, 'model.py');
    await intoPlace(join(repository, code), (file) => writeFile(file, pythonModel));
    files.push(code);
  }
  await intoPlace(join(repository, configuration), (file) => writeFile(file, configurationOf(spec, options)));
  return { name, version, files: [configuration, ...files] };
}

/** Whole or not at all: a server may be reading. */
async function intoPlace(file: string, write: (file: string) => Promise<void>): Promise<void> {
  const unfinished = join(dirname(file), `.${process.pid}.unfinished`);
  await write(unfinished);
  await rename(unfinished, file);
}

export function configurationOf(spec: NetworkSpec, { backend, threads, queueDelayMs }: ExportOptions): string {
  const batches = hasBatchAxis(spec);
  const most = batches ? Math.max(spec.batch, Math.min(largestBatch, spec.most ?? largestBatch)) : 0;
  const tensors = (kind: 'input' | 'output', all: NetworkSpec['inputs']): string =>
    Object.entries(all)
      .map(([tensor, { type, shape }]) => {
        const dims = (batches ? shape.slice(1) : shape).map((size) => (typeof size === 'number' ? size : -1));
        return `${kind} [\n  {\n    name: ${quoted(tensor)}\n    data_type: ${tritonType(type)}\n    dims: [ ${dims.join(', ')} ]\n  }\n]`;
      })
      .join('\n');
  const parameters = {
    [hashParameter(spec)]: spec.sha256,
    wetread_pack: `${spec.pack} ${spec.version}`,
    ...(threads !== undefined && { intra_op_thread_count: String(threads) }),
  };
  return `${[
    `# Written by "wetread models export": ${spec.pack} ${spec.version}, network ${spec.network}. Written again, it is overwritten.`,
    `name: ${quoted(servedNameOf(spec))}`,
    `backend: ${quoted(backend)}`,
    `max_batch_size: ${most}`,
    tensors('input', spec.inputs),
    tensors('output', spec.outputs),
    ...(batches ? [`dynamic_batching {\n  max_queue_delay_microseconds: ${Math.round(queueDelayMs * 1000)}\n}`] : []),
    // An older version stays available while services that still ask for it are replaced.
    'version_policy {\n  all {\n  }\n}',
    ...(backend === 'python' ? ['instance_group [\n  {\n    kind: KIND_CPU\n    count: 1\n  }\n]'] : []),
    ...Object.entries(parameters).map(
      ([key, value]) => `parameters {\n  key: ${quoted(key)}\n  value {\n    string_value: ${quoted(value)}\n  }\n}`,
    ),
  ].join('\n')}\n`;
}

const tritonType = (type: TensorType): string => `TYPE_${kserveType(type)}`;

const quoted = (text: string): string => JSON.stringify(text);

const pythonModel = `"""Runs model.onnx beside this file with ONNX Runtime; requests that Triton hands over together share one run."""
import json
import os

import numpy
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        parameters = config.get("parameters", {})
        options = onnxruntime.SessionOptions()
        if "intra_op_thread_count" in parameters:
            options.intra_op_num_threads = int(parameters["intra_op_thread_count"]["string_value"])
        self.session = onnxruntime.InferenceSession(
            os.path.join(args["model_repository"], args["model_version"], "model.onnx"),
            options,
            providers=["CPUExecutionProvider"],
        )
        self.inputs = [one["name"] for one in config["input"]]
        self.outputs = [one["name"] for one in config["output"]]
        self.batches = config["max_batch_size"] > 0

    def run(self, feeds):
        return dict(zip(self.outputs, self.session.run(self.outputs, feeds)))

    def execute(self, requests):
        asked = [
            {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            for request in requests
        ]
        if self.batches and len(asked) > 1:
            try:
                return self.answer_together(asked)
            except Exception:
                pass  # one of them may have spoilt it for the others: each by itself shows which
        return [self.answer_alone(feeds) for feeds in asked]

    def answer_together(self, asked):
        joined = {name: numpy.concatenate([feeds[name] for feeds in asked]) for name in self.inputs}
        answer = self.run(joined)
        ends = numpy.cumsum([feeds[self.inputs[0]].shape[0] for feeds in asked])[:-1]
        parts = {name: numpy.split(answer[name], ends) for name in self.outputs}
        return [self.response({name: parts[name][at] for name in self.outputs}) for at in range(len(asked))]

    def answer_alone(self, feeds):
        try:
            return self.response(self.run(feeds))
        except Exception as fault:
            return triton.InferenceResponse(error=triton.TritonError(str(fault)))

    def response(self, answer):
        return triton.InferenceResponse(
            output_tensors=[triton.Tensor(name, numpy.ascontiguousarray(answer[name])) for name in self.outputs]
        )
`;
