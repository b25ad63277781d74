/** The client of a UPS-RS worklist (PS3.18 chapter 11): workitems over HTTP, their events over a WebSocket. */
import { WebSocket } from 'ws';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { Workitem, Worklist } from '../domain/workitem.ts';
import { demandJson, demandOk, leave, textOfBody } from './archive-answer.ts';
import { archiveGet, type Answer, type ArchiveAuthorization } from './archive-http.ts';
import { archiveTransport, type Outgoing } from './archive-transport.ts';
import { circuit } from './circuit.ts';
import { parseRow, parseRows, textOf } from './dicom-json.ts';
import { limiter } from './limiter.ts';
import { qidoSearch } from './qido.ts';
import type { TlsMaterial } from './tls-material.ts';
import {
  discontinuedUpdate,
  eventOf,
  performedUpdate,
  progressUpdate,
  stateChange,
  workitemOf,
} from './ups-workitem.ts';

export type UpsClientOptions = {
  readonly baseUrl: string;
  readonly authorization?: ArchiveAuthorization | undefined;
  readonly tls?: TlsMaterial | undefined;
  readonly timeoutMs: number;
  /** How often a silent event channel is asked whether it is alive. */
  readonly pingMs?: number;
  readonly logger: Logger;
};

const globalSubscription = '1.2.840.10008.5.1.4.34.5';
const filteredSubscription = '1.2.840.10008.5.1.4.34.5.1';
const maxJsonBytes = 16 * 1024 * 1024;
const maxEventBytes = 1024 * 1024;

export function upsClient(options: UpsClientOptions): Worklist {
  const { timeoutMs, pingMs = 30_000, tls = {}, authorization, logger } = options;
  const baseUrl = options.baseUrl.replace(/\/+$/, '');
  const get = archiveGet({
    baseUrl,
    transport: archiveTransport({ timeoutMs, tls }),
    circuit: circuit(),
    authorization,
    logger,
  });
  const places = limiter(4);
  const search = qidoSearch({ get, limiter: places, logger });

  async function send(
    method: Exclude<Outgoing['method'], 'GET'>,
    path: string,
    dataset: object | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const text = dataset === undefined ? '' : JSON.stringify([dataset]);
    const answer = await get(path, {
      accept: 'application/dicom+json',
      signal,
      limiter: places,
      send: {
        method,
        length: Buffer.byteLength(text),
        ...(dataset !== undefined && { contentType: 'application/dicom+json' }),
        async *body() {
          if (text !== '') yield Buffer.from(text);
        },
      },
    });
    await leave(answer);
    return answer;
  }

  /** True when it was done, false when the workitem's state does not allow it (409) or it is gone. */
  async function asked(answer: Answer): Promise<boolean> {
    if (answer.status === 409 || answer.status === 404 || answer.status === 410) return false;
    if (![200, 201, 202, 204].includes(answer.status)) await demandOk(answer);
    return true;
  }

  /** PS3.18 11.6.1 puts the transaction UID into the query, as it is; PS3.4 has it in the dataset. */
  const update = async (workitem: string, transaction: string, dataset: object, signal: AbortSignal | undefined) =>
    asked(await send('POST', `workitems/${workitem}?${transaction}`, dataset, signal));
  const change = async (workitem: string, dataset: object, signal: AbortSignal | undefined) =>
    asked(await send('PUT', `workitems/${workitem}/state`, dataset, signal));

  async function retrieve(workitem: string, signal: AbortSignal | undefined): Promise<Workitem | undefined> {
    const answer = await get(`workitems/${workitem}`, { accept: 'application/dicom+json', signal, limiter: places });
    if (answer.status === 404 || answer.status === 410) {
      await leave(answer);
      return undefined;
    }
    await demandOk(answer);
    await demandJson(answer);
    const text = await textOfBody(answer, maxJsonBytes);
    const [row] = text.trimStart().startsWith('[') ? parseRows(text) : [parseRow(JSON.parse(text))];
    return row === undefined ? undefined : workitemOf(row);
  }

  async function end(
    workitem: string,
    transaction: string,
    last: { readonly dataset: object; readonly state: 'COMPLETED' | 'CANCELED' },
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const mine =
      (await update(workitem, transaction, last.dataset, signal)) &&
      (await change(workitem, stateChange(last.state, transaction), signal));
    // The answer to an earlier try may have been lost.
    return mine || (await retrieve(workitem, signal))?.state === last.state;
  }

  return {
    async scheduled(filter, signal) {
      const rows = await search({
        path: 'workitems',
        where: { '00741000': 'SCHEDULED', ...filter },
        includefield: ['all'],
        uidOf: (row) => textOf(row, 'SOPInstanceUID'),
        fits: (row) => textOf(row, 'ProcedureStepState') === 'SCHEDULED',
        signal,
      });
      return rows.flatMap((row) => workitemOf(row) ?? []);
    },

    get: retrieve,

    async claim(workitem, transaction, signal) {
      if (await change(workitem, stateChange('IN PROGRESS', transaction), signal)) return true;
      // In progress, but whose? Only the holder's key opens it.
      return update(workitem, transaction, progressUpdate(transaction, { percent: 0, says: 'claimed' }), signal);
    },

    progress: (workitem, transaction, progress, signal) =>
      update(workitem, transaction, progressUpdate(transaction, progress), signal),

    complete: (workitem, transaction, performed, signal) =>
      end(workitem, transaction, { dataset: performedUpdate(transaction, performed), state: 'COMPLETED' }, signal),

    cancel: (workitem, transaction, why, signal) =>
      end(workitem, transaction, { dataset: discontinuedUpdate(transaction, why), state: 'CANCELED' }, signal),

    async watch({ subscriber, filter }, on, signal) {
      const where = new URLSearchParams({ ...filter });
      const path = (worklist: string) => `workitems/${worklist}/subscribers/${encodeURIComponent(subscriber)}`;
      let answer = await send('POST', `${path(filteredSubscription)}?${where}`, undefined, signal);
      // Not every worklist can filter; then everybody's events are heard, and most of them mean nothing.
      if (answer.status >= 400 && answer.status !== 401 && answer.status !== 403)
        answer = await send('POST', path(globalSubscription), undefined, signal);
      if (!(await asked(answer))) throw new WetreadError('archive.bad-answer', 'the worklist takes no subscriptions');
      const header = await authorization?.header();
      const url = channelUrl(baseUrl, answer.headers.get('content-location'), subscriber);
      await listen(url, header, on, signal);
    },
  };

  async function listen(
    url: string,
    header: string | undefined,
    on: Parameters<Worklist['watch']>[1],
    signal: AbortSignal,
  ): Promise<void> {
    const socket = new WebSocket(url, {
      ...tls,
      ...(header === undefined ? {} : { headers: { authorization: header } }),
      handshakeTimeout: timeoutMs,
      maxPayload: maxEventBytes,
      followRedirects: false,
    });
    // A connection that was cut without a word is found out by its silence.
    let alive = true;
    const pinging = setInterval(() => {
      if (!alive) return socket.terminate();
      alive = false;
      socket.ping();
    }, pingMs);
    pinging.unref();
    const stop = () => socket.terminate();
    signal.addEventListener('abort', stop, { once: true });
    let fault: unknown;
    socket.on('pong', () => (alive = true));
    socket.on('open', on.open);
    socket.on('error', (error) => (fault = error));
    socket.on('message', (data, binary) => {
      alive = true;
      if (binary) return;
      const event = understood(String(data));
      if (event !== undefined) on.event(event);
    });
    if (signal.aborted) stop();
    await new Promise((resolve) => socket.once('close', resolve));
    clearInterval(pinging);
    signal.removeEventListener('abort', stop);
    signal.throwIfAborted();
    const { code, message } = (fault ?? {}) as { code?: string; message?: string };
    throw new WetreadError('archive.unreachable', `the event channel is lost (${code ?? message ?? 'closed'})`, {
      cause: fault,
    });
  }
}

/** What one message says; a message that cannot be read says nothing, and the next search finds what it was about. */
function understood(text: string) {
  try {
    const [row] = [JSON.parse(text)].flat() as unknown[];
    return eventOf(parseRow(row));
  } catch {
    return undefined;
  }
}

/** Where the worklist says its channel is, as long as that is the same host: credentials go nowhere else. */
function channelUrl(baseUrl: string, told: string | null, subscriber: string): string {
  const usual = `${baseUrl.replace(/^http/, 'ws')}/subscribers/${encodeURIComponent(subscriber)}`;
  if (told === null || !URL.canParse(told, usual)) return usual;
  const url = new URL(told, usual);
  url.protocol = url.protocol.replace('http', 'ws');
  const own = new URL(usual);
  return url.hostname === own.hostname && url.protocol === own.protocol ? url.href : usual;
}
