/** What of a study is still to be read: a pack never runs twice in the same version on the same pictures. */
import type { Reading } from '../domain/finding.ts';
import { contentHashOf } from '../domain/identity.ts';
import type { ReadingId, SopUid, StudyUid } from '../domain/ids.ts';
import type { Archive, PackSummary } from '../domain/ports.ts';
import type { ChosenSeries } from './select-series.ts';

/** The set of SOP instances that a pack is given. */
export type Content = { readonly hash: string; readonly pictures: number };

export type ToRead = {
  /** Names of packs that have to run. */
  readonly packs: ReadonlySet<string>;
  /** Readings that are right as they stand. */
  readonly stay: readonly ReadingId[];
  /** Superseded readings of the very pictures that the archive holds again. */
  readonly return: readonly ReadingId[];
};

/** Asked of the archive before a pixel is fetched. Each pack has its own: a late CT series is no news to a pack that reads films. */
export async function contentsOf(
  archive: Archive,
  study: StudyUid,
  chosen: readonly ChosenSeries[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Content>> {
  const inSeries = new Map<string, readonly SopUid[]>();
  for (const { seriesUid, slices } of chosen) {
    if (inSeries.has(seriesUid) || slices !== undefined) continue;
    const instances = await archive.findInstances(study, seriesUid, signal);
    inSeries.set(
      seriesUid,
      instances.map(({ sopUid }) => sopUid),
    );
  }
  return new Map(
    [...Map.groupBy(chosen, ({ pack }) => pack)].map(([pack, series]) => {
      const instances = new Set(
        series.flatMap(({ seriesUid, slices }) => slices?.map(({ sopUid }) => sopUid) ?? inSeries.get(seriesUid) ?? []),
      );
      return [pack, { hash: contentHashOf([...instances]), pictures: instances.size }];
    }),
  );
}

/**
 * `again`: packs (`*` all) whose version counts too. Without that wish a study read by an older version stays so: a new
 * version must not rewrite a patient's past because somebody mentioned the study once more.
 */
export function whatToRead(
  packs: readonly Pick<PackSummary, 'name' | 'version'>[],
  contents: ReadonlyMap<string, Content>,
  readings: readonly Reading[],
  again: readonly string[],
): ToRead {
  const toRun = new Set<string>();
  const back: ReadingId[] = [];
  const replaced = new Set<string>();
  for (const { name, version } of packs) {
    const content = contents.get(name);
    if (content === undefined) continue;
    const own = readings.filter(({ pack }) => pack.name === name);
    const standing = own.find(({ superseded }) => superseded === undefined);
    const versionCounts = again.includes('*') || again.includes(name);
    if (standing?.contentHash === content.hash && (!versionCounts || standing.pack.version === version)) continue;
    const made = own.find(({ pack, contentHash }) => pack.version === version && contentHash === content.hash);
    if (made === undefined) toRun.add(name);
    else back.push(made.id);
    replaced.add(name);
  }
  const stay = readings
    .filter(({ superseded, pack }) => superseded === undefined && !replaced.has(pack.name))
    .map(({ id }) => id);
  return { packs: toRun, stay, return: back };
}
