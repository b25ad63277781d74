/** A patient-scoped, read-only window on the archive: the only way pictures reach the app. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as NodeReadableStream } from 'node:stream/web';
import { Router } from 'express';
import { WetreadError } from '../domain/errors.ts';
import { isUid, studyUid, type StudyUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { AuditTrail, StrangerRefusals, StudyRegister } from '../domain/ports.ts';
import { firstTimes } from './first-time.ts';
import { requireSession, sessionOf, type SessionGate } from './session-gate.ts';

export type DicomwebProxyOptions = {
  /** Asks the archive with the service's own credentials. `path` starts with `studies/`; throws `archive.*`. */
  readonly forward: (
    path: string,
    request: { readonly accept: string; readonly signal: AbortSignal },
  ) => Promise<globalThis.Response>;
  readonly studies: Pick<StudyRegister, 'get'>;
  readonly sessions: SessionGate;
  readonly audit: AuditTrail;
  readonly strangers: StrangerRefusals;
  readonly logger: Logger;
};

/** What may be asked of the archive, and nothing else. */
type Target = {
  readonly study: StudyUid;
  /** Built anew from checked parts; the caller's own spelling never reaches the archive. */
  readonly path: string;
  readonly accept: string;
  readonly picture: boolean;
};

const json = 'application/dicom+json';
// Without transfer-syntax=* some archives cut off or re-compress what they store (seen with Orthanc).
const part10 = 'multipart/related; type="application/dicom"; transfer-syntax=*';
const frame = 'multipart/related; type="application/octet-stream"; transfer-syntax=*';

const uid = '([0-9.]{1,64})';
const allowed: readonly { readonly pattern: RegExp; readonly accept: string; readonly query: boolean }[] = [
  { pattern: new RegExp(`^/studies/${uid}/(?:series|instances)$`), accept: json, query: true },
  { pattern: new RegExp(`^/studies/${uid}/series/${uid}/instances$`), accept: json, query: true },
  { pattern: new RegExp(`^/studies/${uid}/series/${uid}/instances/${uid}$`), accept: part10, query: false },
  { pattern: new RegExp(`^/studies/${uid}/series/${uid}/instances/${uid}/metadata$`), accept: json, query: false },
  {
    pattern: new RegExp(`^/studies/${uid}/series/${uid}/instances/${uid}/frames/[1-9][0-9]{0,4}$`),
    accept: frame,
    query: false,
  },
];

/** QIDO-RS parameters that only narrow the answer. */
const queryParameters: Readonly<Record<string, (value: string) => boolean>> = {
  limit: (value) => /^[1-9][0-9]{0,3}$/.test(value),
  offset: (value) => /^[0-9]{1,6}$/.test(value),
  SeriesInstanceUID: isUid,
  SOPInstanceUID: isUid,
};

/** Undefined when the address is not one of the few that are answered. */
export function dicomwebTarget(url: string): Target | undefined {
  const [pathname = '', search = ''] = url.split(/\?(.*)/s);
  for (const { pattern, accept, query } of allowed) {
    const match = pattern.exec(pathname);
    if (match === null) continue;
    // `..` is made of dots too: every part must be a UID by PS3.5 9.1, not only look like one.
    if (!match.slice(1).every(isUid)) return undefined;
    const parameters = [...new URLSearchParams(search)];
    if (parameters.some(([name, value]) => !query || queryParameters[name]?.(value) !== true)) return undefined;
    const asked = parameters.length === 0 ? '' : `?${new URLSearchParams(parameters)}`;
    return { study: studyUid(match[1]!), path: `${match[0].slice(1)}${asked}`, accept, picture: accept !== json };
  }
  return undefined;
}

export function dicomwebProxy({ forward, studies, sessions, audit, strangers, logger }: DicomwebProxyOptions): Router {
  const router = Router();
  const firstLook = firstTimes();

  router.use((request, response, next) => {
    response.setHeader('Cache-Control', 'private, no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    if (request.method === 'GET') return next();
    response.setHeader('Allow', 'GET');
    throw new WetreadError('request.method-not-allowed');
  });
  router.use(requireSession(sessions, strangers));

  router.use(async (request, response) => {
    const session = sessionOf(response);
    const actor = session.reviewer.reference;
    const target = dicomwebTarget(request.url);
    const record = target && (await studies.get(target.study));
    if (target === undefined || record?.patientId !== session.patientId) {
      // One answer for "not yours", "does not exist" and "not an address": nobody learns by asking what exists.
      await audit.record({
        action: 'refused',
        actor,
        patientId: session.patientId,
        ...(target ? { subject: `study/${target.study}` } : {}),
        code: 'request.not-found',
      });
      throw new WetreadError('request.not-found');
    }

    const leaving = new AbortController();
    response.once('close', () => leaving.abort());
    const answer = await ask(() => forward(target.path, { accept: target.accept, signal: leaving.signal }));
    if (!answer.ok || answer.body === null) {
      await answer.body?.cancel();
      // 204 is how an archive says "nothing matches" (PS3.18 8.3.4.4).
      if (answer.status === 204) return void response.status(200).type(json).send('[]');
      throw refusal(answer.status);
    }
    if (target.picture && firstLook(`${session.key} ${target.study}`)) {
      await audit.record({
        action: 'image-viewed',
        actor,
        patientId: session.patientId,
        subject: `study/${target.study}`,
      });
    }

    response.status(200);
    response.setHeader('Content-Type', mediaType(answer, target));
    const length = answer.headers.get('content-length');
    // fetch has unpacked an encoded body already: its length is another.
    if (length !== null && !answer.headers.has('content-encoding')) response.setHeader('Content-Length', length);
    try {
      await pipeline(Readable.fromWeb(answer.body as NodeReadableStream), response);
    } catch (error) {
      // Headers are out: `pipeline` has broken the connection, so the page cannot take half a picture for a whole one.
      logger.info('picture not delivered whole', { studyUid: target.study, cause: error });
    }
  });

  return router;
}

async function ask(forward: () => Promise<globalThis.Response>): Promise<globalThis.Response> {
  try {
    return await forward();
  } catch (error) {
    throw error instanceof WetreadError ? error : new WetreadError('archive.unreachable', undefined, { cause: error });
  }
}

function refusal(status: number): WetreadError {
  if (status === 404) return new WetreadError('archive.not-found');
  return new WetreadError(status === 401 || status === 403 ? 'archive.refused' : 'archive.error');
}

/** Only what DICOMweb may answer: an archive's HTML page must not become a page of ours. */
function mediaType(answer: globalThis.Response, target: Target): string {
  const type = answer.headers.get('content-type') ?? '';
  if (target.picture) {
    if (/^multipart\/related\s*;/i.test(type) || /^application\/dicom\s*(;|$)/i.test(type)) return type;
  } else if (/^application\/(dicom\+)?json\s*(;|$)/i.test(type)) return json;
  throw new WetreadError('archive.bad-answer');
}
