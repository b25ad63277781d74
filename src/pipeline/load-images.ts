/** Fetches and decodes what was chosen, a few pictures ahead of the models and never a study at once. */
import { asWetreadError, WetreadError } from '../domain/errors.ts';
import type { SeriesUid, StudyUid } from '../domain/ids.ts';
import type { GreyImage } from '../domain/image.ts';
import type { Archive, ImageDecoder } from '../domain/ports.ts';
import { ahead } from './ahead.ts';
import type { ChosenSeries, ChosenSlice } from './select-series.ts';

/** One picture for the packs that read pictures, or one stack for the pack that reads stacks. */
export type Loaded =
  | { readonly kind: 'picture'; readonly packs: readonly string[]; readonly image: GreyImage }
  | { readonly kind: 'stack'; readonly packs: readonly string[]; readonly images: readonly GreyImage[] }
  /** What could not be read. */
  | {
      readonly kind: 'fault';
      readonly packs: readonly string[];
      readonly seriesUid: SeriesUid;
      readonly error: WetreadError;
    };

type Files = Pick<Archive, 'fetchSeries' | 'fetchInstances'>;

/** Decoded pictures that wait for the models. A film is 30 MB as numbers; two hide the archive's delay. */
const picturesAhead = 2;

/**
 * Begins at once, and stops fetching when nobody takes what came. `return` ends it early. A damaged object is a fault of
 * its own beside good pictures; anything else ends the stream by throwing.
 */
export function loadImages(
  parts: { readonly archive: Files; readonly decoder: ImageDecoder },
  study: StudyUid,
  chosen: readonly ChosenSeries[],
  signal: AbortSignal,
): AsyncIterableIterator<Loaded, void, void> {
  return ahead((until) => everything(parts, study, chosen, until), picturesAhead, signal);
}

async function* everything(
  parts: { readonly archive: Files; readonly decoder: ImageDecoder },
  study: StudyUid,
  chosen: readonly ChosenSeries[],
  signal: AbortSignal,
): AsyncGenerator<Loaded, void, void> {
  const whole = chosen.filter(({ slices }) => slices === undefined);
  for (const [seriesUid, own] of Map.groupBy(whole, ({ seriesUid }) => seriesUid)) {
    const packs = own.map(({ pack }) => pack);
    const files = parts.archive.fetchSeries(study, seriesUid, signal);
    for await (const found of decoded(parts.decoder, study, files, signal)) {
      if (found instanceof WetreadError) yield { kind: 'fault', packs, seriesUid, error: found };
      else yield { kind: 'picture', packs, image: found };
    }
  }
  for (const { pack, seriesUid, slices } of chosen) {
    if (slices !== undefined) yield* stackOf(parts, study, { pack, seriesUid, slices }, signal);
  }
}

/** Files that are being decoded: one while the models work on the one before it, and one more for a second core. */
const decodedAtOnce = 2;

/** In the order of the files. */
async function* decoded(
  decoder: ImageDecoder,
  study: StudyUid,
  files: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  framesOf: () => readonly number[] | undefined = () => undefined,
): AsyncGenerator<GreyImage | WetreadError> {
  const coming: AsyncIterableIterator<GreyImage, void, void>[] = [];
  try {
    for await (const file of files) {
      const only = framesOf();
      coming.push(ahead((until) => decoder.frames(file, only, until), 1, signal));
      if (coming.length === decodedAtOnce) yield* picturesOf(coming.shift()!, study);
    }
    for (let next = coming.shift(); next !== undefined; next = coming.shift()) yield* picturesOf(next, study);
  } finally {
    await Promise.all(coming.map((one) => one.return?.()));
  }
}

async function* picturesOf(
  frames: AsyncIterableIterator<GreyImage, void, void>,
  study: StudyUid,
): AsyncGenerator<GreyImage | WetreadError> {
  try {
    for await (const image of frames) {
      if (image.studyUid !== study)
        throw new WetreadError('archive.bad-answer', 'an object of another study came back');
      yield image;
    }
  } catch (thrown) {
    const error = asWetreadError(thrown);
    // A fault of the file is this picture's alone; anything else may pass and stops the whole job.
    if (!error.code.startsWith('dicom.')) throw error;
    yield error;
  }
}

/** More unreadable slices than this, and what is left is not the stack that was chosen. */
const mostFaults = 0.25;

async function* stackOf(
  { archive, decoder }: { readonly archive: Files; readonly decoder: ImageDecoder },
  study: StudyUid,
  { pack, seriesUid, slices }: Required<ChosenSeries>,
  signal: AbortSignal,
): AsyncGenerator<Loaded, void, void> {
  const packs = [pack];
  const byObject = Map.groupBy(slices, ({ sopUid }) => sopUid);
  const files = archive.fetchInstances(study, seriesUid, [...byObject.keys()], signal);
  // They come in the order asked for.
  const frames = [...byObject.values()].map((own) => own.map(({ frame }) => frame));
  const framesOf = () => frames.shift();
  const images = new Map<string, GreyImage>();
  const faults: WetreadError[] = [];
  for await (const found of decoded(decoder, study, files, signal, framesOf)) {
    if (found instanceof WetreadError) faults.push(found);
    else images.set(keyOf(found), found);
  }
  for (const error of faults) yield { kind: 'fault', packs, seriesUid, error };
  const inOrder = slices.flatMap((slice) => {
    const image = images.get(keyOf(slice));
    return image === undefined ? [] : [{ ...image, tags: { ...image.tags, slice: slice.place } }];
  });
  if (inOrder.length >= (1 - mostFaults) * slices.length) yield { kind: 'stack', packs, images: inOrder };
}

const keyOf = ({ sopUid, frame }: Pick<ChosenSlice, 'sopUid' | 'frame'>): string => `${sopUid} ${frame}`;
