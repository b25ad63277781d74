/** The beginnings of a model pack: files that compile, explain themselves, and abstain until somebody writes the rest. */
import { copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WetreadError } from '../domain/errors.ts';
import { sha256Of } from '../inference/load-packs.ts';
import { parseManifest } from '../kit/model-pack.ts';

type Axes = readonly (number | string)[];
type Interface = {
  readonly input: { readonly name: string; readonly shape: Axes };
  readonly outputs: Readonly<Record<string, Axes>>;
};

const kitFile = fileURLToPath(new URL('../kit/model-pack.ts', import.meta.url));

/** What stands in the skeleton until weights are there. */
const assumed: Interface = { input: { name: 'image', shape: ['n', 1, 512, 512] }, outputs: { logits: ['n', 2] } };

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
  const manifest = `${JSON.stringify(manifestOf(name, found, { ...weights, file: 'model.onnx' }), null, 2)}\n`;
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
  const { networks } = parseManifest(await textOf(file), file);
  const written = JSON.parse(await textOf(file)) as Record<string, unknown>;
  const sealed: Sealed[] = [];
  for (const [network, { weights }] of Object.entries(networks)) {
    const found = { ...weights, ...(await weightsOf(join(folder, name, weights.file))), file: weights.file };
    sealed.push(found);
    if ('networks' in written)
      Object.assign((written['networks'] as Record<string, object>)[network]!, { weights: found });
    else written['weights'] = found;
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
    const tensors = [...session.inputMetadata, ...session.outputMetadata];
    const odd = tensors.find((one) => !one.isTensor || one.type !== 'float32');
    if (odd !== undefined) throw new WetreadError('model.pack-invalid', `${onnx}: ${odd.name} is not a float32 tensor`);
    const shapeOf = (one: (typeof tensors)[number]): Axes =>
      one.isTensor ? one.shape.map((size, axis) => (size === '' ? `axis${axis}` : size)) : [];
    const [input, second] = session.inputMetadata;
    if (input === undefined || second !== undefined)
      throw new WetreadError(
        'model.pack-invalid',
        `${onnx}: has ${session.inputMetadata.length} inputs; one picture is what a pack gives`,
      );
    const shape = shapeOf(input);
    if (shape.length !== 4 || shape[1] !== 1 || typeof shape[2] !== 'number' || typeof shape[3] !== 'number') {
      throw new WetreadError(
        'model.pack-invalid',
        `${onnx}: ${input.name} is [${shape.join(', ')}]; a pack gives [n, 1, height, width]`,
      );
    }
    return {
      input: { name: input.name, shape },
      outputs: Object.fromEntries(session.outputMetadata.map((one) => [one.name, shapeOf(one)])),
    };
  } finally {
    await session.release();
  }
}

function manifestOf(name: string, { input, outputs }: Interface, weights: object): object {
  const [, , height, width] = input.shape;
  return {
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
      type: 'float32',
      shape: input.shape,
      preprocess: [
        { step: 'letterbox', height, width, filter: 'triangle' },
        { step: 'normalise', epsilon: 0.0001 },
      ],
    },
    outputs: Object.fromEntries(Object.entries(outputs).map(([output, shape]) => [output, { type: 'float32', shape }])),
    operatingPoints: { finding: { threshold: 0.5 } },
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
  // toImage(x, y) turns places of the tensor into picture pixels; manifest.operatingPoints holds your thresholds.
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
