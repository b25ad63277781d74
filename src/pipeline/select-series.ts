/** Which series go to which pack, with the reason for each choice and each refusal. */
import { considerSeries } from '../kit/model-pack.ts';
import type { SeriesUid } from '../domain/ids.ts';
import type { SelectionNote } from '../domain/outcome.ts';
import type { PackSummary } from '../domain/ports.ts';
import type { SeriesSummary, StudySummary } from '../domain/study.ts';

export type ChosenSeries = { readonly pack: string; readonly seriesUid: SeriesUid };

export function selectSeries(
  packs: readonly Pick<PackSummary, 'name' | 'modalities' | 'regions' | 'views'>[],
  study: StudySummary,
  series: readonly SeriesSummary[],
): { chosen: ChosenSeries[]; notes: SelectionNote[] } {
  const chosen: ChosenSeries[] = [];
  const notes: SelectionNote[] = [];
  for (const one of series) {
    for (const pack of packs) {
      const { taken, why } = considerSeries(pack, study, one);
      notes.push({ seriesUid: one.seriesUid, pack: pack.name, taken, why });
      if (taken) chosen.push({ pack: pack.name, seriesUid: one.seriesUid });
    }
  }
  return { chosen, notes };
}
