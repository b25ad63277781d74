/** The headers of files at hand, as an archive's metadata would tell them. */
import type { InstanceMetadata } from '../../domain/study.ts';
import { parseRow } from '../dicom-json.ts';
import { headerJson } from '../header-json.ts';
import { instanceMetadata } from '../instance-metadata.ts';

/** Undefined for an object without a usable SOP Instance UID. Throws `dicom.*`. */
export async function metadataOfFile(file: Uint8Array): Promise<InstanceMetadata | undefined> {
  return instanceMetadata(parseRow(await headerJson(file)));
}
