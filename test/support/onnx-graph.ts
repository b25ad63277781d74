/** Writes small ONNX files for tests and large ones for benches: graphs with the weights they are given. */
import { ProtoWriter } from '../../src/inference/protobuf.ts';

export type OnnxNode = {
  readonly op: string;
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
};

export type OnnxTensorValue = {
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array;
};

export type OnnxGraph = {
  readonly inputs: Readonly<Record<string, readonly (number | string)[]>>;
  readonly outputs: Readonly<Record<string, readonly (number | string)[]>>;
  readonly nodes: readonly OnnxNode[];
  readonly weights?: Readonly<Record<string, OnnxTensorValue>>;
  /** Domains of operators besides ONNX's own. */
  readonly domains?: readonly string[];
};

const float32 = 1;
const int64 = 7;

/** Field numbers are those of onnx.proto3 (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto). */
export function onnxFile({ inputs, outputs, nodes, weights = {}, domains = [] }: OnnxGraph): Uint8Array {
  const model = new ProtoWriter().integer(1, 8).text(2, 'wetread-test');
  model.message(7, (graph) => {
    for (const node of nodes) graph.message(1, (into) => writeNode(into, node));
    graph.text(2, 'graph');
    for (const [name, { dims, data }] of Object.entries(weights))
      graph.message(5, (tensor) => {
        for (const size of dims) tensor.integer(1, size);
        tensor.integer(2, data instanceof Float32Array ? float32 : int64).text(8, name);
        tensor.bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      });
    for (const [name, shape] of Object.entries(inputs)) graph.message(11, (value) => writeValue(value, name, shape));
    for (const [name, shape] of Object.entries(outputs)) graph.message(12, (value) => writeValue(value, name, shape));
  });
  model.message(8, (opset) => opset.integer(2, 17));
  for (const domain of domains) model.message(8, (opset) => opset.text(1, domain).integer(2, 1));
  return Buffer.concat(model.done());
}

function writeNode(into: ProtoWriter, { op, domain, inputs, outputs, attributes = {} }: OnnxNode): void {
  for (const input of inputs) into.text(1, input);
  for (const output of outputs) into.text(2, output);
  into.text(4, op);
  for (const [name, value] of Object.entries(attributes))
    into.message(5, (attribute) => {
      attribute.text(1, name);
      if (typeof value === 'number') attribute.integer(3, value).integer(20, 2);
      else {
        for (const one of value) attribute.integer(8, one);
        attribute.integer(20, 7);
      }
    });
  if (domain !== undefined) into.text(7, domain);
}

function writeValue(into: ProtoWriter, name: string, shape: readonly (number | string)[]): void {
  into.text(1, name).message(2, (type) =>
    type.message(1, (tensor) =>
      tensor.integer(1, float32).message(2, (sizes) => {
        for (const size of shape)
          sizes.message(1, (axis) => (typeof size === 'number' ? axis.integer(1, size) : axis.text(2, size)));
      }),
    ),
  );
}

/** ResNet-50 for 224 x 224 as exporters write it, batch norms folded into the convolutions: 102 MB of weights of chance. */
export function resnet50(channels: number, classes: number): OnnxGraph {
  const nodes: OnnxNode[] = [];
  const weights: Record<string, OnnxTensorValue> = {};
  let seed = 1;
  // Mulberry32: the same weights at every run.
  const chance = (): number => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 - 0.5;
  };
  const tensor = (name: string, dims: readonly number[], fanIn: number): string => {
    const length = dims.reduce((product, size) => product * size, 1);
    // Kept small in the branches, so that 16 blocks do not add up to infinity.
    const scale = 2 * Math.sqrt(1.5 / fanIn);
    weights[name] = { dims, data: Float32Array.from({ length }, () => scale * chance()) };
    return name;
  };
  const node = (op: string, inputs: readonly string[], attributes: OnnxNode['attributes'] = {}): string => {
    const output = `v${nodes.length}`;
    nodes.push({ op, inputs, outputs: [output], attributes });
    return output;
  };
  const conv = (input: string, from: number, to: number, kernel: number, stride: number): string => {
    const name = `w${nodes.length}`;
    const fanIn = from * kernel * kernel;
    const pad = (kernel - 1) / 2;
    return node('Conv', [input, tensor(name, [to, from, kernel, kernel], fanIn), tensor(`${name}b`, [to], 1e4)], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
    });
  };
  let at = node('Relu', [conv('image', channels, 64, 7, 2)]);
  at = node('MaxPool', [at], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
  let width = 64;
  for (const [stage, blocks] of [3, 4, 6, 3].entries())
    for (let block = 0; block < blocks; block += 1) {
      const inner = 64 * 2 ** stage;
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const squeezed = node('Relu', [conv(at, width, inner, 1, 1)]);
      const looked = node('Relu', [conv(squeezed, inner, inner, 3, stride)]);
      const widened = conv(looked, inner, inner * 4, 1, 1);
      const kept = block === 0 ? conv(at, width, inner * 4, 1, stride) : at;
      at = node('Relu', [node('Add', [widened, kept])]);
      width = inner * 4;
    }
  const pooled = node('Flatten', [node('GlobalAveragePool', [at])], { axis: 1 });
  nodes.push({
    op: 'Gemm',
    inputs: [pooled, tensor('head', [classes, width], width), tensor('headb', [classes], 1e4)],
    outputs: ['scores'],
    attributes: { transB: 1 },
  });
  return { inputs: { image: ['n', channels, 224, 224] }, outputs: { scores: ['n', classes] }, nodes, weights };
}
