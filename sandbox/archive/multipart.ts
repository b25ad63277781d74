/** `multipart/related` (RFC 2387), written and read for DICOMweb. */
import { randomUUID } from 'node:crypto';

export type Part = { readonly type: string; readonly location?: string; readonly body: Uint8Array };

export function writeMultipart(
  type: string,
  parts: readonly Part[],
): { readonly contentType: string; readonly body: Buffer } {
  const boundary = `hospital-${randomUUID()}`;
  const chunks = parts.flatMap(({ type, location, body }) => [
    Buffer.from(
      `--${boundary}\r\nContent-Type: ${type}\r\n${location === undefined ? '' : `Content-Location: ${location}\r\n`}\r\n`,
    ),
    body,
    Buffer.from('\r\n'),
  ]);
  return {
    contentType: `multipart/related; type="${type}"; boundary=${boundary}`,
    body: Buffer.concat([...chunks, Buffer.from(`--${boundary}--\r\n`)]),
  };
}

/** Undefined when the body is not a complete multipart message: no boundary, no closing one, or a part without headers. */
export function readMultipart(contentType: string, body: Buffer): Part[] | undefined {
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType);
  const name = boundary?.[1] ?? boundary?.[2];
  if (name === undefined) return undefined;
  const delimiter = Buffer.from(`--${name}`);
  const parts: Part[] = [];
  let at = body.indexOf(delimiter);
  while (at !== -1) {
    const after = at + delimiter.length;
    if (body.subarray(after, after + 2).toString('latin1') === '--') return parts;
    const next = body.indexOf(Buffer.concat([Buffer.from('\r\n'), delimiter]), after);
    const headersEnd = body.indexOf('\r\n\r\n', after);
    if (next === -1 || headersEnd === -1 || headersEnd > next) return undefined;
    const headers = body.subarray(after, headersEnd).toString('latin1');
    parts.push({
      type: /^content-type:\s*(.+)$/im.exec(headers)?.[1]?.trim() ?? '',
      body: body.subarray(headersEnd + 4, next),
    });
    at = next + 2;
  }
  return undefined;
}
