/** A DICOMweb archive over files in memory, on loopback: QIDO-RS and WADO-RS as far as an archive client goes, and able to misbehave. */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readPart10 } from '../../sandbox/dicom/part10.ts';
import { readDataset, type DicomDataset } from '../../src/dicom/dataset.ts';
import type { Keyword } from '../../src/dicom/tags.ts';

export type DicomwebServer = {
  readonly baseUrl: string;
  /** Requests so far, newest last: method and path with query. */
  readonly requests: string[];
  stop(): Promise<void>;
};

type Misbehaviour = (request: IncomingMessage, response: ServerResponse) => boolean | void;

export type DicomwebServerOptions = {
  readonly files: readonly Uint8Array[];
  /** Called first; true means that it has answered. */
  readonly misbehave?: Misbehaviour;
  readonly ignoresPaging?: 'limit and offset' | 'offset';
  /** Gives no more than this and says so with warning 299. */
  readonly most?: number;
  readonly port?: number;
};

type Stored = { readonly file: Uint8Array; readonly dataset: DicomDataset };

export async function startDicomwebServer(options: DicomwebServerOptions): Promise<DicomwebServer> {
  const stored = options.files.map((file): Stored => ({ file, dataset: readDataset(file) }));
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    if (options.misbehave?.(request, response) === true) return;
    answer(stored, options, request, response);
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    baseUrl: `http://127.0.0.1:${port}/dicom-web`,
    requests,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(
  stored: readonly Stored[],
  options: DicomwebServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const url = new URL(request.url ?? '', 'http://archive');
  const path = url.pathname.replace('/dicom-web/', '').split('/');
  const [, study, , series, , sop] = path;
  const inSeries = stored.filter(
    ({ dataset }) =>
      (study === undefined || dataset.text('StudyInstanceUID') === study) &&
      (series === undefined || dataset.text('SeriesInstanceUID') === series) &&
      (sop === undefined || dataset.text('SOPInstanceUID') === sop),
  );
  if (path.length === 1 && path[0] === 'studies') return list(response, options, url, studies(inSeries, url));
  if (path.length === 3 && path[2] === 'series') return list(response, options, url, seriesOf(inSeries));
  if (path.length === 5 && path[4] === 'instances') return list(response, options, url, inSeries.map(instance));
  if (path.length === 5 && path[4] === 'metadata') return metadata(response, inSeries);
  if (path.length === 4 || path.length === 6) return multipart(response, inSeries);
  response.writeHead(404).end();
}

type Row = Record<string, { vr: string; Value?: unknown[] }>;

function row(dataset: DicomDataset, attributes: readonly (readonly [string, string, Keyword])[]): Row {
  return Object.fromEntries(
    attributes.map(([tag, vr, keyword]) => {
      const text = dataset.text(keyword);
      return [tag, { vr, ...(text === undefined ? {} : { Value: [text] }) }];
    }),
  );
}

function studies(stored: readonly Stored[], url: URL): Row[] {
  const wanted = url.searchParams.get('StudyInstanceUID');
  const [since = '', until = ''] = (url.searchParams.get('StudyDate') ?? '').split('-');
  const accession = url.searchParams.get('AccessionNumber') ?? 'ACC-1';
  const modality = url.searchParams.get('ModalitiesInStudy');
  return [...Map.groupBy(stored, ({ dataset }) => dataset.text('StudyInstanceUID'))].flatMap(([uid, [first]]) => {
    if (first === undefined || (wanted !== null && uid !== wanted)) return [];
    const day = first.dataset.text('StudyDate') ?? '';
    if (day < since || (until !== '' && day > until) || accession !== 'ACC-1') return [];
    const own = stored.filter(({ dataset }) => dataset.text('StudyInstanceUID') === uid);
    if (modality !== null && !own.some(({ dataset }) => dataset.text('Modality') === modality)) return [];
    return [
      {
        ...row(first.dataset, [
          ['00080020', 'DA', 'StudyDate'],
          ['00080030', 'TM', 'StudyTime'],
          ['00081030', 'LO', 'StudyDescription'],
          ['0020000D', 'UI', 'StudyInstanceUID'],
        ]),
        '00080050': { vr: 'SH', Value: ['ACC-1'] },
        '00080061': { vr: 'CS', Value: [...new Set(own.map(({ dataset }) => dataset.text('Modality')))] },
        '00100020': { vr: 'LO', Value: ['FIX-1'] },
        '00201208': { vr: 'IS', Value: [own.length] },
      },
    ];
  });
}

function seriesOf(stored: readonly Stored[]): Row[] {
  return [...Map.groupBy(stored, ({ dataset }) => dataset.text('SeriesInstanceUID')).values()].flatMap((own) => {
    const [first] = own;
    if (first === undefined) return [];
    return [
      {
        ...row(first.dataset, [
          ['00080060', 'CS', 'Modality'],
          ['0008103E', 'LO', 'SeriesDescription'],
          ['00180015', 'CS', 'BodyPartExamined'],
          ['0020000E', 'UI', 'SeriesInstanceUID'],
        ]),
        '00201209': { vr: 'IS', Value: [own.length] },
      },
    ];
  });
}

const instance = ({ dataset }: Stored): Row =>
  row(dataset, [
    ['00080016', 'UI', 'SOPClassUID'],
    ['00080018', 'UI', 'SOPInstanceUID'],
  ]);

function list(response: ServerResponse, options: DicomwebServerOptions, url: URL, rows: readonly Row[]): void {
  const number = (name: string, otherwise: number) => Number(url.searchParams.get(name) ?? otherwise);
  const offset = options.ignoresPaging === undefined ? number('offset', 0) : 0;
  const limit = options.ignoresPaging === 'limit and offset' ? Infinity : number('limit', Infinity);
  const allowed = Math.min(limit, options.most ?? Infinity);
  const page = rows.slice(offset, offset + allowed);
  if (page.length === 0) return void response.writeHead(204).end();
  const headers: Record<string, string> = { 'content-type': 'application/dicom+json' };
  if (offset + page.length < rows.length && allowed < limit)
    headers['warning'] = '299 archive "There are additional results that can be requested"';
  response.writeHead(200, headers).end(JSON.stringify(page));
}

/** By another implementation than the client's. */
function metadata(response: ServerResponse, stored: readonly Stored[]): void {
  const headers = stored.map(({ file }) => {
    const { dataset, transferSyntaxUid } = readPart10(file);
    return { ...dataset, '00083002': { vr: 'UI', Value: [transferSyntaxUid] } };
  });
  response.writeHead(200, { 'content-type': 'application/dicom+json' }).end(JSON.stringify(headers));
}

function multipart(response: ServerResponse, stored: readonly Stored[]): void {
  if (stored.length === 0) return void response.writeHead(404).end();
  const { contentType, body } = multipartOf(stored.map(({ file }) => file));
  response.writeHead(200, { 'content-type': contentType }).end(body);
}

export function multipartOf(
  files: readonly Uint8Array[],
  boundary: string = randomUUID(),
): { contentType: string; body: Buffer } {
  const parts = files.flatMap((file) => [
    Buffer.from(`--${boundary}\r\nContent-Type: application/dicom\r\nContent-Length: ${file.length}\r\n\r\n`),
    file,
    Buffer.from('\r\n'),
  ]);
  return {
    contentType: `multipart/related; type="application/dicom"; boundary="${boundary}"`,
    body: Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]),
  };
}
