/** Reading and writing DICOM files with dcmjs: another implementation than the service's own, so that the two check each other. */
import { data, log } from 'dcmjs';

/** DICOM JSON (PS3.18, annex F). */
export type JsonElement = { readonly vr: string; readonly Value?: readonly unknown[]; readonly BulkDataURI?: string };
export type JsonDataset = Readonly<Record<string, JsonElement>>;

export type Part10 = {
  readonly transferSyntaxUid: string;
  /** Everything but the file meta information and the pixels. */
  readonly dataset: JsonDataset;
  /** One item per frame; empty when the object has no picture. */
  readonly frames: readonly Uint8Array[];
};

log.setLevel('silent');

const pixelData = '7FE00010';
const bulkVrs = new Set(['OB', 'OW', 'OF', 'OD', 'OL', 'OV', 'UN']);

/** `PatientID` → `00100020`; eight hexadecimal digits stay what they are. Undefined for what is neither. */
export function tagOf(name: string): string | undefined {
  if (/^[0-9A-Fa-f]{8}$/.test(name)) return name.toUpperCase();
  return data.DicomMetaDictionary.nameMap[name]?.tag.replaceAll(/[(),]/g, '').toUpperCase();
}

/** Throws when the bytes are not a DICOM file. Pixels are not looked at: a damaged picture is still archived. */
export function readPart10(file: Uint8Array): Part10 {
  const { meta, dict } = parsed(file);
  const transferSyntaxUid = String(meta['00020010']?.Value?.[0] ?? '');
  const { [pixelData]: pixels, ...rest } = dict;
  const dataset = jsonOf(rest);
  const frameCount = Number(dataset['00280008']?.Value?.[0] ?? 1);
  return { transferSyntaxUid, dataset, frames: pixels === undefined ? [] : framesIn(pixels, frameCount) };
}

/** The same file with other values for some elements: [tag, vr, value…]. The pixels stay byte for byte. */
export function withElements(
  file: Uint8Array,
  changes: readonly (readonly [tag: string, vr: string, ...values: unknown[]])[],
): Uint8Array {
  const message = parsed(file);
  for (const [tag, vr, ...Value] of changes) message.dict[tag] = { vr, Value };
  const [sopUid] = message.dict['00080018']?.Value ?? [];
  message.meta['00020003'] = { vr: 'UI', Value: [sopUid] };
  return new Uint8Array(message.write({ fragmentMultiframe: false }));
}

function parsed(file: Uint8Array): ReturnType<typeof data.DicomMessage.readFile> {
  const { buffer, byteOffset, byteLength } = file;
  return data.DicomMessage.readFile(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer);
}

type Tags = ReturnType<typeof parsed>['dict'];

/** dcmjs keeps the raw text beside each value, and binary values as buffers: neither belongs into JSON. */
function jsonOf(tags: Tags): JsonDataset {
  return Object.fromEntries(
    Object.entries(tags)
      .filter(([, { vr }]) => !bulkVrs.has(vr))
      .toSorted(([one], [other]) => one.localeCompare(other))
      .map(([tag, { vr, Value = [] }]): [string, JsonElement] => {
        const values =
          vr === 'SQ' ? Value.map((item) => jsonOf(item as Tags)) : Value.map((value) => valueOf(vr, value));
        // F.2.5: an element without values has no Value at all.
        return [tag, values.every((value) => value === '' || value === null) ? { vr } : { vr, Value: values }];
      }),
  );
}

function valueOf(vr: string, value: unknown): unknown {
  if (vr === 'PN') return typeof value === 'string' ? { Alphabetic: value } : value;
  if (vr === 'DS' || vr === 'IS')
    return value === '' || value === null || !Number.isFinite(Number(value)) ? null : Number(value);
  return value;
}

function framesIn(pixels: Tags[string], frameCount: number): Uint8Array[] {
  const parts = (pixels.Value ?? []).map((value) => new Uint8Array(value as ArrayBuffer));
  if (parts.length === frameCount) return parts;
  // One frame in several fragments, or all frames of an uncompressed object in one piece.
  const whole = parts.length === 1 ? parts[0]! : new Uint8Array(Buffer.concat(parts));
  const size = whole.byteLength / frameCount;
  return Array.from({ length: frameCount }, (_, index) =>
    whole.subarray(Math.round(index * size), Math.round((index + 1) * size)),
  );
}
