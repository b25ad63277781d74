/** From stored values to what a reader would see: modality LUT, VOI, polarity (PS3.4 annex N), as 0 black to 1 white. */
import { WetreadError } from '../domain/errors.ts';
import type { StoredPixels } from '../domain/image.ts';
import type { Attributes, DicomDataset } from './dataset.ts';
import { luma, paletteLuminance } from './palette.ts';
import type { Keyword } from './tags.ts';

/** A look-up table as PS3.3 C.11.1 describes it: values below the first entry take it, above the last take that. */
export type Lut = { readonly first: number; readonly bits: number; readonly entries: Uint16Array };

type Modality =
  | { readonly kind: 'linear'; readonly slope: number; readonly intercept: number }
  | { readonly kind: 'table'; readonly lut: Lut };
type Voi =
  | {
      readonly kind: 'window';
      readonly function: 'LINEAR' | 'LINEAR_EXACT' | 'SIGMOID';
      readonly center: number;
      readonly width: number;
    }
  | { readonly kind: 'table'; readonly lut: Lut }
  /** No window at all: from the least to the greatest value that is not padding. */
  | { readonly kind: 'range' };

/** Plain data, so that it crosses to another thread. */
export type Display =
  | {
      readonly kind: 'grey';
      /** One for all frames, or one for each. */
      readonly frames: readonly { readonly modality: Modality; readonly voi: Voi }[];
      readonly inverted: boolean;
      /** Stored values from … to that stand for "nothing was imaged here". */
      readonly padding: readonly [number, number] | undefined;
    }
  | { readonly kind: 'colour' }
  | { readonly kind: 'palette'; readonly luminance: Float32Array; readonly first: number };

export function displayOf(
  dataset: DicomDataset,
  pixels: Pick<StoredPixels, 'photometric' | 'signed' | 'frames'>,
): Display {
  if (pixels.photometric === 'PALETTE COLOR') return { kind: 'palette', ...paletteLuminance(dataset, pixels.signed) };
  if (!pixels.photometric.startsWith('MONOCHROME')) return { kind: 'colour' };
  const [shared] = dataset.items('SharedFunctionalGroupsSequence');
  const perFrame = dataset.items('PerFrameFunctionalGroupsSequence');
  const differs = perFrame.some(
    (group) => group.has('FrameVOILUTSequence') || group.has('PixelValueTransformationSequence'),
  );
  const one = (frame: Attributes | undefined) => ({
    modality: modalityOf(firstItem('PixelValueTransformationSequence', frame, shared) ?? dataset, pixels.signed),
    voi: voiOf(firstItem('FrameVOILUTSequence', frame, shared) ?? dataset, pixels.signed),
  });
  const inverse = dataset.text('PresentationLUTShape') === 'INVERSE';
  return {
    kind: 'grey',
    frames: differs ? Array.from({ length: pixels.frames }, (_, frame) => one(perFrame[frame])) : [one(undefined)],
    // A writer of MONOCHROME1 with INVERSE says the same thing twice (PS3.3 C.11.6): it is one inversion, not two.
    inverted: pixels.photometric === 'MONOCHROME1' || inverse,
    padding: paddingOf(dataset, pixels.signed),
  };
}

const firstItem = (
  keyword: 'FrameVOILUTSequence' | 'PixelValueTransformationSequence',
  ...groups: (Attributes | undefined)[]
) => groups.flatMap((group) => group?.items(keyword) ?? [])[0];

const asSigned = (word: number): number => (word << 16) >> 16;

/** US or SS: files in explicit VR say which; in others it is as the pixels are (PS3.5 annex A.1). */
const isSigned = (from: Attributes, keyword: Keyword, pixelsAreSigned: boolean): boolean => {
  const vr = from.vr(keyword);
  return vr === 'SS' || (vr !== 'US' && pixelsAreSigned);
};

function modalityOf(from: Attributes, signed: boolean): Modality {
  const [item] = from.items('ModalityLUTSequence');
  const lut = item && lutOf(item, signed);
  if (lut !== undefined) return { kind: 'table', lut };
  return { kind: 'linear', slope: from.decimal('RescaleSlope') || 1, intercept: from.decimal('RescaleIntercept') ?? 0 };
}

function voiOf(from: Attributes, signed: boolean): Voi {
  const [item] = from.items('VOILUTSequence');
  // C.11.2: when both are there either may be used; the table is what the device meant exactly.
  const lut = item && lutOf(item, signed);
  if (lut !== undefined) return { kind: 'table', lut };
  const center = from.decimal('WindowCenter');
  const width = from.decimal('WindowWidth');
  const named = from.text('VOILUTFunction') ?? 'LINEAR';
  const shape = named === 'SIGMOID' || named === 'LINEAR_EXACT' ? named : 'LINEAR';
  // C.11.2.1.2: LINEAR needs a width of at least 1, the others more than 0.
  const usable = center !== undefined && width !== undefined && (shape === 'LINEAR' ? width >= 1 : width > 0);
  return usable ? { kind: 'window', function: shape, center, width } : { kind: 'range' };
}

function lutOf(item: Attributes, signed: boolean): Lut | undefined {
  const [count, first, bits] = item.words('LUTDescriptor');
  if (count === undefined || first === undefined || bits === undefined) return undefined;
  const length = count === 0 ? 65536 : count;
  const words = item.words('LUTData');
  const raw = item.raw('LUTData') ?? new Uint8Array();
  // Eight-bit tables are packed two to a word by some writers, one to a word by others (C.11.1.1.1).
  const entries =
    bits <= 8 && words.length < length && raw.length >= length
      ? Uint16Array.from(raw.subarray(0, length))
      : words.subarray(0, length);
  if (entries.length < length)
    throw new WetreadError('dicom.unsupported-pixels', `a look-up table of ${entries.length} entries claims ${length}`);
  if (bits < 1 || bits > 16) throw new WetreadError('dicom.unsupported-pixels', `a look-up table of ${bits} bits`);
  return { first: isSigned(item, 'LUTDescriptor', signed) ? asSigned(first) : first, bits, entries };
}

function paddingOf(dataset: DicomDataset, signed: boolean): readonly [number, number] | undefined {
  // Some writers give unsigned padding for signed pixels: only as the pixels are can it be met.
  const read = (keyword: 'PixelPaddingValue' | 'PixelPaddingRangeLimit') => {
    const word = dataset.unsigned(keyword);
    return word === undefined || !signed ? word : asSigned(word);
  };
  const value = read('PixelPaddingValue');
  if (value === undefined) return undefined;
  const limit = read('PixelPaddingRangeLimit') ?? value;
  return [Math.min(value, limit), Math.max(value, limit)];
}

/** One frame as intensities. `range`: least and greatest value of all frames, where `pixels` are not all. */
export function greyOf(
  pixels: StoredPixels,
  display: Display,
  frame: number,
  range?: readonly [number, number],
): Float32Array {
  const count = pixels.rows * pixels.columns;
  if (!(frame >= 0 && frame < pixels.frames)) throw new RangeError(`frame ${frame} of ${pixels.frames}`);
  if (display.kind === 'colour') return luminanceOf(pixels, frame);
  const stored = pixels.values.subarray(frame * count, (frame + 1) * count);
  if (display.kind === 'palette') {
    const { luminance, first } = display;
    const last = luminance.length - 1;
    return Float32Array.from(
      stored as Uint16Array,
      (index) => luminance[Math.min(Math.max(index - first, 0), last)] as number,
    );
  }
  const transform = display.frames[display.frames.length === 1 ? 0 : frame] as (typeof display.frames)[number];
  // A range is the whole object's, so that the frames of one run keep their relation to each other.
  const shown =
    transform.voi.kind === 'range'
      ? shownRange(range ?? storedRange(pixels.values, display.padding), transform.modality)
      : undefined;
  const intensity = intensityOf(transform.modality, transform.voi, shown, display);

  const grey = new Float32Array(count);
  if (pixels.bitsStored > 16) {
    for (let index = 0; index < count; index++) grey[index] = intensity(stored[index] as number);
    return grey;
  }
  // At most 65536 values can occur: each is worked out once.
  const lowest = pixels.signed ? -(2 ** (pixels.bitsStored - 1)) : 0;
  const table = new Float32Array(2 ** pixels.bitsStored);
  for (let index = 0; index < table.length; index++) table[index] = intensity(index + lowest);
  for (let index = 0; index < count; index++) grey[index] = table[(stored[index] as number) - lowest] as number;
  return grey;
}

function luminanceOf(pixels: StoredPixels, frame: number): Float32Array {
  const { values } = pixels;
  const count = pixels.rows * pixels.columns;
  const white = 2 ** pixels.bitsStored - 1;
  const grey = new Float32Array(count);
  const isRgb = pixels.photometric === 'RGB';
  // Partial ones keep 16 to 235 of 255 for luminance (PS3.3 C.7.6.3.1.2).
  const [black, range] = pixels.photometric.startsWith('YBR_PARTIAL')
    ? [(16 / 255) * white, (219 / 255) * white]
    : [0, white];
  for (let index = 0, at = frame * count * 3; index < count; index++, at += 3) {
    const first = values[at] as number;
    grey[index] = isRgb
      ? luma(first, values[at + 1] as number, values[at + 2] as number) / white
      : clamp((first - black) / range);
  }
  return grey;
}

/** Padding left out; from infinity down to minus infinity when there is nothing else. */
export function storedRange(
  values: ArrayLike<number>,
  padding: readonly [number, number] | undefined,
): readonly [number, number] {
  let least = Infinity;
  let most = -Infinity;
  const [from, to] = padding ?? [1, 0];
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as number;
    if (value >= from && value <= to) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}

function shownRange([least, most]: readonly [number, number], modality: Modality): readonly [number, number] {
  if (least > most) return [0, 1];
  // A table need not rise all the way.
  const between =
    modality.kind === 'linear'
      ? []
      : Array.from({ length: Math.min(most - least, 65_535) }, (_, index) => least + index);
  const seen = [...between, most, least].map((stored) => applyModality(modality, stored));
  return [seen.reduce((one, other) => Math.min(one, other)), seen.reduce((one, other) => Math.max(one, other))];
}

/** One frame after the modality LUT alone: Hounsfield units where the modality is CT (PS3.3 C.11.1.1.2). */
export function modalityValuesOf(
  pixels: StoredPixels,
  { frames }: Display & { kind: 'grey' },
  frame: number,
): Float32Array {
  const count = pixels.rows * pixels.columns;
  const { modality } = frames[frames.length === 1 ? 0 : frame]!;
  const values = new Float32Array(count);
  for (let index = 0; index < count; index++)
    values[index] = applyModality(modality, pixels.values[frame * count + index] as number);
  return values;
}

export function applyModality(modality: Modality, stored: number): number {
  return modality.kind === 'linear' ? stored * modality.slope + modality.intercept : lookUp(modality.lut, stored);
}

function lookUp({ first, entries }: Lut, value: number): number {
  const index = Math.trunc(value) - first;
  return entries[index < 0 ? 0 : index >= entries.length ? entries.length - 1 : index] as number;
}

function intensityOf(
  modality: Modality,
  voi: Voi,
  range: readonly [number, number] | undefined,
  { inverted, padding = [1, 0] }: Pick<Display & { kind: 'grey' }, 'inverted' | 'padding'>,
): (stored: number) => number {
  const shown = voiFunction(voi, range);
  const [from, to] = padding;
  return (stored) => {
    // C.7.5.1.1.2: padding is background, whatever the window; inverted, it would be the brightest thing there is.
    if (stored >= from && stored <= to) return 0;
    const intensity = shown(applyModality(modality, stored));
    return inverted ? 1 - intensity : intensity;
  };
}

const clamp = (value: number): number => (value <= 0 ? 0 : value >= 1 ? 1 : value);

/** PS3.3 C.11.2.1.2 and C.11.2.1.3, with an output of 0 to 1. */
function voiFunction(voi: Voi, range: readonly [number, number] = [0, 1]): (value: number) => number {
  if (voi.kind === 'table') {
    const white = 2 ** voi.lut.bits - 1;
    // Entries may be larger than the bits they claim.
    return (value) => clamp(lookUp(voi.lut, value) / white);
  }
  if (voi.kind === 'range') {
    const [least, most] = range;
    return most === least ? () => 0 : (value) => clamp((value - least) / (most - least));
  }
  const { center, width } = voi;
  switch (voi.function) {
    case 'SIGMOID':
      return (value) => 1 / (1 + Math.exp((-4 * (value - center)) / width));
    case 'LINEAR_EXACT':
      return (value) => clamp((value - center) / width + 0.5);
    case 'LINEAR':
      return (value) => {
        if (value <= center - 0.5 - (width - 1) / 2) return 0;
        if (value > center - 0.5 + (width - 1) / 2) return 1;
        return (value - (center - 0.5)) / (width - 1) + 0.5;
      };
  }
}
