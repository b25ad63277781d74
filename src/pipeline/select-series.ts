/** Which series, and which slices of them, go to which pack, with the reason for each choice and each refusal. */
import { considerSeries, type SelectionRule } from '../kit/consider-series.ts';
import { bestStack, considerStack, type StackCandidate } from '../kit/consider-stack.ts';
import { asWetreadError } from '../domain/errors.ts';
import type { SeriesUid, SopUid } from '../domain/ids.ts';
import type { SelectionNote } from '../domain/outcome.ts';
import type { Archive } from '../domain/ports.ts';
import type { SlicesWanted } from '../domain/selection.ts';
import type { ArrangeSeries, Arrangement, SlicePlace, Stack } from '../domain/slice.ts';
import type { SeriesSummary, StudySummary } from '../domain/study.ts';

export type ChosenSeries = {
  readonly pack: string;
  readonly seriesUid: SeriesUid;
  /** Only these, in this order, and read in one run. Unset: every picture of the series, one by one. */
  readonly slices?: readonly ChosenSlice[];
};
export type ChosenSlice = { readonly sopUid: SopUid; readonly frame: number; readonly place: SlicePlace };

type Pack = SelectionRule & { readonly name: string };
export type Selection = { readonly chosen: readonly ChosenSeries[]; readonly notes: readonly SelectionNote[] };

export type SelectionParts = {
  readonly packs: readonly Pack[];
  readonly archive: Pick<Archive, 'fetchMetadata'>;
  readonly arrange: ArrangeSeries;
};

/** Headers are fetched for packs that read stacks, and only of series that nothing else speaks against. */
export async function selectSeries(
  { packs, archive, arrange }: SelectionParts,
  study: StudySummary,
  series: readonly SeriesSummary[],
  signal: AbortSignal,
): Promise<Selection> {
  const chosen: ChosenSeries[] = [];
  const notes: SelectionNote[] = [];
  const fitting: { readonly pack: Pack; readonly one: SeriesSummary; readonly why: string }[] = [];
  for (const one of series) {
    for (const pack of packs) {
      const { taken, why } = considerSeries(pack, study, one);
      if (taken && pack.slices !== undefined) fitting.push({ pack, one, why });
      else {
        notes.push({ seriesUid: one.seriesUid, pack: pack.name, taken, why });
        if (taken) chosen.push({ pack: pack.name, seriesUid: one.seriesUid });
      }
    }
  }

  /** An archive that does not give headers must not keep other packs from their films. */
  const arranged = async (seriesUid: SeriesUid): Promise<Arrangement> => {
    try {
      return arrange(seriesUid, await archive.fetchMetadata(study.studyUid, seriesUid, signal));
    } catch (thrown) {
      const { row, code } = asWetreadError(thrown);
      if (row.retry) throw thrown;
      return { stacks: [], dropped: [], remarks: [`its headers cannot be had: ${row.says} (${code})`] };
    }
  };
  const arrangements = new Map<SeriesUid, Arrangement>();
  for (const { one } of fitting) {
    if (arrangements.has(one.seriesUid)) continue;
    arrangements.set(one.seriesUid, await arranged(one.seriesUid));
  }
  for (const [pack, candidates] of Map.groupBy(fitting, ({ pack }) => pack)) {
    const stacks = candidates.flatMap(({ one, why }): Candidate[] => {
      const arrangement = arrangements.get(one.seriesUid)!;
      const note = (text: string) => notes.push({ seriesUid: one.seriesUid, pack: pack.name, taken: false, why: text });
      if (arrangement.stacks.length === 0) note(nothingLeft(arrangement));
      const { description } = one;
      const regionNamed = !why.startsWith('no tag');
      return arrangement.stacks.map((stack) => ({
        stack,
        arrangement,
        regionNamed,
        ...(description !== undefined && { description }),
      }));
    });
    const { taken, explained } = chooseStack(pack, stacks);
    if (taken !== undefined) chosen.push(taken);
    notes.push(...explained);
  }
  const order = new Map(series.map(({ seriesUid }, at) => [seriesUid as string, at]));
  return { chosen, notes: notes.toSorted((a, b) => order.get(a.seriesUid)! - order.get(b.seriesUid)!) };
}

type Candidate = StackCandidate & { readonly arrangement: Arrangement };

function chooseStack(
  pack: Pack,
  candidates: readonly Candidate[],
): { readonly taken?: ChosenSeries; readonly explained: readonly SelectionNote[] } {
  const judged = candidates.map((candidate) => ({ candidate, ...considerStack(pack, candidate) }));
  const found = bestStack(
    pack,
    judged.filter(({ taken }) => taken).map(({ candidate }) => candidate),
  );
  const slices = found && slicesOf(found.best.stack, pack.slices!);
  const explained = judged.map(({ candidate, why }): SelectionNote => {
    const { seriesUid } = candidate.stack;
    const note = { seriesUid, pack: pack.name, taken: candidate === found?.best };
    const against = found?.against.get(candidate);
    if (against !== undefined)
      return { ...note, why: `fits (${why}), but of ${found!.best.stack.seriesUid} it is said that ${against}` };
    if (!note.taken) return { ...note, why };
    const of = candidate.stack.slices.length;
    const count = slices!.length;
    const given =
      count === of
        ? `all ${of} slices are read`
        : `slices ${slices![0]!.place.index + 1} to ${slices!.at(-1)!.place.index + 1} of ${of} are read`;
    const others = found!.against.size === 0 ? '' : `; the best of ${found!.against.size + 1} that fit`;
    return { ...note, why: [`${why}; ${given}${others}`, ...oddities(candidate.arrangement)].join('; ') };
  });
  if (found === undefined || slices === undefined) return { explained: once(explained) };
  return { taken: { pack: pack.name, seriesUid: found.best.stack.seriesUid, slices }, explained: once(explained) };
}

/** A series of hundreds of passes would say the same hundreds of times. */
function once(notes: readonly SelectionNote[]): SelectionNote[] {
  return [...Map.groupBy(notes, ({ seriesUid, why }) => `${seriesUid} ${why}`).values()].map((same) => ({
    ...same[0]!,
    ...(same.length > 1 && { why: `${same.length} stacks: ${same[0]!.why}` }),
  }));
}

function slicesOf(stack: Stack, wanted: SlicesWanted): ChosenSlice[] {
  const all = stack.slices.map(({ sopUid, frame, positionMm }, index) => ({
    sopUid,
    frame,
    place: {
      index,
      of: stack.slices.length,
      ...(stack.plane !== undefined && { plane: stack.plane }),
      ...(positionMm !== undefined && { positionMm }),
    },
  }));
  if (wanted.kind === 'all' || wanted.count >= all.length) return all;
  // Of an even rest the one more is left out at the end: as models are trained in Python, rounding down.
  const start = (all.length - wanted.count) >> 1;
  return all.slice(start, start + wanted.count);
}

const nothingLeft = ({ dropped, remarks }: Arrangement): string =>
  [...counted(dropped), ...remarks].join('; ') || 'the series has no objects';

const oddities = ({ dropped, remarks }: Arrangement): string[] => [
  ...remarks,
  ...counted(dropped).map((text) => `left out: ${text}`),
];

/** "3 × another slice lies at the same place". */
const counted = (dropped: Arrangement['dropped']): string[] =>
  [...Map.groupBy(dropped, ({ why }) => why)].map(([why, own]) => (own.length === 1 ? why : `${own.length} × ${why}`));
