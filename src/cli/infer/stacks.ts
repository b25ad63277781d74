/** Series among the files at hand, chosen and read by packs that read stacks of slices, as the service chooses and reads them. */
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { arrangeSeries } from '../../dicom/volume/arrange.ts';
import { WetreadError } from '../../domain/errors.ts';
import type { SeriesUid, StudyUid } from '../../domain/ids.ts';
import type { GreyImage } from '../../domain/image.ts';
import type { Archive, ImageDecoder } from '../../domain/ports.ts';
import type { SelectionRule } from '../../domain/selection.ts';
import { loadImages } from '../../pipeline/load-images.ts';
import { selectSeries } from '../../pipeline/select-series.ts';
import { headerOf, type FileHeader } from '../file-header.ts';

type StackPack = SelectionRule & { readonly name: string };

export type SeriesAtHand = {
  readonly shown: string;
  readonly files: readonly string[];
  readonly modality: string;
  readonly notRead: readonly { readonly pack: string; readonly why: string }[];
  readonly chosen: readonly {
    readonly pack: string;
    readonly why: string;
    readonly files: readonly string[];
    /** In the stack's order. Throws `dicom.*` when too few of them can be read. */
    load(signal: AbortSignal): Promise<readonly GreyImage[]>;
  }[];
};

/** Of the series that these packs are for by their modality. Files that are no DICOM are left to whoever reads pictures. */
export async function seriesAtHand(
  files: readonly string[],
  packs: readonly StackPack[],
  decoder: ImageDecoder,
): Promise<SeriesAtHand[]> {
  if (packs.length === 0) return [];
  const headers: FileHeader[] = [];
  for (const file of files) {
    // What has no readable header is told, with its reason, where it is read as a picture.
    const header = await headerOf(file).catch(() => undefined);
    if (header !== undefined) headers.push(header);
  }
  const found: SeriesAtHand[] = [];
  for (const [study, own] of Map.groupBy(headers, (one) => one.study)) {
    if (study !== undefined) found.push(...(await ofStudy(study, own, packs, decoder)));
  }
  return found;
}

async function ofStudy(
  study: StudyUid,
  headers: readonly FileHeader[],
  packs: readonly StackPack[],
  decoder: ImageDecoder,
): Promise<SeriesAtHand[]> {
  const bySeries = Map.groupBy(headers, ({ series }) => series.seriesUid);
  const archive = archiveOf(bySeries);
  const series = [...bySeries.values()].map(([first]) => first!.series);
  const wanted = series.filter(({ modality }) => packs.some(({ modalities }) => modalities.includes(modality)));
  const description = headers[0]!.studyDescription;
  const summary = { studyUid: study, modalities: [], ...(description !== undefined && { description }) };
  const parts = { packs, archive, arrange: arrangeSeries };
  const { chosen, notes } = await selectSeries(parts, summary, wanted, new AbortController().signal);
  return wanted.map(({ seriesUid, modality, description: named }) => {
    const own = bySeries.get(seriesUid)!;
    const said = notes.filter((note) => note.seriesUid === seriesUid);
    return {
      shown: `${dirname(own[0]!.file)}: series ${named === undefined ? seriesUid : `"${named}"`}`,
      files: own.map(({ file }) => file),
      modality,
      notRead: said.filter(({ taken }) => !taken).map(({ pack, why }) => ({ pack, why })),
      chosen: chosen
        .filter((one) => one.seriesUid === seriesUid)
        .map((one) => ({
          pack: one.pack,
          why: said.find(({ taken, pack }) => taken && pack === one.pack)?.why ?? '',
          files: one.slices!.map(({ sopUid }) => own.find(({ object }) => object.sopUid === sopUid)!.file),
          async load(signal) {
            let fault: WetreadError | undefined;
            for await (const loaded of loadImages({ archive, decoder }, study, [one], signal)) {
              if (loaded.kind === 'stack') return loaded.images;
              if (loaded.kind === 'fault') fault ??= loaded.error;
            }
            throw fault ?? new WetreadError('picture.unreadable', 'the series has no slice that can be read');
          },
        })),
    };
  });
}

type Files = Pick<Archive, 'fetchMetadata' | 'fetchSeries' | 'fetchInstances'>;

/** The files as the pipeline asks an archive for them. */
function archiveOf(bySeries: ReadonlyMap<SeriesUid, readonly FileHeader[]>): Files {
  async function* contents(headers: readonly FileHeader[]): AsyncGenerator<Uint8Array> {
    for (const { file } of headers) yield await readFile(file);
  }
  const of = (series: SeriesUid) => bySeries.get(series) ?? [];
  return {
    fetchMetadata: (_, series) => Promise.resolve(of(series).map(({ object }) => object)),
    fetchSeries: (_, series) => contents(of(series)),
    fetchInstances: (_, series, sops) =>
      contents(sops.map((uid) => of(series).find(({ object }) => object.sopUid === uid)!)),
  };
}
