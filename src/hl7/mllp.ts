/** MLLP frames (HL7 v2 transport, release 1): 0x0B, a message, 0x1C 0x0D; cut out of whatever pieces the network makes. */

const startBlock = 0x0b;
const endBlock = 0x1c;
const carriageReturn = 0x0d;

export type Frame =
  | { readonly kind: 'message'; readonly bytes: Buffer }
  /** Longer than allowed: only its beginning was kept, enough to say which message is refused. */
  | { readonly kind: 'too-large'; readonly bytes: Buffer }
  /** A new frame began before this one ended. */
  | { readonly kind: 'unfinished'; readonly bytes: Buffer };

export interface Framer {
  /** Frames that end in this piece, in their order. */
  push(piece: Uint8Array): Frame[];
  /** A frame has begun and not ended. */
  readonly inside: boolean;
  /** Bytes held now: never more than the limit. */
  readonly held: number;
  /** Bytes seen between frames. */
  readonly garbage: number;
}

export function mllpFramer({ maxBytes }: { readonly maxBytes: number }): Framer {
  const keptOfTooLarge = Math.min(4096, maxBytes);
  // One buffer that doubles: a message that comes byte by byte must not cost an object per byte.
  let buffer = Buffer.alloc(0);
  let held = 0;
  let inside = false;
  let tooLarge = false;
  let garbage = 0;
  /** The carriage return after an end block belongs to the frame; senders exist that leave it out. */
  let afterEnd = false;

  function keep(part: Uint8Array): void {
    if (tooLarge) return;
    if (held + part.length > maxBytes) {
      tooLarge = true;
      held = Math.min(held, keptOfTooLarge);
      append(part.subarray(0, keptOfTooLarge - held));
      buffer = Buffer.from(buffer.subarray(0, held));
      return;
    }
    append(part);
  }

  function append(part: Uint8Array): void {
    if (held + part.length > buffer.length) {
      const larger = Buffer.alloc(
        Math.min(Math.max(buffer.length * 2, held + part.length, 4096), Math.max(maxBytes, 4096)),
      );
      buffer.copy(larger, 0, 0, held);
      buffer = larger;
    }
    buffer.set(part, held);
    held += part.length;
  }

  function take(): Buffer {
    const bytes = buffer.subarray(0, held);
    buffer = Buffer.alloc(0);
    held = 0;
    tooLarge = false;
    return bytes;
  }

  return {
    get inside() {
      return inside;
    },
    get held() {
      return held;
    },
    get garbage() {
      return garbage;
    },
    push(piece) {
      const frames: Frame[] = [];
      let at = 0;
      while (at < piece.length) {
        if (!inside) {
          if (afterEnd && piece[at] === carriageReturn) at += 1;
          afterEnd = false;
          const start = piece.indexOf(startBlock, at);
          garbage += (start === -1 ? piece.length : start) - at;
          if (start === -1) break;
          inside = true;
          at = start + 1;
          continue;
        }
        const end = piece.indexOf(endBlock, at);
        // Neither byte can stand in a message: a start inside a frame means that its end was lost.
        const again = piece.subarray(at, end === -1 ? piece.length : end).indexOf(startBlock);
        if (again !== -1) {
          keep(piece.subarray(at, at + again));
          frames.push({ kind: 'unfinished', bytes: take() });
          at += again + 1;
          continue;
        }
        keep(piece.subarray(at, end === -1 ? piece.length : end));
        if (end === -1) break;
        frames.push({ kind: tooLarge ? 'too-large' : 'message', bytes: take() });
        inside = false;
        afterEnd = true;
        at = end + 1;
      }
      return frames;
    },
  };
}

export function mllpFrame(message: Uint8Array | string): Buffer {
  return Buffer.concat([
    Buffer.of(startBlock),
    typeof message === 'string' ? Buffer.from(message, 'utf8') : message,
    Buffer.of(endBlock, carriageReturn),
  ]);
}
