/** Character sets of HL7 v2: what MSH-18 (table 0211) says, and text that says nothing. */

/** Names of table 0211, without spaces and dashes, to what TextDecoder calls them. */
const encodings: ReadonlyMap<string, string> = new Map([
  ...[1, 2, 3, 4, 5, 6, 7, 8, 15].map((part) => [`8859/${part}`, `iso-8859-${part}`] as const),
  // WHATWG reads Latin 5 and Thai as the Windows pages that contain them.
  ['8859/9', 'windows-1254'],
  ['8859/11', 'windows-874'],
  ['UNICODEUTF8', 'utf-8'],
  ['UNICODE', 'utf-8'],
  ['UTF8', 'utf-8'],
  // The Japanese sets switch by escape sequences, which one decoder follows.
  ['ISOIR14', 'iso-2022-jp'],
  ['ISOIR87', 'iso-2022-jp'],
  ['ISOIR159', 'iso-2022-jp'],
  ['GB180302000', 'gb18030'],
  ['KSX1001', 'euc-kr'],
  ['BIG5', 'big5'],
]);

/** `declared` is MSH-18 as it stands, repetitions and all: the first that names more than ASCII decides. */
export function decodeText(bytes: Uint8Array, declared: string, repetition: string): string {
  const names = (repetition === '' ? [declared] : declared.split(repetition)).map((name) =>
    name.toUpperCase().replaceAll(/[\s_-]/g, ''),
  );
  const encoding = names.map((name) => encodings.get(name)).find((name) => name !== undefined);
  if (encoding !== undefined) return new TextDecoder(encoding, { ignoreBOM: true }).decode(bytes);
  // ASCII, an unknown name or none: UTF-8 proves itself, everything else is read as Latin 1, which reads anything.
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // As WHATWG reads it: with the quotes and dashes of Windows, which such senders mean.
    return new TextDecoder('iso-8859-1').decode(bytes);
  }
}
