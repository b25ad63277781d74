/** The inbox as a DICOMweb archive inside this process: the same client, and the same viewer, read it as they read a PACS. */
import { randomUUID } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { WetreadError } from '../domain/errors.ts';
import type { HeaderElements, ReceivedObject, ReceivedObjects, ReceivedStudyQuery } from '../domain/inbox.ts';
import type { Answer, Get } from './archive-http.ts';
import type { DicomDataset } from './dataset.ts';
import { readDataset } from './dataset.ts';
import { encapsulatedFrames } from './encapsulated.ts';
import { headerJson } from './header-json.ts';
import { readHead } from './read-head.ts';

export type InboxOriginOptions = {
  readonly folder: string;
  readonly objects: ReceivedObjects;
  readonly maxInstanceBytes: number;
};

const uid = '([0-9.]{1,64})';
const addresses = {
  studies: /^studies$/,
  query: new RegExp(`^studies/${uid}/(series|instances)$`),
  series: new RegExp(`^studies/${uid}/series/${uid}/instances$`),
  metadata: new RegExp(`^studies/${uid}(?:/series/${uid}(?:/instances/${uid})?)?/metadata$`),
  objects: new RegExp(`^studies/${uid}(?:/series/${uid}(?:/instances/${uid})?)?$`),
  frames: new RegExp(`^studies/${uid}/series/${uid}/instances/${uid}/frames/([0-9,]{1,2000})$`),
};

/** Read from a file in pieces of this size. */
const pieceBytes = 1024 * 1024;

export function inboxOrigin(options: InboxOriginOptions): Get {
  const { objects } = options;
  const find = ([, study = '', series, sop]: RegExpExecArray | string[]) =>
    objects.find({ study, ...(series === undefined ? {} : { series }), ...(sop === undefined ? {} : { sop }) });

  return async (path, { signal }) => {
    signal?.throwIfAborted();
    const [address = '', search = ''] = path.split(/\?(.*)/s);
    const query = new URLSearchParams(search);
    if (addresses.studies.test(address)) return json(await studyRows(objects, query));
    let match = addresses.query.exec(address);
    if (match !== null) {
      const found = await objects.find({ study: match[1]! });
      return json(match[2] === 'series' ? seriesRows(found, query) : instanceRows(found, query));
    }
    if ((match = addresses.series.exec(address)) !== null) return json(instanceRows(await find(match), query));
    if ((match = addresses.metadata.exec(address)) !== null) return metadata(options, await find(match), signal);
    if ((match = addresses.frames.exec(address)) !== null) {
      const [one] = await find(match.slice(0, 4));
      return one === undefined ? notHere() : frames(options, one, match[4]!.split(',').map(Number));
    }
    if ((match = addresses.objects.exec(address)) !== null) return files(options, await find(match), signal);
    return notHere();
  };
}

async function studyRows(objects: ReceivedObjects, query: URLSearchParams): Promise<HeaderElements[]> {
  const [from, to] = (query.get('StudyDate') ?? '').split('-');
  const asked: Record<keyof ReceivedStudyQuery, string | number | undefined> = {
    studyUid: given(query, 'StudyInstanceUID'),
    accession: given(query, 'AccessionNumber'),
    patientId: given(query, 'PatientID'),
    modality: given(query, 'ModalitiesInStudy'),
    from: from || undefined,
    to: (query.get('StudyDate')?.includes('-') ? to : from) || undefined,
    limit: numberIn(query, 'limit'),
    offset: numberIn(query, 'offset'),
  };
  const known = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined));
  return (await objects.findStudies(known as ReceivedStudyQuery)).map((study) => ({
    ...study.header,
    '00080061': { vr: 'CS', Value: study.modalities },
    '00201206': { vr: 'IS', Value: [study.series] },
    '00201208': { vr: 'IS', Value: [study.instances] },
  }));
}

function seriesRows(found: readonly ReceivedObject[], query: URLSearchParams): HeaderElements[] {
  const counts = new Map<string, { first: ReceivedObject; count: number }>();
  for (const one of found) {
    const known = counts.get(one.seriesUid);
    counts.set(one.seriesUid, { first: known?.first ?? one, count: (known?.count ?? 0) + 1 });
  }
  const wanted = given(query, 'SeriesInstanceUID');
  const rows = [...counts]
    .filter(([series]) => wanted === undefined || series === wanted)
    .map(([, { first, count }]) => {
      const { '00080016': _class, '00080018': _sop, '00200013': _number, ...header } = first.header;
      return { ...header, '00201209': { vr: 'IS', Value: [count] } };
    });
  return page(rows, query);
}

function instanceRows(found: readonly ReceivedObject[], query: URLSearchParams): HeaderElements[] {
  const [series, sop] = [given(query, 'SeriesInstanceUID'), given(query, 'SOPInstanceUID')];
  const rows = found
    .filter((one) => (series === undefined || one.seriesUid === series) && (sop === undefined || one.sopUid === sop))
    .map(instanceRow);
  return page(rows, query);
}

/** PS3.18 8.7.3.5.1: which transfer syntax the object is stored in. */
const instanceRow = (one: ReceivedObject): HeaderElements => ({
  ...one.header,
  '00083002': { vr: 'UI', Value: [one.transferSyntaxUid] },
});

function page(rows: readonly HeaderElements[], query: URLSearchParams): HeaderElements[] {
  const offset = numberIn(query, 'offset') ?? 0;
  return rows.slice(offset, offset + (numberIn(query, 'limit') ?? rows.length));
}

const given = (query: URLSearchParams, name: string): string | undefined => query.get(name) || undefined;
function numberIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

async function metadata(
  options: InboxOriginOptions,
  found: readonly ReceivedObject[],
  signal: AbortSignal | undefined,
): Promise<Answer> {
  if (found.length === 0) return notHere();
  async function* rows(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('[');
    for (const [index, one] of found.entries()) {
      signal?.throwIfAborted();
      const row = await withFile(options, one, async (file) => {
        const { head } = await readHead(file, one.bytes, options.maxInstanceBytes);
        return headerJson(head, { maxBytes: options.maxInstanceBytes });
      });
      const pixels = `studies/${one.studyUid}/series/${one.seriesUid}/instances/${one.sopUid}/frames/1`;
      const told = {
        ...row,
        '00083002': { vr: 'UI', Value: [one.transferSyntaxUid] },
        // Relative, as it is meant for whoever asked (PS3.18 F.2.2); the other frames are found beside it.
        ...('00280010' in row && { '7FE00010': { vr: 'OW', BulkDataURI: pixels } }),
      };
      yield Buffer.from(`${index === 0 ? '' : ','}${JSON.stringify(told)}`);
    }
    yield Buffer.from(']');
  }
  return answer({ 'content-type': 'application/dicom+json' }, rows());
}

function files(options: InboxOriginOptions, found: readonly ReceivedObject[], signal: AbortSignal | undefined): Answer {
  if (found.length === 0) return notHere();
  return multipart(
    'application/dicom',
    found.map((one) => ({
      headers: `Content-Type: application/dicom; transfer-syntax=${one.transferSyntaxUid}\r\n`,
      length: one.bytes,
      pieces: () => filePieces(options, one, signal),
    })),
  );
}

async function* filePieces(
  { folder }: InboxOriginOptions,
  one: ReceivedObject,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const file = await opened(folder, one);
  try {
    for (let at = 0; at < one.bytes;) {
      signal?.throwIfAborted();
      const piece = new Uint8Array(Math.min(pieceBytes, one.bytes - at));
      const { bytesRead } = await file.read(piece, 0, piece.length, at);
      if (bytesRead === 0) throw new WetreadError('archive.incomplete', 'a received file is shorter than it was');
      yield piece.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}

async function frames(options: InboxOriginOptions, one: ReceivedObject, numbers: readonly number[]): Promise<Answer> {
  const file = await withFile(options, one, async (handle) => new Uint8Array(await handle.readFile()));
  const dataset = readDataset(file, { maxBytes: options.maxInstanceBytes });
  const parts = framesOf(dataset);
  const wanted = numbers.map((number) => parts[number - 1]);
  if (wanted.includes(undefined)) return notHere();
  return multipart(
    'application/octet-stream',
    (wanted as Uint8Array[]).map((frame) => ({
      headers: `Content-Type: application/octet-stream; transfer-syntax=${one.transferSyntaxUid}\r\n`,
      length: frame.length,
      async *pieces() {
        yield frame;
      },
    })),
  );
}

function framesOf(dataset: DicomDataset): readonly (Uint8Array | undefined)[] {
  const { pixelData, bytes } = dataset;
  const count = dataset.decimal('NumberOfFrames') ?? 1;
  if (pixelData === undefined || !(count >= 1)) return [];
  if (pixelData.length === undefined) return encapsulatedFrames(dataset, pixelData.offset, count);
  const bits = (dataset.unsigned('Rows') ?? 0) * (dataset.unsigned('Columns') ?? 0) * bitsPerPixel(dataset);
  // Frames of single bits are packed without gaps: only whole bytes can be cut out.
  if (bits === 0 || bits % 8 !== 0 || (bits / 8) * count > pixelData.length) return [];
  const size = bits / 8;
  return Array.from({ length: count }, (_, index) =>
    bytes.subarray(pixelData.offset + index * size, pixelData.offset + (index + 1) * size),
  );
}

const bitsPerPixel = (dataset: DicomDataset): number =>
  (dataset.unsigned('SamplesPerPixel') ?? 1) * (dataset.unsigned('BitsAllocated') ?? 0);

async function withFile<Result>(
  { folder }: InboxOriginOptions,
  one: ReceivedObject,
  use: (file: FileHandle) => Promise<Result>,
): Promise<Result> {
  const file = await opened(folder, one);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

async function opened(folder: string, one: ReceivedObject): Promise<FileHandle> {
  try {
    return await open(join(folder, one.file), 'r');
  } catch (cause) {
    throw new WetreadError('archive.incomplete', 'a received file cannot be read; is WETREAD_INBOX_DIR shared?', {
      cause,
    });
  }
}

type BodyPart = { readonly headers: string; readonly length: number; pieces(): AsyncGenerator<Uint8Array> };

function multipart(type: string, parts: readonly BodyPart[]): Answer {
  const boundary = `wetread-${randomUUID()}`;
  const opening = parts.map(({ headers }, index) =>
    Buffer.from(`${index === 0 ? '' : '\r\n'}--${boundary}\r\n${headers}\r\n`),
  );
  const closing = Buffer.from(`\r\n--${boundary}--\r\n`);
  const length = parts.reduce((sum, part, index) => sum + opening[index]!.length + part.length, closing.length);
  async function* body(): AsyncGenerator<Uint8Array> {
    for (const [index, part] of parts.entries()) {
      yield opening[index]!;
      yield* part.pieces();
    }
    yield closing;
  }
  const contentType = `multipart/related; type="${type}"; boundary=${boundary}`;
  return answer({ 'content-type': contentType, 'content-length': String(length) }, body());
}

const json = (rows: readonly HeaderElements[]): Answer =>
  answer(
    { 'content-type': 'application/dicom+json' },
    (async function* () {
      yield Buffer.from(JSON.stringify(rows));
    })(),
  );

const notHere = (): Answer => answer({ 'content-type': 'text/plain' }, (async function* () {})(), 404);

function answer(headers: Record<string, string>, body: AsyncGenerator<Uint8Array>, status = 200): Answer {
  return { status, headers: new Headers(headers), body: body as Answer['body'] };
}
