/** Pictures that lie behind each other in a patient: the stacks that the frames of a series form. */
import type { SeriesUid, SopUid } from './ids.ts';
import type { InstanceMetadata } from './study.ts';

/** Millimetres along the patient's axes: x grows to the left, y to the back, z to the head (PS3.3 C.7.6.2.1.1). */
export type Vector = readonly [x: number, y: number, z: number];

export type Plane = 'axial' | 'sagittal' | 'coronal' | 'oblique';

/** What an MR sequence weighs; `T1` also when gadolinium was given, which {@link SequenceVerdict.contrast} says. */
export type Weighting = 'T1' | 'T2' | 'PD' | 'STIR' | 'FLAIR' | 'T2*' | 'DWI';

/** What the tags say of an MR sequence, and how that was told. */
export type SequenceVerdict = {
  /** Undefined when nothing tells. */
  readonly weighting?: Weighting;
  readonly fatSuppressed?: boolean;
  readonly contrast?: boolean;
  /** In words: "TE 102 ms, TR 3500 ms: T2; the description says T2". */
  readonly why: string;
};

/** A place in a stack where slices are missing. */
export type Gap = { readonly afterIndex: number; readonly distanceMm: number; readonly missing: number };

/** Frames behind each other, in the patient's order: from right to left, front to back, or feet to head. */
export type Stack = {
  readonly seriesUid: SeriesUid;
  readonly slices: readonly PlacedFrame[];
  /** How the order is known; only `position` is sure. */
  readonly orderedBy: 'position' | 'slice-location' | 'instance-number';
  /** Undefined when nothing says how the frames lie. */
  readonly plane?: Plane;
  readonly normal?: Vector;
  /** Angle between the normal and the nearest axis of the patient. */
  readonly obliqueDegrees?: number;
  /** Usual distance of neighbours along the normal. */
  readonly spacingMm?: number;
  /** Greatest departure of a distance from the usual one, gaps left out. */
  readonly irregularityMm?: number;
  readonly gaps: readonly Gap[];
  /** Angle between the line from the first slice to the last and the normal, where it is not none: a tilted gantry. */
  readonly tiltDegrees?: number;
  /**
   * Rows of the matrix that takes (column, row, slice, 1), counted from 0, to millimetres in the patient. Only where the
   * slices are as far from each other as it says: no gap, no missing pixel size.
   */
  readonly affine?: readonly (readonly [number, number, number, number])[];
  readonly sequence: SequenceVerdict;
  /** What sets this stack apart from others of its series: "echo time 90 ms". Empty when it is the series' only one. */
  readonly apartBy: string;
};

export type PlacedFrame = {
  readonly sopUid: SopUid;
  readonly frame: number;
  /** Along the stack's normal, from the origin of the patient's axes. */
  readonly positionMm?: number;
};

/** Everything that became of a series' frames: each is in one stack, or dropped with a reason. */
export type Arrangement = {
  /** The largest first. */
  readonly stacks: readonly Stack[];
  readonly dropped: readonly DroppedFrame[];
  /** Why the series is more than one stack, and what else is odd about it. */
  readonly remarks: readonly string[];
};

export type DroppedFrame = { readonly sopUid: SopUid; readonly frame: number; readonly why: string };

/** Finds the stacks in what the headers of a series say. */
export type ArrangeSeries = (series: SeriesUid, objects: readonly InstanceMetadata[]) => Arrangement;

/** Where in its stack a picture lies, for the pack that reads it. */
export type SlicePlace = {
  /** From 0, in the stack's order. */
  readonly index: number;
  readonly of: number;
  readonly plane?: Plane;
  readonly positionMm?: number;
};
