/** The little of Protocol Buffers that tensors need: fields written and read by number, large ones without a copy. */

/** A message to be: pieces, so that a tensor is not copied into one. */
export class ProtoWriter {
  readonly pieces: Uint8Array[] = [];
  length = 0;
  #open: number[] = [];

  #flush(): void {
    if (this.#open.length > 0) this.#add(Uint8Array.from(this.#open));
    this.#open = [];
  }

  #add(piece: Uint8Array): void {
    this.pieces.push(piece);
    this.length += piece.length;
  }

  #varint(value: bigint): void {
    // Negative numbers take ten bytes, as two's complement of 64 bits.
    let rest = BigInt.asUintN(64, value);
    for (; rest > 0x7fn; rest >>= 7n) this.#open.push(Number(rest & 0x7fn) | 0x80);
    this.#open.push(Number(rest));
  }

  integer(field: number, value: number | bigint): this {
    this.#varint(BigInt(field << 3));
    this.#varint(BigInt(value));
    return this;
  }

  float(field: number, value: number): this {
    this.#varint(BigInt((field << 3) | 5));
    this.#open.push(...new Uint8Array(Float32Array.of(value).buffer));
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint(BigInt((field << 3) | 2));
    this.#varint(BigInt(value.length));
    this.#flush();
    this.#add(value);
    return this;
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value));
  }

  message(field: number, fill: (inner: ProtoWriter) => unknown): this {
    const inner = new ProtoWriter();
    fill(inner);
    const pieces = inner.done();
    this.#varint(BigInt((field << 3) | 2));
    this.#varint(BigInt(inner.length));
    this.#flush();
    for (const piece of pieces) this.#add(piece);
    return this;
  }

  packedIntegers(field: number, values: readonly number[]): this {
    return this.message(field, (inner) => {
      for (const value of values) inner.#varint(BigInt(value));
    });
  }

  done(): readonly Uint8Array[] {
    this.#flush();
    return this.pieces;
  }
}

export type ProtoField = { readonly field: number } & (
  | { readonly kind: 'varint'; readonly value: bigint }
  | { readonly kind: 'bytes'; readonly value: Uint8Array }
  /** 32 or 64 bits, little endian. */
  | { readonly kind: 'fixed'; readonly value: Uint8Array }
);

/** The fields of a message in the order they stand there. Throws `RangeError` when it is cut off or is none. */
export function* protoFields(message: Uint8Array): Generator<ProtoField> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at];
      if (byte === undefined) break;
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new RangeError('a number in the message does not end');
  };
  const take = (length: number): Uint8Array => {
    if (length > message.length - at) throw new RangeError('the message ends before its field does');
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = Number(varint());
    const field = tag >>> 3;
    switch (tag & 7) {
      case 0:
        yield { field, kind: 'varint', value: varint() };
        break;
      case 1:
        yield { field, kind: 'fixed', value: take(8) };
        break;
      case 2:
        yield { field, kind: 'bytes', value: take(Number(varint())) };
        break;
      case 5:
        yield { field, kind: 'fixed', value: take(4) };
        break;
      default:
        throw new RangeError(`the message has a field of an unknown kind (${tag & 7})`);
    }
  }
}

export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

/** Repeated numbers, as they may stand: packed into one field, or one by one. */
export function integersOf(fields: readonly ProtoField[], field: number): number[] {
  return fields.flatMap((one) => {
    if (one.field !== field) return [];
    if (one.kind === 'varint') return [Number(BigInt.asIntN(64, one.value))];
    if (one.kind !== 'bytes') return [];
    const numbers: number[] = [];
    // Packed numbers are the varints of a message without tags.
    let value = 0n;
    let shift = 0n;
    for (const byte of one.value) {
      value |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
      if (byte >= 0x80) continue;
      numbers.push(Number(BigInt.asIntN(64, value)));
      [value, shift] = [0n, 0n];
    }
    return numbers;
  });
}
