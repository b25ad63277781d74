/** Uncompressed pixels: little and big endian, one-bit, and YBR_FULL_422. */
import { WetreadError } from '../../domain/errors.ts';
import type { DicomDataset } from '../dataset.ts';
import { corrupt, type DecodedFrame } from './frame.ts';
import { bytesPerSample, samplesPerFrame, type PixelShape } from './shape.ts';

/** One frame from an encapsulated uncompressed file (1.2.840.10008.1.2.1.98), always little endian. */
export function decodeUncompressedFrame(encoded: Uint8Array, shape: PixelShape): DecodedFrame {
  // Here each frame begins with a byte of its own.
  if (shape.bitsAllocated === 1) return [...packedFrames(encoded, { ...shape, frames: 1 })][0] as DecodedFrame;
  demandLength(encoded.length, frameBytes(shape), frameBytes(shape));
  return frameOf(encoded, shape, false);
}

/** All frames of native Pixel Data, which follow each other without a gap; undefined in place of those not wanted. */
export function* uncompressedFrames(
  dataset: DicomDataset,
  offset: number,
  length: number,
  shape: PixelShape,
  only?: ReadonlySet<number>,
): Generator<DecodedFrame | undefined> {
  const present = dataset.bytes.subarray(offset, offset + length);
  if (present.length < length) throw new WetreadError('dicom.truncated', 'in the pixel data');
  if (shape.bitsAllocated === 1) return yield* packedFrames(present, shape, only);
  const each = frameBytes(shape);
  demandLength(length, each * shape.frames, each);
  // Eight-bit pixels written as big endian words (OW) stand in swapped pairs (PS3.5 annex A.3); as bytes (OB) they do not.
  const swappedPairs = dataset.bigEndian && shape.bitsAllocated === 8 && dataset.pixelData?.vr === 'OW';
  const native = swappedPairs ? Buffer.from(present.slice(0, present.length & ~1).buffer).swap16() : present;
  for (let frame = 0; frame < shape.frames; frame++) {
    const isWanted = only === undefined || only.has(frame);
    yield isWanted ? frameOf(native.subarray(frame * each, (frame + 1) * each), shape, dataset.bigEndian) : undefined;
  }
}

/** These share their colour between two pixels (PS3.3 C.7.6.3.1.2), so they take two bytes a pixel where others take three. */
const is422 = ({ photometric }: PixelShape): boolean =>
  photometric === 'YBR_FULL_422' || photometric === 'YBR_PARTIAL_422';

const frameBytes = (shape: PixelShape): number =>
  is422(shape) ? shape.rows * shape.columns * 2 : samplesPerFrame(shape) * bytesPerSample(shape);

function demandLength(present: number, claimed: number, each: number): void {
  if (present < claimed) throw new WetreadError('dicom.truncated', `${present} bytes of pixels, ${claimed} claimed`);
  // A byte or a row of padding is common; a whole frame more means that the header is wrong about what this is.
  if (present - claimed >= Math.max(each, 2)) throw corrupt(`${present} bytes of pixels, ${claimed} claimed`);
}

function frameOf(bytes: Uint8Array, shape: PixelShape, bigEndian: boolean): DecodedFrame {
  if (shape.photometric === 'YBR_PARTIAL_420')
    throw new WetreadError('dicom.unsupported-pixels', 'YBR_PARTIAL_420 is for compressed pictures');
  const values = is422(shape) ? spread422(bytes, shape) : numbersOf(bytes, shape, bigEndian);
  const interleaved = shape.planar && !is422(shape) ? interleave(values, shape) : values;
  return {
    rows: shape.rows,
    columns: shape.columns,
    components: shape.samplesPerPixel,
    bits: shape.bitsAllocated,
    values: interleaved,
    lossy: false,
    becameRgb: false,
  };
}

type Values = Uint8Array | Uint16Array | Uint32Array;

function numbersOf(bytes: Uint8Array, shape: PixelShape, bigEndian: boolean): Values {
  const count = samplesPerFrame(shape);
  const width = bytesPerSample(shape);
  // The copy aligns the values, and lets go of the file.
  const copy = new Uint8Array(count * width);
  copy.set(bytes.subarray(0, copy.length));
  if (bigEndian) {
    // Annex D: even 32-bit values are cut into 16-bit words, the lowest first, and only the words are big endian.
    if (width > 1) Buffer.from(copy.buffer).swap16();
  }
  return width === 1 ? copy : width === 2 ? new Uint16Array(copy.buffer) : new Uint32Array(copy.buffer);
}

export function interleave(values: Values, shape: PixelShape): Values {
  const pixels = shape.rows * shape.columns;
  const mixed = values.slice();
  for (let sample = 0; sample < 3; sample++) {
    for (let pixel = 0, at = sample; pixel < pixels; pixel++, at += 3)
      mixed[at] = values[sample * pixels + pixel] as number;
  }
  return mixed;
}

function spread422(bytes: Uint8Array, shape: PixelShape): Uint8Array {
  if (shape.bitsAllocated !== 8 || shape.columns % 2 !== 0) {
    throw new WetreadError('dicom.unsupported-pixels', 'shared colour (4:2:2) with odd columns or more than 8 bits');
  }
  const pairs = (shape.rows * shape.columns) / 2;
  const values = new Uint8Array(pairs * 6);
  for (let from = 0, to = 0; to < pairs * 6; from += 4, to += 6) {
    values[to] = bytes[from] as number;
    values[to + 3] = bytes[from + 1] as number;
    values[to + 1] = values[to + 4] = bytes[from + 2] as number;
    values[to + 2] = values[to + 5] = bytes[from + 3] as number;
  }
  return values;
}

/** One bit a pixel, least significant first, frames joined without padding (PS3.5 section 8.1.1). */
function* packedFrames(
  bytes: Uint8Array,
  shape: PixelShape,
  only?: ReadonlySet<number>,
): Generator<DecodedFrame | undefined> {
  const each = samplesPerFrame(shape);
  demandLength(bytes.length, Math.ceil((each * shape.frames) / 8), Math.ceil(each / 8));
  for (let frame = 0; frame < shape.frames; frame++) {
    if (only !== undefined && !only.has(frame)) {
      yield undefined;
      continue;
    }
    const values = new Uint8Array(each);
    for (let index = 0, bit = frame * each; index < each; index++, bit++) {
      values[index] = ((bytes[bit >> 3] as number) >> (bit & 7)) & 1;
    }
    yield { rows: shape.rows, columns: shape.columns, components: 1, bits: 1, values, lossy: false, becameRgb: false };
  }
}
