/** Whether a compressed picture was cut off: the browser's codecs take twenty seconds over one, or draw its lost half as grey. */
import type { DataSet } from 'dicom-parser';

/** Lossy JPEG and JPEG-LS: CharLS looks for a marker behind its data again and again when there is none. */
const endsWithMarker = /^1\.2\.840\.10008\.1\.2\.4\.(50|51|80|81)$/;

/** Throws where the end marker of the last fragment (ITU-T T.81, EOI) is missing, as the service does. */
export function demandWholePicture(dataset: DataSet): void {
  if (!endsWithMarker.test(dataset.string('x00020010') ?? '')) return;
  const last = dataset.elements['x7fe00010']?.fragments?.at(-1);
  if (last === undefined) return;
  const bytes = dataset.byteArray.subarray(last.position, last.position + last.length);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  if (end < 2 || bytes[end - 2] !== 0xff || bytes[end - 1] !== 0xd9) throw new Error('the picture was cut off');
}
