/** The marker segments of JPEG (ITU-T T.81 annex B) up to the first scan, and the demand that a codestream has an end. */
import { corrupt } from './frame.ts';

export type JpegFrameHeader = {
  /** Low byte of the SOF marker: 0xC0 baseline, 0xC1 extended, 0xC3 lossless, … */
  readonly process: number;
  readonly precision: number;
  readonly rows: number;
  readonly columns: number;
  readonly components: readonly {
    readonly id: number;
    readonly horizontal: number;
    readonly vertical: number;
    readonly quantization: number;
  }[];
};

export type Segment = { readonly marker: number; readonly start: number; readonly end: number };

/** Segments from `position` up to and including the next SOS or EOI. Positions are those of the contents behind the length. */
export function* segments(data: Uint8Array, position: number): Generator<Segment> {
  let at = position;
  for (;;) {
    if (at + 2 > data.length) throw corrupt('the codestream ends in its headers');
    if (data[at] !== 0xff) throw corrupt('a marker is missing in the codestream');
    const marker = data[at + 1] as number;
    if (marker === 0xff) {
      at += 1; // fill byte
      continue;
    }
    if (marker === 0xd9) {
      yield { marker, start: at + 2, end: at + 2 };
      return;
    }
    if (at + 4 > data.length) throw corrupt('the codestream ends in its headers');
    const length = ((data[at + 2] as number) << 8) | (data[at + 3] as number);
    const end = at + 2 + length;
    if (length < 2 || end > data.length) throw corrupt('the codestream ends in its headers');
    yield { marker, start: at + 4, end };
    if (marker === 0xda) return;
    at = end;
  }
}

export function frameHeaderOf(data: Uint8Array): JpegFrameHeader {
  if (data[0] !== 0xff || data[1] !== 0xd8) throw corrupt('not a JPEG codestream');
  for (const segment of segments(data, 2)) {
    if (isFrameHeader(segment.marker)) return readFrameHeader(data, segment);
  }
  throw corrupt('the codestream has no frame header');
}

/** SOF0 to SOF15 but for DHT (C4), JPG (C8) and DAC (CC), which lie between them; F7 is JPEG-LS. */
export const isFrameHeader = (marker: number): boolean =>
  (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) || marker === 0xf7;

export function readFrameHeader(data: Uint8Array, { marker, start, end }: Segment): JpegFrameHeader {
  const byte = (offset: number) => data[start + offset] as number;
  if (end - start < 6 || end - start < 6 + byte(5) * 3) throw corrupt('the frame header is cut off');
  return {
    process: marker,
    precision: byte(0),
    rows: (byte(1) << 8) | byte(2),
    columns: (byte(3) << 8) | byte(4),
    components: Array.from({ length: byte(5) }, (_, index) => ({
      id: byte(6 + index * 3),
      horizontal: byte(7 + index * 3) >> 4,
      vertical: byte(7 + index * 3) & 15,
      quantization: byte(8 + index * 3),
    })),
  };
}

/** Decoders fill what is missing at the end with grey and call it a picture: a codestream must end in EOI, but for padding. */
export function demandEnd(data: Uint8Array): void {
  let end = data.length;
  while (end > 0 && (data[end - 1] === 0 || (data[end - 1] === 0xff && end > 1 && data[end - 2] === 0xd9))) end -= 1;
  if (end < 4 || data[end - 2] !== 0xff || data[end - 1] !== 0xd9) throw corrupt('the codestream has no end marker');
}

/** Behind the last scan, but for fill bytes. */
export function demandEndMarker(data: Uint8Array, position: number): void {
  let at = position;
  while (at + 1 < data.length && data[at] === 0xff && data[at + 1] === 0xff) at += 1;
  if (data[at] !== 0xff || data[at + 1] !== 0xd9) throw corrupt('the codestream has no end marker');
}
