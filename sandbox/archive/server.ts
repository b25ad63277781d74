/** The hospital's PACS as DICOMweb: QIDO-RS, WADO-RS and STOW-RS over the film store. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Router, type NextFunction, type Request, type Response } from 'express';
import type { Logger } from '../../src/domain/log.ts';
import type { JsonDataset } from '../dicom/part10.ts';
import { slowMs, type Faults } from '../faults.ts';
import { readMultipart, writeMultipart, type Part } from './multipart.ts';
import { answerQuery, BadQuery, type Level } from './qido.ts';
import type { FilmStore, Instance, Refusal } from './store.ts';

export type ArchiveOptions = {
  readonly films: FilmStore;
  /** The DICOMweb root, as others know it. */
  readonly root: string;
  readonly faults: Faults;
  /** Somebody has fetched pictures of this study. */
  readonly onRetrieved?: (studyUid: string) => void;
  readonly logger: Logger;
};

const largestStore = 256 * 1024 * 1024;

export function archiveServer({ films, root, faults, onRetrieved, logger }: ArchiveOptions): Router {
  const router = Router();

  router.use(async (request, response, next) => {
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    if (faults.archive === 'down') {
      request.socket.destroy();
      return;
    }
    if (faults.archive === 'slow') await sleep(slowMs);
    next();
  });

  const query = (level: Level) => (request: Request, response: Response) => {
    const parameters = new URL(request.url, 'http://archive').searchParams;
    json(response, answerQuery(level, films.find(within(request)), parameters, root));
  };
  router.get('/studies', query('studies'));
  router.get(['/series', '/studies/:study/series'], query('series'));
  router.get(
    ['/instances', '/studies/:study/instances', '/studies/:study/series/:series/instances'],
    query('instances'),
  );

  const objects = [
    '/studies/:study',
    '/studies/:study/series/:series',
    '/studies/:study/series/:series/instances/:sop',
  ];
  router.get(
    objects.map((path) => `${path}/metadata`),
    (request, response) => {
      const found = films.find(within(request));
      if (found.length === 0) notHere(response);
      else
        json(
          response,
          found.map((one) => metadataOf(one, root)),
        );
    },
  );
  router.get(objects, (request, response) => {
    const found = films.find(within(request));
    if (found.length === 0) {
      notHere(response);
      return;
    }
    onRetrieved?.(found[0]!.studyUid);
    const accept = String(request.headers.accept ?? '*/*');
    if (request.params['sop'] !== undefined && /^\s*application\/dicom\b(?!\+)/.test(accept)) {
      response.type('application/dicom').send(Buffer.from(found[0]!.file));
      return;
    }
    if (!/multipart\/related|\*\/\*|multipart\/\*/.test(accept)) {
      response.status(406).type('text/plain').send('Accept: multipart/related; type="application/dicom"');
      return;
    }
    multipart(
      response,
      'application/dicom',
      found.map((one) => ({
        type: `application/dicom; transfer-syntax=${one.transferSyntaxUid}`,
        location: urlOf(one, root),
        body: one.file,
      })),
    );
  });

  router.get(`${objects[2]}/frames/:frames`, (request, response) => {
    const [found] = films.find(within(request));
    const numbers = String(request.params['frames']).split(',').map(Number);
    if (numbers.some((number) => !Number.isInteger(number) || number < 1))
      throw new BadQuery('frame numbers begin with 1');
    const frames = numbers.map((number) => found?.frames[number - 1]);
    if (found === undefined || frames.includes(undefined)) {
      notHere(response);
      return;
    }
    onRetrieved?.(found.studyUid);
    multipart(
      response,
      'application/octet-stream',
      frames.map((body, index) => ({
        type: `application/octet-stream; transfer-syntax=${found.transferSyntaxUid}`,
        location: `${urlOf(found, root)}/frames/${numbers[index]}`,
        body: body!,
      })),
    );
  });

  router.post(['/studies', '/studies/:study'], async (request, response) => {
    const type = String(request.headers['content-type'] ?? '');
    if (!/^multipart\/related\b/i.test(type) || !/type="?application\/dicom"?/i.test(type)) {
      response.status(415).type('text/plain').send('Content-Type: multipart/related; type="application/dicom"');
      return;
    }
    const body = await bodyOf(request);
    if (body === undefined) {
      response.status(413).type('text/plain').send('Send fewer objects at once.');
      return;
    }
    const parts = readMultipart(type, body);
    if (parts === undefined || parts.length === 0) throw new BadQuery('the multipart message is not complete');
    const results = parts.map(({ body }) =>
      films.add(new Uint8Array(body), request.params['study'] as string | undefined),
    );
    const kept = results.flatMap((result) => ('kept' in result ? [result.kept] : []));
    const refused = results.flatMap((result) => ('refused' in result ? [result.refused] : []));
    logger.info('objects stored', { kept: kept.length, refused: refused.length });
    response.status(refused.length === 0 ? 200 : kept.length > 0 ? 202 : 409);
    json(response, storedAnswer(kept, refused, root));
  });

  router.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (error instanceof BadQuery) response.status(400).type('text/plain').send(error.message);
    else next(error);
  });

  function multipart(response: Response, type: string, parts: readonly Part[]): void {
    const { contentType, body } = writeMultipart(type, parts);
    response.setHeader('Content-Type', contentType);
    // As some archives do: a success that ends in the middle, with nothing but the missing boundary to tell.
    response.end(faults.archive === 'truncate' ? body.subarray(0, Math.floor(body.length / 2)) : body);
  }

  return router;
}

function within(request: Request): Parameters<FilmStore['find']>[0] {
  const { study, series, sop } = request.params as Readonly<Record<string, string | undefined>>;
  return {
    ...(study === undefined ? {} : { studyUid: study }),
    ...(series === undefined ? {} : { seriesUid: series }),
    ...(sop === undefined ? {} : { sopUid: sop }),
  };
}

const urlOf = ({ studyUid, seriesUid, sopUid }: Instance, root: string): string =>
  `${root}/studies/${studyUid}/series/${seriesUid}/instances/${sopUid}`;

function metadataOf(instance: Instance, root: string): JsonDataset {
  const pixels =
    instance.frames.length === 0 ? {} : { '7FE00010': { vr: 'OW', BulkDataURI: `${urlOf(instance, root)}/frames/1` } };
  return {
    ...instance.dataset,
    // PS3.18, 8.7.3.5.1: which transfer syntax frames come in.
    '00083002': { vr: 'UI', Value: [instance.transferSyntaxUid] },
    ...pixels,
  };
}

function storedAnswer(kept: readonly Instance[], refused: readonly Refusal[], root: string): JsonDataset {
  const reference = (sopClassUid: string | undefined, sopUid: string | undefined): JsonDataset => ({
    ...(sopClassUid === undefined ? {} : { '00081150': { vr: 'UI', Value: [sopClassUid] } }),
    ...(sopUid === undefined ? {} : { '00081155': { vr: 'UI', Value: [sopUid] } }),
  });
  const studies = new Set(kept.map(({ studyUid }) => studyUid));
  return {
    ...(studies.size === 1 ? { '00081190': { vr: 'UR', Value: [`${root}/studies/${[...studies][0]}`] } } : {}),
    ...(refused.length === 0
      ? {}
      : {
          '00081198': {
            vr: 'SQ',
            Value: refused.map(({ reason, sopClassUid, sopUid }) => ({
              ...reference(sopClassUid, sopUid),
              '00081197': { vr: 'US', Value: [reason] },
            })),
          },
        }),
    ...(kept.length === 0
      ? {}
      : {
          '00081199': {
            vr: 'SQ',
            Value: kept.map((one) => ({
              ...reference(one.sopClassUid, one.sopUid),
              '00081190': { vr: 'UR', Value: [urlOf(one, root)] },
            })),
          },
        }),
  };
}

async function bodyOf(request: Request): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > largestStore) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function json(response: Response, body: unknown): void {
  response.type('application/dicom+json').send(JSON.stringify(body));
}

function notHere(response: Response): void {
  response.status(404).type('text/plain').send('The archive does not have this.');
}
