/** From the tensor to the corners of the lumbar spine on the film. */
import type { Covariance } from '../../src/kit/geometry.ts';
import type { Landmark, ModelOutput, Point } from '../../src/kit/model-pack.ts';
import type { Measured } from './joined.ts';
import type manifest from './manifest.json';

export type Output = ModelOutput<typeof manifest>;

export const bodyLevels = ['T10', 'T11', 'T12', 'L1', 'L2', 'L3', 'L4', 'L5'] as const;
export type BodyLevel = (typeof bodyLevels)[number];

export type Corner = {
  readonly at: Point;
  readonly covariance: Covariance;
  /** The share of the heat maps of such corners that lies here: near 1 where the net is sure of a vertebra. */
  readonly mass: number;
};

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

export const lumbarLevels = ['L1', 'L2', 'L3', 'L4', 'L5'] as const;

/** L1 to S1: what must be seen for the film to be read. The levels above help to count. */
export const measuredCorners = ({ bodies, sacrum }: Spine): Corner[] => [
  ...lumbarLevels.flatMap((level) => cornersOf(bodies[level])),
  ...plateCorners(sacrum),
];

/** Every corner by the name the manifest gives it, with the spread that validation films showed. */
export function landmarksOf({ manifest }: Output, { bodies, sacrum }: Spine): Landmark[] {
  const factor = manifest.operatingPoints.varianceScale.corner;
  return manifest.outputs.landmarks.labels.map((name) => {
    const [level, kind] = name.split('.') as [BodyLevel | 'S1', keyof Body];
    const { at, covariance, mass } = level === 'S1' ? sacrum[kind as keyof EndPlate] : bodies[level][kind];
    const { xx, yy, xy } = covariance;
    return { name, at, covariance: { xx: xx * factor, yy: yy * factor, xy: xy * factor }, confidence: mass };
  });
}

/** Of the column as the net found it, before it took the likeliest naming. */
export type Levels = Readonly<Record<'oneLower' | 'asNamed' | 'oneHigher', number>>;

export type Answer = {
  readonly spine: Spine;
  /** By segment, what the slip branch sees of it as a whole, whatever its corners say. */
  readonly seenSlips: ReadonlyMap<string, Measured>;
  readonly levels: Levels;
  /** For each corner from L1 to S1, how far apart it was found on the film and on its mirror image, in film pixels. */
  readonly apart: readonly number[];
};

export function answerOf(output: Output): Answer {
  const { landmarks, levels, apart } = output.outputs;
  const { labels, values } = output.manifest.outputs.landmarks;
  const [mx, my] = output.magnification;
  const corners = new Map(
    labels.map((name, index): [string, Corner] => {
      const row = landmarks.data.subarray(index * values.length, (index + 1) * values.length);
      const [x, y, mass, varX, varY, covXY] = row as unknown as [number, number, number, number, number, number];
      return [
        name,
        { at: output.toImage(x, y), covariance: { xx: varX * mx * mx, yy: varY * my * my, xy: covXY * mx * my }, mass },
      ];
    }),
  );
  const corner = (name: string): Corner => corners.get(name)!;
  const plate = (level: string): EndPlate => ({
    posteriorSuperior: corner(`${level}.posteriorSuperior`),
    anteriorSuperior: corner(`${level}.anteriorSuperior`),
  });
  const body = (level: BodyLevel): Body => ({
    ...plate(level),
    posteriorInferior: corner(`${level}.posteriorInferior`),
    anteriorInferior: corner(`${level}.anteriorInferior`),
  });
  const [oneLower, asNamed, oneHigher] = levels.data as unknown as [number, number, number];
  return {
    spine: {
      bodies: Object.fromEntries(bodyLevels.map((level) => [level, body(level)])) as Record<BodyLevel, Body>,
      sacrum: plate('S1'),
    },
    seenSlips: seenSlipsOf(output),
    levels: { oneLower, asNamed, oneHigher },
    apart: labels.flatMap((name, index) => (isMeasured(name) ? [apart.data[index]! * mx] : [])),
  };
}

function seenSlipsOf({ outputs, manifest }: Output): Map<string, Measured> {
  const { labels, values } = manifest.outputs.slips;
  return new Map(
    labels.map((segment, index) => {
      const [step, deviation] = outputs.slips.data.subarray(index * values.length) as unknown as [number, number];
      return [segment, { percent: 100 * step, deviation: 100 * deviation }];
    }),
  );
}

const isMeasured = (name: string): boolean => /^(?:L\d|S1)\./.test(name);
