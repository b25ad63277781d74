/** What a model says of a study, in words every output can translate. */
import type { FindingId, PatientId, ReadingId, SopUid, StudyUid } from './ids.ts';
import type { Unit } from './quantities.ts';

export type { Unit } from './quantities.ts';

/** Codes of ours; outputs map them to SNOMED CT, LOINC and DCM where a checked code exists. */
export type Concept = 'spondylolisthesis' | 'vertebral-height' | 'vertebral-fracture' | 'view-and-quality';

/** Vertebrae, the segments between them, or the whole image. */
export const vertebrae = ['T10', 'T11', 'T12', 'L1', 'L2', 'L3', 'L4', 'L5', 'S1'] as const;
export type Vertebra = (typeof vertebrae)[number];
export const segments = ['T10/T11', 'T11/T12', 'T12/L1', 'L1/L2', 'L2/L3', 'L3/L4', 'L4/L5', 'L5/S1'] as const;
export type Segment = (typeof segments)[number];
export type Site =
  | { readonly kind: 'vertebra'; readonly level: Vertebra }
  | { readonly kind: 'segment'; readonly level: Segment }
  | { readonly kind: 'image' };

export type Measurement = {
  /** An open name; {@link quantityWords} says it in words. */
  readonly quantity: string;
  readonly value: number;
  readonly unit: Unit;
  /** 95 % interval, in the same unit. */
  readonly interval?: readonly [low: number, high: number];
};

export type MeyerdingGrade = 'I' | 'II' | 'III' | 'IV' | 'V';
export type GenantGrade = '0' | '1' | '2' | '3';
export type OvfClass = '0' | '1' | '2';
export type Grade =
  | { readonly scale: 'Meyerding'; readonly value: MeyerdingGrade }
  /** Three classes of osteoporotic vertebral fracture; papers differ in what they mean by them, so the definition's name is part of it. */
  | { readonly scale: 'OVF class'; readonly value: OvfClass; readonly definition: string }
  /** Semiquantitative, by loss of height. */
  | { readonly scale: 'Genant'; readonly value: GenantGrade };

/** The leading scale first: it is what the summary says. */
type Graded = { readonly grades?: readonly Grade[] };

export type Direction = 'anterior' | 'posterior';

export const notAssessableReasons = [
  'wrong-view',
  'wrong-region',
  'poor-quality',
  'level-not-visible',
  'levels-uncertain',
  'unusual-anatomy',
  'unlike-training-data',
] as const;
export type NotAssessableReason = (typeof notAssessableReasons)[number];

export type FindingResult =
  | (Graded & { readonly kind: 'detected'; readonly direction?: Direction })
  | (Graded & { readonly kind: 'not-detected' })
  | (Graded & { readonly kind: 'measured' })
  | { readonly kind: 'not-assessable'; readonly reason: NotAssessableReason; readonly explanation: string };

/** Image coordinates: x to the right in columns, y down in rows; the centre of the first pixel is (0.5, 0.5), as in DICOM. */
export type Point = readonly [x: number, y: number];

/**
 * The label is read out, and some lines are drawn by it: `slip` with its ends marked, `… posterior wall` and `… end plate`
 * thin, `… anterior height`, `… middle height` and `… posterior height` as bars, `usual … height` (from the bar's own
 * foot, as long as is usual at the level) as a tick beside the bar.
 */
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

/** What a model's answer is made of: signed parts, the largest first. They show association, not a cause. */
export type FindingExplanation = {
  /** What the parts add up to, beside `rest`: "score of OVF class 2 against the other classes". */
  readonly of: string;
  readonly bars: readonly { readonly label: string; readonly value: number }[];
  /** What no bar shows, the constant term included. */
  readonly rest: number;
};

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
  readonly explanation?: FindingExplanation;
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

/** By the scale; undefined where the finding is not graded by it. */
export function gradeOf<Scale extends Grade['scale']>(
  { result }: Pick<FindingDraft, 'result'>,
  scale: Scale,
): Extract<Grade, { readonly scale: Scale }> | undefined {
  const grades = result.kind === 'not-assessable' ? [] : (result.grades ?? []);
  return grades.find((one): one is Extract<Grade, { readonly scale: Scale }> => one.scale === scale);
}

export const isSuspicion = (finding: FindingDraft): boolean => finding.result.kind === 'detected';
