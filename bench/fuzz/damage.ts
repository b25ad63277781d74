/** Damage that any format can meet, as fast-check arbitraries: bytes changed, lost, repeated, moved, and files cut off. */
import * as fc from 'fast-check';

export type Damage =
  | { readonly kind: 'set'; readonly at: number; readonly to: number }
  | { readonly kind: 'flip'; readonly at: number; readonly bit: number }
  | { readonly kind: 'word'; readonly at: number; readonly to: number }
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'remove'; readonly at: number; readonly count: number }
  | { readonly kind: 'repeat'; readonly at: number; readonly count: number }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'move'; readonly at: number; readonly count: number; readonly to: number };

/** Places are shares of the length, so that one plan fits every file; `near` makes the front as likely as all the rest. */
const share = (most: number) => fc.noBias(fc.nat(999_999)).map((millionths) => (millionths / 1_000_000) * most);
const place = fc.oneof(share(1), share(0.25));
const byte = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff, 0xd8, 0xd9));
const count = fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 400 }));

export const damage: fc.Arbitrary<Damage> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('set' as const), at: place, to: byte }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('flip' as const), at: place, bit: fc.nat(7) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('word' as const),
      at: place,
      to: fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0xfffe_e000, 0xe000_fffe),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cut' as const), at: place }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), at: place, count }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('repeat' as const), at: place, count }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('insert' as const),
      at: place,
      bytes: fc.uint8Array({ minLength: 1, maxLength: 24 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('move' as const), at: place, count, to: place }) },
);

export const damages = fc.array(damage, { minLength: 1, maxLength: 3 });

/** A copy with the damage done. */
export function damaged(whole: Uint8Array, plan: readonly Damage[]): Uint8Array {
  let bytes: Uint8Array = whole.slice();
  for (const step of plan) bytes = one(bytes, step);
  return bytes;
}

function one(bytes: Uint8Array, step: Damage): Uint8Array {
  const at = Math.min(bytes.length - 1, Math.floor(step.at * bytes.length));
  if (at < 0) return bytes;
  switch (step.kind) {
    case 'set':
      bytes[at] = step.to;
      return bytes;
    case 'flip':
      bytes[at] = (bytes[at] as number) ^ (1 << step.bit);
      return bytes;
    case 'word':
      if (at + 4 <= bytes.length) new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, step.to, true);
      return bytes;
    case 'cut':
      return bytes.slice(0, at);
    case 'remove':
      return joined(bytes.subarray(0, at), bytes.subarray(at + step.count));
    case 'repeat':
      return joined(bytes.subarray(0, at), bytes.subarray(at, at + step.count), bytes.subarray(at));
    case 'insert':
      return joined(bytes.subarray(0, at), step.bytes, bytes.subarray(at));
    case 'move': {
      const piece = bytes.slice(at, at + step.count);
      const rest = joined(bytes.subarray(0, at), bytes.subarray(at + step.count));
      const to = Math.floor(step.to * rest.length);
      return joined(rest.subarray(0, to), piece, rest.subarray(to));
    }
  }
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** One value of an arbitrary for each seed. */
export function drawn<Value>(arbitrary: fc.Arbitrary<Value>, seed: number): Value {
  return fc.sample(arbitrary, { seed, numRuns: 1 })[0] as Value;
}
