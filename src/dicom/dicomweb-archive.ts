/** The image archive over DICOMweb: QIDO-RS to find, WADO-RS to fetch, nothing taken for complete that is not. */
import { WetreadError } from '../domain/errors.ts';
import { seriesUid, sopUid, studyUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { Archive } from '../domain/ports.ts';
import type { InstanceSummary, SeriesSummary, StudySummary } from '../domain/study.ts';
import { archiveGet, type Answer } from './archive-http.ts';
import { sopInstanceUidOf } from './dataset.ts';
import { dateTime } from './date-time.ts';
import { numberOf, parseRows, queryTags, textOf, textsOf, type DicomJsonRow } from './dicom-json.ts';
import { limiter } from './limiter.ts';
import { contentTypeParameter, mediaType, readMultipart } from './multipart.ts';

export type DicomwebArchiveOptions = {
  readonly baseUrl: string;
  /** The whole Authorization header; asked for each request, as tokens expire. */
  readonly authorization?: (() => Promise<string | undefined>) | undefined;
  /** Longest silence of the archive. */
  readonly timeoutMs?: number;
  readonly maxInstanceBytes?: number;
  /** Requests at once; as many again for the viewer, which must not wait behind the jobs. */
  readonly maxConcurrent?: number;
  readonly logger: Logger;
};

/** The viewer's way through: an answer as the archive gave it, but for `archive.refused` and `archive.unreachable`, which are thrown. */
export type Forwarding = {
  forward(path: string, request: { accept: string; signal?: AbortSignal }): Promise<Response>;
};

const pageSize = 200;
const maxJsonBytes = 64 * 1024 * 1024;

/** `*` matters: without it an archive sends JPEG 2000 as explicit little endian, and some then stop in the middle. */
const acceptDicom = 'multipart/related; type="application/dicom"; transfer-syntax=*';
const acceptJson = 'application/dicom+json';

export function dicomwebArchive(options: DicomwebArchiveOptions): Archive & Forwarding {
  const { logger, timeoutMs = 30_000, maxInstanceBytes = 512 * 1024 * 1024, maxConcurrent = 4 } = options;
  const baseUrl = checkedBase(options.baseUrl);
  const get = archiveGet({ baseUrl, authorization: options.authorization, timeoutMs, logger });
  const jobs = limiter(maxConcurrent);
  const viewers = limiter(maxConcurrent);

  async function queryPage(
    path: string,
    parameters: URLSearchParams,
    signal: AbortSignal | undefined,
  ): Promise<{ rows: DicomJsonRow[]; more: boolean }> {
    const answer = await get(`${path}?${parameters}`, { accept: acceptJson, signal, limiter: jobs });
    if (answer.status === 204) {
      await answer.body.return?.();
      return { rows: [], more: false };
    }
    // Any archive can be asked for its studies: where it cannot, something else answers at this address.
    if (answer.status === 404 && path === 'studies') {
      await answer.body.return?.();
      throw new WetreadError('archive.bad-answer', 'status 404');
    }
    await demandOk(answer);
    await demandType(answer, 'application/dicom+json', 'application/json');
    // PS3.18 8.3.4.4: an archive that gives less than was asked for says so with warning 299.
    return { rows: parseRows(await textOfBody(answer)), more: /\b299\b/.test(answer.headers.get('warning') ?? '') };
  }

  /** Pages until one is short; copes with archives that ignore `limit`, `offset` or both. */
  async function query(
    path: string,
    parameters: Record<string, string | readonly string[]>,
    uidOf: (row: DicomJsonRow) => string | undefined,
    signal: AbortSignal | undefined,
    window: { limit?: number | undefined; offset?: number | undefined } = {},
  ): Promise<DicomJsonRow[]> {
    const { limit = Number.POSITIVE_INFINITY, offset = 0 } = window;
    const found = new Map<string, DicomJsonRow>();
    const keep = (rows: readonly DicomJsonRow[]) => {
      const before = found.size;
      for (const row of rows) found.set(uidOf(row) ?? `without a UID ${found.size}`, row);
      return found.size - before;
    };
    for (let at = offset; found.size < limit;) {
      const wanted = Math.min(pageSize, limit - found.size);
      const { rows, more } = await queryPage(path, searchParameters(parameters, { limit: wanted, offset: at }), signal);
      if (rows.length > wanted) {
        // The limit meant nothing to it, so this is everything there is.
        found.clear();
        keep(rows);
        return [...found.values()].slice(offset, offset + limit);
      }
      const fresh = keep(rows);
      if (fresh === 0 && rows.length > 0) {
        logger.warn('the archive gives the same page again; asking for everything at once');
        found.clear();
        keep((await queryPage(path, searchParameters(parameters, {}), signal)).rows);
        return [...found.values()].slice(offset, offset + limit);
      }
      at += rows.length;
      if (rows.length === 0 || (rows.length < wanted && !more)) break;
    }
    return [...found.values()].slice(0, limit);
  }

  const findInstances: Archive['findInstances'] = async (study, series, signal) => {
    const rows = await query(
      `studies/${study}/series/${series}/instances`,
      { includefield: [queryTags.SOPClassUID, queryTags.InstanceNumber] },
      (row) => textOf(row, 'SOPInstanceUID'),
      signal,
    );
    if (rows.length === 0) throw new WetreadError('archive.not-found');
    return rows.map(instanceSummary);
  };

  return {
    async findStudies({ studyUid: wanted, since, limit, offset }, signal) {
      const rows = await query(
        'studies',
        {
          ...(wanted === undefined ? {} : { StudyInstanceUID: wanted }),
          ...(since === undefined ? {} : { StudyDate: `${dayOf(since)}-` }),
          includefield: [
            queryTags.StudyDescription,
            queryTags.ModalitiesInStudy,
            queryTags.AccessionNumber,
            queryTags.PatientID,
          ],
        },
        (row) => textOf(row, 'StudyInstanceUID'),
        signal,
        { limit, offset },
      );
      return rows.flatMap((row) => {
        try {
          const study = studySummary(row);
          // An archive that does not understand the filter answers with everybody.
          return wanted === undefined || study.studyUid === wanted ? [study] : [];
        } catch (cause) {
          // One study with a malformed UID must not hide all others.
          logger.warn('a study without a valid UID is left out', { reason: String(cause) });
          return [];
        }
      });
    },

    async findSeries(study, signal) {
      const rows = await query(
        `studies/${study}/series`,
        {
          includefield: [
            queryTags.SeriesDescription,
            queryTags.BodyPartExamined,
            queryTags.ViewPosition,
            queryTags.Laterality,
            queryTags.NumberOfSeriesRelatedInstances,
          ],
        },
        (row) => textOf(row, 'SeriesInstanceUID'),
        signal,
      );
      // A study without series cannot be: it is one that the archive does not have.
      if (rows.length === 0) throw new WetreadError('archive.not-found');
      return rows.map(seriesSummary);
    },

    findInstances,

    async *fetchSeries(study, series, signal) {
      const missing = new Set<string>((await findInstances(study, series, signal)).map((instance) => instance.sopUid));
      const promised = missing.size;
      let nameless = 0;
      const answer = await get(`studies/${study}/series/${series}`, { accept: acceptDicom, signal, limiter: jobs });
      await demandOk(answer);
      for await (const file of files(answer, maxInstanceBytes)) {
        const uid = sopInstanceUidOf(file);
        // A file too damaged to say its name still takes one of the promised places; the decoder will say what is wrong with it.
        if (uid === undefined) nameless += 1;
        else if (!missing.delete(uid))
          throw new WetreadError('archive.incomplete', 'an object came that the archive had not listed, or came twice');
        if (nameless > missing.size)
          throw new WetreadError('archive.incomplete', `more than the ${promised} objects listed`);
        yield file;
      }
      if (missing.size > nameless) {
        throw new WetreadError(
          'archive.incomplete',
          `${promised - missing.size + nameless} of ${promised} objects came`,
        );
      }
    },

    async probe(signal) {
      await queryPage('studies', new URLSearchParams({ limit: '1' }), signal);
    },

    async forward(path, { accept, signal }) {
      const answer = await get(checkedPath(baseUrl, path), { accept, signal, limiter: viewers });
      if (answer.status === 401 || answer.status === 403 || isRedirect(answer.status)) await demandOk(answer);
      return passedOn(answer);
    },
  };
}

function checkedBase(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new WetreadError('config.invalid', 'WETREAD_DICOMWEB_URL is not an http address');
  // fetch refuses such addresses, and logs would show the password.
  if (url.username !== '' || url.password !== '') {
    throw new WetreadError(
      'config.invalid',
      'WETREAD_DICOMWEB_URL holds credentials; set WETREAD_DICOMWEB_AUTHORIZATION instead',
    );
  }
  return text.replace(/\/+$/, '');
}

/** Nothing that could leave the DICOMweb root: no dot segments however they are written, no other origin. */
function checkedPath(baseUrl: string, path: string): string {
  const url = URL.canParse(`${baseUrl}/${path}`) ? new URL(`${baseUrl}/${path}`) : undefined;
  const leaves = path === '' || /^[/\\]|\\|\/\/|:\/\/|#|%2f|%5c|(^|\/)(\.|%2e){1,2}(\/|\?|$)/i.test(path);
  if (url === undefined || leaves || !url.href.startsWith(`${new URL(baseUrl).href.replace(/\/+$/, '')}/`)) {
    throw new WetreadError('request.malformed', 'not a path below the archive');
  }
  return path;
}

function searchParameters(
  fixed: Record<string, string | readonly string[]>,
  paging: { limit?: number; offset?: number },
): URLSearchParams {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(fixed)) for (const one of [value].flat()) parameters.append(name, one);
  for (const [name, value] of Object.entries(paging)) parameters.append(name, String(value));
  return parameters;
}

/** DICOM dates have no zone. Where the day begins last on earth it is twelve hours behind UTC: better to see a study twice than never. */
function dayOf(since: Date): string {
  return new Date(since.getTime() - 12 * 3600_000).toISOString().slice(0, 10).replaceAll('-', '');
}

const isRedirect = (status: number): boolean => status >= 300 && status < 400 && status !== 304;

async function demandOk(answer: Answer): Promise<void> {
  const { status } = answer;
  if (status === 200) return;
  await answer.body.return?.();
  if (status === 401 || status === 403) throw new WetreadError('archive.refused', `status ${status}`);
  if (status === 404 || status === 410) throw new WetreadError('archive.not-found');
  if (status === 206) throw new WetreadError('archive.incomplete', 'status 206');
  if (status >= 500) throw new WetreadError('archive.error', `status ${status}`);
  if (isRedirect(status))
    throw new WetreadError('archive.bad-answer', 'it redirects to another address; configure that one');
  throw new WetreadError('archive.bad-answer', `status ${status}`);
}

async function demandType(answer: Answer, ...types: readonly string[]): Promise<void> {
  const type = mediaType(answer.headers.get('content-type') ?? '');
  if (types.includes(type)) return;
  await answer.body.return?.();
  throw new WetreadError('archive.bad-answer', type === '' ? 'it has no content type' : `it is ${type.slice(0, 60)}`);
}

async function textOfBody(answer: Answer): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body) {
    length += chunk.length;
    if (length > maxJsonBytes)
      throw new WetreadError('archive.bad-answer', 'the list is larger than any list should be');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The objects of a WADO-RS answer; a lone one may come without multipart. */
async function* files(answer: Answer, maxBytes: number): AsyncGenerator<Uint8Array> {
  await demandType(answer, 'multipart/related', 'application/dicom');
  const contentType = answer.headers.get('content-type') ?? '';
  if (mediaType(contentType) === 'application/dicom') {
    yield await wholeBody(answer, maxBytes);
    return;
  }
  const boundary = contentTypeParameter(contentType, 'boundary');
  if (boundary === undefined || boundary === '') {
    await answer.body.return?.();
    throw new WetreadError('archive.bad-answer', 'multipart without a boundary');
  }
  for await (const { headers, body } of readMultipart(answer.body, { boundary, maxPartBytes: maxBytes })) {
    const type = mediaType(headers.get('content-type') ?? 'application/dicom');
    if (type !== 'application/dicom' && type !== 'application/octet-stream') {
      throw new WetreadError('archive.bad-answer', `a part is ${type.slice(0, 60)}`);
    }
    yield body;
  }
}

async function wholeBody(answer: Answer, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body) {
    length += chunk.length;
    if (length > maxBytes) throw new WetreadError('dicom.too-large', `more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/** Headers that describe the picture. The rest (cookies, the archive's name and version) is nobody's business. */
const passedHeaders = ['content-type', 'content-length', 'content-range', 'etag', 'last-modified', 'warning'];

async function passedOn({ status, headers, body }: Answer): Promise<Response> {
  const passed = new Headers();
  for (const name of passedHeaders) {
    const value = headers.get(name);
    if (value !== null) passed.set(name, value);
  }
  const empty = status === 204 || status === 304;
  if (empty) await body.return?.();
  return new Response(empty ? null : streamOf(body), {
    status,
    headers: passed,
  });
}

/** Asks the archive for the next piece only when the viewer takes it. */
function streamOf(body: Answer['body']): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      const piece = await body.next();
      if (piece.done === true) controller.close();
      else controller.enqueue(piece.value as Uint8Array<ArrayBuffer>);
    },
    async cancel() {
      await body.return?.();
    },
  });
}

function required<Uid>(make: (text: string) => Uid, text: string | undefined): Uid {
  try {
    return make(text ?? '');
  } catch (cause) {
    throw new WetreadError('archive.bad-answer', 'a UID is missing or malformed', { cause });
  }
}

function studySummary(row: DicomJsonRow): StudySummary {
  return present({
    studyUid: required(studyUid, textOf(row, 'StudyInstanceUID')),
    dicomPatientId: textOf(row, 'PatientID'),
    accession: textOf(row, 'AccessionNumber'),
    startedAt: dateTime(textOf(row, 'StudyDate'), textOf(row, 'StudyTime')),
    description: textOf(row, 'StudyDescription'),
    modalities: textsOf(row, 'ModalitiesInStudy').flatMap((text) => text.split('\\')),
  });
}

function seriesSummary(row: DicomJsonRow): SeriesSummary {
  return present({
    seriesUid: required(seriesUid, textOf(row, 'SeriesInstanceUID')),
    modality: textOf(row, 'Modality') ?? '',
    description: textOf(row, 'SeriesDescription'),
    bodyPartExamined: textOf(row, 'BodyPartExamined'),
    viewPosition: textOf(row, 'ViewPosition'),
    laterality: textOf(row, 'Laterality'),
    instanceCount: numberOf(row, 'NumberOfSeriesRelatedInstances'),
  });
}

function instanceSummary(row: DicomJsonRow): InstanceSummary {
  return present({
    sopUid: required(sopUid, textOf(row, 'SOPInstanceUID')),
    sopClassUid: textOf(row, 'SOPClassUID'),
    instanceNumber: numberOf(row, 'InstanceNumber'),
  });
}

type Present<Fields> = { [Name in keyof Fields as undefined extends Fields[Name] ? never : Name]: Fields[Name] } & {
  [Name in keyof Fields as undefined extends Fields[Name] ? Name : never]?: Exclude<Fields[Name], undefined>;
};

/** Leaves out what is not known, so that "absent" has one spelling. */
function present<Fields extends object>(fields: Fields): Present<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<Fields>;
}
