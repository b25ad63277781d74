/** DICOM JSON (PS3.18 annex F) as archives answer it: checked at the edge, read by keyword. */
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';

const attribute = z.looseObject({ Value: z.array(z.unknown()).optional() });
const dataset = z.record(z.string(), attribute);
const rows = z.array(dataset);

export type DicomJsonRow = z.output<typeof dataset>;

/** Tags of the answers, by keyword. */
export const queryTags = {
  AffectedSOPInstanceUID: '00001000',
  EventTypeID: '00001002',
  TransferSyntaxUID: '00020010',
  ImageType: '00080008',
  SOPClassUID: '00080016',
  SOPInstanceUID: '00080018',
  StudyDate: '00080020',
  StudyTime: '00080030',
  AccessionNumber: '00080050',
  Modality: '00080060',
  ModalitiesInStudy: '00080061',
  CodeValue: '00080100',
  CodingSchemeDesignator: '00080102',
  CodeMeaning: '00080104',
  StudyDescription: '00081030',
  SeriesDescription: '0008103E',
  ReferencedSOPClassUID: '00081150',
  ReferencedSOPInstanceUID: '00081155',
  RetrieveURL: '00081190',
  WarningReason: '00081196',
  FailureReason: '00081197',
  FailedSOPSequence: '00081198',
  ReferencedSOPSequence: '00081199',
  AvailableTransferSyntaxUID: '00083002',
  AcquisitionContrast: '00089209',
  PatientID: '00100020',
  ContrastBolusAgent: '00180010',
  BodyPartExamined: '00180015',
  ScanningSequence: '00180020',
  SequenceVariant: '00180021',
  ScanOptions: '00180022',
  SequenceName: '00180024',
  SliceThickness: '00180050',
  RepetitionTime: '00180080',
  EchoTime: '00180081',
  InversionTime: '00180082',
  SpacingBetweenSlices: '00180088',
  EchoNumbers: '00180086',
  EchoTrainLength: '00180091',
  ProtocolName: '00181030',
  TriggerTime: '00181060',
  GantryDetectorTilt: '00181120',
  FlipAngle: '00181314',
  ViewPosition: '00185101',
  PulseSequenceName: '00189005',
  FrameType: '00089007',
  SpectrallySelectedSuppression: '00189025',
  InversionTimes: '00189079',
  EffectiveEchoTime: '00189082',
  MRTimingAndRelatedParametersSequence: '00189112',
  MREchoSequence: '00189114',
  MRModifierSequence: '00189115',
  DiffusionBValue: '00189087',
  MRDiffusionSequence: '00189117',
  MRImageFrameTypeSequence: '00189226',
  CTImageFrameTypeSequence: '00189329',
  StudyInstanceUID: '0020000D',
  SeriesInstanceUID: '0020000E',
  AcquisitionNumber: '00200012',
  InstanceNumber: '00200013',
  ImagePositionPatient: '00200032',
  ImageOrientationPatient: '00200037',
  FrameOfReferenceUID: '00200052',
  Laterality: '00200060',
  TemporalPositionIdentifier: '00200100',
  SliceLocation: '00201041',
  NumberOfStudyRelatedInstances: '00201208',
  NumberOfSeriesRelatedInstances: '00201209',
  FrameContentSequence: '00209111',
  PlanePositionSequence: '00209113',
  PlaneOrientationSequence: '00209116',
  TemporalPositionIndex: '00209128',
  SamplesPerPixel: '00280002',
  PhotometricInterpretation: '00280004',
  NumberOfFrames: '00280008',
  Rows: '00280010',
  Columns: '00280011',
  PixelSpacing: '00280030',
  BitsAllocated: '00280100',
  PixelMeasuresSequence: '00289110',
  ScheduledWorkitemCodeSequence: '00404018',
  InputInformationSequence: '00404021',
  ScheduledStationNameCodeSequence: '00404025',
  ScheduledStationClassCodeSequence: '00404026',
  InputReadinessState: '00404041',
  ReferencedRequestSequence: '0040A370',
  ProcedureStepState: '00741000',
  ScheduledProcedureStepPriority: '00741200',
  ReasonForCancellation: '00741238',
  SharedFunctionalGroupsSequence: '52009229',
  PerFrameFunctionalGroupsSequence: '52009230',
} as const;

type QueryKeyword = keyof typeof queryTags;

export function parseRows(text: string): DicomJsonRow[] {
  try {
    return rows.parse(JSON.parse(text));
  } catch (cause) {
    throw notDicomJson(cause);
  }
}

export function parseRow(value: unknown): DicomJsonRow {
  const result = dataset.safeParse(value);
  if (!result.success) throw notDicomJson(result.error);
  return result.data;
}

const notDicomJson = (cause: unknown) =>
  new WetreadError('archive.bad-answer', 'the answer is not DICOM JSON', { cause });

/** Some archives write single strings as numbers and the other way round; null stands for an empty value (F.2.5). */
export function textsOf(row: DicomJsonRow, keyword: QueryKeyword): string[] {
  return (row[queryTags[keyword]]?.Value ?? []).flatMap((value) =>
    typeof value === 'string' && value.trim() !== ''
      ? [value.trim()]
      : typeof value === 'number'
        ? [String(value)]
        : [],
  );
}

export const textOf = (row: DicomJsonRow, keyword: QueryKeyword): string | undefined => textsOf(row, keyword)[0];

/** All of them, or none when one is not a number: half a position is no position. */
export function numbersOf(row: DicomJsonRow, keyword: QueryKeyword): number[] {
  const numbers = textsOf(row, keyword)
    .flatMap((text) => text.split('\\'))
    .map((text) => (text.trim() === '' ? Number.NaN : Number(text)));
  return numbers.every(Number.isFinite) ? numbers : [];
}

export const numberOf = (row: DicomJsonRow, keyword: QueryKeyword): number | undefined => numbersOf(row, keyword)[0];

/** The items of a sequence; what is not a dataset is not an item. */
export function itemsOf(row: DicomJsonRow, keyword: QueryKeyword): DicomJsonRow[] {
  return (row[queryTags[keyword]]?.Value ?? []).filter(
    (item): item is DicomJsonRow =>
      typeof item === 'object' &&
      item !== null &&
      Object.values(item).every(
        (one: unknown) =>
          typeof one === 'object' &&
          one !== null &&
          (!('Value' in one) || one.Value === undefined || Array.isArray(one.Value)),
      ),
  );
}

export type Present<Fields> = {
  [Name in keyof Fields as undefined extends Fields[Name] ? never : Name]: Fields[Name];
} & {
  [Name in keyof Fields as undefined extends Fields[Name] ? Name : never]?: Exclude<Fields[Name], undefined>;
};

/** Leaves out what is not known, so that "absent" has one spelling. */
export function present<Fields extends object>(fields: Fields): Present<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<Fields>;
}
