/** From the tensor to the corners of the lumbar spine on the film. */
import type { Covariance } from '../../src/kit/geometry.ts';
import { mean } from '../../src/kit/geometry.ts';
import type { Landmark, ModelOutput, Point } from '../../src/kit/model-pack.ts';
import type manifest from './manifest.json';

export type Output = ModelOutput<typeof manifest>;

export const bodyLevels = ['T12', 'L1', 'L2', 'L3', 'L4', 'L5'] as const;
export type BodyLevel = (typeof bodyLevels)[number];

export type Corner = { readonly at: Point; readonly covariance: Covariance; readonly peak: number };

export type EndPlate = { readonly posteriorSuperior: Corner; readonly anteriorSuperior: Corner };
export type Body = EndPlate & { readonly posteriorInferior: Corner; readonly anteriorInferior: Corner };

export type Spine = {
  readonly bodies: Readonly<Record<BodyLevel, Body>>;
  /** Only its upper end plate. */
  readonly sacrum: EndPlate;
};

/** In the order of the tensor, which is the way round the body. */
export const cornersOf = (body: Body): readonly Corner[] => [
  body.posteriorInferior,
  body.anteriorInferior,
  body.anteriorSuperior,
  body.posteriorSuperior,
];
export const outlineOf = (body: Body): Point[] => cornersOf(body).map(({ at }) => at);
export const plateCorners = (plate: EndPlate): readonly Corner[] => [plate.posteriorSuperior, plate.anteriorSuperior];

/** L1 to S1: what is measured. T12 only helps to count. */
export const measuredCorners = ({ bodies, sacrum }: Spine): Corner[] => [
  ...bodyLevels.slice(1).flatMap((level) => cornersOf(bodies[level])),
  ...plateCorners(sacrum),
];

/** Every corner by the name the manifest gives it, with the spread that validation films showed. */
export function landmarksOf({ manifest }: Output, { bodies, sacrum }: Spine): Landmark[] {
  const factor = manifest.operatingPoints.varianceScale.slip;
  const corners = [...bodyLevels.flatMap((level) => cornersOf(bodies[level])), ...plateCorners(sacrum)];
  return corners.map(({ at, covariance: { xx, yy, xy }, peak }, index) => ({
    name: manifest.outputs.landmarks.labels[index]!,
    at,
    covariance: { xx: xx * factor, yy: yy * factor, xy: xy * factor },
    confidence: peak,
  }));
}

const landmarks = 26;
const values = 6;

/** The film is read twice, as it is and mirrored; the surer reading is kept, the other one tells how sure. */
export function readSpines(output: Output): { readonly kept: Spine; readonly other: Spine } {
  const { data } = output.outputs.landmarks;
  const asIs = readCorners(output, data.subarray(0, landmarks * values), false);
  const mirrored = readCorners(output, data.subarray(landmarks * values), true);
  const sureness = (corners: readonly Corner[]): number => mean(corners.map(({ peak }) => peak));
  const [kept, other] = sureness(mirrored) > sureness(asIs) ? [mirrored, asIs] : [asIs, mirrored];
  return { kept: spineOf(kept), other: spineOf(other) };
}

function readCorners({ toImage, magnification, manifest }: Output, rows: Float32Array, mirrored: boolean): Corner[] {
  const [mx, my] = magnification;
  const width = manifest.input.shape[3] as number;
  return Array.from({ length: landmarks }, (_, index) => {
    const row = rows.subarray(index * values, (index + 1) * values);
    const [x, y, peak, varX, varY, covXY] = row as unknown as [number, number, number, number, number, number];
    return {
      at: toImage(mirrored ? width - 1 - x : x, y),
      covariance: { xx: varX * mx * mx, yy: varY * my * my, xy: (mirrored ? -covXY : covXY) * mx * my },
      peak,
    };
  });
}

function spineOf(corners: readonly Corner[]): Spine {
  const body = (index: number): Body => ({
    posteriorInferior: corners[4 * index]!,
    anteriorInferior: corners[4 * index + 1]!,
    anteriorSuperior: corners[4 * index + 2]!,
    posteriorSuperior: corners[4 * index + 3]!,
  });
  return {
    bodies: Object.fromEntries(bodyLevels.map((level, index) => [level, body(index)])) as Record<BodyLevel, Body>,
    sacrum: { posteriorSuperior: corners[24]!, anteriorSuperior: corners[25]! },
  };
}
