/**
 * Walks the elements of a dataset (PS3.5 section 7) without believing a length before it was checked.
 * Our own, because dicom-parser does not know OV (Extended Offset Table), skips over lengths that lead out of the file, builds
 * an object for each of the million empty items a bad file may claim, and follows nested sequences until the stack ends.
 */
import { WetreadError } from '../domain/errors.ts';

export type Encoding = { readonly explicit: boolean; readonly bigEndian: boolean };

export type Element = {
  readonly vr: string | undefined;
  readonly start: number;
  /** In bytes, delimiters left out; of encapsulated Pixel Data, which is not walked here, undefined. */
  readonly length: number | undefined;
  readonly hadUndefinedLength: boolean;
};

export type Elements = ReadonlyMap<number, Element>;

type Header = {
  readonly tag: number;
  readonly vr: string | undefined;
  readonly length: number;
  readonly start: number;
};

export const implicitLittle: Encoding = { explicit: false, bigEndian: false };
export const explicitLittle: Encoding = { explicit: true, bigEndian: false };

const undefinedLength = 0xffff_ffff;
const itemTag = 0xfffe_e000;
const itemEnd = 0xfffe_e00d;
const sequenceEnd = 0xfffe_e0dd;
export const pixelDataTag = 0x7fe0_0010;

/** PS3.5 sets no limit; real objects stay under ten levels. */
const deepest = 64;
/** One for each frame is the most that any object needs. */
const mostItems = 65_536;
/** Of one file, kept ones only; enhanced objects of thousands of frames stay far below. */
const mostElements = 2_000_000;

/** Those that are only passed over cost time as well: half a gigabyte of empty ones took twenty seconds. */
const mostPassed = 12_000_000;

/** PS3.5 table 7.1-1: two reserved bytes and a length of four; table 7.1-2: a length of two. */
const longVrs = /^(OB|OD|OF|OL|OV|OW|SQ|SV|UC|UN|UR|UT|UV)$/;
const shortVrs = /^(AE|AS|AT|CS|DA|DS|DT|FD|FL|IS|LO|LT|PN|SH|SL|SS|ST|TM|UI|UL|US)$/;

export const tagName = (tag: number): string =>
  `(${(tag >>> 16).toString(16).padStart(4, '0')},${(tag & 0xffff).toString(16).padStart(4, '0')})`;

const truncated = (where: string) => new WetreadError('dicom.truncated', where);
const nonsense = (what: string) => new WetreadError('dicom.not-a-dicom-file', what);

export type Walker = ReturnType<typeof walker>;

/** Elements that `wanted` does not name are passed over. */
export function walker(bytes: Uint8Array, wanted?: ReadonlySet<number>) {
  let count = 0;
  let passed = 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tagAt = (at: number, bigEndian: boolean): number =>
    view.getUint16(at, !bigEndian) * 0x1_0000 + view.getUint16(at + 2, !bigEndian);
  const vrAt = (at: number): string => String.fromCharCode(bytes[at] as number, bytes[at + 1] as number);

  function header(at: number, end: number, { explicit, bigEndian }: Encoding): Header {
    if (at + 8 > end) throw truncated('in the header of an element');
    passed += 1;
    if (passed > mostPassed) throw new WetreadError('dicom.too-large', `over ${mostPassed} elements`);
    const tag = tagAt(at, bigEndian);
    const delimiter = tag === itemTag || tag === itemEnd || tag === sequenceEnd;
    if (!explicit || delimiter)
      return { tag, vr: undefined, length: view.getUint32(at + 4, !bigEndian), start: at + 8 };
    const vr = vrAt(at + 4);
    if (shortVrs.test(vr)) return { tag, vr, length: view.getUint16(at + 6, !bigEndian), start: at + 8 };
    // Section 7.1.2: whatever is defined in future has the long form as well.
    if (!longVrs.test(vr) && !/^[A-Z]{2}$/.test(vr))
      throw nonsense(`element ${tagName(tag)} has no value representation`);
    if (at + 12 > end) throw truncated('in the header of an element');
    return { tag, vr, length: view.getUint32(at + 8, !bigEndian), start: at + 12 };
  }

  /** What UN hides is implicit little endian (section 6.2.2, note 4). */
  const inside = (vr: string | undefined, encoding: Encoding): Encoding => (vr === 'UN' ? implicitLittle : encoding);

  /** Position behind the element, delimiters included. */
  function pass(found: Header, end: number, encoding: Encoding, depth: number): number {
    const { tag, vr, length, start } = found;
    if (length !== undefinedLength) {
      if (start + length > end) throw truncated(`in element ${tagName(tag)}`);
      return start + length;
    }
    // Icons carry encapsulated pixels of their own (OB, OW), whose fragments look like items.
    if (vr !== undefined && vr !== 'SQ' && vr !== 'UN' && vr !== 'OB' && vr !== 'OW')
      throw nonsense(`element ${tagName(tag)} of undefined length is no sequence`);
    return passSequence(start, end, inside(vr, encoding), depth + 1);
  }

  function passSequence(from: number, end: number, encoding: Encoding, depth: number): number {
    if (depth > deepest) throw nonsense('sequences are nested without end');
    let at = from;
    for (;;) {
      const { tag, length, start } = header(at, end, encoding);
      if (tag === sequenceEnd) return start;
      if (tag !== itemTag) throw nonsense(`a sequence holds ${tagName(tag)} where an item should be`);
      if (length === undefinedLength) at = passItem(start, end, encoding, depth);
      else if (start + length > end) throw truncated('in an item');
      else at = start + length;
    }
  }

  /** Some writers change to implicit inside private sequences: the first element of an item shows it. */
  function ownEncoding(at: number, end: number, encoding: Encoding): Encoding {
    if (!encoding.explicit || at + 6 > end || tagAt(at, encoding.bigEndian) === itemEnd) return encoding;
    return /^[A-Z]{2}$/.test(vrAt(at + 4)) ? encoding : { ...encoding, explicit: false };
  }

  function passItem(from: number, end: number, outer: Encoding, depth: number): number {
    const encoding = ownEncoding(from, end, outer);
    let at = from;
    for (;;) {
      const found = header(at, end, encoding);
      if (found.tag === itemEnd) return found.start;
      at = pass(found, end, encoding, depth);
    }
  }

  const same = (one: Element, other: Element): boolean =>
    one.length === other.length &&
    Buffer.compare(
      bytes.subarray(one.start, one.start + (one.length ?? 0)),
      bytes.subarray(other.start, other.start + (other.length ?? 0)),
    ) === 0;

  /** Stops at Pixel Data where `top` is set, at the end of an item otherwise. */
  function elements(from: number, end: number, encoding: Encoding, depth: number, top: boolean): Elements {
    const kept = new Map<number, Element>();
    let at = from;
    while (at < end) {
      if (end - at < 8 && isPadding(at, end)) break;
      const found = header(at, end, encoding);
      const { tag, vr, length, start } = found;
      if (tag === itemEnd && !top) break;
      if (tag === 0 && length === 0 && isPadding(at, end)) break;
      const hadUndefinedLength = length === undefinedLength;
      if (top && tag === pixelDataTag) {
        kept.set(tag, { vr, start, length: hadUndefinedLength ? undefined : length, hadUndefinedLength });
        break;
      }
      const next = pass(found, end, encoding, depth);
      if (wanted === undefined || wanted.has(tag)) {
        count += 1;
        if (count > mostElements) throw new WetreadError('dicom.too-large', `over ${mostElements} elements`);
        const element = { vr, start, length: hadUndefinedLength ? next - 8 - start : length, hadUndefinedLength };
        const before = kept.get(tag);
        // Readers differ in which of two they believe; a picture must not depend on that.
        if (before !== undefined && !same(before, element)) throw nonsense(`element ${tagName(tag)} is there twice`);
        kept.set(tag, element);
      }
      at = next;
    }
    return kept;
  }

  function isPadding(from: number, end: number): boolean {
    for (let at = from; at < end; at++) if (bytes[at] !== 0) return false;
    return true;
  }

  return {
    /** Elements up to Pixel Data, which is not entered, or up to the end. */
    dataset: (from: number, encoding: Encoding): Elements => elements(from, bytes.length, encoding, 0, true),

    /** Group 0002, always explicit little endian (PS3.10 section 7.1), and where it ends; its own Group Length is often wrong. */
    meta(from: number): { elements: Elements; end: number } {
      let end = from;
      while (end + 8 <= bytes.length && view.getUint16(end, true) === 0x0002)
        end = pass(header(end, bytes.length, explicitLittle), bytes.length, explicitLittle, 0);
      return { elements: elements(from, end, explicitLittle, 0, true), end };
    },

    /** The items of a sequence, each walked. `depth` is that of the dataset it lies in. */
    items(sequence: Element, outer: Encoding, depth: number): { elements: Elements; encoding: Encoding }[] {
      if (depth >= deepest) throw nonsense('sequences are nested without end');
      const encoding = inside(sequence.vr, outer);
      const end = sequence.start + (sequence.length ?? 0);
      const found: { elements: Elements; encoding: Encoding }[] = [];
      let at = sequence.start;
      while (at < end) {
        const { tag, length, start } = header(at, end, encoding);
        if (tag === sequenceEnd) break;
        if (tag !== itemTag) throw nonsense(`a sequence holds ${tagName(tag)} where an item should be`);
        if (found.length === mostItems)
          throw new WetreadError('dicom.too-large', `a sequence of over ${mostItems} items`);
        const own = ownEncoding(start, end, encoding);
        const next = length === undefinedLength ? passItem(start, end, encoding, depth + 1) : start + length;
        if (next > end) throw truncated('in an item');
        found.push({ elements: elements(start, next, own, depth + 1, false), encoding: own });
        at = next;
      }
      return found;
    },
  };
}
