/** The only door for model packs: what a manifest says, what a pack's code gets, what it answers. */
import type { FindingDraft, Landmark, OverlayShape, Point } from '../domain/finding.ts';
import type { SopUid } from '../domain/ids.ts';
import type { ImageTags, Spacing } from '../domain/image.ts';
import type { PackManifest } from './pack-manifest.ts';

export { considerSeries, viewOf, type Consideration, type SelectionRule } from './consider-series.ts';
export { faultOfAnswer, faultOfDrafts } from './finding-draft.ts';
export type { NetworkInput, NetworkManifest, NetworkOutput } from './network-manifest.ts';
export { packManifest, parseManifest, type Explanation, type PackManifest } from './pack-manifest.ts';
export type { PreprocessStep } from './preprocess-step.ts';
export type {
  Direction,
  FindingDraft,
  FindingExplanation,
  GenantGrade,
  Grade,
  Landmark,
  Measurement,
  MeyerdingGrade,
  NotAssessableReason,
  OverlayShape,
  OvfClass,
  Point,
  Segment,
  Vertebra,
} from '../domain/finding.ts';

/** One output tensor: already checked to have the manifest's shape and to hold numbers only. */
export type OutputTensor = { readonly dims: readonly number[]; readonly data: Float32Array };

/** What a declared output has besides: calibrated probabilities, and the thresholds of the operating point in use. */
export type TensorOf<Declared> = OutputTensor &
  (Declared extends { readonly calibration: object } ? { readonly calibrated: Float32Array } : unknown) &
  (Declared extends { readonly thresholds: infer Points }
    ? { readonly threshold: Readonly<Record<keyof Points[keyof Points], number>> }
    : unknown);

/** The little that type inference needs of a manifest imported as JSON. */
export type ManifestLike = {
  readonly name?: string;
  readonly outputs?: Readonly<Record<string, unknown>>;
  readonly networks?: Readonly<
    Record<string, { readonly outputs?: Readonly<Record<string, unknown>>; readonly from?: object }>
  >;
  readonly explanation?: Readonly<Record<string, unknown>>;
};

type Tensors<Declared> = { readonly [Name in keyof Declared]: TensorOf<Declared[Name]> };
type OutputsOf<Manifest> = Manifest extends { readonly outputs: infer Declared }
  ? Tensors<Declared>
  : Readonly<Record<string, OutputTensor & { readonly calibrated?: Float32Array }>>;
type NetworkNames<Manifest> = Manifest extends { readonly networks: infer Networks } ? keyof Networks & string : 'main';
type OutputsOfNetwork<Manifest, Name> = Manifest extends { readonly networks: infer Networks }
  ? Name extends keyof Networks
    ? Networks[Name] extends { readonly outputs: infer Declared }
      ? Tensors<Declared>
      : // Borrowed: the other pack's manifest names them.
        Readonly<Record<string, OutputTensor & { readonly calibrated?: Float32Array }>>
    : never
  : OutputsOf<Manifest>;
type Explained<Manifest> = Manifest extends { readonly explanation: infer Declared } ? keyof Declared & string : never;

/** A part of the picture, in its own pixels; turned clockwise on the screen by `angleRad`. */
export type Region = {
  readonly label?: string;
  readonly centre: Point;
  readonly width: number;
  readonly height: number;
  readonly angleRad?: number;
};

/** One of the pictures a pack was given. */
export type PackPicture = {
  readonly sopUid: SopUid;
  readonly frame: number;
  readonly rows: number;
  readonly columns: number;
  readonly spacing?: Spacing;
  /** What the header claims: a hint, never a proof. */
  readonly tags: ImageTags;
};

/** What one run of a network gave. */
export type NetworkAnswer<Outputs = Readonly<Record<string, OutputTensor>>, Names extends string = string> = {
  /** By the tensor names of the manifest. */
  readonly outputs: Outputs;
  /** Pictures, facings or regions that were in the batch. */
  readonly items: number;
  /**
   * Where a place of the tensor lies in the picture. Tensor coordinates count from the centre of the first pixel,
   * as training code does; the answer's from its corner, as DICOM and {@link FindingDraft} do.
   */
  toImage(x: number, y: number, item?: number): Point;
  /** Picture pixels per tensor pixel along x and y; covariances grow by its products. */
  readonly magnification: readonly [x: number, y: number];
  /** What the manifest's `explanation` declares, in picture pixels, ready for a finding's evidence. */
  shapes(explanation: Names, which?: { readonly item?: number; readonly label?: string }): OverlayShape[];
};

type Surroundings<Manifest> = {
  readonly manifest: Manifest;
  readonly image: Omit<PackPicture, 'sopUid' | 'frame'> & {
    /** Of the grey values (0 to 1) after fitting, before normalising, zeros around included. */
    readonly mean: number;
    readonly standardDeviation: number;
  };
  /** All pictures, for packs that read a series as a whole; `image` is the first. */
  readonly pictures: readonly PackPicture[];
  readonly sopUid: SopUid;
  readonly frame: number;
  /** The first picture's own grey values in a region, brought to a size; for manifests that say `"picture": "native"`. */
  pixels(region: Region, size: { readonly height: number; readonly width: number }): Float32Array;
  /** All of the first picture's own grey values, row by row; for manifests that say `"picture": "native"`. */
  grey(): { readonly rows: number; readonly columns: number; readonly values: Float32Array };
};

/** What `postprocess` turns into findings: the answer of a pack's only network. */
export type ModelOutput<Manifest extends ManifestLike = PackManifest> = Surroundings<Manifest> &
  NetworkAnswer<OutputsOf<Manifest>, Explained<Manifest>>;

/** What `read` works with: it runs the networks in the order it needs, on the picture or on parts of it. */
export type PackReading<Manifest extends ManifestLike = PackManifest> = Surroundings<Manifest> & {
  /**
   * `regions`: for a network whose preprocessing begins with a region step; no region, no run, and empty tensors.
   * `feeds`: the numbers of inputs without preprocessing, in the order of the tensor's axes.
   */
  run<Name extends NetworkNames<Manifest>>(
    network: Name,
    on?: {
      readonly regions?: readonly Region[];
      readonly feeds?: Readonly<Record<string, { readonly dims: readonly number[]; readonly data: ArrayLike<number> }>>;
    },
  ): Promise<NetworkAnswer<OutputsOfNetwork<Manifest, Name>, Explained<Manifest>>>;
};

/** Findings alone, or with what `wetread infer` and `wetread evaluate` want besides: every landmark by name, and scores by label. */
export type PackAnswer =
  | readonly FindingDraft[]
  | {
      readonly findings: readonly FindingDraft[];
      readonly landmarks?: readonly Landmark[];
      readonly scores?: Readonly<Record<string, number>>;
    };

/** A pack with one network: it is run, and its answer handed over. Must answer at once, not with a promise. */
export type SinglePack<Manifest extends ManifestLike = PackManifest> = {
  postprocess(output: ModelOutput<Manifest>): PackAnswer;
};

/** A pack with several networks, which awaits nothing but their runs. */
export type ChainPack<Manifest extends ManifestLike = PackManifest> = {
  read(reading: PackReading<Manifest>): Promise<PackAnswer>;
};

/** Both run in the model's process, within the deadline. */
export type ModelPack = SinglePack | ChainPack;

/** `export default definePack(manifest, { postprocess(…) { … } })`: the manifest gives outputs and thresholds their names. */
export function definePack<const Manifest extends ManifestLike, Answer extends PackAnswer>(
  _manifest: Manifest,
  pack: { postprocess(output: ModelOutput<Manifest>): Answer },
): { postprocess(output: ModelOutput<Manifest>): Answer } {
  return pack;
}

/** `export default defineChain(manifest, { async read({ run }) { … } })`: one network's answer decides what the next one sees. */
export function defineChain<const Manifest extends ManifestLike>(
  _manifest: Manifest,
  pack: ChainPack<Manifest>,
): ChainPack<Manifest> {
  return pack;
}
