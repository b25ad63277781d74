/** WADO-RS (PS3.18 10.4): objects, headers, frames and bulk data, whole or not at all. */
import { WetreadError } from '../domain/errors.ts';
import type { SeriesUid, SopUid, StudyUid } from '../domain/ids.ts';
import type { InstanceMetadata } from '../domain/study.ts';
import { bytesOfBody, demandJson, demandOk, demandType, leave } from './archive-answer.ts';
import type { Answer, Get } from './archive-http.ts';
import { sopInstanceUidOf } from './dataset.ts';
import { parseRow } from './dicom-json.ts';
import { instanceMetadata } from './instance-metadata.ts';
import { jsonArray } from './json-array.ts';
import type { Limiter } from './limiter.ts';
import { contentTypeParameter, mediaType, readMultipart, type Part } from './multipart.ts';
import { readAhead } from './read-ahead.ts';

/** `*` matters: without it an archive sends JPEG 2000 as explicit little endian, and some then stop in the middle. */
const acceptDicom = 'multipart/related; type="application/dicom"; transfer-syntax=*';
const acceptBytes = 'multipart/related; type="application/octet-stream"; transfer-syntax=*';

/** An enhanced object with thousands of frames; a classic header has some 10 kB. */
const maxHeaderBytes = 64 * 1024 * 1024;
const mostAhead = 4;
/** Of objects that wait for their consumer, all together. */
const aheadBytes = 64 * 1024 * 1024;

export type Frame = {
  /** Counted from 1, as in the request. */
  readonly number: number;
  readonly transferSyntaxUid: string | undefined;
  readonly bytes: Uint8Array<ArrayBuffer>;
};

export function wadoRetrieve({
  baseUrl,
  get,
  limiter,
  maxInstanceBytes,
}: {
  baseUrl: string;
  get: Get;
  limiter: Limiter;
  maxInstanceBytes: number;
}) {
  async function answerTo(path: string, accept: string, signal: AbortSignal | undefined): Promise<Answer> {
    const answer = await get(path, { accept, signal, limiter });
    await demandOk(answer);
    return answer;
  }

  /** Ends only when every promised object has come; otherwise throws `archive.incomplete`. */
  async function* objects(path: string, promised: readonly SopUid[], signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const missing = new Set<string>(promised);
    let nameless = 0;
    const answer = await answerTo(path, acceptDicom, signal);
    for await (const file of files(answer, maxInstanceBytes)) {
      const uid = sopInstanceUidOf(file);
      // A file too damaged to say its name still takes one of the promised places; the decoder will say what is wrong with it.
      if (uid === undefined) nameless += 1;
      else if (!missing.delete(uid))
        throw new WetreadError('archive.incomplete', 'an object came that the archive had not listed, or came twice');
      if (nameless > missing.size)
        throw new WetreadError('archive.incomplete', `more than the ${promised.length} objects listed`);
      yield file;
    }
    if (missing.size > nameless) {
      const came = promised.length - missing.size + nameless;
      throw new WetreadError('archive.incomplete', `${came} of ${promised.length} objects came`);
    }
  }

  async function instance(path: string, sop: SopUid, signal: AbortSignal): Promise<Uint8Array> {
    let whole: Uint8Array | undefined;
    for await (const file of objects(`${path}/${sop}`, [sop], signal)) whole = file;
    return whole!;
  }

  return {
    objects,

    async *instances(
      study: StudyUid,
      series: SeriesUid,
      sops: readonly SopUid[],
      signal?: AbortSignal,
    ): AsyncGenerator<Uint8Array> {
      const path = `studies/${study}/series/${series}/instances`;
      let largest = aheadBytes;
      yield* readAhead(sops, {
        async fetch(sop, stop) {
          const file = await instance(path, sop, stop);
          largest = largest === aheadBytes ? file.length : Math.max(largest, file.length);
          return file;
        },
        // One alone until its size is known: nobody says beforehand how large objects are.
        ahead: () => Math.min(mostAhead, Math.max(1, Math.floor(aheadBytes / largest))),
        signal,
      });
    },

    async metadata(path: string, signal?: AbortSignal): Promise<InstanceMetadata[]> {
      const answer = await answerTo(`${path}/metadata`, 'application/dicom+json', signal);
      await demandJson(answer);
      const found: InstanceMetadata[] = [];
      for await (const element of jsonArray(answer.body, { maxElementBytes: maxHeaderBytes })) {
        const one = instanceMetadata(parseRow(element));
        if (one !== undefined) found.push(one);
      }
      return found;
    },

    /** In the order asked for; each must come. */
    async *frames(
      study: StudyUid,
      series: SeriesUid,
      sop: SopUid,
      numbers: readonly number[],
      signal?: AbortSignal,
    ): AsyncGenerator<Frame> {
      const path = `studies/${study}/series/${series}/instances/${sop}/frames/${numbers.join(',')}`;
      const answer = await answerTo(path, acceptBytes, signal);
      let at = 0;
      for await (const { type, body } of parts(answer, maxInstanceBytes)) {
        const number = numbers[at++];
        if (number === undefined)
          throw new WetreadError('archive.incomplete', `more than the ${numbers.length} frames asked for`);
        yield { number, transferSyntaxUid: contentTypeParameter(type, 'transfer-syntax'), bytes: body };
      }
      if (at < numbers.length) throw new WetreadError('archive.incomplete', `${at} of ${numbers.length} frames came`);
    },

    /** A BulkDataURI out of metadata. An archive's word leads to that archive only: it must not send Wetread around the hospital's network. */
    async bulkData(uri: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
      const answer = await answerTo(pathBelow(baseUrl, uri), `${acceptBytes}, application/octet-stream`, signal);
      let whole: Uint8Array<ArrayBuffer> | undefined;
      for await (const { body } of parts(answer, maxInstanceBytes)) {
        if (whole !== undefined) throw new WetreadError('archive.bad-answer', 'bulk data in several parts');
        whole = body;
      }
      if (whole === undefined) throw new WetreadError('archive.incomplete', 'no bulk data came');
      return whole;
    },
  };
}

/** Same origin and below the DICOMweb root; relative ones are meant from that root (PS3.18 F.2.2). */
function pathBelow(baseUrl: string, uri: string): string {
  const root = `${new URL(baseUrl).href.replace(/\/+$/, '')}/`;
  const url = URL.canParse(uri, root) ? new URL(uri, root) : undefined;
  const plain = uri !== '' && url !== undefined && url.username === '' && url.password === '' && url.hash === '';
  if (!plain || !url.href.startsWith(root) || /%2e|%2f|%5c|\\/i.test(url.pathname))
    throw new WetreadError('archive.bad-answer', 'bulk data lies outside the archive');
  return url.href.slice(root.length);
}

/** The objects of an answer; a lone one may come without multipart. */
async function* files(answer: Answer, maxBytes: number): AsyncGenerator<Uint8Array> {
  await demandType(answer, 'multipart/related', 'application/dicom');
  for await (const { type, body } of parts(answer, maxBytes)) {
    if (type !== '' && !['application/dicom', 'application/octet-stream'].includes(mediaType(type)))
      throw new WetreadError('archive.bad-answer', `a part is ${mediaType(type).slice(0, 60)}`);
    yield body;
  }
}

async function* parts(answer: Answer, maxBytes: number): AsyncGenerator<Pick<Part, 'body'> & { type: string }> {
  const contentType = answer.headers.get('content-type') ?? '';
  if (mediaType(contentType) !== 'multipart/related') {
    await demandType(answer, 'application/dicom', 'application/octet-stream');
    yield { type: contentType, body: await bytesOfBody(answer, maxBytes) };
    return;
  }
  const boundary = contentTypeParameter(contentType, 'boundary');
  if (boundary === undefined || boundary === '') {
    await leave(answer);
    throw new WetreadError('archive.bad-answer', 'multipart without a boundary');
  }
  for await (const { headers, body } of readMultipart(answer.body, { boundary, maxPartBytes: maxBytes })) {
    yield { type: headers.get('content-type') ?? '', body };
  }
}
