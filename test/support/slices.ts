/** Slices of a known geometry as DICOM files, written by dcmjs: another implementation than the service reads with. */
import { data, log } from 'dcmjs';
import { readFileSync } from 'node:fs';

log.setLevel('silent');

type Value = string | number | ArrayBuffer | Elements;
/** By DICOM keyword; a list for more than one value; datasets for the items of a sequence. */
export type Elements = { readonly [keyword: string]: Value | readonly Value[] | undefined };

export const phantomStudy = '1.2.826.0.1.3680043.10.511.7001';
export const mrImage = '1.2.840.10008.5.1.4.1.1.4';
export const enhancedMrImage = '1.2.840.10008.5.1.4.1.1.4.1';

const template = new Uint8Array(readFileSync(new URL('../fixtures/dicom/grey12.dcm', import.meta.url)));

/** A Part 10 file, explicit VR little endian. */
export function dicomFile(elements: Elements): Uint8Array {
  const message = data.DicomMessage.readFile(
    template.buffer.slice(template.byteOffset, template.byteOffset + template.length) as ArrayBuffer,
  );
  message.dict = tagsOf(elements);
  message.meta['00020002'] = { vr: 'UI', Value: [elements['SOPClassUID']] };
  message.meta['00020003'] = { vr: 'UI', Value: [elements['SOPInstanceUID']] };
  return new Uint8Array(message.write({ fragmentMultiframe: false }));
}

function tagsOf(elements: Elements): ReturnType<typeof data.DicomMessage.readFile>['dict'] {
  return Object.fromEntries(
    Object.entries(elements).flatMap(([keyword, value]) => {
      if (value === undefined) return [];
      const known = data.DicomMetaDictionary.nameMap[keyword];
      if (known === undefined) throw new Error(`${keyword} is no DICOM keyword`);
      const vr = known.vr === 'ox' ? 'OW' : known.vr === 'xs' ? 'US' : known.vr;
      const values = [value].flat() as Value[];
      const Value =
        vr === 'SQ' ? values.map((item) => tagsOf(item as Elements)) : values.map((one) => written(vr, one));
      return [[known.tag.replaceAll(/[(),]/g, ''), { vr, Value }]];
    }),
  );
}

const written = (vr: string, value: Value): unknown =>
  (vr === 'DS' || vr === 'IS') && typeof value === 'number' ? String(Number(value.toFixed(6))) : value;

export type SliceOptions = {
  readonly series?: string;
  /** The last component of its SOP Instance UID. */
  readonly number: number;
  readonly position?: readonly number[];
  readonly orientation?: readonly number[];
  readonly size?: number;
  /** Every pixel's stored value; shown from 0 (black) to 1000 (white). */
  readonly grey?: number;
  /** Written over everything; `undefined` leaves an attribute out. */
  readonly with?: Elements;
};

/** Rows run to the back, columns to the feet, as scanners write sagittal slices. */
export const sagittal: readonly number[] = [0, 1, 0, 0, 0, -1];
export const axial: readonly number[] = [1, 0, 0, 0, 1, 0];
export const coronal: readonly number[] = [1, 0, 0, 0, 0, -1];

const pixels = (size: number, values: (at: number) => number): ArrayBuffer =>
  Uint16Array.from({ length: size * size }, (_, at) => values(at)).buffer as ArrayBuffer;

const imageElements = (size: number): Elements => ({
  SamplesPerPixel: 1,
  PhotometricInterpretation: 'MONOCHROME2',
  Rows: size,
  Columns: size,
  BitsAllocated: 16,
  BitsStored: 12,
  HighBit: 11,
  PixelRepresentation: 0,
  WindowCenter: 500,
  WindowWidth: 1000,
  VOILUTFunction: 'LINEAR_EXACT',
});

const seriesElements = (series: string): Elements => ({
  SpecificCharacterSet: 'ISO_IR 192',
  PatientName: 'Phantom^Slices',
  PatientID: 'FIX-1',
  StudyInstanceUID: phantomStudy,
  SeriesInstanceUID: series,
  StudyDate: '20261121',
  StudyTime: '101500',
  StudyDescription: 'MR lumbar spine',
  Modality: 'MR',
});

/** What a T2 sagittal of the lumbar spine says of itself. */
export const t2: Elements = {
  SeriesDescription: 't2_tse_sag_p2',
  ScanningSequence: 'SE',
  SequenceVariant: ['SK', 'SP', 'OSP'],
  EchoTime: 102,
  RepetitionTime: 3500,
  FlipAngle: 150,
};

/** A slice of a classic MR series. */
export function slice(options: SliceOptions): Uint8Array {
  const { series = `${phantomStudy}.1`, number, size = 8, grey = 0 } = options;
  return dicomFile({
    SOPClassUID: mrImage,
    SOPInstanceUID: `${series}.${number}`,
    ...seriesElements(series),
    ImageType: ['ORIGINAL', 'PRIMARY', 'M', 'ND'],
    ...t2,
    InstanceNumber: number,
    SliceThickness: 4,
    FrameOfReferenceUID: `${phantomStudy}.99`,
    ...(options.position && { ImagePositionPatient: options.position }),
    ...(options.position && { ImageOrientationPatient: options.orientation ?? sagittal }),
    PixelSpacing: [0.5, 0.5],
    ...imageElements(size),
    PixelData: pixels(size, () => grey),
    ...options.with,
  });
}

/** Sagittal slices from the patient's right to the left, `everyMm` apart; the n-th (from 0) is n × 10 bright. */
export function sagittalStack(
  count: number,
  {
    everyMm = 4,
    more = () => ({}),
    series,
    size,
  }: {
    readonly everyMm?: number;
    readonly series?: string;
    readonly size?: number;
    readonly more?: (index: number) => Partial<SliceOptions>;
  } = {},
): Uint8Array[] {
  return Array.from({ length: count }, (_, index) =>
    slice({
      number: count - index,
      position: [index * everyMm - 30, -100, 150],
      grey: index * 10,
      ...(series !== undefined && { series }),
      ...(size !== undefined && { size }),
      ...more(index),
    }),
  );
}

export type EnhancedFrame = {
  readonly position: readonly number[];
  readonly grey: number;
  readonly echoTimeMs?: number;
};

/** One enhanced MR object; functional groups say of each frame what a classic slice says in its header. */
export function enhanced(
  frames: readonly EnhancedFrame[],
  { series = `${phantomStudy}.2`, size = 8, more = {} }: { series?: string; size?: number; more?: Elements } = {},
): Uint8Array {
  return dicomFile({
    SOPClassUID: enhancedMrImage,
    SOPInstanceUID: `${series}.1`,
    ...seriesElements(series),
    SeriesDescription: 'T2 sag',
    ImageType: ['ORIGINAL', 'PRIMARY', 'VOLUME', 'NONE'],
    AcquisitionContrast: 'T2',
    InstanceNumber: 1,
    NumberOfFrames: frames.length,
    FrameOfReferenceUID: `${phantomStudy}.99`,
    ...imageElements(size),
    SharedFunctionalGroupsSequence: {
      PlaneOrientationSequence: { ImageOrientationPatient: sagittal },
      PixelMeasuresSequence: { PixelSpacing: [0.5, 0.5], SliceThickness: 4 },
      MRTimingAndRelatedParametersSequence: { RepetitionTime: 3500, FlipAngle: 150 },
    },
    PerFrameFunctionalGroupsSequence: frames.map(({ position, echoTimeMs }) => ({
      PlanePositionSequence: { ImagePositionPatient: position },
      ...(echoTimeMs !== undefined && { MREchoSequence: { EffectiveEchoTime: echoTimeMs } }),
    })),
    PixelData: Uint16Array.from(
      { length: frames.length * size * size },
      (_, at) => frames[Math.floor(at / (size * size))]!.grey,
    ).buffer as ArrayBuffer,
    ...more,
  });
}
