/** Whether two files hold the same object. Programs on the way write the same in other words: sequences with and without lengths, tables of offsets, padding. */
import { open, type FileHandle } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { headerJson } from './header-json.ts';
import { readHead, type Head } from './read-head.ts';

const pieceBytes = 1024 * 1024;

/** The same transfer syntax, the same standard attributes, the same pixels. Makers' own elements are not compared. */
export async function sameObject(one: string, other: string, maxBytes: number): Promise<boolean> {
  const files: FileHandle[] = [];
  try {
    for (const path of [one, other]) files.push(await open(path, 'r'));
    const [first, second] = files as [FileHandle, FileHandle];
    const sizes = [(await first.stat()).size, (await second.stat()).size] as const;
    const [left, right] = [await readHead(first, sizes[0], maxBytes), await readHead(second, sizes[1], maxBytes)];
    if (left.dataset.transferSyntaxUid !== right.dataset.transferSyntaxUid) return false;
    const headers = [await headerJson(left.head, { maxBytes }), await headerJson(right.head, { maxBytes })];
    if (!isDeepStrictEqual(headers[0], headers[1])) return false;
    const pixels = [pixelsOf(first, sizes[0], left), pixelsOf(second, sizes[1], right)] as const;
    if (left.dataset.pixelData?.length !== undefined) return await samePixels(pixels[0], pixels[1], 0, 0);
    return await samePixels(...pixels, await offsetTableIn(pixels[0]), await offsetTableIn(pixels[1]));
  } finally {
    for (const file of files) await file.close();
  }
}

type Pixels = { readonly length: number; read(from: number, length: number): Promise<Uint8Array> };

/** From where they begin to the end of the file. */
function pixelsOf(file: FileHandle, size: number, { head, dataset }: Head): Pixels {
  const { pixelData, bytes } = dataset;
  if (pixelData === undefined) return { length: 0, read: async () => new Uint8Array() };
  // What was inflated has no place in the file.
  if (bytes.length !== head.length) {
    const inflated = bytes.subarray(pixelData.offset);
    return { length: inflated.length, read: async (from, length) => inflated.subarray(from, from + length) };
  }
  return {
    length: size - pixelData.offset,
    async read(from, length) {
      const piece = new Uint8Array(length);
      for (let at = 0; at < length;) {
        const { bytesRead } = await file.read(piece, at, length - at, pixelData.offset + from + at);
        if (bytesRead === 0) return piece.subarray(0, at);
        at += bytesRead;
      }
      return piece;
    },
  };
}

/** The Basic Offset Table comes first among fragments (PS3.5 A.4). It may be empty, and says nothing that the fragments do not. */
async function offsetTableIn(pixels: Pixels): Promise<number> {
  const item = await pixels.read(0, 8);
  return item.length < 8 ? 0 : 8 + new DataView(item.buffer, item.byteOffset).getUint32(4, true);
}

async function samePixels(left: Pixels, right: Pixels, leftFrom: number, rightFrom: number): Promise<boolean> {
  const length = left.length - leftFrom;
  if (length !== right.length - rightFrom) return false;
  for (let at = 0; at < length; at += pieceBytes) {
    const size = Math.min(pieceBytes, length - at);
    const pieces = [await left.read(leftFrom + at, size), await right.read(rightFrom + at, size)] as const;
    if (Buffer.compare(...pieces) !== 0) return false;
  }
  return true;
}
