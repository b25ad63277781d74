/** Which of DICOM's four pixel spacings says how large the patient is, and which only how large the detector is. */
import type { Spacing } from '../domain/image.ts';
import type { Attributes, DicomDataset } from './dataset.ts';

/** Projection images: X-rays spread from a point, so the detector sees the patient magnified (PS3.3 section 10.7.1). */
const projectionClasses: ReadonlySet<string> = new Set([
  '1.2.840.10008.5.1.4.1.1.1', // Computed Radiography
  '1.2.840.10008.5.1.4.1.1.1.1', // Digital X-Ray, for presentation
  '1.2.840.10008.5.1.4.1.1.1.1.1', // … for processing
  '1.2.840.10008.5.1.4.1.1.1.2', // Digital Mammography, for presentation
  '1.2.840.10008.5.1.4.1.1.1.2.1', // … for processing
  '1.2.840.10008.5.1.4.1.1.1.3', // Digital Intra-Oral, for presentation
  '1.2.840.10008.5.1.4.1.1.1.3.1', // … for processing
  '1.2.840.10008.5.1.4.1.1.12.1', // X-Ray Angiographic
  '1.2.840.10008.5.1.4.1.1.12.1.1', // Enhanced XA
  '1.2.840.10008.5.1.4.1.1.12.2', // X-Ray Radiofluoroscopic
  '1.2.840.10008.5.1.4.1.1.12.2.1', // Enhanced XRF
]);

/**
 * In this order:
 * 1. Pixel Spacing that was calibrated (Calibration Type GEOMETRY or FIDUCIAL), differs from Imager Pixel Spacing, or belongs
 *    to a section image (CT, MR): lengths are the patient's.
 * 2. Imager Pixel Spacing divided by the Estimated Radiographic Magnification Factor: the patient's, by the device's estimate.
 * 3. Imager Pixel Spacing, or an equal Pixel Spacing: the detector's.
 * 4. Pixel Spacing alone on a projection image: nobody says in which plane it was measured, so no more than the detector's.
 * 5. Nominal Scanned Pixel Spacing of a digitised film: the film's, which is where the detector was.
 * Pixel Aspect Ratio alone gives no length. Zero, negative or single values are as good as absent.
 */
export function spacingOf(dataset: DicomDataset): Spacing | undefined {
  return spacingFrom(dataset, pair(dataset, 'PixelSpacing') ?? measured(functionalGroups(dataset), 0));
}

/** Of each frame, where the frames of one object differ; undefined where they do not. */
export function frameSpacings(dataset: DicomDataset, frames: number): readonly (Spacing | undefined)[] | undefined {
  const groups = functionalGroups(dataset);
  if (!groups.perFrame.some((group) => group.has('PixelMeasuresSequence'))) return undefined;
  return Array.from({ length: frames }, (_, frame) =>
    spacingFrom(dataset, measured(groups, frame) ?? pair(dataset, 'PixelSpacing')),
  );
}

function spacingFrom(dataset: DicomDataset, pixel: Pair | undefined): Spacing | undefined {
  const imager = pair(dataset, 'ImagerPixelSpacing');
  const magnification = dataset.decimal('EstimatedRadiographicMagnificationFactor');
  const projection = projectionClasses.has(dataset.text('SOPClassUID') ?? '');

  if (pixel !== undefined) {
    const calibrated = dataset.has('PixelSpacingCalibrationType') || (imager !== undefined && !same(pixel, imager));
    if (calibrated || !projection) return { ...pixel, plane: 'patient' };
  }
  const detector = imager ?? pixel;
  if (detector !== undefined) {
    // A factor below 1 would mean a patient behind the detector; above 3, one touching the tube.
    if (imager !== undefined && magnification !== undefined && magnification >= 1 && magnification <= 3) {
      return { rowMm: imager.rowMm / magnification, columnMm: imager.columnMm / magnification, plane: 'patient' };
    }
    return { ...detector, plane: 'detector' };
  }
  const scanned = pair(dataset, 'NominalScannedPixelSpacing');
  return scanned && { ...scanned, plane: 'detector' };
}

type Pair = { readonly rowMm: number; readonly columnMm: number };

function pair(
  from: Attributes,
  keyword: 'PixelSpacing' | 'ImagerPixelSpacing' | 'NominalScannedPixelSpacing',
): Pair | undefined {
  const [rowMm, columnMm] = from.decimals(keyword);
  if (rowMm === undefined || columnMm === undefined || !(rowMm > 0) || !(columnMm > 0)) return undefined;
  return { rowMm, columnMm };
}

type FunctionalGroups = { readonly shared: Attributes | undefined; readonly perFrame: readonly Attributes[] };

const functionalGroups = (dataset: DicomDataset): FunctionalGroups => ({
  shared: dataset.items('SharedFunctionalGroupsSequence')[0],
  perFrame: dataset.items('PerFrameFunctionalGroupsSequence'),
});

/** Enhanced multi-frame objects keep it in their functional groups (PS3.3 C.7.6.16.2.1): of this frame, or shared by all. */
function measured({ shared, perFrame }: FunctionalGroups, frame: number): Pair | undefined {
  for (const group of [perFrame[frame], shared]) {
    const [measures] = group?.items('PixelMeasuresSequence') ?? [];
    if (measures !== undefined) return pair(measures, 'PixelSpacing');
  }
  return undefined;
}

/** Devices write the same number with different decimals. */
const same = (a: Pair, b: Pair): boolean =>
  Math.abs(a.rowMm - b.rowMm) < 1e-4 * a.rowMm && Math.abs(a.columnMm - b.columnMm) < 1e-4 * a.columnMm;
