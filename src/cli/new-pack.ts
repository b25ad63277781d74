/** The beginnings of a model pack: files that compile, explain themselves, and abstain until somebody writes the rest. */
import { copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WetreadError } from '../domain/errors.ts';
import { readManifest, sha256Of } from '../inference/load-packs.ts';
import { parseManifest } from '../kit/model-pack.ts';

type Axes = readonly (number | string)[];
type Interface = {
  readonly input: {
    readonly name: string;
    readonly type: 'float32' | 'float16' | 'uint8';
    readonly layout: 'NCHW' | 'NHWC';
    readonly shape: Axes;
  };
  readonly outputs: Readonly<Record<string, { readonly type: string; readonly shape: Axes }>>;
};

const kitFile = fileURLToPath(new URL('../kit/model-pack.ts', import.meta.url));
const schemaFile = fileURLToPath(new URL('../../models/pack.schema.json', import.meta.url));

/** What stands in the skeleton until weights are there. */
const assumed: Interface = {
  input: { name: 'image', type: 'float32', layout: 'NCHW', shape: ['n', 1, 512, 512] },
  outputs: { logits: { type: 'float32', shape: ['n', 2] } },
};

export async function writeNewPack(
  folder: string,
  name: string,
  onnx?: string,
): Promise<{ folder: string; files: string[]; next: string }> {
  const pack = join(folder, name);
  const found = onnx === undefined ? assumed : await interfaceOf(onnx);
  await mkdir(pack).catch((cause: NodeJS.ErrnoException) => {
    const says = cause.code === 'EEXIST' ? 'is there already' : `cannot be made (${cause.code})`;
    throw new WetreadError('model.pack-invalid', `${pack}: ${says}`, { cause });
  });
  const weights = onnx === undefined ? { file: 'model.onnx', sha256: '0'.repeat(64), bytes: 1 } : await weightsOf(onnx);
  if (onnx !== undefined) await copyFile(onnx, join(pack, 'model.onnx'));
  const manifest = `${JSON.stringify(manifestOf(name, found, { ...weights, file: 'model.onnx' }, relative(pack, schemaFile)), null, 2)}\n`;
  parseManifest(manifest, join(pack, 'manifest.json'));
  const files = {
    'manifest.json': manifest,
    'postprocess.ts': postprocessOf(Object.keys(found.outputs)[0]!, relative(pack, kitFile)),
    'MODEL_CARD.md': cardOf(name),
    'cases/README.md': casesText,
  };
  await mkdir(join(pack, 'cases'));
  for (const [file, text] of Object.entries(files)) await writeFile(join(pack, file), text, { flag: 'wx' });
  const next =
    onnx === undefined
      ? `put the weights in as ${join(pack, 'model.onnx')}, correct manifest.json, then: wetread models seal ${name} && wetread models verify ${name}`
      : `correct manifest.json and write postprocess.ts, then: wetread models verify ${name}`;
  return { folder: pack, files: [...Object.keys(files), ...(onnx === undefined ? [] : ['model.onnx'])], next };
}

type Sealed = { readonly file: string; readonly sha256: string; readonly bytes: number };

/** Writes the weights' size and hash into the manifest, and nothing else. */
export async function sealPack(folder: string, name: string): Promise<Sealed[]> {
  const file = join(folder, name, 'manifest.json');
  const { networks, files } = await readManifest(join(folder, name), true);
  const written = JSON.parse(await textOf(file)) as Record<string, unknown>;
  const sealed: Sealed[] = [];
  for (const [network, { weights }] of Object.entries(networks)) {
    if (weights.pack !== undefined) {
      const { pack, file: lent, sha256, bytes } = weights;
      const { from } = (written['networks'] as Record<string, { from: object }>)[network]!;
      Object.assign(from, { sha256 });
      sealed.push({ file: `${pack}/${lent}`, sha256, bytes });
      continue;
    }
    const found = { ...weights, ...(await weightsOf(join(folder, name, weights.file))), file: weights.file };
    sealed.push(found);
    if ('networks' in written)
      Object.assign((written['networks'] as Record<string, object>)[network]!, { weights: found });
    else written['weights'] = found;
  }
  for (const one of Object.keys(files)) {
    const found = await weightsOf(join(folder, name, one));
    sealed.push({ ...found, file: one });
    (written['files'] as Record<string, object>)[one] = { sha256: found.sha256 };
  }
  await writeFile(file, `${JSON.stringify(written, null, 2)}\n`);
  return sealed;
}

const unreadable = (file: string) => (cause: unknown) => {
  throw new WetreadError('model.pack-invalid', `${file}: cannot be read`, { cause });
};
const textOf = (file: string): Promise<string> => readFile(file, 'utf8').catch(unreadable(file));

async function weightsOf(file: string): Promise<{ file: string; sha256: string; bytes: number }> {
  const { size } = await stat(file).catch(unreadable(file));
  return { file, sha256: await sha256Of(file), bytes: size };
}

async function interfaceOf(onnx: string): Promise<Interface> {
  await stat(onnx).catch(unreadable(onnx));
  // Loaded only here: the runtime is large, and the command line should answer at once.
  const { InferenceSession } = await import('onnxruntime-node');
  const session = await InferenceSession.create(onnx).catch((cause: Error) => {
    throw new WetreadError('model.pack-invalid', `${onnx}: ${cause.message}`, { cause });
  });
  try {
    const [input, second] = session.inputMetadata;
    if (input === undefined || second !== undefined)
      throw new WetreadError(
        'model.pack-invalid',
        `${onnx}: has ${session.inputMetadata.length} inputs; a manifest with "networks" can name them, this skeleton takes one`,
      );
    const takes = ['float32', 'float16', 'uint8'] as const;
    const type = takes.find((one) => input.isTensor && input.type === one);
    if (type === undefined || !input.isTensor)
      throw new WetreadError('model.pack-invalid', `${onnx}: ${input.name} is none of ${takes.join(', ')}`);
    const shape = shapeOf(input);
    const layout = [1, 3].includes(shape[1] as number) ? 'NCHW' : 'NHWC';
    if (shape.length !== 4 || ![1, 3].includes(shape[layout === 'NCHW' ? 1 : 3] as number))
      throw new WetreadError(
        'model.pack-invalid',
        `${onnx}: ${input.name} is [${shape.join(', ')}]; a picture is [n, 1 or 3, height, width] or [n, height, width, 1 or 3]`,
      );
    return {
      input: { name: input.name, type, layout, shape },
      outputs: Object.fromEntries(
        session.outputMetadata.map((one) => [one.name, { type: one.isTensor ? one.type : '', shape: shapeOf(one) }]),
      ),
    };

    function shapeOf(one: NonNullable<typeof input>): Axes {
      return one.isTensor ? one.shape.map((size, axis) => (size === '' ? `axis${axis}` : size)) : [];
    }
  } finally {
    await session.release();
  }
}

/** What nets that were trained on ImageNet expect; torchvision's documentation. */
const imageNet = { mean: [0.485, 0.456, 0.406], sd: [0.229, 0.224, 0.225] };

function stepsFor({ type, layout, shape }: Interface['input']): object[] {
  const [rows, columns, channels] = layout === 'NCHW' ? [shape[2], shape[3], shape[1]] : [shape[1], shape[2], shape[3]];
  const size = (side: number | string | undefined): number => (typeof side === 'number' ? side : 512);
  const fit = { step: 'letterbox', height: size(rows), width: size(columns), filter: 'triangle' };
  if (type === 'uint8') return [fit, { step: 'scale', by: 255 }];
  return [
    fit,
    channels === 3 ? { step: 'normalise', by: 'fixed', ...imageNet } : { step: 'normalise', epsilon: 0.0001 },
  ];
}

function manifestOf(name: string, { input, outputs }: Interface, weights: object, schema: string): object {
  return {
    $schema: schema,
    name,
    version: '0.1.0',
    title: name,
    intendedUse:
      'TODO What it is for, on whom, and what a reader does with it. Research use only; not a medical device.',
    contraindications: ['TODO When its answer must not be used.'],
    limitations: ['TODO Where it is known to fail.'],
    trainedOn: 'TODO The data: synthetic or real, how many patients, from where.',
    licence: { code: 'Apache-2.0', weights: 'TODO', data: 'TODO' },
    demonstration: true,
    selection: { modalities: ['CR', 'DX'], regions: ['lumbar-spine'], views: ['lateral'], spacing: 'optional' },
    weights,
    input: {
      tensor: input.name,
      type: input.type,
      layout: input.layout,
      shape: input.shape,
      preprocess: stepsFor(input),
    },
    outputs,
    operatingPoints: {},
    deadlineMs: 20_000,
  };
}

const postprocessOf = (
  output: string,
  kit: string,
): string => `/** From the net's answer to findings. Runs in the model's process, within the deadline of manifest.json. */
import { definePack } from '${kit}';
import manifest from './manifest.json' with { type: 'json' };

export default definePack(manifest, {
  // The tensor is checked already: the manifest's shape, and nothing but numbers.
  // toImage(x, y) turns places of the tensor into picture pixels; calibrated numbers and thresholds come where the manifest declares them.
  postprocess({ outputs }) {
    const { data } = outputs[${JSON.stringify(output)}];
    // Abstaining is an answer: "not assessable" with a reason is never shown as "normal".
    return [
      {
        concept: 'view-and-quality',
        site: { kind: 'image' },
        result: {
          kind: 'not-assessable',
          reason: 'unlike-training-data',
          explanation: \`Not read: this pack only counts its \${data.length} numbers so far.\`,
        },
        measurements: [],
        summary: 'Not read: this pack is not finished.',
      },
    ];
  },
});
`;

const cardOf = (name: string): string => `# ${name}
TODO In plain words, for somebody who has to decide whether to switch it on.

| | |
|---|---|
| Intended use | as in manifest.json; research use only |
| Trained on | data, licence, synthetic or real, n |
| Measured on synthetic data | n, figure, 95 % interval, hash of model and data |
| Measured on real data | k of n, 95 % interval, source, who read it; or "none" |
| Not shown | what a paper reported and this model has not reached |
| Fails when | |
| Abstains when | and how often |
`;

const casesText = `# Cases
Tiny pictures (\`name.dcm\` or \`name.png\`) and what must come out (\`name.expected.json\`). The contract test finds and runs
them on the real runtime by itself. Say where each picture comes from and under which licence.

\`\`\`json
{
  "model": "<sha256 of the weights>",
  "findings": [
    {
      "concept": "spondylolisthesis",
      "site": { "kind": "segment", "level": "L4/L5" },
      "result": "detected",
      "measurements": [{ "quantity": "slip-percent", "value": 18, "tolerance": 1 }]
    }
  ]
}
\`\`\`
`;
