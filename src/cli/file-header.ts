/** What the header of a DICOM file on the disk says of its study, its series, and itself. */
import { open } from 'node:fs/promises';
import { parseRow, textOf } from '../dicom/dicom-json.ts';
import { headerJson } from '../dicom/header-json.ts';
import { instanceMetadata } from '../dicom/instance-metadata.ts';
import { WetreadError } from '../domain/errors.ts';
import { isUid, seriesUid, studyUid, type StudyUid } from '../domain/ids.ts';
import type { InstanceMetadata, SeriesSummary } from '../domain/study.ts';

export type FileHeader = {
  readonly file: string;
  /** Undefined where it is missing or malformed. */
  readonly study: StudyUid | undefined;
  readonly studyDescription?: string;
  readonly series: SeriesSummary;
  readonly object: InstanceMetadata;
};

/** Headers are a few kilobytes before megabytes of pixels; those of enhanced objects are longer, and then all is read. */
const headerBytes = 512 * 1024;

/** Throws `dicom.*`. */
export async function headerOf(file: string): Promise<FileHeader> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const read = async (bytes: number) => {
      const buffer = new Uint8Array(Math.min(bytes, size));
      await handle.read(buffer, 0, buffer.length, 0);
      return parseRow(await headerJson(buffer, { maxBytes: 2 ** 31 }));
    };
    const row = await read(headerBytes).catch((error: unknown) => {
      if (size <= headerBytes) throw error;
      return read(size);
    });
    const uid = textOf(row, 'SeriesInstanceUID') ?? '';
    const object = instanceMetadata(row);
    if (object === undefined || !isUid(uid))
      throw new WetreadError('dicom.not-a-dicom-file', 'Series or SOP Instance UID is missing or malformed');
    const study = textOf(row, 'StudyInstanceUID') ?? '';
    const studyDescription = textOf(row, 'StudyDescription');
    const viewPosition = textOf(row, 'ViewPosition');
    const { modality = '', seriesDescription, bodyPartExamined } = object;
    return {
      file,
      study: isUid(study) ? studyUid(study) : undefined,
      ...(studyDescription !== undefined && { studyDescription }),
      series: {
        seriesUid: seriesUid(uid),
        modality,
        ...(seriesDescription !== undefined && { description: seriesDescription }),
        ...(bodyPartExamined !== undefined && { bodyPartExamined }),
        ...(viewPosition !== undefined && { viewPosition }),
      },
      object,
    };
  } finally {
    await handle.close();
  }
}
