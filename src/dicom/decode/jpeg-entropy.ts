/** Entropy-coded bytes of JPEG without what was stuffed into them (ITU-T T.81 section B.1.1.5), so that bits are read without a look at each. */

export type EntropySegment = {
  /** Of what was there; behind it come zeros, so that readers may take more than there is and find out later. */
  readonly bitLength: number;
  /** Of the marker behind it, or of the end of the data. */
  readonly marker: number;
};

/** `into` is used for segment after segment: it must be as long as the data and `beyond`, which is how far readers may go wrong. */
export function entropySegment(data: Uint8Array, from: number, into: Uint8Array, beyond: number): EntropySegment {
  let at = from;
  let length = 0;
  let marker = data.length;
  while (at < data.length) {
    const next = data.indexOf(0xff, at);
    const stuffed = next >= 0 && data[next + 1] === 0;
    const end = next < 0 ? data.length : stuffed ? next + 1 : next;
    into.set(data.subarray(at, end), length);
    length += end - at;
    if (next < 0) break;
    if (!stuffed) {
      marker = next;
      break;
    }
    at = next + 2;
  }
  into.fill(0, length, length + beyond);
  return { bitLength: length * 8, marker };
}
