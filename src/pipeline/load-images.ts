/** Fetches and decodes the chosen series; one bad object does not hide the good ones beside it. */
import { asWetreadError, WetreadError } from '../domain/errors.ts';
import type { SeriesUid, StudyUid } from '../domain/ids.ts';
import type { GreyImage } from '../domain/image.ts';
import type { Archive, ImageDecoder } from '../domain/ports.ts';
import type { ChosenSeries } from './select-series.ts';

export async function loadImages(
  { archive, decoder }: { archive: Archive; decoder: ImageDecoder },
  study: StudyUid,
  chosen: readonly ChosenSeries[],
  signal: AbortSignal,
): Promise<GreyImage[]> {
  const images: GreyImage[] = [];
  let firstFault: WetreadError | undefined;
  for (const series of new Set(chosen.map(({ seriesUid }) => seriesUid))) {
    for await (const decoded of decodeSeries(archive, decoder, study, series, signal)) {
      if (decoded instanceof WetreadError) firstFault ??= decoded;
      else images.push(...decoded);
    }
  }
  if (images.length === 0) throw firstFault ?? new WetreadError('dicom.no-pixel-data');
  return images;
}

async function* decodeSeries(
  archive: Archive,
  decoder: ImageDecoder,
  study: StudyUid,
  series: SeriesUid,
  signal: AbortSignal,
): AsyncGenerator<GreyImage[] | WetreadError> {
  for await (const file of archive.fetchSeries(study, series, signal)) {
    try {
      const instance = await decoder.decode(file, signal);
      if (instance.studyUid !== study) {
        throw new WetreadError('archive.bad-answer', 'an object of another study came back');
      }
      yield Array.from({ length: instance.pixels.frames }, (_, frame) => instance.grey(frame));
    } catch (thrown) {
      const error = asWetreadError(thrown);
      // A fault of the file is this picture's alone; anything else may pass and stops the whole job.
      if (!error.code.startsWith('dicom.')) throw error;
      yield error;
    }
  }
}
