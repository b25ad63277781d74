/** POST /dicom-web-in/studies[/{study}]: an archive or a modality that speaks STOW-RS (PS3.18 10.5) sends objects here. */
import { Router, type Request, type Response } from 'express';
import { asWetreadError, WetreadError, type ErrorCode } from '../domain/errors.ts';
import { isUid, studyUid } from '../domain/ids.ts';
import type { Inbox, Kept, ObjectName, Sender } from '../domain/inbox.ts';
import type { Logger } from '../domain/log.ts';
import { failureReason, failureReasonOf } from './failure-reason.ts';
import { senderName, sendersOnly, type SenderSecrets } from './sender-gate.ts';
import { stillComing } from './still-coming.ts';

/** Reads multipart/related as it comes; throws `archive.*` when it is cut off or is none. `src/dicom/multipart.ts` has it. */
export type PassMultipart = (
  source: AsyncIterable<Uint8Array>,
  boundary: string,
  begin: (
    headers: ReadonlyMap<string, string>,
  ) => Promise<{ write(piece: Uint8Array): Promise<void>; end(): Promise<void> }>,
) => Promise<void>;

export type StowSourceOptions = {
  readonly secrets: SenderSecrets;
  readonly inbox: Inbox;
  readonly passMultipart: PassMultipart;
  /** Requests at once; others are asked to come again. */
  readonly atOnce?: number;
  /** Longest silence of a sender in the middle of a request. */
  readonly silenceMs?: number;
  /** Objects of one request. */
  readonly maxObjects?: number;
  readonly onObject?: (road: 'stow', outcome: 'ok' | ErrorCode) => void;
  readonly logger: Logger;
};

type Failed = { readonly reason: number; readonly object?: ObjectName | undefined };

export const stowPath = '/dicom-web-in/studies';
const json = 'application/dicom+json';

export function stowSource(options: StowSourceOptions): { readonly router: Router } {
  const { inbox, passMultipart, atOnce = 8, silenceMs = 30_000, maxObjects = 10_000, logger } = options;
  let busy = 0;

  const router = Router();
  router.post([stowPath, `${stowPath}/:study`], sendersOnly(options.secrets), async (request, response) => {
    const boundary = boundaryOf(request);
    if (boundary === undefined) {
      // Said before the body is read; Metadata and Bulkdata (dicom+json, dicom+xml) would have to be put together to files first.
      return void refuse(response, 415, `Content-Type: multipart/related; type="application/dicom"; boundary=…`);
    }
    const study = request.params['study'];
    if (study !== undefined && (typeof study !== 'string' || !isUid(study)))
      return void refuse(response, 400, 'The study in the address is no UID.');
    if (busy >= atOnce) {
      response.setHeader('Retry-After', '5');
      return void refuse(response, 503, 'Too many senders at once.');
    }
    busy += 1;
    try {
      const sender: Sender = { road: 'stow', name: senderName(response) };
      await receive(request, response, boundary, sender, typeof study === 'string' ? study : undefined);
    } finally {
      busy -= 1;
    }
  });
  router.all([stowPath, `${stowPath}/:study`], (_request, response) => {
    response.setHeader('Allow', 'POST');
    throw new WetreadError('request.method-not-allowed');
  });

  async function receive(
    request: Request,
    response: Response,
    boundary: string,
    sender: Sender,
    study: string | undefined,
  ): Promise<void> {
    const kept: Kept['object'][] = [];
    const failed: Failed[] = [];
    const sending = stillComing(inbox, { everyMs: 5000, logger });
    const about = study === undefined ? {} : { expectedStudy: studyUid(study) };
    let open: { discard(): Promise<void> } | undefined;
    try {
      await passMultipart(pieces(request, silenceMs, sending.heard), boundary, async (headers) => {
        if (kept.length + failed.length >= maxObjects)
          throw new WetreadError('request.too-large', `more than ${maxObjects} objects`);
        if (!isDicomPart(headers)) {
          failed.push({ reason: failureReason.cannotUnderstand });
          return { write: async () => {}, end: async () => {} };
        }
        const object = await inbox.receive(sender, about).catch((thrown: unknown) => {
          note(thrown, sender);
          failed.push({ reason: failureReasonOf(asWetreadError(thrown).code) });
        });
        if (object === undefined) return { write: async () => {}, end: async () => {} };
        open = object;
        return {
          write: object.write,
          async end() {
            try {
              const { object: one } = await object.keep();
              kept.push(one);
              sending.studies.add(one.studyUid);
              options.onObject?.('stow', 'ok');
            } catch (thrown) {
              note(thrown, sender);
              failed.push({ reason: failureReasonOf(asWetreadError(thrown).code), object: object.name() });
            }
          },
        };
      });
    } catch (thrown) {
      // What was kept before stays: the sender repeats the request, and known objects are welcome.
      await open?.discard();
      const error = asWetreadError(thrown);
      logger.info('a STOW-RS request broke off', { sender: sender.name, kept: kept.length, code: error.code });
      if (error.code.startsWith('archive.'))
        return void refuse(response, 400, `The multipart message is not complete: ${error.detail ?? ''}`);
      throw error;
    }
    logger.info('objects received', { source: 'stow', sender: sender.name, kept: kept.length, failed: failed.length });
    if (kept.length + failed.length === 0) return void refuse(response, 400, 'The message holds no object.');
    response
      .status(statusOf(kept, failed))
      .type(json)
      .send(JSON.stringify(storeInstancesResponse(kept, failed)));
  }

  function note(thrown: unknown, sender: Sender): void {
    const error = asWetreadError(thrown);
    options.onObject?.('stow', error.code);
    logger[error.row.status >= 500 ? 'error' : 'warn']('an object was refused', {
      source: 'stow',
      sender: sender.name,
      code: error.code,
      ...(error.row.status >= 500 ? { cause: error } : {}),
    });
  }

  return { router };
}

/** PS3.18 10.5.3: all, some, or none of the objects; 503 where trying again later helps. */
function statusOf(kept: readonly unknown[], failed: readonly Failed[]): number {
  if (failed.length === 0) return 200;
  if (kept.length > 0) return 202;
  return failed.every(({ reason }) => reason === failureReason.outOfResources) ? 503 : 409;
}

/** PS3.18 table I.2-1, as DICOM JSON. Retrieve URL stays empty: what is received here is not given out to other systems. */
function storeInstancesResponse(kept: readonly Kept['object'][], failed: readonly Failed[]): object {
  return {
    '00081190': { vr: 'UR' },
    ...(failed.length === 0
      ? {}
      : {
          '00081198': {
            vr: 'SQ',
            Value: failed.map(({ reason, object }) => ({
              ...(object && references(object)),
              '00081197': { vr: 'US', Value: [reason] },
            })),
          },
        }),
    ...(kept.length === 0
      ? {}
      : {
          '00081199': {
            vr: 'SQ',
            Value: kept.map((object) => ({ ...references(object), '00081190': { vr: 'UR' } })),
          },
        }),
  };
}

const references = ({ sopClassUid, sopUid }: ObjectName): object => ({
  '00081150': { vr: 'UI', Value: [sopClassUid] },
  '00081155': { vr: 'UI', Value: [sopUid] },
});

function boundaryOf(request: Request): string | undefined {
  const type = request.headers['content-type'] ?? '';
  if (!/^\s*multipart\/related\s*;/i.test(type)) return undefined;
  const parameter = (name: string) => {
    const [, quoted, plain] = new RegExp(`;\\s*${name}\\s*=\\s*(?:"([^"]*)"|([^;\\s]*))`, 'i').exec(type) ?? [];
    return quoted ?? plain;
  };
  // `type` may be left out by older senders; another type is another service.
  if ((parameter('type') ?? 'application/dicom').toLowerCase() !== 'application/dicom') return undefined;
  const boundary = parameter('boundary');
  // RFC 2046 5.1.1: 1 to 70 characters.
  return boundary === undefined || boundary.length === 0 || boundary.length > 70 ? undefined : boundary;
}

function isDicomPart(headers: ReadonlyMap<string, string>): boolean {
  const type = (headers.get('content-type') ?? 'application/dicom').split(';', 1)[0]!.trim().toLowerCase();
  return type === 'application/dicom';
}

/** The body as it comes, until it ends or its sender is silent for too long. */
async function* pieces(request: Request, silenceMs: number, heard: () => void): AsyncGenerator<Uint8Array> {
  request.socket.setTimeout(silenceMs, () => request.destroy(new Error('the sender is silent')));
  try {
    // Whoever stops reading still wants to answer: the connection must stay.
    for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      heard();
      yield piece;
    }
  } catch (cause) {
    throw new WetreadError('archive.incomplete', 'the connection was lost', { cause });
  } finally {
    request.socket.setTimeout(0);
  }
}

function refuse(response: Response, status: number, why: string): void {
  response.status(status).type('text/plain').send(`${why}\n`);
}
