/** What crosses to a model process for one reading: pictures already made into inputs, and no more pixels than needed. */
import { WetreadError } from '../domain/errors.ts';
import type { GreyImage } from '../domain/image.ts';
import type { PackManifest, PackPicture } from '../kit/model-pack.ts';
import { prepare, readsRegions, type GreyPixels, type PreparedInput, type PrepareOptions } from './preprocess.ts';

export type PackJob = {
  readonly pack: string;
  readonly pictures: readonly PackPicture[];
  /** What whole pictures were made into, by network and tensor. */
  readonly inputs: Readonly<Record<string, Readonly<Record<string, PreparedInput>>>>;
  /** The first picture's own pixels, where a region will be cut from them. */
  readonly native?: Float32Array;
  readonly hounsfield?: Float32Array;
};

type Watch = (network: string, tensor: string) => NonNullable<PrepareOptions['watch']>;

/** Throws `model.run-failed` for pictures no net should be asked about. */
export async function packJob(manifest: PackManifest, images: readonly GreyImage[], watch?: Watch): Promise<PackJob> {
  for (const image of images) verifyPicture(image, manifest);
  const [first] = images;
  if (first === undefined) throw new WetreadError('model.run-failed', 'there is no picture');
  const stacks = Object.values(manifest.networks).some(({ inputs }) =>
    Object.values(inputs).some(({ preprocess }) => preprocess?.some(({ step }) => step === 'stack')),
  );
  if (images.length > 1 && !stacks)
    throw new WetreadError('model.run-failed', `${manifest.name} reads one picture at a time, not ${images.length}`);

  const steps = Object.values(manifest.networks).flatMap(({ inputs }) =>
    Object.values(inputs).map(({ preprocess = [] }) => preprocess),
  );
  const inHounsfield = steps.flat().some((step) => step.step === 'window' && step.unit === 'HU');
  const pixels = images.map((image) => greyPixels(image, inHounsfield));
  const inputs: Record<string, Record<string, PreparedInput>> = {};
  let needsNative = manifest.picture === 'native';
  for (const [network, { inputs: declared }] of Object.entries(manifest.networks)) {
    inputs[network] = {};
    for (const [name, input] of Object.entries(declared)) {
      if (readsRegions(input)) needsNative = true;
      else if (input.preprocess !== undefined)
        inputs[network][name] = await prepare(pixels, input.preprocess, watch && { watch: watch(network, name) });
    }
  }
  const { hounsfield } = pixels[0]!;
  return {
    pack: manifest.name,
    pictures: images.map(packPicture),
    inputs,
    ...(needsNative && { native: first.intensities, ...(hounsfield && { hounsfield }) }),
  };
}

/** Less is a thumbnail, a strip or a mistake: enlarged to the tensor it would look like a picture. */
const smallest = 8;

const greyPixels = (
  { rows, columns, intensities, hounsfield, spacing, tags }: GreyImage,
  inHounsfield: boolean,
): GreyPixels => ({
  rows,
  columns,
  intensities,
  ...(inHounsfield && hounsfield && { hounsfield: hounsfield() }),
  ...(tags.slice?.positionMm !== undefined && { positionMm: tags.slice.positionMm }),
  ...(spacing && { spacing }),
  ...(tags.laterality !== undefined && { laterality: tags.laterality }),
});

const packPicture = ({ sopUid, frame, rows, columns, spacing, tags }: GreyImage): PackPicture => ({
  sopUid,
  frame,
  rows,
  columns,
  ...(spacing && { spacing }),
  tags,
});

function verifyPicture({ rows, columns, intensities, spacing }: GreyImage, { selection }: PackManifest): void {
  if (rows < 1 || columns < 1 || intensities.length !== rows * columns) {
    throw new WetreadError('model.run-failed', `${intensities.length} values for ${rows} x ${columns} pixels`);
  }
  if (rows < smallest || columns < smallest)
    throw new WetreadError('model.picture-unusable', `${columns} x ${rows} pixels are too few`);
  if (selection.spacing === 'required' && spacing === undefined)
    throw new WetreadError('model.picture-unusable', 'the picture has no pixel size, and this model needs one');
}
