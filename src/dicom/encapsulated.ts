/** Splits encapsulated Pixel Data into frames (PS3.5 section A.4), with or without offset tables. */
import { WetreadError } from '../domain/errors.ts';
import type { DicomDataset } from './dataset.ts';

type Fragment = {
  /** As offset tables count: from the first byte after the Basic Offset Table to this item's tag. */
  readonly offset: number;
  readonly bytes: Uint8Array;
};

const itemTag = 0xe000_fffe;
const delimiterTag = 0xe0dd_fffe;

/** Large pictures come in fragments of a few kilobytes; millions of empty ones are an attack on memory. */
const mostFragments = 500_000;

/** One byte string per frame. Throws `dicom.truncated` or `dicom.corrupt-pixel-data`. */
export function encapsulatedFrames(dataset: DicomDataset, offset: number, frames: number): Uint8Array[] {
  const { table, fragments } = readItems(dataset.bytes, offset);
  if (fragments.length === 0) throw new WetreadError('dicom.corrupt-pixel-data', 'no fragments');
  if (fragments.length < frames) {
    throw new WetreadError(
      'dicom.corrupt-pixel-data',
      `${frames} frames claimed, ${fragments.length} fragments present`,
    );
  }
  // A picture of which only the first frame is shown would pass for the whole.
  const openings = fragments.filter(opensCodestream).length;
  if (openings > frames)
    throw new WetreadError('dicom.corrupt-pixel-data', `${frames} frames claimed, ${openings} codestreams present`);
  if (frames === 1) return [joined(fragments)];
  if (fragments.length === frames) return fragments.map(({ bytes }) => bytes);
  const starts =
    startsFrom(table, fragments, frames) ??
    startsFrom(extendedTable(dataset), fragments, frames) ??
    startsByMarker(fragments, frames);
  if (starts === undefined) {
    throw new WetreadError(
      'dicom.corrupt-pixel-data',
      `${fragments.length} fragments cannot be told apart as ${frames} frames`,
    );
  }
  return starts.map((start, frame) => joined(fragments.slice(start, starts[frame + 1])));
}

function readItems(bytes: Uint8Array, offset: number): { table: number[]; fragments: Fragment[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let position = offset;
  let tableBytes: Uint8Array | undefined;
  let firstItem = 0;
  const fragments: Fragment[] = [];
  // A file that stops exactly where the closing delimiter should be has all its pixels; the codecs judge the rest.
  while (position < bytes.length) {
    if (position + 8 > bytes.length) throw new WetreadError('dicom.truncated', 'in the pixel data');
    const tag = view.getUint32(position, true);
    const length = view.getUint32(position + 4, true);
    if (tag === delimiterTag) break;
    if (tag !== itemTag)
      throw new WetreadError('dicom.corrupt-pixel-data', 'the pixel data is not a sequence of fragments');
    const start = position + 8;
    if (start + length > bytes.length) throw new WetreadError('dicom.truncated', 'in the pixel data');
    const value = bytes.subarray(start, start + length);
    if (tableBytes === undefined) {
      tableBytes = value;
      firstItem = start + length;
    } else {
      if (fragments.length === mostFragments)
        throw new WetreadError('dicom.too-large', `over ${mostFragments} fragments`);
      fragments.push({ offset: position - firstItem, bytes: value });
    }
    position = start + length;
  }
  return { table: offsets(tableBytes ?? new Uint8Array(), 4), fragments };
}

function offsets(bytes: Uint8Array, width: 4 | 8): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: Math.floor(bytes.length / width) }, (_, index) =>
    width === 4 ? view.getUint32(index * 4, true) : Number(view.getBigUint64(index * 8, true)),
  );
}

const extendedTable = (dataset: DicomDataset): number[] =>
  offsets(dataset.raw('ExtendedOffsetTable') ?? new Uint8Array(), 8);

/** A table that is short or points between fragments is wrong in a way files in the wild often are: it is then not used. */
function startsFrom(table: readonly number[], fragments: readonly Fragment[], frames: number): number[] | undefined {
  if (table.length !== frames) return undefined;
  const at = new Map(fragments.map(({ offset }, index) => [offset, index]));
  const starts = table.map((offset) => at.get(offset) ?? -1);
  const ascending = starts.every(
    (start, frame) => start >= 0 && (frame === 0 ? start === 0 : start > (starts[frame - 1] ?? 0)),
  );
  return ascending ? starts : undefined;
}

/** SOI and the next marker (JPEG, JPEG-LS), or SOC and SIZ (JPEG 2000). */
const opensCodestream = ({ bytes }: Fragment): boolean =>
  bytes[0] === 0xff && bytes[2] === 0xff && (bytes[1] === 0xd8 || (bytes[1] === 0x4f && bytes[3] === 0x51));

function startsByMarker(fragments: readonly Fragment[], frames: number): number[] | undefined {
  const starts = fragments.flatMap((fragment, index) => (opensCodestream(fragment) ? [index] : []));
  return starts.length === frames && starts[0] === 0 ? starts : undefined;
}

function joined(fragments: readonly Fragment[]): Uint8Array {
  const [only] = fragments;
  if (fragments.length === 1 && only !== undefined) return only.bytes;
  const whole = new Uint8Array(fragments.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let position = 0;
  for (const { bytes } of fragments) {
    whole.set(bytes, position);
    position += bytes.length;
  }
  return whole;
}
