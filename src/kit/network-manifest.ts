/** One network of a pack as its manifest describes it: weights, tensors in, tensors out, and how sure its answers are. */
import { z } from 'zod';
import { planShape, preprocessStep, type PlannedShape } from './preprocess-step.ts';

export type Issue = (path: (string | number)[], message: string) => void;

const sentence = z.string().trim().min(1);
const label = z.string().min(1);

/** Sizes along the axes; a word for an axis that is free, as ONNX writes it. */
const shape = z.array(z.union([z.int().min(1), z.string().min(1)])).min(1);

export const weights = z
  .strictObject({
    file: z
      .string()
      .refine((name) => name.endsWith('.onnx') && !/[\\/]/.test(name), 'must be a .onnx file inside the pack'),
    sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits'),
    bytes: z.int().positive(),
    url: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe('Where `wetread models add` fetches the file when it does not come with the pack.'),
  })
  .describe('`wetread models seal` writes size and hash.');

/** A network as another pack describes it, weights and all: two packs then cannot prepare pictures for it differently. */
export const borrowed = z
  .strictObject({
    from: z
      .strictObject({
        pack: z.string().min(1).describe('A pack in the same folder of packs.'),
        network: z.string().min(1).optional().describe('Not needed where that pack has only one.'),
        sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits'),
      })
      .describe('`wetread models seal` writes the hash that the other pack has.'),
  })
  .describe(
    'Weights, tensors and preprocessing are those of another pack; with other weights than these it does not load.',
  );
export type Borrowed = z.output<typeof borrowed>['from'];

const axes = { NCHW: ['C', 'H', 'W'], NHWC: ['H', 'W', 'C'], NHW: ['H', 'W'], NCDHW: ['C', 'D', 'H', 'W'] } as const;
export type Layout = keyof typeof axes;

export const networkInput = z.strictObject({
  type: z
    .enum(['float32', 'float16', 'uint8'])
    .describe('`uint8` takes values rounded and clipped to 0 … 255: a `scale` step by 255 belongs before it.'),
  layout: z
    .enum(Object.keys(axes) as [Layout, ...Layout[]])
    .default('NCHW')
    .describe('Order of the axes: N pictures, C channels, D slices, H rows, W columns.'),
  shape: shape.describe('Sizes in that order; a grey picture is repeated where the tensor has more channels than one.'),
  preprocess: z
    .array(preprocessStep)
    .min(1)
    .optional()
    .describe(
      'From the picture to the tensor. Without it the numbers come from postprocess.ts (`run(network, { feeds })`).',
    ),
});

const calibration = z.discriminatedUnion('method', [
  z
    .strictObject({
      method: z.literal('temperature'),
      temperature: z.number().positive(),
      activation: z.enum(['softmax', 'sigmoid']),
      fittedOn: sentence,
    })
    .describe('activation(x / temperature); softmax runs along the axis of the labels.'),
  z
    .strictObject({
      method: z.literal('platt'),
      slope: z.union([z.number(), z.array(z.number()).min(1)]),
      intercept: z.union([z.number(), z.array(z.number()).min(1)]),
      fittedOn: sentence,
    })
    .describe('sigmoid(slope * x + intercept), one pair or one for each label.'),
  z
    .strictObject({
      method: z.literal('isotonic'),
      activation: z.enum(['softmax', 'sigmoid', 'none']),
      x: z.array(z.number()).min(2),
      y: z.array(z.number().min(0).max(1)).min(2),
      fittedOn: sentence,
    })
    .describe('activation(x), then the straight line between the two nearest of the points given.'),
]);
export type Calibration = z.output<typeof calibration>;

export const networkOutput = z.strictObject({
  type: z
    .enum(['float32', 'float16', 'int64', 'int32', 'uint8', 'bool'])
    .describe('Packs get numbers, whatever it is.'),
  shape,
  labels: z.array(label).optional().describe('Names along the second axis: landmarks or classes.'),
  values: z.array(label).optional().describe('Names along the last axis.'),
  calibration: calibration
    .optional()
    .describe('Applied before postprocess.ts sees the answer, which gets both: `data` and `calibrated`.'),
  thresholds: z
    .record(z.string(), z.record(z.string(), z.number()))
    .optional()
    .describe('For each operating point a threshold for each label; chosen on validation data only.'),
});

export const hardware = z.strictObject({
  memoryMb: z
    .int()
    .positive()
    .optional()
    .describe('What one process needs with this network open; it is warned of where there is less.'),
  most: z.int().min(1).max(4096).optional().describe('Pictures in one run at most; more are run in several.'),
  providers: z
    .array(z.enum(['cpu', 'cuda', 'tensorrt', 'webgpu', 'coreml', 'dml']))
    .optional()
    .describe('Tried on.'),
});

export const network = z.strictObject({
  weights,
  inputs: z.record(z.string().min(1), networkInput).describe('By tensor name.'),
  outputs: z.record(z.string().min(1), networkOutput).describe('By tensor name.'),
  hardware: hardware.optional(),
});

export type NetworkManifest = Omit<z.output<typeof network>, 'weights'> & { readonly weights: Weights };
export type NetworkInput = z.output<typeof networkInput>;
export type NetworkOutput = z.output<typeof networkOutput>;
export type Weights = z.output<typeof weights> & {
  /** The pack that lends the network. */
  readonly pack?: string;
};

/** Where an axis lies in the tensor's shape; -1 when it has none. */
export const axisOf = (layout: Layout, axis: 'C' | 'D' | 'H' | 'W'): number =>
  (axes[layout] as readonly string[]).indexOf(axis) + 1 || -1;

export function checkInput(input: NetworkInput, fault: Issue): void {
  const { layout, shape, preprocess } = input;
  if (preprocess === undefined) return;
  const rank = axes[layout].length + 1;
  if (shape.length !== rank) return fault(['shape'], `${layout} has ${rank} axes, the shape has ${shape.length}`);
  const planned = planShape(preprocess, (path, message) => fault(['preprocess', ...path], message));
  compareSizes(planned, input, fault);
  if (planned.depth !== (layout === 'NCDHW')) fault(['layout'], 'NCDHW goes with a stack step as depth');
  if (input.type === 'uint8' && preprocess.some(({ step }) => step === 'normalise'))
    fault(['type'], 'normalised values do not fit into uint8');
}

function compareSizes(
  { height, width, items, channels, depth }: PlannedShape,
  input: NetworkInput,
  fault: Issue,
): void {
  const { layout, shape } = input;
  const at = (axis: 'C' | 'D' | 'H' | 'W'): number | string | undefined => shape[axisOf(layout, axis)];
  const [rows, columns] = [at('H'), at('W')];
  if (typeof rows === 'number' && typeof columns === 'number') {
    if (height === undefined || width === undefined)
      fault(['preprocess'], `pictures come in all sizes: a step must bring them to ${rows} x ${columns}`);
    else if (height !== rows || width !== columns)
      fault(['preprocess'], `the steps give ${height} x ${width}, the tensor is ${rows} x ${columns}`);
  }
  const [batch] = shape;
  if (typeof batch === 'number' && items !== undefined && batch !== items)
    fault(['shape', 0], `must be ${items} or a free axis: that many pictures are made`);
  const wanted = depth ? at('D') : (at('C') ?? 1);
  if (typeof wanted === 'number' && channels !== undefined && channels !== 1 && channels !== wanted)
    fault(['shape'], `the steps give ${channels} ${depth ? 'slices' : 'channels'}, the tensor has ${wanted}`);
}

export function checkOutput({ shape, labels, values, calibration, thresholds }: NetworkOutput, fault: Issue): void {
  const counts = { labels: [labels, shape[1]], values: [values, shape.at(-1)] } as const;
  for (const [field, [names, length]] of Object.entries(counts)) {
    if (names !== undefined && typeof length === 'number' && names.length !== length)
      fault([field], `has ${names.length} names, the axis has ${length}`);
  }
  for (const [point, limits] of Object.entries(thresholds ?? {})) {
    const unknown = Object.keys(limits).find((name) => labels !== undefined && !labels.includes(name));
    if (unknown !== undefined) fault(['thresholds', point, unknown], 'is no label of this output');
  }
  if (calibration?.method === 'platt' && labels !== undefined) {
    for (const field of ['slope', 'intercept'] as const) {
      const given = calibration[field];
      if (Array.isArray(given) && given.length !== labels.length)
        fault(['calibration', field], `has ${given.length} values, there are ${labels.length} labels`);
    }
  }
  if (calibration?.method === 'isotonic') {
    const { x, y } = calibration;
    const rises = (all: readonly number[], strictly: boolean): boolean =>
      all.every((value, index) => index === 0 || (strictly ? value > all[index - 1]! : value >= all[index - 1]!));
    if (x.length !== y.length || !rises(x, true) || !rises(y, false))
      fault(['calibration'], 'x must rise, y must not fall, and both have as many values');
  }
}
