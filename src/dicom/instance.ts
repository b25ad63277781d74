/** One DICOM file understood: identity, tags, spacing, stored pixels and how they are shown. */
import { WetreadError } from '../domain/errors.ts';
import { seriesUid, sopUid, studyUid, type SeriesUid, type SopUid, type StudyUid } from '../domain/ids.ts';
import type { GreyImage, ImageTags, Spacing, StoredPixels } from '../domain/image.ts';
import type { DecodedInstance } from '../domain/ports.ts';
import { dateTime } from './date-time.ts';
import { readDataset, type DicomDataset } from './dataset.ts';
import type { StripDecoder } from './decode/frame.ts';
import { decodePixels } from './decode/index.ts';
import { displayOf, greyOf, modalityValuesOf, type Display } from './display.ts';
import { frameSpacings, spacingOf } from './spacing.ts';

/** Everything as plain data, so that it crosses from the decoding thread without a copy. */
export type InstanceParts = {
  readonly studyUid: StudyUid;
  readonly seriesUid: SeriesUid;
  readonly sopUid: SopUid;
  readonly sopClassUid: string;
  readonly transferSyntaxUid: string;
  readonly pixels: StoredPixels;
  readonly spacing?: Spacing;
  /** Where frames differ in it. */
  readonly frameSpacings?: readonly (Spacing | undefined)[];
  readonly tags: ImageTags;
  readonly display: Display;
  /** Worked out beforehand for the first frame; radiographs have no other. */
  readonly firstGrey: Float32Array;
};

/** Throws `dicom.*` errors. */
export async function decodeInstance(
  file: Uint8Array,
  maxBytes: number,
  others: readonly StripDecoder[] = [],
): Promise<InstanceParts> {
  if (file.length > maxBytes) throw new WetreadError('dicom.too-large', `${file.length} bytes`);
  const dataset = readDataset(file, { maxBytes });
  const identity = identityOf(dataset);
  const pixels = await decodePixels(dataset, maxBytes, others);
  const display = displayOf(dataset, pixels);
  const spacing = spacingOf(dataset);
  const spacings = frameSpacings(dataset, pixels.frames);
  return {
    ...identity,
    pixels,
    ...(spacing === undefined ? {} : { spacing }),
    ...(spacings === undefined ? {} : { frameSpacings: spacings }),
    display,
    firstGrey: greyOf(pixels, display, 0),
  };
}

/** Whose it is and what it says of itself. Throws `dicom.not-a-dicom-file` without the UIDs. */
export function identityOf(dataset: DicomDataset) {
  return {
    studyUid: uid(dataset, 'StudyInstanceUID', studyUid),
    seriesUid: uid(dataset, 'SeriesInstanceUID', seriesUid),
    sopUid: uid(dataset, 'SOPInstanceUID', sopUid),
    sopClassUid: dataset.text('SOPClassUID') ?? '',
    transferSyntaxUid: dataset.transferSyntaxUid,
    tags: imageTagsOf(dataset),
  };
}

export function instanceOf({ display, firstGrey, frameSpacings, ...instance }: InstanceParts): DecodedInstance {
  const { pixels, tags, transferSyntaxUid: _, spacing: shared, ...identity } = instance;
  return {
    ...instance,
    grey(frame): GreyImage {
      const spacing = frameSpacings === undefined ? shared : frameSpacings[frame];
      return {
        ...identity,
        frame,
        rows: pixels.rows,
        columns: pixels.columns,
        intensities: frame === 0 ? firstGrey : greyOf(pixels, display, frame),
        ...(tags.modality === 'CT' && display.kind === 'grey'
          ? { hounsfield: () => modalityValuesOf(pixels, display, frame) }
          : {}),
        ...(spacing === undefined ? {} : { spacing }),
        tags,
      };
    },
  };
}

function uid<Uid>(
  dataset: DicomDataset,
  keyword: 'StudyInstanceUID' | 'SeriesInstanceUID' | 'SOPInstanceUID',
  make: (text: string) => Uid,
): Uid {
  try {
    return make(dataset.text(keyword) ?? '');
  } catch (cause) {
    throw new WetreadError('dicom.not-a-dicom-file', `${keyword} is missing or malformed`, { cause });
  }
}

function imageTagsOf(dataset: DicomDataset): ImageTags {
  const found = {
    modality: dataset.text('Modality'),
    bodyPartExamined: dataset.text('BodyPartExamined'),
    viewPosition: dataset.text('ViewPosition'),
    laterality: dataset.text('ImageLaterality') ?? dataset.text('Laterality') ?? frameLaterality(dataset),
    seriesDescription: dataset.text('SeriesDescription'),
    studyDescription: dataset.text('StudyDescription'),
    patientAgeYears:
      ageYears(dataset.text('PatientAge')) ?? yearsBetween(dataset.text('PatientBirthDate'), dataset.text('StudyDate')),
    patientSex: dataset.text('PatientSex'),
    manufacturer: dataset.text('Manufacturer'),
    acquiredAt:
      dateTime(dataset.text('AcquisitionDate'), dataset.text('AcquisitionTime')) ??
      dateTime(dataset.text('AcquisitionDateTime')?.slice(0, 8), dataset.text('AcquisitionDateTime')?.slice(8)) ??
      dateTime(dataset.text('ContentDate'), dataset.text('ContentTime')) ??
      dateTime(dataset.text('StudyDate'), dataset.text('StudyTime')),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as ImageTags;
}

/** Enhanced objects say it of each frame; the first speaks for all. */
function frameLaterality(dataset: DicomDataset): string | undefined {
  const groups = [
    ...dataset.items('SharedFunctionalGroupsSequence'),
    ...dataset.items('PerFrameFunctionalGroupsSequence').slice(0, 1),
  ];
  return groups.flatMap((group) => group.items('FrameAnatomySequence'))[0]?.text('FrameLaterality');
}

function yearsBetween(birth: string | undefined, study: string | undefined): number | undefined {
  const [from, to] = [birth, study].map((day) => Date.parse(dateTime(day, undefined) ?? ''));
  const years = ((to ?? Number.NaN) - (from ?? Number.NaN)) / (365.25 * 86_400_000);
  return years >= 0 && years < 130 ? Math.floor(years) : undefined;
}

/** VR AS: three digits and D, W, M or Y. */
function ageYears(text: string | undefined): number | undefined {
  const match = /^(\d{3})([DWMY])$/.exec(text ?? '');
  if (match === null) return undefined;
  const perYear = { D: 365.25, W: 52.18, M: 12, Y: 1 }[match[2] as 'D' | 'W' | 'M' | 'Y'];
  return Number(match[1]) / perYear;
}
