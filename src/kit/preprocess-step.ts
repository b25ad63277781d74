/** What the service can do between a picture and a tensor: the steps a manifest may list, and what sizes they lead to. */
import { z } from 'zod';

const size = z.int().min(1).max(16_384);
const filter = z
  .enum(['area', 'triangle'])
  .describe('`area`: as OpenCV INTER_AREA. `triangle`: as Pillow BILINEAR and torch antialias. Enlarging is linear.');
const align = z.enum(['centre', 'top-left']).default('centre');
const perChannel = z.union([z.number(), z.array(z.number()).min(1).max(4)]);
const positivePerChannel = z.union([z.number().positive(), z.array(z.number().positive()).min(1).max(4)]);

export const preprocessStep = z.discriminatedUnion('step', [
  z
    .strictObject({
      step: z.literal('region'),
      height: size,
      width: size,
      filter: filter.default('triangle'),
      outside: z
        .enum(['zero', 'edge'])
        .default('zero')
        .describe('What lies beyond the picture: black, or its outermost pixels.'),
    })
    .describe(
      'Cut out a region that postprocess.ts names (it may be turned) and bring it to this size. Comes first; as Pillow resize(box=…) where the region is upright.',
    ),
  z
    .strictObject({
      step: z.literal('resample'),
      spacingMm: z.number().positive(),
      sliceMm: z
        .number()
        .positive()
        .optional()
        .describe('After a stack as depth: also bring the slices to this distance. Needs their places.'),
      filter: filter.default('triangle'),
    })
    .describe('Bring the picture to square pixels of this size in mm. Needs the pixel size.'),
  z
    .strictObject({
      step: z.literal('orient'),
      flip: z.literal('left-right'),
      when: z
        .enum(['always', 'laterality-left', 'laterality-right'])
        .describe('By Laterality in the header; without it the picture stays as it is.'),
    })
    .describe('Mirror the picture left to right, so that the net sees one side only.'),
  z.strictObject({ step: z.literal('invert') }).describe('1 - x: for nets trained on black bones.'),
  z
    .strictObject({
      step: z.literal('window'),
      unit: z
        .enum(['grey', 'HU'])
        .default('grey')
        .describe('`grey`: 0 (black) to 1 (white) as displayed. `HU`: values after the modality LUT.'),
      from: z.number().optional(),
      to: z.number().optional(),
      percentiles: z
        .tuple([z.number().min(0).max(100), z.number().min(0).max(100)])
        .optional()
        .describe('Ends at these percentiles of the picture instead, as numpy.percentile.'),
    })
    .describe('Clip to from … to, and stretch that to 0 … 1.'),
  z
    .strictObject({ step: z.literal('letterbox'), height: size, width: size, filter, align })
    .describe('Fit into the size keeping the aspect, zeros around.'),
  z
    .strictObject({
      step: z.literal('resize'),
      height: size.optional(),
      width: size.optional(),
      shortestSide: size
        .optional()
        .describe('Instead of height and width: keep the aspect, as torchvision Resize(n) does.'),
      filter: filter.default('triangle'),
    })
    .describe('Bring to the size, aspect not kept unless shortestSide is given.'),
  z
    .strictObject({ step: z.literal('centre-crop'), height: size, width: size })
    .describe('The middle of the picture, zeros around where it is smaller; as torchvision CenterCrop.'),
  z
    .strictObject({
      step: z.literal('pad'),
      height: size.optional(),
      width: size.optional(),
      multipleOf: size.optional().describe('Instead of height and width: up to the next multiple.'),
      square: z.literal(true).optional().describe('Instead of height and width: up to the longer side.'),
      value: z.number().default(0),
      align,
    })
    .describe('Put a margin around. A picture that is larger already is refused.'),
  z
    .strictObject({
      step: z.literal('normalise'),
      by: z
        .enum(['picture', 'fixed', 'range'])
        .default('picture')
        .describe(
          '`picture`: (x - mean) / (standard deviation + epsilon) of the picture, zeros around included. `fixed`: (x - mean) / sd as given, one value or one for each channel. `range`: (x - least) / (most - least + epsilon).',
        ),
      mean: perChannel.optional(),
      sd: positivePerChannel.optional(),
      epsilon: z.number().positive().default(1e-6),
    })
    .describe('Bring the values to the scale the net was trained on.'),
  z
    .strictObject({ step: z.literal('scale'), by: z.number(), plus: z.number().default(0) })
    .describe('x * by + plus: 255 for nets trained on bytes.'),
  z
    .strictObject({
      step: z.literal('stack'),
      as: z
        .enum(['batch', 'channels', 'depth'])
        .describe('Slices as pictures of a batch, as channels of one picture, or as the depth of a volume.'),
      take: z
        .union([
          z.literal('all'),
          z.strictObject({ middle: size.describe('That many around the middle one.') }),
          z.strictObject({ even: size.describe('That many, evenly spread.') }),
        ])
        .default('all'),
      most: size.default(128).describe('A series with more slices than this to be taken is refused.'),
    })
    .describe('For packs that read a series as a whole. Without it each picture is read by itself.'),
  z
    .strictObject({ step: z.literal('both-facings') })
    .describe('The batch twice: the picture, and its mirror image left to right. Comes last.'),
]);

export type PreprocessStep = z.output<typeof preprocessStep>;

type Issue = (path: (string | number)[], message: string) => void;

/** What can be known of the tensor before a picture is there. */
export type PlannedShape = {
  readonly height: number | undefined;
  readonly width: number | undefined;
  /** Undefined when it depends on the series or on the regions. */
  readonly items: number | undefined;
  readonly channels: number | undefined;
  readonly depth: boolean;
};

/** Follows the sizes through the steps, and tells what cannot be. */
export function planShape(steps: readonly PreprocessStep[], fault: Issue): PlannedShape {
  let height: number | undefined;
  let width: number | undefined;
  let items: number | undefined = 1;
  let channels: number | undefined = 1;
  let depth = false;
  for (const [index, step] of steps.entries()) {
    const before = steps.slice(0, index);
    const wrong = (message: string): void => fault([index], message);
    switch (step.step) {
      case 'region':
        if (index > 0) wrong('region comes first');
        ({ height, width } = step);
        items = undefined;
        break;
      case 'resample':
        if (height !== undefined) wrong('resample comes before the steps that fix a size');
        if (step.sliceMm !== undefined) {
          if (!depth) wrong('sliceMm needs a stack as depth before');
          channels = undefined;
        }
        break;
      case 'letterbox':
      case 'centre-crop':
        ({ height, width } = step);
        break;
      case 'resize':
        if (step.shortestSide === undefined ? step.height === undefined || step.width === undefined : false)
          wrong('resize takes height and width, or shortestSide');
        if (step.shortestSide !== undefined && (step.height ?? step.width) !== undefined)
          wrong('resize takes height and width, or shortestSide, not both');
        ({ height, width } = step);
        break;
      case 'pad': {
        const given = [step.height ?? step.width, step.multipleOf, step.square].filter((one) => one !== undefined);
        if (given.length !== 1 || (step.height === undefined) !== (step.width === undefined))
          wrong('pad takes height and width, or multipleOf, or square');
        if (step.height !== undefined) ({ height, width } = step);
        else if (step.multipleOf !== undefined) {
          const up = (side: number | undefined): number | undefined =>
            side && Math.ceil(side / step.multipleOf!) * step.multipleOf!;
          [height, width] = [up(height), up(width)];
        } else
          [height, width] = height === undefined ? [undefined, undefined] : Array(2).fill(Math.max(height, width!));
        break;
      }
      case 'window': {
        const range = step.from !== undefined && step.to !== undefined && step.from < step.to;
        const parts = step.percentiles !== undefined && step.percentiles[0] < step.percentiles[1];
        if (range === parts) wrong('window takes from and to, or percentiles, the smaller first');
        if (
          step.unit === 'HU' &&
          before.some((one) => one.step !== 'region' && one.step !== 'resample' && one.step !== 'orient')
        )
          wrong('a window in HU comes before the steps that change the values');
        break;
      }
      case 'normalise': {
        const isFixed = step.by === 'fixed';
        if (isFixed !== (step.mean !== undefined && step.sd !== undefined)) wrong('mean and sd go with by: fixed');
        const counts = [step.mean, step.sd].map((one) => (Array.isArray(one) ? one.length : 1));
        const most = Math.max(...counts);
        if (counts.some((count) => count !== 1 && count !== most)) wrong('mean and sd have different lengths');
        if (most > 1 && channels !== undefined && channels !== 1 && channels !== most)
          wrong(`normalises ${most} channels, there are ${channels}`);
        if (most > 1) channels = most;
        break;
      }
      case 'stack':
        if (before.some((one) => one.step === 'stack')) wrong('slices are stacked once');
        if (before.some((one) => one.step === 'region')) wrong('regions are cut from single pictures');
        if (step.as === 'batch') items = undefined;
        else {
          channels = typeof step.take === 'object' ? Object.values(step.take)[0] : undefined;
          depth = step.as === 'depth';
        }
        break;
      case 'both-facings':
        if (index !== steps.length - 1) wrong('both-facings comes last');
        if (items !== undefined) items *= 2;
        break;
      case 'orient':
      case 'invert':
      case 'scale':
        break;
    }
  }
  return { height, width, items, channels, depth };
}
