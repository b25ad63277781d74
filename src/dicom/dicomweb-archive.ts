/** The image archive over DICOMweb: QIDO-RS to find, WADO-RS to fetch, nothing taken for complete that is not. */
import { WetreadError, type ErrorCode } from '../domain/errors.ts';
import { seriesUid, sopUid, studyUid, type SeriesUid, type SopUid, type StudyUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { Archive } from '../domain/ports.ts';
import type { InstanceMetadata, InstanceSummary, SeriesSummary, StudySummary } from '../domain/study.ts';
import { demandOk, isRedirect } from './archive-answer.ts';
import { archiveGet, type Answer, type ArchiveAuthorization, type Get } from './archive-http.ts';
import { archiveTransport } from './archive-transport.ts';
import { circuit, type CircuitOptions, type CircuitState } from './circuit.ts';
import { dateTime } from './date-time.ts';
import { numberOf, present, queryTags, textOf, type DicomJsonRow } from './dicom-json.ts';
import { limiter } from './limiter.ts';
import { qidoSearch } from './qido.ts';
import { modalitiesOf, studySearch } from './study-search.ts';
import { stowStore } from './stow.ts';
import type { TlsMaterial } from './tls-material.ts';
import { metadataOfFile } from './volume/file-metadata.ts';
import { wadoRetrieve, type Frame } from './wado.ts';

export type DicomwebArchiveOptions = {
  readonly baseUrl: string;
  readonly authorization?: ArchiveAuthorization | undefined;
  readonly tls?: TlsMaterial;
  /** Longest silence of the archive. */
  readonly timeoutMs?: number;
  readonly maxInstanceBytes?: number;
  /** Requests at once; as many again for the viewer, which must not wait behind the jobs. */
  readonly maxConcurrent?: number;
  readonly circuit?: CircuitOptions;
  /** Each answer, or the code of what came instead. */
  readonly onAnswer?: (outcome: 'ok' | ErrorCode) => void;
  /** In place of HTTP: an archive within this process. */
  readonly get?: Get;
  readonly logger: Logger;
};

/** What Wetread's own parts need beyond the port. */
export type DicomwebArchive = Archive &
  Forwarding & {
    /** All objects of a study, in any order; complete or `archive.incomplete`. */
    fetchStudy(study: StudyUid, signal?: AbortSignal): AsyncIterable<Uint8Array>;
    fetchFrames(
      study: StudyUid,
      series: SeriesUid,
      sop: SopUid,
      frames: readonly number[],
      signal?: AbortSignal,
    ): AsyncIterable<Frame>;
    /** The value behind a BulkDataURI of metadata. */
    fetchBulkData(uri: string, signal?: AbortSignal): Promise<Uint8Array>;
    store: ReturnType<typeof stowStore>;
    circuit(): CircuitState;
  };

/** The viewer's way through: an answer as the archive gave it, but for `archive.refused` and `archive.unreachable`, which are thrown. */
export type Forwarding = {
  forward(path: string, request: { accept: string; signal?: AbortSignal }): Promise<Response>;
};

export function dicomwebArchive(options: DicomwebArchiveOptions): DicomwebArchive {
  const { logger, timeoutMs = 30_000, maxInstanceBytes = 512 * 1024 * 1024, maxConcurrent = 4 } = options;
  const baseUrl = checkedBase(options.baseUrl);
  const breaker = circuit(options.circuit);
  const get =
    options.get ??
    archiveGet({
      baseUrl,
      transport: archiveTransport({ timeoutMs, ...(options.tls !== undefined && { tls: options.tls }) }),
      circuit: breaker,
      authorization: options.authorization,
      onAnswer: options.onAnswer,
      logger,
    });
  const jobs = limiter(maxConcurrent);
  const viewers = limiter(maxConcurrent);

  const search = qidoSearch({ get, limiter: jobs, logger });
  const wado = wadoRetrieve({ baseUrl, get, limiter: jobs, maxInstanceBytes });

  async function instancesOf(path: string, signal: AbortSignal | undefined): Promise<InstanceSummary[]> {
    const rows = await search({
      path,
      includefield: [queryTags.SOPClassUID, queryTags.InstanceNumber],
      uidOf: (row) => textOf(row, 'SOPInstanceUID'),
      signal,
    });
    if (rows.length === 0) throw new WetreadError('archive.not-found');
    return rows.map(instanceSummary);
  }
  const findInstances: Archive['findInstances'] = (study, series, signal) =>
    instancesOf(`studies/${study}/series/${series}/instances`, signal);

  return {
    async findStudies(query, signal) {
      const rows = await search({ ...studySearch(query), limit: query.limit, offset: query.offset, signal });
      return rows.flatMap((row) => {
        try {
          return [studySummary(row)];
        } catch {
          // One study with a malformed UID must not hide all others. What stands in its place may be anything, also a name.
          logger.warn('a study without a valid UID is left out');
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
      const promised = (await findInstances(study, series, signal)).map((instance) => instance.sopUid);
      yield* wado.objects(`studies/${study}/series/${series}`, promised, signal);
    },

    async fetchMetadata(study, series, signal) {
      const path = `studies/${study}/series/${series}`;
      const found = await wado.metadata(path, signal).catch(async (thrown: unknown) => {
        if (!lacksMetadata(thrown)) throw thrown;
        // Headers out of whole objects: slow, and better than a study that is not read.
        logger.warn('the archive gives no metadata; headers are read out of the objects');
        const headers: InstanceMetadata[] = [];
        const promised = (await findInstances(study, series, signal)).map((instance) => instance.sopUid);
        for await (const file of wado.objects(path, promised, signal)) {
          const header = await metadataOfFile(file);
          if (header !== undefined) headers.push(header);
        }
        return headers;
      });
      if (found.length === 0) throw new WetreadError('archive.not-found');
      return found;
    },

    fetchInstances: wado.instances,
    fetchFrames: wado.frames,
    fetchBulkData: wado.bulkData,

    async *fetchStudy(study, signal) {
      const promised = await instancesOf(`studies/${study}/instances`, signal);
      yield* wado.objects(
        `studies/${study}`,
        promised.map((instance) => instance.sopUid),
        signal,
      );
    },

    store: stowStore({ get, limiter: jobs }),
    circuit: () => breaker.state(),

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

/** 404 may also mean that the series is not there; then the search that follows says so. */
const lacksMetadata = (thrown: unknown): boolean =>
  thrown instanceof WetreadError &&
  (thrown.code === 'archive.not-found' ||
    (thrown.code === 'archive.bad-answer' && /^status 40[056]$/.test(thrown.detail ?? '')) ||
    (thrown.code === 'archive.error' && thrown.detail === 'status 501'));

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
