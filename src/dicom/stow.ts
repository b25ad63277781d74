/** STOW-RS (PS3.18 10.5): sends objects as they come, and reads what became of each. */
import { randomUUID } from 'node:crypto';
import { WetreadError } from '../domain/errors.ts';
import { demandOk, textOfBody } from './archive-answer.ts';
import type { Get } from './archive-http.ts';
import { sopInstanceUidOf } from './dataset.ts';
import { itemsOf, numberOf, parseRow, present, textOf, type DicomJsonRow } from './dicom-json.ts';
import type { Limiter } from './limiter.ts';
import { mediaType } from './multipart.ts';

export type StoredObject = {
  readonly sopUid: string;
  readonly url?: string;
  /** Warning Reason (0008,1196): kept, but not quite as it was sent. */
  readonly warning?: number;
};
export type FailedObject = {
  /** Absent for an object that the archive could not read. */
  readonly sopUid?: string;
  /** Failure Reason (0008,1197); absent when the archive said nothing of this object at all. */
  readonly reason?: number;
};
export type StoreResult = { readonly stored: readonly StoredObject[]; readonly failed: readonly FailedObject[] };

const maxAnswerBytes = 64 * 1024 * 1024;

export function stowStore({ get, limiter }: { get: Get; limiter: Limiter }) {
  /**
   * `files` is called again for another try, which does no harm: the same object stored twice is one object. Throws when
   * the request as a whole failed; objects that were refused one by one are in the result.
   */
  return async (
    files: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: { readonly study?: string; readonly signal?: AbortSignal } = {},
  ): Promise<StoreResult> => {
    const boundary = `wetread-${randomUUID()}`;
    let sent: (string | undefined)[] = [];
    async function* body(): AsyncGenerator<Uint8Array> {
      sent = [];
      for await (const file of files()) {
        sent.push(sopInstanceUidOf(file));
        yield Buffer.from(`--${boundary}\r\nContent-Type: application/dicom\r\nContent-Length: ${file.length}\r\n\r\n`);
        yield file;
        yield Buffer.from('\r\n');
      }
      yield Buffer.from(`--${boundary}--\r\n`);
    }
    const path = options.study === undefined ? 'studies' : `studies/${options.study}`;
    const answer = await get(path, {
      accept: 'application/dicom+json',
      signal: options.signal,
      limiter,
      send: { contentType: `multipart/related; type="application/dicom"; boundary=${boundary}`, body },
    });
    // 202: some were refused or changed; 409: all were. Both say which and why (PS3.18 10.5.3.1).
    if (answer.status === 413) {
      await answer.body.return?.();
      throw new WetreadError('dicom.too-large', 'the archive takes no request of this size');
    }
    if (answer.status !== 202 && answer.status !== 409) await demandOk(answer);
    const text = await textOfBody(answer, maxAnswerBytes);
    const type = mediaType(answer.headers.get('content-type') ?? '');
    return accountOf(sent, /xml/.test(type) ? xmlAnswer(text) : jsonAnswer(text), answer.status === 200);
  };
}

/** Every object that was sent is stored or failed: one that the answer passes over was not promised to be kept. */
function accountOf(
  sent: readonly (string | undefined)[],
  { stored, failed }: StoreResult,
  allWell: boolean,
): StoreResult {
  // An answer of 200 without any list: some archives think that says it all, and PS3.18 lets them.
  if (allWell && stored.length === 0 && failed.length === 0)
    return { stored: sent.flatMap((sopUid) => (sopUid === undefined ? [] : [{ sopUid }])), failed: [] };
  const told = new Set([...stored, ...failed].map(({ sopUid }) => sopUid));
  const silent = sent.filter((uid) => uid !== undefined && !told.has(uid)).map((sopUid) => ({ sopUid: sopUid! }));
  return { stored, failed: [...failed, ...silent] };
}

function jsonAnswer(text: string): StoreResult {
  if (text.trim() === '') return { stored: [], failed: [] };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new WetreadError('archive.bad-answer', 'the answer is not JSON', { cause });
  }
  // Some put the one dataset into a list.
  return resultOf(parseRow(Array.isArray(parsed) ? (parsed[0] ?? {}) : parsed));
}

function resultOf(row: DicomJsonRow): StoreResult {
  return {
    stored: itemsOf(row, 'ReferencedSOPSequence').flatMap((item) => {
      const sopUid = textOf(item, 'ReferencedSOPInstanceUID');
      if (sopUid === undefined) return [];
      return [present({ sopUid, url: textOf(item, 'RetrieveURL'), warning: numberOf(item, 'WarningReason') })];
    }),
    failed: itemsOf(row, 'FailedSOPSequence').map((item) =>
      present({ sopUid: textOf(item, 'ReferencedSOPInstanceUID'), reason: numberOf(item, 'FailureReason') }),
    ),
  };
}

/** The Native DICOM Model (PS3.19 A.1), which archives of the first editions answer whatever was asked for. */
function xmlAnswer(text: string): StoreResult {
  const sequence = (tag: string) => {
    const [, inside = ''] =
      new RegExp(`<DicomAttribute[^>]*tag="${tag}"[^>]*>([\\s\\S]*?</Item>)\\s*</DicomAttribute>`).exec(text) ?? [];
    return [...inside.matchAll(/<Item[^>]*>([\s\S]*?)<\/Item>/g)].map(([, item = '']) => item);
  };
  const value = (item: string, tag: string) =>
    new RegExp(`<DicomAttribute[^>]*tag="${tag}"[^>]*>\\s*<Value[^>]*>([^<]*)</Value>`).exec(item)?.[1]?.trim();
  const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
  return {
    stored: sequence('00081199').flatMap((item) => {
      const sopUid = value(item, '00081155');
      if (sopUid === undefined) return [];
      return [present({ sopUid, url: value(item, '00081190'), warning: number(value(item, '00081196')) })];
    }),
    failed: sequence('00081198').map((item) =>
      present({ sopUid: value(item, '00081155'), reason: number(value(item, '00081197')) }),
    ),
  };
}
