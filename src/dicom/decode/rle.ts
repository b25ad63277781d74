/** RLE Lossless (PS3.5 annex G): PackBits over byte planes, most significant plane first. */
import { corrupt, demandEnoughBits, type DecodedFrame } from './frame.ts';
import { bytesPerSample, type PixelShape } from './shape.ts';

export function decodeRle(encoded: Uint8Array, shape: PixelShape): DecodedFrame {
  const width = bytesPerSample(shape);
  const pixels = shape.rows * shape.columns;
  const samples = shape.samplesPerPixel;
  const planes = samples * width;
  if (encoded.length < 64) throw corrupt('the RLE header is cut off');
  const header = new DataView(encoded.buffer, encoded.byteOffset, 64);
  if (header.getUint32(0, true) !== planes) {
    throw corrupt(`${header.getUint32(0, true)} RLE segments instead of ${planes}`);
  }
  // Two bytes stand for 128 at most.
  demandEnoughBits(encoded, (pixels * planes * 16) / 128, shape);
  const bytes = new Uint8Array(pixels * planes);
  for (let plane = 0; plane < planes; plane++) {
    const start = header.getUint32(4 + plane * 4, true);
    const end = plane + 1 < planes ? header.getUint32(8 + plane * 4, true) : encoded.length;
    if (start < 64 || end < start || end > encoded.length) throw corrupt('RLE segments lie outside the frame');
    const sample = Math.floor(plane / width);
    // Planes are big endian, the values little endian.
    const byteInSample = width - 1 - (plane % width);
    unpack(encoded.subarray(start, end), bytes, sample * width + byteInSample, planes, pixels);
  }
  const values = width === 1 ? bytes : width === 2 ? new Uint16Array(bytes.buffer) : new Uint32Array(bytes.buffer);
  return {
    rows: shape.rows,
    columns: shape.columns,
    components: samples,
    bits: shape.bitsAllocated,
    values,
    lossy: false,
    becameRgb: false,
  };
}

/** Writes `count` bytes at `first`, `first + stride`, …; PackBits as in G.3.1. */
function unpack(source: Uint8Array, target: Uint8Array, first: number, stride: number, count: number): void {
  let read = 0;
  let written = first;
  const end = first + count * stride;
  while (written < end) {
    if (read >= source.length) throw corrupt('an RLE segment ends early');
    const control = source[read++] as number;
    if (control === 128) continue;
    const length = control < 128 ? control + 1 : 257 - control;
    // Some encoders pad a segment's last run past its end; what belongs to the picture is complete then.
    const stop = Math.min(written + length * stride, end);
    if (control < 128) {
      if (read + (stop - written) / stride > source.length) throw corrupt('an RLE segment ends early');
      let from = read;
      for (; written < stop; written += stride) target[written] = source[from++] as number;
      read += length;
    } else {
      if (read >= source.length) throw corrupt('an RLE segment ends early');
      const value = source[read++] as number;
      for (; written < stop; written += stride) target[written] = value;
    }
  }
  // Padding may follow; more means that the header's rows or columns are not this picture's.
  if (source.subarray(read).some((byte) => byte !== 0 && byte !== 128))
    throw corrupt('an RLE segment is longer than the picture');
}
