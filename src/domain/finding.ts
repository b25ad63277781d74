/** What a model says of a study, in words every output can translate. */
import type { FindingId, PatientId, ReadingId, SopUid, StudyUid } from './ids.ts';

/** Codes of ours; outputs map them to SNOMED CT, LOINC and DCM where a checked code exists. */
export type Concept = 'spondylolisthesis' | 'vertebral-height' | 'view-and-quality';

/** Vertebrae, the segments between them, or the whole image. */
export type Vertebra = 'T12' | 'L1' | 'L2' | 'L3' | 'L4' | 'L5' | 'S1';
export type Segment = 'T12/L1' | 'L1/L2' | 'L2/L3' | 'L3/L4' | 'L4/L5' | 'L5/S1';
export type Site =
  | { readonly kind: 'vertebra'; readonly level: Vertebra }
  | { readonly kind: 'segment'; readonly level: Segment }
  | { readonly kind: 'image' };

/** UCUM units that measurements come in; `1` is a ratio. */
export type Unit = '%' | 'mm' | '1' | 'deg';
export type MeasuredQuantity =
  | 'slip'
  | 'slip-percent'
  | 'anterior-posterior-height-ratio'
  | 'middle-posterior-height-ratio'
  | 'posterior-height-ratio-to-neighbours'
  | 'anterior-height'
  | 'posterior-height'
  | 'middle-height';

export type Measurement = {
  readonly quantity: MeasuredQuantity;
  readonly value: number;
  readonly unit: Unit;
  /** 95 % interval, in the same unit. */
  readonly interval?: readonly [low: number, high: number];
};

export type MeyerdingGrade = 'I' | 'II' | 'III' | 'IV' | 'V';
export type Direction = 'anterior' | 'posterior';

export type NotAssessableReason =
  | 'wrong-view'
  | 'wrong-region'
  | 'poor-quality'
  | 'level-not-visible'
  | 'levels-uncertain'
  | 'unusual-anatomy'
  | 'unlike-training-data';

export type FindingResult =
  | {
      readonly kind: 'detected';
      readonly grade?: { readonly scale: 'Meyerding'; readonly value: MeyerdingGrade };
      readonly direction?: Direction;
    }
  | { readonly kind: 'not-detected' }
  | { readonly kind: 'measured' }
  | { readonly kind: 'not-assessable'; readonly reason: NotAssessableReason; readonly explanation: string };

/** Image coordinates: x to the right in columns, y down in rows; the centre of the first pixel is (0.5, 0.5), as in DICOM. */
export type Point = readonly [x: number, y: number];

export type OverlayShape =
  | {
      readonly kind: 'point';
      readonly at: Point;
      readonly label: string;
      /** half axes in pixels and rotation of the 95 % ellipse */ readonly ellipse?: {
        readonly rx: number;
        readonly ry: number;
        readonly angleRad: number;
      };
    }
  | { readonly kind: 'polygon'; readonly points: readonly Point[]; readonly label: string }
  | { readonly kind: 'line'; readonly from: Point; readonly to: Point; readonly label: string }
  /** What a network's answer is associated with; it never says how far something extends. */
  | {
      readonly kind: 'heatmap';
      readonly label: string;
      readonly rows: number;
      readonly columns: number;
      /** Row by row, 0 to 1. */
      readonly values: readonly number[];
      /** Where the grid's corners lie in the picture; the fourth follows. */
      readonly corners: readonly [topLeft: Point, topRight: Point, bottomLeft: Point];
    };

/** Where on which picture a finding can be seen. */
export type Evidence = { readonly sopUid: SopUid; readonly frame: number; readonly shapes: readonly OverlayShape[] };

/** A named place a pack measured, for evaluation and `wetread infer --json`; it is not stored. */
export type Landmark = {
  readonly name: string;
  readonly at: Point;
  /** In square pixels. */
  readonly covariance?: { readonly xx: number; readonly yy: number; readonly xy: number };
  /** 0 to 1, as the network gives it. */
  readonly confidence?: number;
};

/** What a pack's postprocess returns; the runner adds ids and provenance. */
export type FindingDraft = {
  readonly concept: Concept;
  readonly site: Site;
  readonly result: FindingResult;
  readonly measurements: readonly Measurement[];
  /** One sentence a nurse would say, without a patient's name: "Suspected L4/L5 anterolisthesis, grade I (18 %, 95 % 14 to 22)". */
  readonly summary: string;
  readonly evidence?: Evidence;
};

export type Verdict =
  | { readonly kind: 'unreviewed' }
  | { readonly kind: 'confirmed'; readonly by: Reviewer; readonly at: string }
  | { readonly kind: 'rejected'; readonly by: Reviewer; readonly at: string; readonly reason: string };

export type Reviewer = { /** `Practitioner/…` in the chart */ readonly reference: string; readonly display: string };

export type Finding = FindingDraft & { readonly id: FindingId; readonly verdict: Verdict };

/** The model that spoke; enough to find and recall everything it ever said. */
export type PackIdentity = {
  readonly name: string;
  readonly version: string;
  readonly title: string;
  readonly sha256: string;
};

/** One pack's answer about one study. Its findings are reviewed one by one; it is final when none is open. */
export type Reading = {
  readonly id: ReadingId;
  readonly studyUid: StudyUid;
  readonly patientId: PatientId;
  readonly pack: PackIdentity;
  /** Hash of the set of SOP instances that were read. */
  readonly contentHash: string;
  /** How many they are; unknown of readings made before they were counted. */
  readonly pictures?: number;
  readonly readAt: string;
  readonly executionProvider: string;
  /** A finding that an earlier reading had made on the same picture has the same id and verdict here. */
  readonly findings: readonly Finding[];
  readonly review: ReviewState;
  /** The report it is written in, when an earlier reading had begun it. */
  readonly report?: ReadingId;
  /** The earlier reading of the same study by the same pack whose place this one took. */
  readonly replaces?: {
    readonly reading: ReadingId;
    readonly version: string;
    readonly readAt: string;
    readonly pictures?: number;
    readonly review: ReviewState;
    /** Verdicts on findings that this reading does not make; they stay with the earlier one. */
    readonly verdicts: number;
  };
  /** Set when a newer reading took its place. It is kept; nobody is shown it as the answer. */
  readonly superseded?: Superseded;
};

export type Superseded = {
  readonly by: ReadingId;
  readonly pack: PackIdentity;
  readonly at: string;
  /** What the reading that stands now says as well, under the same id. */
  readonly standing: readonly FindingId[];
  /** Whether that reading is written in the same report. */
  readonly sameReport: boolean;
};

/** partial → verified → final is the report's life; a reading without suspicion may be verified as a whole. */
export type ReviewState =
  | { readonly kind: 'open' }
  | { readonly kind: 'final'; readonly by: Reviewer; readonly at: string };

export const isSuspicion = (finding: FindingDraft): boolean => finding.result.kind === 'detected';
