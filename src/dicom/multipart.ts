/** Reads multipart/related bodies (RFC 2046, RFC 2387) as they arrive, holding one part at a time, and demands their end. */
import { WetreadError } from '../domain/errors.ts';

export type Part = { readonly headers: ReadonlyMap<string, string>; readonly body: Uint8Array<ArrayBuffer> };

export type MultipartOptions = {
  readonly boundary: string;
  readonly maxPartBytes: number;
};

const maxHeaderBytes = 16 * 1024;
const newline = Buffer.from('\r\n');

/** The value of one parameter of a Content-Type, quoted or not; names are case-insensitive. */
export function contentTypeParameter(contentType: string, name: string): string | undefined {
  const parameter = /;\s*([!#$%&'*+.^_`|~\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))/g;
  for (const [, found, quoted, plain] of contentType.matchAll(parameter)) {
    if (found?.toLowerCase() === name.toLowerCase())
      return quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1');
  }
  return undefined;
}

export const mediaType = (contentType: string): string => (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();

/**
 * Throws `archive.incomplete` when the closing boundary does not come, `archive.bad-answer` when this is not multipart,
 * `dicom.too-large` when a part is larger than allowed.
 */
export async function* readMultipart(
  source: AsyncIterable<Uint8Array>,
  options: MultipartOptions,
): AsyncGenerator<Part> {
  for await (const { headers, body } of openedParts(source, options.boundary))
    yield { headers, body: await readBody(body, headers, options.maxPartBytes) };
}

/** What becomes of one part whose pieces are dealt with as they come. */
export type PartSink = {
  /** The next piece is taken when this resolves. */
  write(piece: Uint8Array): Promise<void>;
  end(): Promise<void>;
};

/** The same without holding a part: for senders whose objects may be larger than memory. */
export async function passMultipart(
  source: AsyncIterable<Uint8Array>,
  boundary: string,
  begin: (headers: ReadonlyMap<string, string>) => Promise<PartSink>,
): Promise<void> {
  for await (const { headers, body } of openedParts(source, boundary)) {
    const sink = await begin(headers);
    const beyond = () => new WetreadError('internal.unexpected');
    await body((piece) => sink.write(piece), { bytes: Number.POSITIVE_INFINITY, beyond });
    await sink.end();
  }
}

type OpenedPart = {
  readonly headers: ReadonlyMap<string, string>;
  /** Hands over the body, which must be taken before the next part is asked for. Returns its length. */
  body(give: (piece: Buffer) => void | Promise<void>, limit: Limit): Promise<number>;
};

/** Parts whose headers were read. */
async function* openedParts(source: AsyncIterable<Uint8Array>, boundary: string): AsyncGenerator<OpenedPart> {
  const reader = byteReader(source);
  // RFC 2046 5.1.1: the line break before a delimiter belongs to it. The first one may open the body without.
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  reader.pretend(newline);
  // Whatever stands before the first delimiter is for readers without multipart; no archive writes much of it.
  const notMultipart = () => new WetreadError('archive.bad-answer', 'the boundary never comes');
  try {
    await reader.until(delimiter, () => {}, { bytes: 1024 * 1024, beyond: notMultipart });
    for (;;) {
      const ending = await afterDelimiter(reader);
      if (ending === 'close') break;
      if (ending === 'text') throw new WetreadError('archive.bad-answer', 'a boundary is followed by text');
      const headers = await readHeaders(reader);
      // A part may end with its headers: then the blank line's break is already the delimiter's (RFC 2046 5.1.1). Without this
      // the next part would be taken for the body of this one.
      reader.pretend(newline);
      yield {
        headers,
        async body(give, limit) {
          let before = newline.length;
          const passed = (piece: Buffer) => {
            const skipped = Math.min(before, piece.length);
            before -= skipped;
            return piece.length > skipped ? give(piece.subarray(skipped)) : undefined;
          };
          const length = await reader.until(delimiter, passed, { ...limit, bytes: limit.bytes + newline.length });
          return Math.max(0, length - newline.length);
        },
      };
    }
    await reader.drain();
  } finally {
    await reader.stop();
  }
}

/** RFC 2046: a delimiter is followed by blanks and a line break, the last one by two hyphens. */
async function afterDelimiter(reader: ByteReader): Promise<'part' | 'close' | 'text'> {
  const next = await reader.take(2);
  if (next.equals(Buffer.from('--'))) return 'close';
  let line = next;
  while (!line.subarray(-2).equals(newline)) {
    if (!/^[ \t]*\r?$/.test(line.toString('latin1'))) return 'text';
    line = Buffer.concat([line, await reader.take(1)]);
  }
  return /^[ \t]*\r\n$/.test(line.toString('latin1')) ? 'part' : 'text';
}

async function readHeaders(reader: ByteReader): Promise<ReadonlyMap<string, string>> {
  const tooLong = () => new WetreadError('archive.bad-answer', 'the headers of a part are too long');
  const headers = new Map<string, string>();
  let left = maxHeaderBytes;
  for (;;) {
    const chunks: Buffer[] = [];
    left -= await reader.until(newline, (bytes) => chunks.push(bytes), { bytes: left, beyond: tooLong });
    const line = Buffer.concat(chunks).toString('latin1');
    if (line === '') return headers;
    const colon = line.indexOf(':');
    // A delimiter in the middle of headers is such a line: the part before it would vanish.
    const named = /^(?!--)[!#$%&'*+.^_`|~\w-]+[ \t]*:/.test(line);
    if (!named && !/^[ \t]/.test(line)) throw new WetreadError('archive.bad-answer', 'a header of a part has no name');
    if (named) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
}

async function readBody(
  take: OpenedPart['body'],
  headers: ReadonlyMap<string, string>,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () => new WetreadError('dicom.too-large', `a part of more than ${maxBytes} bytes`);
  const announced = Number(headers.get('content-length') ?? Number.NaN);
  if (announced > maxBytes) throw tooLarge();
  // Where its length is known a part lies in memory once; pages that never come are never taken.
  if (Number.isInteger(announced) && announced >= 0) {
    const body = new Uint8Array(announced);
    let at = 0;
    const length = await take(
      (bytes) => {
        if (at + bytes.length <= announced) body.set(bytes, at);
        at += bytes.length;
      },
      { bytes: maxBytes, beyond: tooLarge },
    );
    if (length !== announced)
      throw new WetreadError('archive.incomplete', `a part of ${length} bytes announced ${announced}`);
    return body;
  }
  const chunks: Buffer[] = [];
  const length = await take((bytes) => void chunks.push(bytes), { bytes: maxBytes, beyond: tooLarge });
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

type ByteReader = ReturnType<typeof byteReader>;
type Limit = { readonly bytes: number; readonly beyond: () => Error };

/** Bytes that come in chunks of any size, read as if they lay in one row. */
function byteReader(source: AsyncIterable<Uint8Array>) {
  const iterator = source[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);

  async function more(): Promise<void> {
    const { value, done } = await iterator.next();
    if (done === true) throw new WetreadError('archive.incomplete', 'the answer ends before its closing boundary');
    const chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
  }

  return {
    /** Puts bytes in front of everything. */
    pretend(bytes: Buffer) {
      held = Buffer.concat([bytes, held]);
    },
    async take(count: number): Promise<Buffer> {
      while (held.length < count) await more();
      const taken = Buffer.from(held.subarray(0, count));
      held = held.subarray(count);
      return taken;
    },
    /** Hands over everything up to the mark, and skips the mark. Returns the number of bytes before it. */
    async until(mark: Buffer, give: (bytes: Buffer) => unknown, limit: Limit): Promise<number> {
      let given = 0;
      const pass = async (count: number) => {
        given += count;
        if (given > limit.bytes) throw limit.beyond();
        if (count > 0) await give(held.subarray(0, count));
      };
      for (;;) {
        const at = held.indexOf(mark);
        if (at >= 0) {
          await pass(at);
          held = held.subarray(at + mark.length);
          return given;
        }
        // The mark may have begun in the last bytes; only they wait for the next chunk.
        const sure = Math.max(0, held.length - mark.length + 1);
        await pass(sure);
        held = held.subarray(sure);
        await more();
      }
    },
    /** The epilogue means nothing, but a connection is only fit for another request when its answer was read. */
    async drain(): Promise<void> {
      held = Buffer.alloc(0);
      while ((await iterator.next()).done !== true);
    },
    /** Lets go of the connection when the reading ends before it does. */
    async stop(): Promise<void> {
      await iterator.return?.();
    },
  };
}
