/** Reads one picture with every pack it is for, as the service would, and says why the others did not. */
import { asWetreadError, type ErrorCode } from '../../domain/errors.ts';
import type { FindingDraft, Landmark } from '../../domain/finding.ts';
import type { GreyImage, Spacing } from '../../domain/image.ts';
import type { ManagedModelRunner } from '../../inference/model-runner.ts';
import { ellipse95 } from '../../kit/geometry.ts';
import { considerPicture } from '../../kit/consider-picture.ts';
import { considerSeries } from '../../kit/model-pack.ts';
import { refusalOfPicture, type PictureRefusal } from '../refusal.ts';

export type PackReading = {
  readonly pack: string;
  readonly version: string;
  readonly title: string;
  readonly sha256: string;
  readonly demonstration: boolean;
  readonly executionProvider: string;
  readonly runMs: number;
  /** The pack would not read the picture: nothing was concluded, and its landmarks are only where it looked. */
  readonly refused?: PictureRefusal;
  readonly findings: readonly FindingDraft[];
  readonly landmarks: readonly NamedPlace[];
};

/** In pixels of the picture given; the centre of the first pixel is (0.5, 0.5). */
export type NamedPlace = {
  readonly name: string;
  readonly x: number;
  readonly y: number;
  /** Standard deviations along x and y. */
  readonly sdX?: number;
  readonly sdY?: number;
  readonly ellipse95?: { readonly rx: number; readonly ry: number; readonly angleRad: number };
  readonly confidence?: number;
};

export type PictureReading = {
  readonly sopUid: string;
  readonly frame: number;
  readonly rows: number;
  readonly columns: number;
  readonly spacing?: Spacing;
  readonly readings: readonly PackReading[];
  readonly notRead: readonly { readonly pack: string; readonly why: string }[];
  readonly failures: readonly (Refusal & { readonly pack: string })[];
};

export type Refusal = { readonly code: ErrorCode; readonly message: string; readonly next: string };
export type FileReading = {
  /** For a stack of slices, the series. */
  readonly file: string;
  /** Of a stack: the slices that were read in one run, in their order. */
  readonly slices?: readonly string[];
  /** Of a series: why packs that read stacks did not read it. */
  readonly notRead?: readonly { readonly pack: string; readonly why: string }[];
  readonly pictures: readonly PictureReading[];
  readonly error?: Refusal;
};

export const refusalOf = (thrown: unknown): Refusal => {
  const { code, message, row } = asWetreadError(thrown);
  return { code, message, next: row.next };
};

/** A stack in one run; it is told as the reading of the slice where something was seen, or of the middle one. */
export async function readStack(
  runner: ManagedModelRunner,
  pack: Pack,
  images: readonly GreyImage[],
): Promise<{ readonly picture: PictureReading; readonly image: GreyImage }> {
  const read = await readWith(runner, pack, images);
  const seen = 'code' in read ? undefined : read.findings.find(({ evidence }) => evidence !== undefined)?.evidence;
  const image =
    images.find(({ sopUid, frame }) => sopUid === seen?.sopUid && frame === seen.frame) ?? images[images.length >> 1]!;
  const result = 'code' in read ? { readings: [], failures: [read] } : { readings: [read], failures: [] };
  return { image, picture: { ...identityOf(image), ...result, notRead: [] } };
}

const identityOf = ({ sopUid, frame, rows, columns, spacing }: GreyImage) => ({
  sopUid,
  frame,
  rows,
  columns,
  ...(spacing && { spacing }),
});

async function readWith(
  runner: ManagedModelRunner,
  pack: Pack,
  given: GreyImage | readonly GreyImage[],
): Promise<PackReading | PictureReading['failures'][number]> {
  const { name, version, title, sha256, demonstration } = pack;
  try {
    const { findings, landmarks = [], executionProvider, runMs } = await runner.run(pack, given);
    const places = landmarks.map(placeOf);
    const model = { pack: name, version, title, sha256, demonstration, executionProvider };
    const refused = refusalOfPicture(findings);
    return { ...model, runMs, ...(refused && { refused }), findings, landmarks: places };
  } catch (thrown) {
    return { pack: name, ...refusalOf(thrown) };
  }
}

/** One pack's failure does not silence the others. */
export async function readPicture(
  runner: ManagedModelRunner,
  image: GreyImage,
  { isNamed, viewIsSure }: { readonly isNamed: boolean; readonly viewIsSure: boolean },
): Promise<PictureReading> {
  const readings: PackReading[] = [];
  const notRead: { pack: string; why: string }[] = [];
  const failures: (Refusal & { pack: string })[] = [];
  for (const pack of runner.packs) {
    const why = leftBecause(pack, image, viewIsSure);
    // Whoever names a pack means it; the pack's own gate still judges the picture. A stack is chosen by its headers.
    if (why !== undefined && !(isNamed && !viewIsSure && pack.slices === undefined)) {
      notRead.push({ pack: pack.name, why });
      continue;
    }
    const read = await readWith(runner, pack, image);
    if ('code' in read) failures.push(read);
    else readings.push(read);
  }
  return { ...identityOf(image), readings, notRead, failures };
}

type Pack = ManagedModelRunner['packs'][number];

export function leftBecause(pack: Pack, { tags }: GreyImage, viewIsSure: boolean): string | undefined {
  const { modality = '', seriesDescription, bodyPartExamined, viewPosition, studyDescription } = tags;
  const { taken, why } = considerSeries(
    pack,
    { ...(studyDescription !== undefined && { description: studyDescription }) },
    {
      modality,
      ...(seriesDescription !== undefined && { description: seriesDescription }),
      ...(bodyPartExamined !== undefined && { bodyPartExamined }),
      ...(viewPosition !== undefined && { viewPosition }),
    },
  );
  if (!taken) return why;
  const considered = considerPicture(pack, tags);
  if (considered.kind === 'leave') return considered.why;
  // A header's view is a hint that the picture may overrule; what somebody says on the command line is meant.
  if (viewIsSure && considered.kind === 'last') return considered.why.replace('View Position', '--view');
  // Slices are arranged by the headers of a whole series, which a plain picture does not have.
  if (pack.slices !== undefined) return 'the model reads stacks of slices: give the folder of a DICOM series';
  return undefined;
}

function placeOf({ name, at: [x, y], covariance, confidence }: Landmark): NamedPlace {
  const spread = covariance && {
    sdX: Math.sqrt(Math.max(covariance.xx, 0)),
    sdY: Math.sqrt(Math.max(covariance.yy, 0)),
    ellipse95: ellipse95(covariance),
  };
  return { name, x, y, ...spread, ...(confidence !== undefined && { confidence }) };
}
