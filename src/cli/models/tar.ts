/** Unpacks a .tar.gz with nothing but plain files in it: no links, no way out of the folder, no more than was allowed. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, normalize, sep } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { WetreadError } from '../../domain/errors.ts';

const block = 512;
const mostFiles = 2_000;

/** POSIX.1-2001 ustar with pax and GNU long names. */
export async function unpack(archive: Uint8Array, folder: string, maxBytes: number): Promise<string[]> {
  const fault = (says: string) => new WetreadError('model.pack-invalid', `the archive ${says}`);
  let bytes: Buffer;
  try {
    bytes = gunzipSync(archive, { maxOutputLength: maxBytes });
  } catch (cause) {
    throw fault(`cannot be unpacked: ${(cause as Error).message}`);
  }
  const files: string[] = [];
  let longName: string | undefined;
  for (let at = 0; at + block <= bytes.length;) {
    const header = bytes.subarray(at, at + block);
    if (header.every((byte) => byte === 0)) break;
    const size = Number.parseInt(text(header, 124, 12).trim() || '0', 8);
    const type = String.fromCharCode(header[156]!);
    const content = bytes.subarray(at + block, at + block + size);
    if (!Number.isInteger(size) || size < 0 || content.length < size) throw fault('ends too early');
    at += block + Math.ceil(size / block) * block;
    if (type === 'L') longName = text(content, 0, size);
    else if (type === 'x') longName = /^\d+ path=(.*)$/m.exec(content.toString('utf8'))?.[1] ?? longName;
    else if (type === 'g' || type === '5') longName = undefined;
    else if (type !== '0' && type !== '\0')
      throw fault(`holds something that is no plain file: ${text(header, 0, 100)}`);
    else {
      const prefix = text(header, 257, 5) === 'ustar' ? text(header, 345, 155) : '';
      const name = normalize(longName ?? join(prefix, text(header, 0, 100)));
      longName = undefined;
      if (name.startsWith('..') || name.startsWith(sep)) throw fault(`holds a file outside of itself: ${name}`);
      if (files.push(name) > mostFiles) throw fault(`holds more than ${mostFiles} files`);
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), content, { flag: 'wx' });
    }
  }
  return files;
}

const text = (bytes: Uint8Array, from: number, length: number): string => {
  const field = Buffer.from(bytes.buffer, bytes.byteOffset + from, length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? length : end);
};
