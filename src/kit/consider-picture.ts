/** Whether a pack should read one picture, judged by what its own header says; a series' header cannot know it of each. */
import type { ImageTags } from '../domain/image.ts';
import type { SelectionRule } from '../domain/selection.ts';
import { contradictedSide, viewOf } from './consider-series.ts';

export type PictureConsideration =
  | { readonly kind: 'read' }
  | { readonly kind: 'leave'; readonly why: string }
  /** Its tag names another view. Such tags are often wrong: it is read when no picture is better. */
  | { readonly kind: 'last'; readonly why: string };

export function considerPicture(rule: SelectionRule, tags: ImageTags): PictureConsideration {
  const why = contradictedAge(rule, tags.patientAgeYears) ?? contradictedSide(rule, tags.laterality);
  if (why !== undefined) return { kind: 'leave', why };
  const view = tags.viewPosition === undefined ? undefined : viewOf(tags.viewPosition);
  if (view === undefined || rule.views.length === 0 || rule.views.includes(view)) return { kind: 'read' };
  return { kind: 'last', why: `View Position says ${view}, the model reads ${rule.views.join(', ')}` };
}

function contradictedAge({ ages }: SelectionRule, years: number | undefined): string | undefined {
  const { fromYears = 0, toYears = Number.POSITIVE_INFINITY } = ages ?? {};
  // A patient of 65 years is one until the next birthday.
  if (years === undefined || (years >= fromYears && Math.floor(years) <= toYears)) return undefined;
  const age = years < 2 ? `${Math.round(years * 12)} months` : `${Math.floor(years)} years`;
  return `the patient is ${age} old, the model reads ${wording(ages ?? {})}`;
}

function wording({ fromYears, toYears }: NonNullable<SelectionRule['ages']>): string {
  if (toYears === undefined) return `from ${fromYears} years`;
  return fromYears === undefined ? `up to ${toYears} years` : `${fromYears} to ${toYears} years`;
}
