/** A decoded picture with the geometry that measurements need. */
import type { SeriesUid, SopUid, StudyUid } from './ids.ts';
import type { SlicePlace } from './slice.ts';

export type PixelArray = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array;

export type Photometric =
  | 'MONOCHROME1'
  | 'MONOCHROME2'
  | 'RGB'
  | 'PALETTE COLOR'
  | 'YBR_FULL'
  | 'YBR_FULL_422'
  | 'YBR_PARTIAL_422'
  | 'YBR_ICT'
  | 'YBR_RCT'
  | 'YBR_PARTIAL_420';

/** Stored values of one SOP instance, before any LUT. */
export type StoredPixels = {
  readonly rows: number;
  readonly columns: number;
  readonly frames: number;
  readonly samplesPerPixel: 1 | 3;
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  readonly signed: boolean;
  readonly photometric: Photometric;
  /** Frames one after the other; colour interleaved (R G B R G B …). */
  readonly values: PixelArray;
};

export type Spacing = {
  /** Distance between rows, then between columns, in mm (DICOM order). */
  readonly rowMm: number;
  readonly columnMm: number;
  /**
   * `patient`: Pixel Spacing, or Imager Pixel Spacing divided by the magnification: lengths are the patient's.
   * `detector`: Imager Pixel Spacing alone: lengths are those on the detector, larger than the patient's.
   */
  readonly plane: 'patient' | 'detector';
};

/** A single grey-scale frame, ready for a model: brighter means denser, whatever the file said. */
export type GreyImage = {
  readonly studyUid: StudyUid;
  readonly seriesUid: SeriesUid;
  readonly sopUid: SopUid;
  readonly sopClassUid: string;
  readonly frame: number;
  readonly rows: number;
  readonly columns: number;
  /** After modality LUT, VOI window and MONOCHROME1 inversion: 0 black to 1 white. */
  readonly intensities: Float32Array;
  /** Of CT: the values after the modality LUT alone, worked out when a model asks for them. */
  readonly hounsfield?: () => Float32Array;
  readonly spacing?: Spacing;
  readonly tags: ImageTags;
};

/** What the header claims. Often wrong or absent: packs may use it as a hint, never as a proof. */
export type ImageTags = {
  readonly modality?: string;
  readonly bodyPartExamined?: string;
  readonly viewPosition?: string;
  readonly laterality?: string;
  readonly seriesDescription?: string;
  readonly studyDescription?: string;
  readonly patientAgeYears?: number;
  readonly patientSex?: string;
  readonly manufacturer?: string;
  readonly acquiredAt?: string;
  /** Of a slice that was chosen from a stack: worked out from the headers of all. */
  readonly slice?: SlicePlace;
};
