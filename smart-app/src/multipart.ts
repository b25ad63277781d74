/** Takes the one part out of a multipart/related answer (RFC 2387), or nothing when it was cut off. */

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

export function onlyPart(body: Uint8Array<ArrayBuffer>, contentType: string): Uint8Array<ArrayBuffer> | undefined {
  // An archive may answer with the bare file although several parts were allowed.
  if (/^application\/dicom\s*(;|$)/i.test(contentType)) return body.length > 132 ? body : undefined;
  const boundary = /boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType);
  if (boundary === null) return undefined;
  const delimiter = `--${boundary[1] ?? boundary[2]}`;
  const open = find(body, ascii(delimiter), 0);
  if (open < 0) return undefined;
  const headersEnd = find(body, ascii('\r\n\r\n'), open);
  if (headersEnd < 0) return undefined;
  const start = headersEnd + 4;
  // The closing delimiter is the proof that nothing is missing. It is looked for from the end: pixels may hold anything.
  const close = findLast(body, ascii(`\r\n${delimiter}--`), Math.max(start, body.length - 4_096));
  return close < 0 ? undefined : body.subarray(start, close);
}

function matchesAt(body: Uint8Array, wanted: Uint8Array, at: number): boolean {
  for (let index = 0; index < wanted.length; index++) if (body[at + index] !== wanted[index]) return false;
  return true;
}

function find(body: Uint8Array, wanted: Uint8Array, from: number): number {
  for (let at = from; at <= body.length - wanted.length; at++) if (matchesAt(body, wanted, at)) return at;
  return -1;
}

function findLast(body: Uint8Array, wanted: Uint8Array, downTo: number): number {
  for (let at = body.length - wanted.length; at >= downTo; at--) if (matchesAt(body, wanted, at)) return at;
  return -1;
}
