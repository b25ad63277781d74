/** What a pack's manifest.json must say; everything the service does with a model without knowing the model. */
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';

/** Regions a pack may declare: the words of `src/domain/study.ts`. */
const regions = [
  'lumbar-spine',
  'thoracic-spine',
  'cervical-spine',
  'whole-spine',
  'chest',
  'pelvis',
  'limb',
  'other',
] as const;

const sentence = z.string().trim().min(1);
const size = z.int().min(1).max(16_384);
const plainFile = (ending: string) =>
  z.string().refine((name) => name.endsWith(ending) && !/[\\/]/.test(name), `must be a ${ending} file inside the pack`);

/** Steps the service carries out between the grey picture and the tensor, in this order. */
const preprocessStep = z.discriminatedUnion('step', [
  z.strictObject({
    step: z.literal('letterbox').describe('Fit into the tensor keeping the aspect, centred, zeros around.'),
    height: size,
    width: size,
    filter: z
      .enum(['area', 'triangle'])
      .describe(
        '`area`: as OpenCV INTER_AREA. `triangle`: as Pillow BILINEAR and torch antialias. Enlarging is linear.',
      ),
  }),
  z.strictObject({
    step: z
      .literal('normalise')
      .describe('(x - mean) / (standard deviation + epsilon), of each picture, zeros included.'),
    epsilon: z.number().positive(),
  }),
  z.strictObject({
    step: z.literal('both-facings').describe('A batch of two: the picture, and its mirror image left to right.'),
  }),
]);

/** Sizes along the axes; a word for an axis that is free, as ONNX writes it. */
const shape = z.array(z.union([z.int().min(1), z.string().min(1)])).min(1);

export const packManifest = z
  .strictObject({
    $schema: z.string().optional(),
    name: z
      .string()
      .regex(/^[a-z][a-z0-9-]{1,62}$/, "must be lower case letters, digits and hyphens, as the folder's name"),
    version: z.string().regex(/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/, 'must be a version such as 1.2.0'),
    title: sentence.max(64).describe('What cards and reports call the model.'),
    intendedUse: sentence,
    contraindications: z.array(sentence).describe('When its answer must not be used.'),
    limitations: z.array(sentence).min(1),
    trainedOn: sentence.describe('The data, and whether it is synthetic or real; shown beside every answer.'),
    licence: z.strictObject({ code: sentence, weights: sentence, data: sentence }),
    demonstration: z
      .boolean()
      .describe('True until the model is shown to work on at least 100 real external pictures.'),
    selection: z
      .strictObject({
        modalities: z.array(z.string().regex(/^[A-Z]{2,16}$/, 'must be DICOM modalities such as DX')).min(1),
        regions: z.array(z.enum(regions)).min(1),
        views: z.array(z.enum(['lateral', 'frontal', 'oblique', 'axial'])).min(1),
        spacing: z.enum(['required', 'optional']).describe('Whether a picture without a pixel size can be read.'),
      })
      .describe('Which pictures the model is for. Headers are hints: a missing tag excludes nothing.'),
    weights: z.strictObject({
      file: plainFile('.onnx'),
      sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits'),
      bytes: z.int().positive(),
    }),
    input: z.strictObject({
      tensor: z.string().min(1),
      type: z.literal('float32'),
      shape: z
        .tuple([z.union([z.int().min(1), z.string().min(1)]), z.literal(1), size, size])
        .describe('[batch, 1, height, width]'),
      preprocess: z.array(preprocessStep).min(1),
    }),
    outputs: z.record(
      z.string().min(1),
      z.strictObject({
        type: z.literal('float32'),
        shape,
        labels: z.array(z.string().min(1)).optional().describe('Names along the second axis: landmarks or classes.'),
        values: z.array(z.string().min(1)).optional().describe('Names along the last axis.'),
      }),
    ),
    operatingPoints: z
      .record(z.string(), z.record(z.string(), z.number()))
      .describe('Thresholds, chosen on validation data only; postprocess.ts reads them from here.'),
    reference: z
      .record(z.string(), z.record(z.string(), z.strictObject({ mean: z.number(), sd: z.number().nonnegative() })))
      .default({})
      .describe('Normal values the findings are compared with.'),
    deadlineMs: z.int().min(100).max(600_000).describe('Longest a run may take before its process is ended.'),
  })
  .superRefine((manifest, context) => {
    const fault = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message });
    const steps = manifest.input.preprocess.map(({ step }) => step);
    const order = ['letterbox', 'normalise', 'both-facings'];
    const sorted = steps.toSorted((a, b) => order.indexOf(a) - order.indexOf(b));
    if (new Set(steps).size !== steps.length || steps.join() !== sorted.join()) {
      fault(['input', 'preprocess'], `steps come once each, in the order ${order.join(', ')}`);
    }
    const letterbox = manifest.input.preprocess.find((step) => step.step === 'letterbox');
    const [batch, , height, width] = manifest.input.shape;
    if (letterbox === undefined) fault(['input', 'preprocess'], 'a letterbox step is needed: films come in all sizes');
    else if (letterbox.height !== height || letterbox.width !== width) {
      fault(
        ['input', 'preprocess'],
        `letterbox gives ${letterbox.height} x ${letterbox.width}, the tensor is ${height} x ${width}`,
      );
    }
    const pictures = steps.includes('both-facings') ? 2 : 1;
    if (typeof batch === 'number' && batch !== pictures) {
      fault(['input', 'shape', 0], `must be ${pictures} or a free axis: that many pictures are made`);
    }
    if (Object.keys(manifest.outputs).length === 0) fault(['outputs'], 'name at least one output');
    for (const [name, { shape, labels, values }] of Object.entries(manifest.outputs)) {
      const counts = { labels: [labels, shape[1]], values: [values, shape.at(-1)] } as const;
      for (const [field, [names, length]] of Object.entries(counts)) {
        if (names !== undefined && typeof length === 'number' && names.length !== length) {
          fault(['outputs', name, field], `has ${names.length} names, the axis has ${length}`);
        }
      }
    }
  });

export type PackManifest = z.output<typeof packManifest>;
/** A manifest as it stands in the JSON file. */
export type WrittenManifest = z.input<typeof packManifest>;
export type PreprocessStep = z.output<typeof preprocessStep>;

/** Throws `model.pack-invalid` naming the file and each wrong field. */
export function parseManifest(json: string, file: string): PackManifest {
  let written: unknown;
  try {
    written = JSON.parse(json);
  } catch (error) {
    throw new WetreadError('model.pack-invalid', `${file}: is not JSON (${(error as Error).message})`);
  }
  const result = packManifest.safeParse(written);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path, message }) => `${path.join('.') || '(whole file)'}: ${message}`);
  throw new WetreadError('model.pack-invalid', `${file}: ${faults.join('; ')}`);
}
