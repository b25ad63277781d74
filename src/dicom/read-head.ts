/** Reads as much of a DICOM file as its header takes: pixels of half a gigabyte are no reason to read them. */
import type { FileHandle } from 'node:fs/promises';
import { asWetreadError } from '../domain/errors.ts';
import { deflatedLittleEndian, readDataset, type DicomDataset } from './dataset.ts';

const steps = [256 * 1024, 4 * 1024 * 1024, 64 * 1024 * 1024, Number.POSITIVE_INFINITY];

export type Head = { readonly head: Uint8Array; readonly dataset: DicomDataset };

/** Throws `dicom.*` when the file does not hold a whole header. */
export async function readHead(file: FileHandle, size: number, maxBytes: number): Promise<Head> {
  for (const step of steps) {
    const length = Math.min(size, step);
    const head = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const { bytesRead } = await file.read(head, at, length - at, at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    try {
      const dataset = readDataset(head, { maxBytes });
      // An uncompressed header that ends without pixels may go on behind what was read.
      if (length === size || (dataset.pixelData !== undefined && dataset.transferSyntaxUid !== deflatedLittleEndian))
        return { head, dataset };
    } catch (thrown) {
      if (length === size || asWetreadError(thrown).code !== 'dicom.truncated') throw thrown;
    }
  }
  throw new Error('unreachable: the last step reads the whole file');
}
