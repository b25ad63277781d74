/** What a pack's manifest.json must say; everything the service does with a model without knowing the model. */
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import {
  borrowed,
  checkInput,
  checkOutput,
  hardware,
  network,
  networkInput,
  networkOutput,
  weights,
  type Borrowed,
  type NetworkInput,
  type NetworkManifest,
  type Weights,
} from './network-manifest.ts';
import { selection } from './selection-manifest.ts';

const sentence = z.string().trim().min(1);
const networkName = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'must be lower case letters, digits and hyphens');

const of = {
  network: networkName.optional().describe('Not needed where there is only one.'),
  output: z.string().min(1),
  label: sentence.max(64),
};

/** What can be shown of how a network came to its answer; the service brings it to the picture's own geometry. */
const explanation = z.discriminatedUnion('kind', [
  z
    .strictObject({ kind: z.literal('cam'), ...of })
    .describe('A class activation map, [n, classes, rows, columns] or [n, rows, columns], laid over the whole tensor.'),
  z
    .strictObject({ kind: z.literal('mask'), ...of, threshold: z.number().default(0.5) })
    .describe('A probability for each pixel of a grid laid over the whole tensor, shown as outlines.'),
  z
    .strictObject({ kind: z.literal('landmarks'), ...of })
    .describe(
      'Points, [n, points, values]: `values` names x and y in pixels of the tensor, and, where known, varX, varY, covXY; `labels` names the points.',
    ),
  z
    .strictObject({
      kind: z.literal('boxes'),
      ...of,
      format: z.enum(['x1y1x2y2', 'cxcywh']).describe('In pixels of the tensor.'),
      scores: z.string().optional().describe('The output that holds a score for each box.'),
      threshold: z.number().default(0.5),
    })
    .describe('Boxes, [boxes, 4] or [n, boxes, 4].'),
]);
export type Explanation = z.output<typeof explanation>;

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
    trainingData: z
      .array(
        z.strictObject({
          name: sentence,
          kind: z.enum(['real', 'synthetic']),
          licence: sentence,
          source: sentence.optional(),
          patients: z.int().positive().optional(),
          images: z.int().positive().optional(),
        }),
      )
      .optional()
      .describe('Each set by itself, for the model card.'),
    licence: z.strictObject({ code: sentence, weights: sentence, data: sentence }),
    demonstration: z
      .boolean()
      .describe('True until the model is shown to work on at least 100 real external pictures.'),
    selection,
    weights: weights.optional(),
    input: networkInput.extend({ tensor: z.string().min(1) }).optional(),
    outputs: z.record(z.string().min(1), networkOutput).optional(),
    networks: z
      .record(networkName, network)
      .optional()
      .describe('Several networks, run by `read` in postprocess.ts; instead of weights, input and outputs.'),
    hardware: hardware.optional(),
    files: z
      .record(
        z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be a file inside the pack'),
        z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits') }),
      )
      .default({})
      .describe('What postprocess.ts reads besides, such as coefficients: part of the model, sealed like its weights.'),
    settings: z
      .record(z.string(), z.json())
      .default({})
      .describe("Words and choices of the pack's own, such as what its classes are called; postprocess.ts reads them."),
    picture: z
      .literal('native')
      .optional()
      .describe("postprocess.ts looks at the picture's own pixels; a region step has them sent without this."),
    explanation: z.record(networkName, explanation).default({}).describe('By the name postprocess.ts asks for.'),
    operatingPoint: z.string().min(1).optional().describe("Which of the outputs' thresholds are in use."),
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
    const { weights, input, outputs, networks } = manifest;
    const short = [weights, input, outputs].filter((one) => one !== undefined).length;
    if (networks === undefined ? short < 3 : short > 0 || manifest.hardware !== undefined) {
      fault([], 'give weights, input and outputs for one network, or networks for several');
      return;
    }
    if (input?.preprocess === undefined && networks === undefined)
      fault(['input', 'preprocess'], 'list the steps from the picture to the tensor');
    const all = networksIn(manifest);
    if (Object.keys(all).length === 0) fault(['networks'], 'name at least one network');
    const stacks = Object.values(all).some(({ inputs }) =>
      Object.values(inputs).some(({ preprocess }) => preprocess?.some(({ step }) => step === 'stack')),
    );
    if (manifest.selection.slices !== undefined && !stacks)
      fault(['selection', 'slices'], 'goes with a stack step in the preprocessing');
    const fieldOf = fieldNames(networks === undefined);
    for (const [name, { inputs, outputs }] of Object.entries(all)) {
      for (const [tensor, one] of Object.entries(inputs))
        checkInput(one, (path, message) => fault([...fieldOf.input(name, tensor), ...path], message));
      if (Object.keys(inputs).length === 0) fault(['networks', name, 'inputs'], 'name at least one input');
      if (Object.keys(outputs).length === 0) fault(fieldOf.outputs(name), 'name at least one output');
      for (const [tensor, one] of Object.entries(outputs)) {
        checkOutput(one, (path, message) => fault([...fieldOf.outputs(name), tensor, ...path], message));
        const points = one.thresholds && Object.keys(one.thresholds);
        if (
          points !== undefined &&
          (manifest.operatingPoint === undefined || !points.includes(manifest.operatingPoint))
        )
          fault(['operatingPoint'], `must be one of ${points.join(', ')}`);
      }
    }
    for (const [name, { network, ...one }] of Object.entries(manifest.explanation)) {
      const explained =
        network === undefined ? Object.values(all).find((_one, _at, { length }) => length === 1) : all[network];
      if (explained === undefined) {
        fault(['explanation', name, 'network'], `must be one of ${Object.keys(all).join(', ')}`);
        continue;
      }
      const output = explained.outputs[one.output];
      if (output === undefined) fault(['explanation', name, 'output'], `is no output of the network`);
      else if (one.kind === 'landmarks' && !(output.values?.includes('x') && output.values.includes('y')))
        fault(['explanation', name, 'output'], 'needs values that name x and y');
      if (one.kind === 'boxes' && one.scores !== undefined && !(one.scores in explained.outputs))
        fault(['explanation', name, 'scores'], 'is no output of the network');
    }
  })
  .transform((manifest) => ({ ...manifest, networks: networksIn(manifest) }));

type Written = {
  readonly weights?: Weights | undefined;
  readonly input?: (NetworkInput & { readonly tensor: string }) | undefined;
  readonly outputs?: NetworkManifest['outputs'] | undefined;
  readonly hardware?: NetworkManifest['hardware'];
  readonly networks?: Record<string, NetworkManifest> | undefined;
};

/** What the only network of a short manifest is called. */
export const onlyNetwork = 'main';

/** A manifest with weights, input and outputs is short for one with a single network. */
function networksIn({ weights, input, outputs, hardware, networks }: Written): Record<string, NetworkManifest> {
  if (networks !== undefined) return networks;
  if (weights === undefined || input === undefined || outputs === undefined) return {};
  const { tensor, ...rest } = input;
  return { [onlyNetwork]: { weights, inputs: { [tensor]: rest }, outputs, ...(hardware && { hardware }) } };
}

/** Where in the file a network's parts stand, for messages. */
export const fieldNames = (isShort: boolean) => ({
  weights: (network: string): string[] => (isShort ? ['weights'] : ['networks', network, 'weights']),
  input: (network: string, tensor: string): string[] => (isShort ? ['input'] : ['networks', network, 'inputs', tensor]),
  outputs: (network: string): string[] => (isShort ? ['outputs'] : ['networks', network, 'outputs']),
});

export const isShort = (manifest: object): boolean => 'weights' in manifest;

/** What the service works with: every pack has networks, however its file is written. */
export type PackManifest = Omit<z.output<typeof packManifest>, 'weights' | 'input' | 'outputs' | 'hardware'>;
/** A manifest as it stands in the JSON file. */
export type WrittenManifest = z.input<typeof packManifest>;

/** Gives what another pack lends; throws for what it does not have. */
export type Lend = (asked: Borrowed, field: string) => NetworkManifest;

/** Throws `model.pack-invalid` naming the file and each wrong field. */
export function parseManifest(json: string, file: string, lend?: Lend): PackManifest {
  let written: unknown;
  try {
    written = JSON.parse(json);
  } catch (error) {
    throw new WetreadError('model.pack-invalid', `${file}: is not JSON (${(error as Error).message})`);
  }
  const lent = lentTo(written, file, lend);
  const result = packManifest.safeParse(withNetworks(written, lent));
  if (!result.success) throw invalid(file, result.error);
  return { ...result.data, networks: { ...result.data.networks, ...lent } };
}

const invalid = (file: string, { issues }: z.ZodError, before: readonly string[] = []): WetreadError => {
  const faults = issues.map(({ path, message }) => `${[...before, ...path].join('.') || '(whole file)'}: ${message}`);
  return new WetreadError('model.pack-invalid', `${file}: ${faults.join('; ')}`);
};

/** The networks that a manifest borrows, by their names in it. */
export function borrowedIn(written: unknown, file: string): Record<string, Borrowed> {
  const found: Record<string, Borrowed> = {};
  if (!isObject(written) || !isObject(written['networks'])) return found;
  for (const [name, one] of Object.entries(written['networks'])) {
    if (!isObject(one) || !('from' in one)) continue;
    const result = borrowed.safeParse(one);
    if (!result.success) throw invalid(file, result.error, ['networks', name]);
    found[name] = result.data.from;
  }
  return found;
}

function lentTo(written: unknown, file: string, lend: Lend | undefined): Record<string, NetworkManifest> {
  const lent: Record<string, NetworkManifest> = {};
  for (const [name, from] of Object.entries(borrowedIn(written, file))) {
    const field = `${file}: networks.${name}.from`;
    if (lend === undefined)
      throw new WetreadError('model.pack-invalid', `${field}: a network that is borrowed cannot be lent again`);
    const network = lend(from, field);
    lent[name] = { ...network, weights: { ...network.weights, pack: from.pack } };
  }
  return lent;
}

/** The file as it would be with the lenders' descriptions in it, so that the rest is checked against them. */
function withNetworks(written: unknown, lent: Readonly<Record<string, NetworkManifest>>): unknown {
  if (!isObject(written) || !isObject(written['networks'])) return written;
  const networks = { ...written['networks'] };
  for (const [name, { weights, ...network }] of Object.entries(lent)) {
    const { pack: _, ...own } = weights;
    networks[name] = { ...network, weights: own };
  }
  return { ...written, networks };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
