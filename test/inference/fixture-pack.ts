/** Small real packs in a temporary folder: a tiny ONNX file, a manifest, a postprocess. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seriesUid, sopUid, studyUid } from '../../src/domain/ids.ts';
import type { GreyImage } from '../../src/domain/image.ts';
import type { ModelAnswer } from '../../src/domain/ports.ts';

export const onnxFile = (name: string): string => join(import.meta.dirname, '../fixtures/onnx', `${name}.onnx`);

export type FixturePack = {
  readonly name: string;
  /** A file of test/fixtures/onnx, or the file itself. */
  readonly onnx: 'same' | 'moments' | 'not-a-number' | 'as-many-as-bright' | 'endless' | Uint8Array;
  readonly outputs: Readonly<
    Record<string, { readonly type: 'float32'; readonly shape: readonly (number | string)[] }>
  >;
  /** Body of `postprocess(output)`. */
  readonly postprocess?: string;
  readonly bothFacings?: boolean;
  readonly deadlineMs?: number;
  /** Written over the manifest. */
  readonly manifest?: Readonly<Record<string, unknown>>;
};

/** Puts what the net answered into the finding's evidence, so that a test can read it back. */
const tellNumbers = `
  const [first] = Object.values(output.outputs);
  const points = [...first.data].map((value) => [value, 0]);
  return [{ concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'measured' }, measurements: [], summary: 's',
    evidence: { sopUid: output.sopUid, frame: output.frame, shapes: [{ kind: 'polygon', points, label: 'data' }] } }];`;

export function numbersTold({ findings }: Pick<ModelAnswer, 'findings'>): number[] {
  const shape = findings[0]?.evidence?.shapes[0];
  if (shape?.kind !== 'polygon') throw new Error('the finding tells no numbers');
  return shape.points.map(([value]) => value);
}

export async function packsFolder(
  ...packs: readonly FixturePack[]
): Promise<{ folder: string; [Symbol.asyncDispose](): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'wetread-packs-'));
  for (const pack of packs) await writePack(folder, pack);
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

async function writePack(
  folder: string,
  { name, onnx, outputs, postprocess = tellNumbers, bothFacings = false, deadlineMs = 30_000, manifest }: FixturePack,
): Promise<void> {
  await mkdir(join(folder, name));
  const weights = typeof onnx === 'string' ? await readFile(onnxFile(onnx)) : onnx;
  await writeFile(join(folder, name, 'model.onnx'), weights);
  await writeFile(join(folder, name, 'postprocess.ts'), `export default { postprocess(output) {${postprocess}} };\n`);
  const written = {
    name,
    version: '1.0.0',
    title: 'A tiny net',
    intendedUse: 'Tests.',
    contraindications: [],
    limitations: ['Knows nothing.'],
    trainedOn: 'Nothing.',
    licence: { code: 'Apache-2.0', weights: 'Apache-2.0', data: 'none' },
    demonstration: true,
    selection: { modalities: ['DX'], regions: ['lumbar-spine'], views: ['lateral'], spacing: 'optional' },
    weights: { file: 'model.onnx', sha256: createHash('sha256').update(weights).digest('hex'), bytes: weights.length },
    input: {
      tensor: 'image',
      type: 'float32',
      shape: ['n', 1, 8, 8],
      preprocess: [
        { step: 'letterbox', height: 8, width: 8, filter: 'triangle' },
        ...(bothFacings ? [{ step: 'both-facings' }] : []),
      ],
    },
    outputs,
    operatingPoints: {},
    deadlineMs,
    ...manifest,
  };
  await writeFile(join(folder, name, 'manifest.json'), JSON.stringify(written));
}

/** A picture whose pixels are what `value` says. */
export function picture(rows: number, columns: number, value: (x: number, y: number) => number): GreyImage {
  const intensities = Float32Array.from({ length: rows * columns }, (_, at) =>
    value(at % columns, Math.floor(at / columns)),
  );
  return {
    studyUid: studyUid('1.2.3'),
    seriesUid: seriesUid('1.2.3.4'),
    sopUid: sopUid('1.2.3.4.5'),
    sopClassUid: '1.2.840.10008.5.1.4.1.1.1.1',
    frame: 0,
    rows,
    columns,
    intensities,
    tags: {},
  };
}
