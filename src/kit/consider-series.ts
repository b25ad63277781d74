/** Whether a pack should look at a series, judged by what the archive says of it. */
import type { SelectionRule } from '../domain/selection.ts';
import type { BodyRegion, SeriesSummary, StudySummary } from '../domain/study.ts';
import { regionOfText } from '../domain/region.ts';

export type { SelectionRule } from '../domain/selection.ts';
export type Consideration = { readonly taken: boolean; readonly why: string };

/** DICOM PS3.16 annex L terms that are surely not a region of {@link regionOfText}, yet surely another part of the body. */
const otherParts =
  /^(skull|head|brain|jaw|mandible|maxilla|face|orbit|sinus|zygoma|teeth|breast|heart|abdomen|kidney|liver|bladder|ribs?|sternum)$/i;

/**
 * Headers are often empty or wrong, so only a contradiction excludes: another modality, or words that name other
 * parts of the body and never this one. The view never excludes here: View Position belongs to a single picture,
 * and an archive that is asked for the series answers with that of any one of them. The picture decides.
 */
export function considerSeries(
  rule: SelectionRule,
  study: Pick<StudySummary, 'description'>,
  series: Pick<SeriesSummary, 'modality' | 'description' | 'bodyPartExamined' | 'viewPosition' | 'laterality'>,
): Consideration {
  if (series.modality !== '' && !rule.modalities.includes(series.modality)) {
    return { taken: false, why: `modality ${series.modality}, the model reads ${rule.modalities.join(', ')}` };
  }
  const side = contradictedSide(rule, series.laterality);
  if (side !== undefined) return { taken: false, why: side };
  const claims = [
    ['Body Part Examined', series.bodyPartExamined],
    ['the series description', series.description],
    ['the study description', study.description],
  ] as const;
  const named = claims.flatMap(([where, text]) => {
    const region = text === undefined ? undefined : regionNamed(text);
    return region === undefined ? [] : [{ where, region }];
  });
  const fitting = named.find(({ region }) => rule.regions.some((wanted) => wanted === region));
  const contradicting = named[0];
  if (fitting === undefined && contradicting !== undefined) {
    return {
      taken: false,
      why: `${contradicting.where} says ${contradicting.region}, the model reads ${rule.regions.join(', ')}`,
    };
  }
  const why = fitting === undefined ? 'no tag names another region' : `${fitting.where} says ${fitting.region}`;
  const view = series.viewPosition === undefined ? undefined : viewOf(series.viewPosition);
  const doubt =
    view !== undefined && rule.views.length > 0 && !rule.views.includes(view)
      ? `; View Position says ${view}, the picture decides`
      : '';
  return { taken: true, why: why + doubt };
}

/** Image Laterality and Laterality: L, R, B for both, U for none (PS3.3 C.7.3.1, C.8.11.1). Only the other side contradicts. */
export function contradictedSide({ laterality }: SelectionRule, tag: string | undefined): string | undefined {
  const side = { L: 'left', R: 'right' }[tag?.trim().toUpperCase() ?? ''];
  if (laterality === undefined || side === undefined || side === laterality) return undefined;
  return `laterality is ${side}, the model reads ${laterality}`;
}

/** Undefined when the words name no part, or only something as wide as "spine". */
function regionNamed(text: string): BodyRegion | undefined {
  const region = regionOfText(text);
  if (region !== 'other') return region;
  return otherParts.test(text.trim()) ? 'other' : undefined;
}

/** DICOM View Position (0018,5101) and the habits of modalities, as the view a manifest names. */
export function viewOf(viewPosition: string): 'lateral' | 'frontal' | 'oblique' | undefined {
  const code = viewPosition.trim().toUpperCase();
  if (/^(LL|RL|LLD|RLD|LLO?AT|LAT(ERAL)?|L ?LAT|R ?LAT|LATERO.*)$/.test(code)) return 'lateral';
  if (/^(AP|PA|A\.?P\.?|P\.?A\.?|FRONTAL)$/.test(code)) return 'frontal';
  if (/^(RAO|LAO|RPO|LPO|OBL(IQUE)?)$/.test(code)) return 'oblique';
  return undefined;
}
