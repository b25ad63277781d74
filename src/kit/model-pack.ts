/** The only door for model packs: what a manifest says, what postprocess gets, what it answers. */
import type { FindingDraft } from '../domain/finding.ts';
import type { SopUid } from '../domain/ids.ts';
import type { ImageTags, Spacing } from '../domain/image.ts';
import type { PackManifest } from './pack-manifest.ts';

export { considerSeries, viewOf, type Consideration, type SelectionRule } from './consider-series.ts';
export { faultOfDrafts } from './finding-draft.ts';
export { packManifest, parseManifest, type PackManifest, type PreprocessStep } from './pack-manifest.ts';
export type {
  Direction,
  FindingDraft,
  Measurement,
  MeyerdingGrade,
  NotAssessableReason,
  OverlayShape,
  Point,
  Segment,
  Vertebra,
} from '../domain/finding.ts';

/** One output tensor: already checked to have the manifest's shape and to hold numbers only. */
export type OutputTensor = { readonly dims: readonly number[]; readonly data: Float32Array };

/** The little that type inference needs of a manifest imported as JSON. */
type ManifestLike = { readonly outputs: Readonly<Record<string, unknown>> };

/** What a pack turns into findings. */
export type ModelOutput<Manifest extends ManifestLike = PackManifest> = {
  /** By the tensor names of the manifest. */
  readonly outputs: { readonly [Name in keyof Manifest['outputs']]: OutputTensor };
  readonly manifest: Manifest;
  readonly image: {
    readonly rows: number;
    readonly columns: number;
    readonly spacing?: Spacing;
    /** What the header claims: a hint, never a proof. */
    readonly tags: ImageTags;
    /** Of the grey values (0 to 1) after fitting, before normalising, zeros around included. */
    readonly mean: number;
    readonly standardDeviation: number;
  };
  /**
   * Where a place of the tensor lies in the picture. Tensor coordinates count from the centre of the first pixel,
   * as training code does; the answer's from its corner, as DICOM and {@link FindingDraft} do.
   */
  toImage(x: number, y: number): readonly [x: number, y: number];
  /** Picture pixels per tensor pixel along x and y; covariances grow by its products. */
  readonly magnification: readonly [x: number, y: number];
  readonly sopUid: SopUid;
  readonly frame: number;
};

export type ModelPack<Manifest extends ManifestLike = PackManifest> = {
  /** Runs in the model's process, within the deadline; it must answer at once, not with a promise. */
  postprocess(output: ModelOutput<Manifest>): readonly FindingDraft[];
};

/** `export default definePack(manifest, { postprocess(…) { … } })`: the manifest gives outputs and thresholds their names. */
export function definePack<const Manifest extends ManifestLike>(
  _manifest: Manifest,
  pack: ModelPack<Manifest>,
): ModelPack<Manifest> {
  return pack;
}
