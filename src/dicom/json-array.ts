/** Reads a JSON array as it arrives, holding one element at a time: the metadata of a large study is larger than its reader may be. */
import { WetreadError } from '../domain/errors.ts';

const [quote, backslash, comma, openArray, closeArray, openObject, closeObject] = Buffer.from('"\\,[]{}');
/** Blanks of JSON, and the byte order mark that some servers put in front. */
const between: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf]);

/** Throws `archive.bad-answer` for what is not an array of objects, `archive.incomplete` when it does not end. */
export async function* jsonArray(
  source: AsyncIterable<Uint8Array>,
  { maxElementBytes }: { maxElementBytes: number },
): AsyncGenerator<unknown> {
  const wrong = (why: string) => new WetreadError('archive.bad-answer', why);
  let place: 'before' | 'between' | 'inside' | 'after' = 'before';
  let depth = 0;
  let inString = false;
  let escaped = false;
  let pieces: Uint8Array[] = [];
  let held = 0;
  const hold = (piece: Uint8Array) => {
    held += piece.length;
    if (held > maxElementBytes) throw wrong(`an element of more than ${maxElementBytes} bytes`);
    pieces.push(piece);
  };

  for await (const chunk of source) {
    let from = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at];
      if (place !== 'inside') {
        if (between.has(byte)) continue;
        if (place === 'before' && byte === openArray) place = 'between';
        else if (place === 'between' && byte === comma) continue;
        else if (place === 'between' && byte === closeArray) place = 'after';
        else if (place === 'between' && byte === openObject) {
          place = 'inside';
          from = at;
          depth = 1;
        } else throw wrong('the answer is not a list of DICOM JSON');
        continue;
      }
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else if (byte === quote) inString = false;
      } else if (byte === quote) inString = true;
      else if (byte === openObject || byte === openArray) depth += 1;
      else if ((byte === closeObject || byte === closeArray) && --depth === 0) {
        hold(chunk.subarray(from, at + 1));
        const text = Buffer.concat(pieces).toString('utf8');
        pieces = [];
        held = 0;
        place = 'between';
        yield parsed(text);
      }
    }
    // Copied: the rest of the chunk may be large and must not be kept alive by its last bytes.
    if (place === 'inside') hold(chunk.slice(from));
  }
  // For the compiler nothing has happened since the first line.
  const end = place as string;
  if (end === 'before') throw wrong('the answer is empty');
  if (end !== 'after') throw new WetreadError('archive.incomplete', 'the list ends before its closing bracket');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new WetreadError('archive.bad-answer', 'the answer is not JSON', { cause });
  }
}
