/** What the header claims of the pixels, checked before a byte of them is decoded. */
import { WetreadError } from '../../domain/errors.ts';
import type { Photometric } from '../../domain/image.ts';
import type { DicomDataset } from '../dataset.ts';

export type PixelShape = {
  readonly rows: number;
  readonly columns: number;
  readonly frames: number;
  readonly samplesPerPixel: 1 | 3;
  readonly bitsAllocated: 1 | 8 | 16 | 32;
  readonly bitsStored: number;
  readonly highBit: number;
  readonly signed: boolean;
  /** Colour by plane (R R … G G … B B …) instead of by pixel. */
  readonly planar: boolean;
  readonly photometric: Photometric;
};

const known: ReadonlySet<string> = new Set<Photometric>([
  'MONOCHROME1',
  'MONOCHROME2',
  'RGB',
  'PALETTE COLOR',
  'YBR_FULL',
  'YBR_FULL_422',
  'YBR_PARTIAL_422',
  'YBR_ICT',
  'YBR_RCT',
  'YBR_PARTIAL_420',
]);

export const bytesPerSample = ({ bitsAllocated }: PixelShape): 1 | 2 | 4 =>
  bitsAllocated <= 8 ? 1 : bitsAllocated === 16 ? 2 : 4;
export const samplesPerFrame = ({ rows, columns, samplesPerPixel }: PixelShape): number =>
  rows * columns * samplesPerPixel;

/** Throws `dicom.no-pixel-data`, `dicom.unsupported-pixels` or `dicom.too-large`. */
export function pixelShapeOf(dataset: DicomDataset, maxBytes: number): PixelShape {
  if (dataset.pixelData === undefined) {
    if (dataset.has('FloatPixelData') || dataset.has('DoubleFloatPixelData'))
      throw unsupported('floating point pixels');
    throw new WetreadError('dicom.no-pixel-data');
  }
  const rows = positive(dataset.unsigned('Rows'), 'Rows');
  const columns = positive(dataset.unsigned('Columns'), 'Columns');
  const frames = dataset.has('NumberOfFrames') ? dataset.decimal('NumberOfFrames') : 1;
  if (frames === undefined || !Number.isSafeInteger(frames) || frames < 1)
    throw unsupported('Number of Frames is not a count');
  // Samples per Pixel is missing in old files; what the values mean says how many there are.
  const samplesPerPixel = dataset.unsigned('SamplesPerPixel') ?? (isGrey(dataset) ? 1 : 3);
  if (samplesPerPixel !== 1 && samplesPerPixel !== 3) throw unsupported(`${samplesPerPixel} samples per pixel`);
  const bitsAllocated = dataset.unsigned('BitsAllocated') ?? 0;
  if (bitsAllocated !== 1 && bitsAllocated !== 8 && bitsAllocated !== 16 && bitsAllocated !== 32) {
    throw unsupported(`${bitsAllocated} bits allocated`);
  }
  const bitsStored = dataset.unsigned('BitsStored') ?? bitsAllocated;
  if (bitsStored < 1 || bitsStored > bitsAllocated) throw unsupported(`${bitsStored} of ${bitsAllocated} bits stored`);
  const highBit = dataset.unsigned('HighBit') ?? bitsStored - 1;
  if (highBit < bitsStored - 1 || highBit >= bitsAllocated)
    throw unsupported(`high bit ${highBit} for ${bitsStored} bits`);

  const pixelRepresentation = dataset.unsigned('PixelRepresentation') ?? 0;
  if (pixelRepresentation > 1) throw unsupported(`pixel representation ${pixelRepresentation}`);
  if (pixelRepresentation === 1 && (samplesPerPixel === 3 || bitsAllocated === 1))
    throw unsupported('colours or bits with a sign');
  const shape: PixelShape = {
    rows,
    columns,
    frames,
    samplesPerPixel,
    bitsAllocated,
    bitsStored,
    highBit,
    signed: pixelRepresentation === 1,
    planar: samplesPerPixel === 3 && dataset.unsigned('PlanarConfiguration') === 1,
    photometric: photometricOf(dataset, samplesPerPixel),
  };
  if (samplesPerFrame(shape) * frames * bytesPerSample(shape) > maxBytes) {
    throw new WetreadError('dicom.too-large', `${columns} × ${rows}, ${frames} frames`);
  }
  return shape;
}

function photometricOf(dataset: DicomDataset, samplesPerPixel: number): Photometric {
  const claimed = dataset.text('PhotometricInterpretation') ?? (samplesPerPixel === 1 ? 'MONOCHROME2' : 'RGB');
  if (!known.has(claimed)) throw unsupported(`photometric interpretation ${JSON.stringify(claimed.slice(0, 16))}`);
  const photometric = claimed as Photometric;
  if (isGrey(dataset) !== (samplesPerPixel === 1) && dataset.has('PhotometricInterpretation'))
    throw unsupported(`${samplesPerPixel} samples per pixel as ${photometric}`);
  return photometric;
}

const isGrey = (dataset: DicomDataset): boolean =>
  /^(MONOCHROME[12]|PALETTE COLOR)$/.test(dataset.text('PhotometricInterpretation') ?? 'MONOCHROME2');

function positive(value: number | undefined, name: string): number {
  if (value === undefined || value === 0) throw unsupported(`${name} is missing or zero`);
  return value;
}

const unsupported = (detail: string) => new WetreadError('dicom.unsupported-pixels', detail);
