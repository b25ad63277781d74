/** The `selection` of a manifest: which pictures a pack is for. */
import { z } from 'zod';
import type { SelectionRule } from '../domain/selection.ts';

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

const years = z.number().min(0).max(150);
const millimetres = z.number().positive();
const withOrWithout = z.enum(['without', 'with']);

export const selection = z
  .strictObject({
    modalities: z.array(z.string().regex(/^[A-Z]{2,16}$/, 'must be DICOM modalities such as DX')).min(1),
    regions: z.array(z.enum(regions)).min(1),
    views: z
      .array(z.enum(['lateral', 'frontal', 'oblique', 'axial']))
      .default([])
      .describe('Of radiographs.'),
    laterality: z.enum(['left', 'right']).exactOptional(),
    ages: z
      .strictObject({ fromYears: years.exactOptional(), toYears: years.exactOptional() })
      .exactOptional()
      .describe('Patients the model is for.'),
    spacing: z.enum(['required', 'optional']).describe('Whether a picture without a pixel size can be read.'),
    planes: z
      .array(z.enum(['axial', 'sagittal', 'coronal', 'oblique']))
      .min(1)
      .exactOptional()
      .describe('Of slices, by their geometry.'),
    sequences: z
      .array(z.enum(['T1', 'T2', 'PD', 'STIR', 'FLAIR', 'T2*', 'DWI']))
      .min(1)
      .exactOptional()
      .describe('What an MR series weighs, by its times and names.'),
    contrast: withOrWithout.exactOptional().describe('Whether a contrast agent was given.'),
    fatSuppression: withOrWithout.exactOptional(),
    minimumSlices: z.int().min(1).exactOptional(),
    sliceSpacing: z
      .strictObject({ fromMm: millimetres.exactOptional(), toMm: millimetres.exactOptional() })
      .exactOptional()
      .describe('Distance of neighbouring slices.'),
    slices: z
      .discriminatedUnion('kind', [
        z.strictObject({
          kind: z.literal('all'),
          most: z.int().min(1).max(512).default(128).describe('A stack with more is not read.'),
        }),
        z.strictObject({ kind: z.literal('middle'), count: z.int().min(1).max(512) }),
      ])
      .exactOptional()
      .describe(
        'The pack reads the best fitting stack of a study in one run, in the order of the slices in the patient; only these are fetched.',
      ),
  })
  .superRefine((rule, context) => {
    const fault = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (rule.views.length === 0 && rule.planes === undefined) fault(['views'], 'name at least one view, or planes');
    for (const [low, high, path] of [
      [rule.ages?.fromYears, rule.ages?.toYears, 'ages'],
      [rule.sliceSpacing?.fromMm, rule.sliceSpacing?.toMm, 'sliceSpacing'],
    ] as const)
      if (low !== undefined && high !== undefined && low > high) fault([path], 'goes from high to low');
    const ofStacks = ['sequences', 'contrast', 'fatSuppression', 'minimumSlices', 'sliceSpacing', 'planes'] as const;
    for (const name of ofStacks)
      if (rule[name] !== undefined && rule.slices === undefined) fault([name], 'goes with "slices"');
    if (rule.slices?.kind === 'all' && (rule.minimumSlices ?? 1) > rule.slices.most)
      fault(['minimumSlices'], 'is more than slices.most');
  })
  .describe('Which pictures the model is for. Headers are hints: a missing tag excludes nothing.');

// Fails to compile when the schema and the domain's type drift apart.
export const selectionIsARule = (written: z.output<typeof selection>): SelectionRule => written;
