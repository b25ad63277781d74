/** The image archive over DICOMweb: QIDO-RS to find, WADO-RS to fetch, nothing taken for complete that is not. */
import { WetreadError } from '../domain/errors.ts';
import { seriesUid, sopUid, studyUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { Archive } from '../domain/ports.ts';
import type { InstanceSummary, SeriesSummary, StudySummary } from '../domain/study.ts';
import { bytesOfBody, demandOk, demandType, isRedirect, leave } from './archive-answer.ts';
import { archiveGet, type Answer } from './archive-http.ts';
import { sopInstanceUidOf } from './dataset.ts';
import { dateTime } from './date-time.ts';
import { numberOf, queryTags, textOf, type DicomJsonRow } from './dicom-json.ts';
import { limiter } from './limiter.ts';
import { contentTypeParameter, mediaType, readMultipart } from './multipart.ts';
import { qidoSearch } from './qido.ts';
import { modalitiesOf, studySearch } from './study-search.ts';

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

/** `*` matters: without it an archive sends JPEG 2000 as explicit little endian, and some then stop in the middle. */
const acceptDicom = 'multipart/related; type="application/dicom"; transfer-syntax=*';

export function dicomwebArchive(options: DicomwebArchiveOptions): Archive & Forwarding {
  const { logger, timeoutMs = 30_000, maxInstanceBytes = 512 * 1024 * 1024, maxConcurrent = 4 } = options;
  const baseUrl = checkedBase(options.baseUrl);
  const get = archiveGet({ baseUrl, authorization: options.authorization, timeoutMs, logger });
  const jobs = limiter(maxConcurrent);
  const viewers = limiter(maxConcurrent);

  const search = qidoSearch({ get, limiter: jobs, logger });

  const findInstances: Archive['findInstances'] = async (study, series, signal) => {
    const rows = await search({
      path: `studies/${study}/series/${series}/instances`,
      includefield: [queryTags.SOPClassUID, queryTags.InstanceNumber],
      uidOf: (row) => textOf(row, 'SOPInstanceUID'),
      signal,
    });
    if (rows.length === 0) throw new WetreadError('archive.not-found');
    return rows.map(instanceSummary);
  };

  return {
    async findStudies(query, signal) {
      const rows = await search({ ...studySearch(query), limit: query.limit, offset: query.offset, signal });
      return rows.flatMap((row) => {
        try {
          return [studySummary(row)];
        } catch (cause) {
          // One study with a malformed UID must not hide all others.
          logger.warn('a study without a valid UID is left out', { reason: String(cause) });
          return [];
        }
      });
    },

    async findSeries(study, signal) {
      const rows = await search({
        path: `studies/${study}/series`,
        includefield: [
          queryTags.SeriesDescription,
          queryTags.BodyPartExamined,
          queryTags.ViewPosition,
          queryTags.Laterality,
          queryTags.NumberOfSeriesRelatedInstances,
        ],
        uidOf: (row) => textOf(row, 'SeriesInstanceUID'),
        signal,
      });
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
      await search({ path: 'studies', uidOf: (row) => textOf(row, 'StudyInstanceUID'), limit: 1, signal });
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

/** The objects of a WADO-RS answer; a lone one may come without multipart. */
async function* files(answer: Answer, maxBytes: number): AsyncGenerator<Uint8Array> {
  await demandType(answer, 'multipart/related', 'application/dicom');
  const contentType = answer.headers.get('content-type') ?? '';
  if (mediaType(contentType) === 'application/dicom') {
    yield await bytesOfBody(answer, maxBytes);
    return;
  }
  const boundary = contentTypeParameter(contentType, 'boundary');
  if (boundary === undefined || boundary === '') {
    await leave(answer);
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
    modalities: modalitiesOf(row),
    instanceCount: numberOf(row, 'NumberOfStudyRelatedInstances'),
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
