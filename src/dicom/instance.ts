/** One DICOM file understood: identity, tags, spacing, stored pixels and how they are shown. */
import { WetreadError } from '../domain/errors.ts';
import { seriesUid, sopUid, studyUid, type SeriesUid, type SopUid, type StudyUid } from '../domain/ids.ts';
import type { GreyImage, ImageTags, Spacing, StoredPixels } from '../domain/image.ts';
import type { DecodedInstance } from '../domain/ports.ts';
import { dateTime } from './date-time.ts';
import { readDataset, type DicomDataset } from './dataset.ts';
import { decodePixels } from './decode/index.ts';
import { displayOf, greyOf, type Display } from './display.ts';
import { spacingOf } from './spacing.ts';

/** Everything as plain data, so that it crosses from the decoding thread without a copy. */
export type InstanceParts = {
  readonly studyUid: StudyUid;
  readonly seriesUid: SeriesUid;
  readonly sopUid: SopUid;
  readonly sopClassUid: string;
  readonly transferSyntaxUid: string;
  readonly pixels: StoredPixels;
  readonly spacing?: Spacing;
  readonly tags: ImageTags;
  readonly display: Display;
  /** Worked out beforehand for the first frame; radiographs have no other. */
  readonly firstGrey: Float32Array;
};

/** Throws `dicom.*` errors. */
export async function decodeInstance(file: Uint8Array, maxBytes: number): Promise<InstanceParts> {
  if (file.length > maxBytes) throw new WetreadError('dicom.too-large', `${file.length} bytes`);
  const dataset = readDataset(file, { maxBytes });
  const uids = {
    studyUid: uid(dataset, 'StudyInstanceUID', studyUid),
    seriesUid: uid(dataset, 'SeriesInstanceUID', seriesUid),
    sopUid: uid(dataset, 'SOPInstanceUID', sopUid),
  };
  const pixels = await decodePixels(dataset, maxBytes);
  const display = displayOf(dataset, pixels);
  const spacing = spacingOf(dataset);
  return {
    ...uids,
    sopClassUid: dataset.text('SOPClassUID') ?? '',
    transferSyntaxUid: dataset.transferSyntaxUid,
    pixels,
    ...(spacing === undefined ? {} : { spacing }),
    tags: imageTagsOf(dataset),
    display,
    firstGrey: greyOf(pixels, display, 0),
  };
}

export function instanceOf({ display, firstGrey, ...instance }: InstanceParts): DecodedInstance {
  const { pixels, spacing, tags, transferSyntaxUid: _, ...identity } = instance;
  return {
    ...instance,
    grey: (frame): GreyImage => ({
      ...identity,
      frame,
      rows: pixels.rows,
      columns: pixels.columns,
      intensities: frame === 0 ? firstGrey : greyOf(pixels, display, frame),
      ...(spacing === undefined ? {} : { spacing }),
      tags,
    }),
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
    laterality: dataset.text('ImageLaterality') ?? dataset.text('Laterality'),
    seriesDescription: dataset.text('SeriesDescription'),
    studyDescription: dataset.text('StudyDescription'),
    patientAgeYears: ageYears(dataset.text('PatientAge')),
    patientSex: dataset.text('PatientSex'),
    manufacturer: dataset.text('Manufacturer'),
    acquiredAt:
      dateTime(dataset.text('AcquisitionDate'), dataset.text('AcquisitionTime')) ??
      dateTime(dataset.text('ContentDate'), dataset.text('ContentTime')) ??
      dateTime(dataset.text('StudyDate'), dataset.text('StudyTime')),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as ImageTags;
}

/** VR AS: three digits and D, W, M or Y. */
function ageYears(text: string | undefined): number | undefined {
  const match = /^(\d{3})([DWMY])$/.exec(text ?? '');
  if (match === null) return undefined;
  const perYear = { D: 365.25, W: 52.18, M: 12, Y: 1 }[match[2] as 'D' | 'W' | 'M' | 'Y'];
  return Number(match[1]) / perYear;
}
