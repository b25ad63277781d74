/**
 * Pictures cross to a model process in a file without a name, in memory, that both hold open.
 *
 * Sent as messages, 1.5 MB cost both sides 3 ms of processor time (copied by the serializer, cut into pieces by the
 * socket, copied again); written and read here, 0.6 ms. On the two cores that run the net this is the difference
 * between 94 % and 99 % of what the net alone reaches. The file has no name from the moment it exists, so that nothing
 * is left behind however the service ends, and it lies in memory, so that no picture reaches a disk.
 */
import { closeSync, existsSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { randomUUID } from 'node:crypto';

const folder = '/dev/shm';
/** Where the model process finds the file: after its input, outputs, and the messages. */
export const sharedFileDescriptor = 4;
/** Each picture in flight has its own stretch; the file takes memory only for what was written. */
const stretchBytes = 2 ** 26;
/** Smaller ones are cheaper in the message. */
const smallestBytes = 2 ** 14;

const kinds = { Float32Array, Uint8Array, Uint16Array, Int16Array, Int32Array, Float64Array } as const;
type Kind = keyof typeof kinds;
type Shared = { readonly inSharedFile: Kind; readonly at: number; readonly length: number };

export interface SharedFile {
  readonly descriptor: number;
  /** The message with its large arrays replaced by where they lie; what finds no room stays in the message. */
  write<Message>(message: Message, stretch: number): Message;
  close(): void;
}

/** Undefined where there is no such place: everything then travels in messages. */
export function sharedFile(): SharedFile | undefined {
  if (!existsSync(folder)) return undefined;
  const name = `${folder}/wetread-${randomUUID()}`;
  let descriptor: number;
  try {
    descriptor = openSync(name, 'wx+', 0o600);
    unlinkSync(name);
  } catch {
    return undefined;
  }
  let open = true;
  return {
    descriptor,
    write(message, stretch) {
      let used = 0;
      return replaced(message, (value) => {
        const kind = kindOf(value);
        if (kind === undefined || !open) return undefined;
        const array = value as InstanceType<(typeof kinds)[Kind]>;
        const bytes = Math.ceil(array.byteLength / 64) * 64;
        if (array.byteLength < smallestBytes || used + bytes > stretchBytes) return undefined;
        const at = stretch * stretchBytes + used;
        try {
          writeAll(descriptor, array, at);
        } catch {
          // The place is full, as containers give it 64 MB: messages still work.
          return undefined;
        }
        used += bytes;
        return { inSharedFile: kind, at, length: array.length } satisfies Shared;
      });
    },
    close() {
      if (open) closeSync(descriptor);
      open = false;
    },
  };
}

/** The message as it was before {@link SharedFile.write}; the arrays are copies, so that the stretch may be used again. */
export function readShared<Message>(message: Message): Message {
  return replaced(message, (value) => {
    if (!('inSharedFile' in value)) return undefined;
    const { inSharedFile, at, length } = value as Shared;
    const array = new kinds[inSharedFile](length);
    let done = 0;
    while (done < array.byteLength) {
      const read = readSync(sharedFileDescriptor, array, done, array.byteLength - done, at + done);
      if (read === 0) throw new Error('the shared file ends before the picture does');
      done += read;
    }
    return array;
  });
}

function writeAll(descriptor: number, array: NodeJS.ArrayBufferView, at: number): void {
  let done = 0;
  while (done < array.byteLength) done += writeSync(descriptor, array, done, array.byteLength - done, at + done);
}

const kindOf = (value: object): Kind | undefined =>
  ArrayBuffer.isView(value) && value.constructor.name in kinds ? (value.constructor.name as Kind) : undefined;

/** A copy of the plain objects and arrays in a message, with some of its values exchanged. */
function replaced<Value>(value: Value, exchange: (value: object) => unknown): Value {
  if (typeof value !== 'object' || value === null) return value;
  const exchanged = exchange(value);
  if (exchanged !== undefined) return exchanged as Value;
  if (Array.isArray(value)) return value.map((one: unknown) => replaced(one, exchange)) as Value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, replaced(one, exchange)])) as Value;
}
