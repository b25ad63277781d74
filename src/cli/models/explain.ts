/** `wetread models explain`: what a pack does with one picture, step by step, in words and pictures. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { asWetreadError } from '../../domain/errors.ts';
import type { GreyImage } from '../../domain/image.ts';
import { trueMinus } from '../../domain/true-minus.ts';
import type { LoadedPack } from '../../inference/load-packs.ts';
import { served } from '../../inference/model-runner.ts';
import type { Network } from '../../inference/network.ts';
import { openOnnxNetwork } from '../../inference/onnx-runtime.ts';
import { packJob } from '../../inference/pack-job.ts';
import type { Canvas, PreparedInput } from '../../inference/preprocess.ts';
import { runPack, type RunSeen } from '../../inference/run-pack.ts';
import { networksOf } from '../../inference/served-networks.ts';
import type { ModelPack, NetworkOutput, OutputTensor, PreprocessStep } from '../../kit/model-pack.ts';
import { overlayOf } from '../drawing/overlay.ts';
import { sheetOf } from '../drawing/sheet.ts';
import { stepInWords } from './steps-in-words.ts';

export type Explaining = {
  readonly pack: LoadedPack;
  readonly image: GreyImage;
  /** Why the pack would or would not read it. */
  readonly verdict: string;
  readonly folder: string;
  readonly threads: number;
  readonly tell: (line: string) => void;
};

/** Runs in this process: whoever explains wants to see the pack's own error. */
export async function explainPack({ pack, image, verdict, folder, threads, tell }: Explaining): Promise<number> {
  const { manifest, identity } = pack;
  await mkdir(folder, { recursive: true });
  let count = 0;
  const picture = async (name: string, rows: number, columns: number, values: Float32Array): Promise<string> => {
    count += 1;
    const file = `${String(count).padStart(2, '0')}-${name}.png`;
    await writeFile(join(folder, file), sheetOf({ rows, columns, intensities: visible(values) }).png());
    return file;
  };

  tell(`${identity.title} ${identity.version} (${identity.name})`);
  tell(
    `picture   ${image.columns} × ${image.rows}, ${image.spacing === undefined ? 'pixel size unknown' : `${image.spacing.rowMm} mm (${image.spacing.plane})`}`,
  );
  tell(`selection ${verdict}`);

  const canvases: { name: string; canvas: Canvas; step: PreprocessStep; field: string }[] = [];
  const job = await packJob(manifest, [image], (network, tensor) => (step, canvas) => {
    // The canvas goes on changing: what it is now is kept.
    const items = canvas.items.map((planes) => planes.map((plane) => plane.slice()));
    canvases.push({ name: step.step, canvas: { ...canvas, items }, step, field: `${network}.${tensor}` });
  });
  let field = '';
  for (const { name, canvas, step, field: of } of canvases) {
    if (of !== field) tell(`\ninput     ${of}`);
    field = of;
    const plane = canvas.items[0]![0]!;
    const file = await picture(`${of.replaceAll(/[^\w-]/g, '-')}-${name}`, canvas.rows, canvas.columns, plane);
    tell(`  ${stepInWords(step)}`);
    tell(`      → ${shapeInWords(canvas)}, ${rangeInWords(plane)}   ${file}`);
  }

  const networks: Record<string, Network> = {};
  const choice = { kind: 'onnx-runtime', provider: 'cpu', threads, batch: { most: 1, waitMs: 0 } } as const;
  for (const spec of networksOf(served(pack))) networks[spec.network] = (await openOnnxNetwork(spec, choice)).network;
  const code = (await import(pathToFileURL(pack.postprocessFile).href)) as { readonly default: ModelPack };
  const runs: RunSeen[] = [];
  try {
    const answer = await runPack({ manifest, pack: code.default }, networks, job, { watch: (run) => runs.push(run) });
    for (const run of runs) await tellRun(run);
    tell('\nfindings');
    for (const { summary, result } of answer.findings) tell(`  ${result.kind.padEnd(15)} ${trueMinus(summary)}`);
    await writeFile(
      join(folder, 'overlay.png'),
      overlayOf(image, [{ ...identity, demonstration: manifest.demonstration, findings: answer.findings }]),
    );
    tell(`\npictures are in ${folder}; overlay.png shows what was found`);
    return 0;
  } catch (thrown) {
    for (const run of runs) await tellRun(run);
    const error = asWetreadError(thrown);
    tell(`\nfailed    ${error.message}\n          ${error.row.next} (${error.code})`);
    return 1;
  }

  async function tellRun({ network, feeds, regions, answer }: RunSeen): Promise<void> {
    tell(`\nnetwork   ${network}, ${feeds.items} in the batch`);
    for (const [index, region] of regions.entries()) {
      const { rows, columns, data } = feeds.picture as PreparedInput;
      const size = rows * columns;
      const name = `${network}-${(region.label ?? `region${index + 1}`).replaceAll(/[^\w-]/g, '-')}`;
      const file = await picture(name, rows, columns, data.subarray(index * size, (index + 1) * size));
      const turned =
        region.angleRad === undefined ? '' : `, turned ${number(Math.round((region.angleRad * 180) / Math.PI))}°`;
      tell(
        `  region ${region.label ?? index + 1}: ${region.width.toFixed(0)} × ${region.height.toFixed(0)} at ${region.centre.map((value) => number(Math.round(value))).join(', ')}${turned}   ${file}`,
      );
    }
    for (const [name, tensor] of Object.entries(answer.outputs))
      for (const line of outputInWords(name, tensor, manifest.networks[network]!.outputs[name]!)) tell(`  ${line}`);
  }
}

const rangeOf = (values: ArrayLike<number>): [number, number] => {
  let [low, high] = [Infinity, -Infinity];
  for (let at = 0; at < values.length; at += 1) {
    low = Math.min(low, values[at]!);
    high = Math.max(high, values[at]!);
  }
  return [low, high];
};

/** Whatever the numbers mean: from their least to their greatest. */
function visible(values: Float32Array): Float32Array {
  const [low, high] = rangeOf(values);
  if (low >= 0 && high <= 1 && high > 0.5) return values;
  const width = high - low || 1;
  return values.map((value) => (value - low) / width);
}

const number = (value: number): string => trueMinus(Number(value.toPrecision(4)).toString());
const rangeInWords = (values: ArrayLike<number>): string => {
  if (values.length === 0) return 'no values';
  const [low, high] = rangeOf(values);
  return `values ${number(low)} to ${number(high)}`;
};

function shapeInWords({ rows, columns, items }: Canvas): string {
  const channels = items[0]?.length ?? 1;
  const more = [items.length > 1 ? `${items.length} pictures` : '', channels > 1 ? `${channels} channels` : ''].filter(
    (one) => one !== '',
  );
  return [`${rows} × ${columns}`, ...more].join(', ');
}

/** Classes one by one while they can be counted; larger tensors by their range. */
function outputInWords(name: string, tensor: OutputTensor, { labels, calibration }: NetworkOutput): string[] {
  const head = `${name} [${tensor.dims.join(', ')}], ${rangeInWords(tensor.data)}`;
  const classes = tensor.dims.length === 2 && labels !== undefined && labels.length <= 30;
  if (!classes) return [head];
  const { calibrated, threshold } = tensor as OutputTensor & {
    calibrated?: Float32Array;
    threshold?: Readonly<Record<string, number>>;
  };
  const rows = Array.from({ length: Math.min(tensor.dims[0]!, 8) }, (_, item) =>
    labels.map((label, index) => {
      const at = item * labels.length + index;
      const sure = calibrated === undefined ? '' : ` → ${number(calibrated[at]!)} (${calibration!.method})`;
      const limit = threshold?.[label] === undefined ? '' : `, threshold ${threshold[label]}`;
      return `    ${label}: ${number(tensor.data[at]!)}${sure}${limit}`;
    }),
  );
  return [head, ...rows.flat()];
}
