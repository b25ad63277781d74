/** What WADO-RS metadata says of one object: identity, geometry of each frame, and how it was made. */
import { sopUid } from '../domain/ids.ts';
import type { ImagePlane, InstanceMetadata, MrSequence } from '../domain/study.ts';
import { itemsOf, numberOf, numbersOf, present, textOf, textsOf, type DicomJsonRow } from './dicom-json.ts';

const mostFrames = 100_000;

/** Undefined for an object whose UID cannot be used: nobody could fetch it. */
export function instanceMetadata(row: DicomJsonRow): InstanceMetadata | undefined {
  const [shared] = itemsOf(row, 'SharedFunctionalGroupsSequence');
  let uid;
  try {
    uid = sopUid(textOf(row, 'SOPInstanceUID') ?? '');
  } catch {
    return undefined;
  }
  const measures = inGroup(shared, 'PixelMeasuresSequence') ?? {};
  return present({
    sopUid: uid,
    sopClassUid: textOf(row, 'SOPClassUID'),
    instanceNumber: numberOf(row, 'InstanceNumber'),
    transferSyntaxUid: textOf(row, 'AvailableTransferSyntaxUID') ?? textOf(row, 'TransferSyntaxUID'),
    modality: textOf(row, 'Modality'),
    imageType: wordsOf(row, 'ImageType'),
    seriesDescription: textOf(row, 'SeriesDescription'),
    protocolName: textOf(row, 'ProtocolName'),
    bodyPartExamined: textOf(row, 'BodyPartExamined'),
    rows: numberOf(row, 'Rows'),
    columns: numberOf(row, 'Columns'),
    // A header may claim anything; the pixels are counted when they are decoded.
    frames: Math.min(mostFrames, Math.max(1, Math.trunc(numberOf(row, 'NumberOfFrames') ?? 1))),
    samplesPerPixel: numberOf(row, 'SamplesPerPixel'),
    bitsAllocated: numberOf(row, 'BitsAllocated'),
    photometric: textOf(row, 'PhotometricInterpretation'),
    acquisitionNumber: numberOf(row, 'AcquisitionNumber'),
    frameOfReferenceUid: textOf(row, 'FrameOfReferenceUID'),
    sliceThicknessMm: numberOf(row, 'SliceThickness') ?? numberOf(measures, 'SliceThickness'),
    spacingBetweenSlicesMm: numberOf(row, 'SpacingBetweenSlices') ?? numberOf(measures, 'SpacingBetweenSlices'),
    sliceLocationMm: numberOf(row, 'SliceLocation'),
    gantryTiltDegrees: numberOf(row, 'GantryDetectorTilt'),
    temporalPosition: numberOf(row, 'TemporalPositionIdentifier'),
    triggerTimeMs: numberOf(row, 'TriggerTime'),
    planes: planesOf(row, shared),
    mr: mrOf(row, shared),
  });
}

/** Classic objects say it once; enhanced ones for all frames or for each (PS3.3 C.7.6.16). */
function planesOf(row: DicomJsonRow, shared: DicomJsonRow | undefined): ImagePlane[] {
  const own = planeOf(0, row, row, row);
  if (own !== undefined) return [own];
  return itemsOf(row, 'PerFrameFunctionalGroupsSequence').flatMap((group, frame) => {
    const macro = (name: Parameters<typeof inGroup>[1]) => inGroup(group, name) ?? inGroup(shared, name);
    const plane = planeOf(
      frame,
      macro('PlanePositionSequence'),
      macro('PlaneOrientationSequence'),
      macro('PixelMeasuresSequence'),
    );
    if (plane === undefined) return [];
    const frameType = macro('MRImageFrameTypeSequence') ?? macro('CTImageFrameTypeSequence');
    return [
      present({
        ...plane,
        imageType: frameType === undefined ? undefined : wordsOf(frameType, 'FrameType'),
        echoTimeMs: numberOf(macro('MREchoSequence') ?? {}, 'EffectiveEchoTime'),
        temporalPosition: numberOf(macro('FrameContentSequence') ?? {}, 'TemporalPositionIndex'),
        diffusionBValue: numberOf(macro('MRDiffusionSequence') ?? {}, 'DiffusionBValue'),
      }),
    ];
  });
}

function planeOf(
  frame: number,
  position: DicomJsonRow | undefined,
  orientation: DicomJsonRow | undefined,
  measures: DicomJsonRow | undefined,
): ImagePlane | undefined {
  const place = position === undefined ? [] : numbersOf(position, 'ImagePositionPatient');
  const cosines = orientation === undefined ? [] : numbersOf(orientation, 'ImageOrientationPatient');
  if (place.length !== 3 || cosines.length !== 6) return undefined;
  const [rowSpacingMm, columnSpacingMm] = measures === undefined ? [] : numbersOf(measures, 'PixelSpacing');
  return present({
    frame,
    position: place as unknown as ImagePlane['position'],
    orientation: cosines as unknown as ImagePlane['orientation'],
    rowSpacingMm: positive(rowSpacingMm),
    columnSpacingMm: positive(columnSpacingMm),
  });
}

function mrOf(row: DicomJsonRow, shared: DicomJsonRow | undefined): MrSequence | undefined {
  if (textOf(row, 'Modality') !== 'MR') return undefined;
  // Where a value is told frame by frame, the first frame speaks for all.
  const [first] = itemsOf(row, 'PerFrameFunctionalGroupsSequence');
  const macro = (name: Parameters<typeof inGroup>[1]) => inGroup(shared, name) ?? inGroup(first, name) ?? {};
  const timing = macro('MRTimingAndRelatedParametersSequence');
  return present({
    echoTimeMs: numberOf(row, 'EchoTime') ?? numberOf(macro('MREchoSequence'), 'EffectiveEchoTime'),
    repetitionTimeMs: numberOf(row, 'RepetitionTime') ?? numberOf(timing, 'RepetitionTime'),
    inversionTimeMs: numberOf(row, 'InversionTime') ?? numberOf(macro('MRModifierSequence'), 'InversionTimes'),
    flipAngleDegrees: numberOf(row, 'FlipAngle') ?? numberOf(timing, 'FlipAngle'),
    echoTrainLength: numberOf(row, 'EchoTrainLength') ?? numberOf(timing, 'EchoTrainLength'),
    scanningSequence: wordsOf(row, 'ScanningSequence'),
    sequenceVariant: wordsOf(row, 'SequenceVariant'),
    scanOptions: wordsOf(row, 'ScanOptions'),
    sequenceName: textOf(row, 'SequenceName') ?? textOf(row, 'PulseSequenceName'),
    acquisitionContrast:
      textOf(row, 'AcquisitionContrast') ?? textOf(macro('MRImageFrameTypeSequence'), 'AcquisitionContrast'),
    contrastAgent: textOf(row, 'ContrastBolusAgent'),
    echoNumber: numberOf(row, 'EchoNumbers'),
    diffusionBValue: numberOf(row, 'DiffusionBValue'),
    suppression:
      textOf(row, 'SpectrallySelectedSuppression') ??
      textOf(macro('MRModifierSequence'), 'SpectrallySelectedSuppression'),
  });
}

/** Several values in one string, as some servers write them, are several values. */
const wordsOf = (row: DicomJsonRow, keyword: Parameters<typeof textsOf>[1]): string[] =>
  textsOf(row, keyword).flatMap((text) => text.split('\\'));

const inGroup = (group: DicomJsonRow | undefined, macro: Parameters<typeof itemsOf>[1]): DicomJsonRow | undefined =>
  group === undefined ? undefined : itemsOf(group, macro)[0];

const positive = (number: number | undefined): number | undefined =>
  number !== undefined && number > 0 ? number : undefined;
