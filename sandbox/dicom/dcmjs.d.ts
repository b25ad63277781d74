/** The part of dcmjs that is used here; the package has no types of its own. */
declare module 'dcmjs' {
  type Element = { vr: string; Value?: unknown[]; _rawValue?: unknown };
  type Tags = Record<string, Element>;
  export class DicomDict {
    meta: Tags;
    dict: Tags;
    write(options?: { fragmentMultiframe?: boolean }): ArrayBuffer;
  }
  export const data: {
    DicomMessage: { readFile(buffer: ArrayBuffer, options?: { ignoreErrors?: boolean }): DicomDict };
    DicomMetaDictionary: {
      /** By keyword; `tag` is written "(0010,0020)". */
      nameMap: Record<string, { tag: string; vr: string } | undefined>;
      /** By tag, written "(0010,0020)". */
      dictionary: Record<string, { vr: string } | undefined>;
    };
  };
  export const log: { setLevel(level: string): void };
}
