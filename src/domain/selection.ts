/** What a pack declares of the pictures it reads. Headers are often empty or wrong: only what contradicts excludes. */
import type { Plane, Weighting } from './slice.ts';
import type { BodyRegion } from './study.ts';

export type SelectionRule = {
  readonly modalities: readonly string[];
  readonly regions: readonly BodyRegion[];
  /** Of radiographs. */
  readonly views: readonly string[];
  readonly laterality?: 'left' | 'right';
  readonly ages?: { readonly fromYears?: number; readonly toYears?: number };
  /** The rest is of stacks of slices. */
  readonly planes?: readonly Plane[];
  readonly sequences?: readonly Weighting[];
  readonly contrast?: 'without' | 'with';
  readonly fatSuppression?: 'without' | 'with';
  readonly minimumSlices?: number;
  readonly sliceSpacing?: { readonly fromMm?: number; readonly toMm?: number };
  /** Makes the pack one that reads the best fitting stack of a study in one run, instead of picture by picture. */
  readonly slices?: SlicesWanted;
};

export type SlicesWanted =
  | { readonly kind: 'all'; readonly most: number }
  | { readonly kind: 'middle'; readonly count: number };
