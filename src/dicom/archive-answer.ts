/** What an archive's answer must be before anything is read from it, and the reading of whole bodies within a limit. */
import { WetreadError } from '../domain/errors.ts';
import type { Answer } from './archive-http.ts';
import { mediaType } from './multipart.ts';

/** Ends an answer that nobody reads; its place among the concurrent requests is free again. */
export async function leave(answer: Answer): Promise<void> {
  await answer.body.return?.();
}

export const isRedirect = (status: number): boolean => status >= 300 && status < 400 && status !== 304;

export async function demandOk(answer: Answer): Promise<void> {
  const { status } = answer;
  if (status === 200) return;
  await leave(answer);
  if (status === 401 || status === 403) throw new WetreadError('archive.refused', `status ${status}`);
  if (status === 404 || status === 410) throw new WetreadError('archive.not-found');
  if (status === 206) throw new WetreadError('archive.incomplete', 'status 206');
  if (status >= 500) throw new WetreadError('archive.error', `status ${status}`);
  if (isRedirect(status))
    throw new WetreadError('archive.bad-answer', 'it redirects to another address; configure that one');
  throw new WetreadError('archive.bad-answer', `status ${status}`);
}

export async function demandType(answer: Answer, ...types: readonly string[]): Promise<void> {
  const type = mediaType(answer.headers.get('content-type') ?? '');
  if (types.includes(type)) return;
  await leave(answer);
  throw new WetreadError('archive.bad-answer', type === '' ? 'it has no content type' : `it is ${type.slice(0, 60)}`);
}

/** JSON under whatever name; a page for people or XML is another thing. */
export async function demandJson(answer: Answer): Promise<void> {
  const type = mediaType(answer.headers.get('content-type') ?? '');
  if (/^($|application\/dicom\+json$|application\/json$|text\/(json|plain)$|application\/octet-stream$)/.test(type))
    return;
  await leave(answer);
  throw new WetreadError('archive.bad-answer', `it is ${type.slice(0, 60)}`);
}

export async function textOfBody(answer: Answer, maxBytes: number): Promise<string> {
  const tooLong = () => new WetreadError('archive.bad-answer', 'the list is larger than any list should be');
  return Buffer.concat(await chunksOf(answer, maxBytes, tooLong)).toString('utf8');
}

/** Throws `dicom.too-large` beyond the limit. */
export async function bytesOfBody(answer: Answer, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () => new WetreadError('dicom.too-large', `more than ${maxBytes} bytes`);
  if (Number(answer.headers.get('content-length') ?? 0) > maxBytes) {
    await leave(answer);
    throw tooLarge();
  }
  const chunks = await chunksOf(answer, maxBytes, tooLarge);
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

async function chunksOf(answer: Answer, maxBytes: number, beyond: () => Error): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body) {
    length += chunk.length;
    if (length > maxBytes) throw beyond();
    chunks.push(chunk);
  }
  return chunks;
}
