/** A study: what the archive says of it, and where Wetread stands with it. */
import type { ErrorCode } from './errors.ts';
import type { Priority } from './event.ts';
import type { Outcome } from './outcome.ts';
import type { PatientId, SeriesUid, SopUid, StudyUid } from './ids.ts';

/** One row of a QIDO-RS study search; DICOM keywords in camel case. */
export type StudySummary = {
  readonly studyUid: StudyUid;
  /** The medical record number, as the archive holds it. Never logged. */
  readonly dicomPatientId?: string;
  readonly accession?: string;
  /** ISO 8601 without zone, as DICOM dates have none: `2026-03-01T09:30:00`. */
  readonly startedAt?: string;
  readonly description?: string;
  readonly modalities: readonly string[];
  /** Objects in the study, where the archive counts them. */
  readonly instanceCount?: number;
};

export type SeriesSummary = {
  readonly seriesUid: SeriesUid;
  readonly modality: string;
  readonly description?: string;
  readonly bodyPartExamined?: string;
  readonly viewPosition?: string;
  readonly laterality?: string;
  readonly instanceCount?: number;
};

export type InstanceSummary = {
  readonly sopUid: SopUid;
  readonly sopClassUid?: string;
  readonly instanceNumber?: number;
};

/** What an object's header says, without its pixels (WADO-RS metadata). What is absent was not said, or not in a way that can be used. */
export type InstanceMetadata = InstanceSummary & {
  readonly transferSyntaxUid?: string;
  readonly modality?: string;
  readonly imageType: readonly string[];
  readonly seriesDescription?: string;
  readonly protocolName?: string;
  readonly bodyPartExamined?: string;
  readonly rows?: number;
  readonly columns?: number;
  readonly frames: number;
  readonly samplesPerPixel?: number;
  readonly bitsAllocated?: number;
  readonly photometric?: string;
  readonly acquisitionNumber?: number;
  readonly frameOfReferenceUid?: string;
  readonly sliceThicknessMm?: number;
  readonly spacingBetweenSlicesMm?: number;
  readonly sliceLocationMm?: number;
  readonly gantryTiltDegrees?: number;
  readonly temporalPosition?: number;
  readonly triggerTimeMs?: number;
  /** Where each frame lies, for those that say it; of a classic slice there is one. */
  readonly planes: readonly ImagePlane[];
  readonly mr?: MrSequence;
};

/** Image Plane and Image Pixel modules (PS3.3 C.7.6.2), or the functional groups of an enhanced object. */
export type ImagePlane = {
  /** Counted from 0. */
  readonly frame: number;
  /** Centre of the first pixel in mm: x to the patient's left, y to the back, z to the head. */
  readonly position: readonly [number, number, number];
  /** Direction cosines of the rows, then of the columns. */
  readonly orientation: readonly [number, number, number, number, number, number];
  readonly rowSpacingMm?: number;
  readonly columnSpacingMm?: number;
  /** What frames of one enhanced object may differ in. */
  readonly imageType?: readonly string[];
  readonly echoTimeMs?: number;
  readonly temporalPosition?: number;
  readonly diffusionBValue?: number;
};

/** How a magnetic resonance image was weighted, as far as its header says. */
export type MrSequence = {
  readonly echoTimeMs?: number;
  readonly repetitionTimeMs?: number;
  readonly inversionTimeMs?: number;
  readonly flipAngleDegrees?: number;
  readonly echoTrainLength?: number;
  readonly scanningSequence: readonly string[];
  readonly sequenceVariant: readonly string[];
  readonly scanOptions: readonly string[];
  readonly sequenceName?: string;
  /** T1, T2, PROTON_DENSITY, FLAIR, STIR … of enhanced objects. */
  readonly acquisitionContrast?: string;
  readonly contrastAgent?: string;
  readonly echoNumber?: number;
  readonly diffusionBValue?: number;
  /** Spectrally Selected Suppression (0018,9025) of enhanced objects. */
  readonly suppression?: string;
};

/** The place of a study in the chart. */
export type ChartLink = {
  readonly patientId: PatientId;
  /** `ImagingStudy/…`, when the chart has one for this study. */
  readonly imagingStudy?: string;
  /** `ServiceRequest/…` that this study answers. */
  readonly order?: string;
};

/** A try that failed in a way that may pass. */
export type FailedTry = {
  readonly code: ErrorCode;
  readonly attempt: number;
  readonly at: string;
  /** Absent between the failure and the queueing of the next. */
  readonly nextTryAt?: string;
};

export type StudyState =
  | { readonly kind: 'pending'; readonly lastFailure?: FailedTry }
  | { readonly kind: 'reading'; readonly attempt: number }
  | { readonly kind: 'settled'; readonly outcome: Outcome }
  /** Every retry is used up; visible in `wetread doctor` and on the operator's list until somebody re-queues it. */
  | { readonly kind: 'dead'; readonly outcome: Outcome };

/** A study as Wetread remembers it. */
export type StudyRecord = {
  readonly studyUid: StudyUid;
  readonly patientId?: PatientId;
  readonly accession?: string;
  readonly imagingStudy?: string;
  readonly order?: string;
  readonly description?: string;
  readonly modalities: readonly string[];
  readonly startedAt?: string;
  /** Objects in the study as the archive counted them when it was last looked at. */
  readonly instanceCount?: number;
  readonly announcedAt: string;
  readonly settledAt?: string;
  readonly state: StudyState;
};

/** An imaging order seen in a hook, remembered so that the arriving study can be linked to it. */
export type ImagingOrder = {
  /** `ServiceRequest/…`; a draft in order-select has none the chart would know later. */
  readonly reference?: string;
  readonly patientId: PatientId;
  readonly region: BodyRegion;
  readonly accession?: string;
  /** How urgent the order is; the study that answers it is read so. */
  readonly priority?: Priority;
  readonly seenAt: string;
};

/** Regions that Wetread can compare orders and studies by. */
export type BodyRegion =
  | 'lumbar-spine'
  | 'thoracic-spine'
  | 'cervical-spine'
  | 'whole-spine'
  | 'chest'
  | 'pelvis'
  | 'limb'
  | 'other';
