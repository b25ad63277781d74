/** DICOM JSON (PS3.18 annex F) as QIDO-RS answers it: checked at the edge, read by keyword. */
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';

const attribute = z.looseObject({ Value: z.array(z.unknown()).optional() });
const rows = z.array(z.record(z.string(), attribute));

export type DicomJsonRow = z.output<typeof rows>[number];

/** Tags of the answers, by keyword. */
export const queryTags = {
  StudyDate: '00080020',
  StudyTime: '00080030',
  AccessionNumber: '00080050',
  SOPClassUID: '00080016',
  SOPInstanceUID: '00080018',
  Modality: '00080060',
  ModalitiesInStudy: '00080061',
  StudyDescription: '00081030',
  SeriesDescription: '0008103E',
  PatientID: '00100020',
  BodyPartExamined: '00180015',
  ViewPosition: '00185101',
  StudyInstanceUID: '0020000D',
  SeriesInstanceUID: '0020000E',
  InstanceNumber: '00200013',
  Laterality: '00200060',
  NumberOfStudyRelatedInstances: '00201208',
  NumberOfSeriesRelatedInstances: '00201209',
} as const;

type QueryKeyword = keyof typeof queryTags;

export function parseRows(text: string): DicomJsonRow[] {
  try {
    return rows.parse(JSON.parse(text));
  } catch (cause) {
    throw new WetreadError('archive.bad-answer', 'the answer is not DICOM JSON', { cause });
  }
}

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

export function numberOf(row: DicomJsonRow, keyword: QueryKeyword): number | undefined {
  const number = Number(textOf(row, keyword) ?? Number.NaN);
  return Number.isFinite(number) ? number : undefined;
}
