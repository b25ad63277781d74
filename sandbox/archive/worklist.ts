/** The hospital's worklist of workitems: UPS-RS (PS3.18 chapter 11) with the states and events of the Unified Procedure Step (PS3.4 annex CC). */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { json as jsonBody, Router, type Request, type Response } from 'express';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Logger } from '../../src/domain/log.ts';
import { isUid } from '../../src/domain/ids.ts';
import { tagOf, type JsonDataset } from '../dicom/part10.ts';

export const globalSubscription = '1.2.840.10008.5.1.4.34.5';
export const filteredSubscription = '1.2.840.10008.5.1.4.34.5.1';
const upsPush = '1.2.840.10008.5.1.4.34.6.1';

const stateTag = '00741000';
const transactionTag = '00081195';
const progressTag = '00741002';
const performedTag = '00741216';

type State = 'SCHEDULED' | 'IN PROGRESS' | 'COMPLETED' | 'CANCELED';
type Workitem = { readonly uid: string; dataset: JsonDataset; state: State; transaction?: string };
/** Which workitems a subscriber hears of; `'all'` also of those that do not exist yet. */
type Subscription = { readonly workitem: string; readonly filters: readonly (readonly [string, string])[] };

/** Event Type ID (0000,1002), PS3.4 table CC.2.4-1. */
const events = { state: 1, cancelRequest: 2, progress: 3, assigned: 5 } as const;

export type Worklist = {
  readonly router: Router;
  /** The event channel: GET {root}/subscribers/{AE title} as a WebSocket. Returns false for any other address. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  close(): void;
};

export function worklistServer({ root, logger }: { root: string; logger: Logger }): Worklist {
  const workitems = new Map<string, Workitem>();
  const subscriptions = new Map<string, Map<string, Subscription>>();
  const channels = new Map<string, Set<WebSocket>>();
  const sockets = new WebSocketServer({ noServer: true });
  const channelPath = new RegExp(
    `^${new URL(root).pathname.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}/subscribers/([^/?]+)$`,
  );
  let messages = 0;

  function tell(item: Workitem, type: number, more: JsonDataset): void {
    const report = JSON.stringify({
      '00000002': { vr: 'UI', Value: [upsPush] },
      '00000100': { vr: 'US', Value: [0x0100] },
      '00000110': { vr: 'US', Value: [(messages += 1) % 65_536] },
      '00001000': { vr: 'UI', Value: [item.uid] },
      '00001002': { vr: 'US', Value: [type] },
      ...more,
    });
    for (const [subscriber, own] of subscriptions) {
      const hears = [...own.values()].some(
        ({ workitem, filters }) =>
          workitem === item.uid ||
          (workitem === 'all' && filters.every(([tag, value]) => matches(shown(item), tag, value))),
      );
      if (hears) for (const channel of channels.get(subscriber) ?? []) channel.send(report);
    }
  }
  const tellState = (item: Workitem) =>
    tell(item, events.state, {
      '00404041': item.dataset['00404041'] ?? { vr: 'CS', Value: ['READY'] },
      [stateTag]: { vr: 'CS', Value: [item.state] },
    });
  function become(item: Workitem, state: State): void {
    item.state = state;
    tellState(item);
  }

  const router = Router();
  router.use(jsonBody({ type: ['application/dicom+json', 'application/json'], limit: '5mb' }));
  const within = (request: Request) => workitems.get(String(request.params['workitem']));

  router.post('/workitems', (request, response) => {
    const dataset = datasetIn(request);
    const [rawUid] = Object.keys(request.query);
    const uid = String(
      request.query['AffectedSOPInstanceUID'] ??
        text(dataset, '00080018') ??
        rawUid ??
        `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`)}`,
    );
    const missing = ['00741204', '00741200', stateTag].find((tag) => text(dataset, tag) === undefined);
    if (dataset === undefined || !isUid(uid)) return refuse(response, 400, 'not a workitem');
    if (missing !== undefined) return refuse(response, 400, `${missing} is missing`);
    if (text(dataset, stateTag) !== 'SCHEDULED') return refuse(response, 400, 'a new workitem is SCHEDULED');
    if (text(dataset, transactionTag) !== undefined)
      return refuse(response, 400, 'a new workitem has no Transaction UID');
    if (workitems.has(uid)) return refuse(response, 409, 'the workitem exists');
    const item: Workitem = { uid, dataset, state: 'SCHEDULED' };
    workitems.set(uid, item);
    logger.info('workitem scheduled', { workitems: workitems.size });
    response.status(201).location(`${root}/workitems/${uid}`).end();
    tellState(item);
  });

  router.get('/workitems', (request, response) => {
    const query = new URL(request.url, root).searchParams;
    const filters = [...query].filter(([name]) => !['limit', 'offset', 'includefield', 'fuzzymatching'].includes(name));
    const offset = Number(query.get('offset') ?? 0);
    const found = [...workitems.values()]
      .map(shown)
      .filter((item) => filters.every(([tag, value]) => matches(item, tag, value)));
    const page = found.slice(offset, offset + Number(query.get('limit') ?? found.length));
    if (page.length === 0) return void response.status(204).end();
    json(response, page);
  });

  router.get('/workitems/:workitem', (request, response) => {
    const item = within(request);
    if (item === undefined) return refuse(response, 404, 'no such workitem');
    json(response, [shown(item)]);
  });

  router.post('/workitems/:workitem', (request, response) => {
    const item = within(request);
    const dataset = datasetIn(request);
    if (item === undefined) return refuse(response, 404, 'no such workitem');
    if (dataset === undefined || text(dataset, stateTag) !== undefined) return refuse(response, 400, 'not an update');
    // PS3.18 11.6.1 shows the UID as the whole query; some clients name it or put it into the payload.
    const [rawUid] = Object.keys(request.query);
    const transaction = text(dataset, transactionTag) ?? request.query['transaction-uid'] ?? rawUid;
    if (item.state === 'COMPLETED' || item.state === 'CANCELED')
      return refuse(response, 409, 'C300: the workitem may no longer be updated');
    if (item.state === 'IN PROGRESS' && transaction !== item.transaction)
      return refuse(response, 409, 'C301: the correct Transaction UID was not provided');
    const { [transactionTag]: _, ...changes } = dataset;
    item.dataset = { ...item.dataset, ...changes };
    response.status(200).end();
    if (progressTag in changes) tell(item, events.progress, { [progressTag]: changes[progressTag]! });
    if ('00404025' in changes) tell(item, events.assigned, { '00404025': changes['00404025']! });
  });

  router.put('/workitems/:workitem/state', (request, response) => {
    const item = within(request);
    const dataset = datasetIn(request);
    const [wanted, transaction] = [text(dataset, stateTag), text(dataset, transactionTag)];
    if (item === undefined) return refuse(response, 404, 'no such workitem');
    if (transaction === undefined || !isUid(transaction)) return refuse(response, 400, 'Transaction UID is missing');
    const refusal = refusedChange(item, wanted, transaction);
    if (refusal !== undefined) return refuse(response, refusal[0], refusal[1]);
    response.status(200).end();
    if (wanted === 'IN PROGRESS') item.transaction = transaction;
    become(item, wanted as State);
  });

  router.post('/workitems/:workitem/cancelrequest', (request, response) => {
    const item = within(request);
    if (item === undefined) return refuse(response, 404, 'no such workitem');
    if (item.state === 'COMPLETED') return refuse(response, 409, 'C311: the workitem is completed');
    response.status(202).end();
    if (item.state === 'SCHEDULED') {
      become(item, 'IN PROGRESS');
      become(item, 'CANCELED');
    } else if (item.state === 'IN PROGRESS') {
      const { '00741238': reason } = datasetIn(request) ?? {};
      tell(item, events.cancelRequest, reason === undefined ? {} : { '00741238': reason });
    }
  });

  router.post('/workitems/:workitem/subscribers/:subscriber', (request, response) => {
    const { workitem, subscriber } = request.params;
    const everything = workitem === globalSubscription || workitem === filteredSubscription;
    const item = within(request);
    if (!everything && item === undefined) return refuse(response, 404, 'no such workitem');
    const filters =
      workitem === filteredSubscription
        ? [...new URL(request.url, root).searchParams].filter(([name]) => name !== 'deletionlock')
        : [];
    const own = subscriptions.get(subscriber) ?? new Map<string, Subscription>();
    subscriptions.set(subscriber, own.set(workitem, { workitem: everything ? 'all' : workitem, filters }));
    response
      .status(201)
      .setHeader('Content-Location', `${root.replace(/^http/, 'ws')}/subscribers/${subscriber}`)
      .end();
    if (item !== undefined) tellState(item);
  });
  router.delete('/workitems/:workitem/subscribers/:subscriber', (request, response) => {
    subscriptions.get(request.params.subscriber)?.delete(request.params.workitem);
    response.status(200).end();
  });
  /** No new workitems any more; those that were subscribed to go on. */
  router.post('/workitems/:workitem/subscribers/:subscriber/suspend', (request, response) => {
    const { workitem, subscriber } = request.params;
    const own = subscriptions.get(subscriber);
    const subscription = own?.get(workitem);
    if (own === undefined || subscription?.workitem !== 'all') return refuse(response, 404, 'no such subscription');
    own.delete(workitem);
    for (const item of workitems.values())
      if (subscription.filters.every(([tag, value]) => matches(shown(item), tag, value)))
        own.set(item.uid, { workitem: item.uid, filters: [] });
    response.status(200).end();
  });

  return {
    router,
    upgrade(request, socket, head) {
      const [, subscriber] = channelPath.exec(new URL(request.url ?? '', root).pathname) ?? [];
      if (subscriber === undefined) return false;
      sockets.handleUpgrade(request, socket, head, (channel) => {
        const own = channels.get(subscriber) ?? new Set();
        channels.set(subscriber, own.add(channel));
        channel.on('close', () => own.delete(channel));
        channel.on('error', () => channel.terminate());
      });
      return true;
    },
    close() {
      for (const channel of sockets.clients) channel.terminate();
      sockets.close();
    },
  };
}

/** PS3.4 table CC.1.1-2; undefined when the change is allowed. */
function refusedChange(item: Workitem, wanted: string | undefined, transaction: string): [number, string] | undefined {
  if (wanted !== 'IN PROGRESS' && wanted !== 'COMPLETED' && wanted !== 'CANCELED')
    return wanted === 'SCHEDULED' ? [409, 'C303: only a new workitem is SCHEDULED'] : [400, 'no such state'];
  if (item.state === 'COMPLETED' || item.state === 'CANCELED')
    return wanted === item.state ? [200, `already ${wanted}`] : [409, 'C300: the workitem may no longer be updated'];
  if (wanted === 'IN PROGRESS') return item.state === 'IN PROGRESS' ? [409, 'C302: already in progress'] : undefined;
  if (item.state === 'SCHEDULED') return [409, 'C310: not yet in progress'];
  if (transaction !== item.transaction) return [409, 'C301: the correct Transaction UID was not provided'];
  return meetsFinalState(item.dataset, wanted) ? undefined : [409, 'C304: requirements of the final state are not met'];
}

/** PS3.4 table CC.2.5-3, column "Final State": what was done and when, or when it was given up. */
function meetsFinalState(dataset: JsonDataset, wanted: 'COMPLETED' | 'CANCELED'): boolean {
  const [performed] = items(dataset, performedTag);
  const [progress] = items(dataset, progressTag);
  if (wanted === 'CANCELED') return progress !== undefined && text(progress, '00404052') !== undefined;
  const codes = ['00404028', '00404019'].every((tag) => items(performed ?? {}, tag).length > 0);
  const times = ['00404050', '00404051'].every((tag) => text(performed, tag) !== undefined);
  return performed !== undefined && codes && times && '00404033' in performed;
}

/** As it is given away: with its state, and without the key that proves who holds it. */
function shown({ uid, dataset, state }: Workitem): JsonDataset {
  const { [transactionTag]: _, ...rest } = dataset;
  return {
    ...rest,
    '00080016': { vr: 'UI', Value: [upsPush] },
    '00080018': { vr: 'UI', Value: [uid] },
    [stateTag]: { vr: 'CS', Value: [state] },
  };
}

function datasetIn({ body }: Request): JsonDataset | undefined {
  const [dataset] = [body].flat() as unknown[];
  return typeof dataset === 'object' && dataset !== null ? (dataset as JsonDataset) : undefined;
}

const items = (dataset: JsonDataset, tag: string): JsonDataset[] => (dataset[tag]?.Value ?? []) as JsonDataset[];

function text(dataset: JsonDataset | undefined, tag: string): string | undefined {
  const value = dataset?.[tag]?.Value?.[0];
  return value === undefined || value === null || value === '' ? undefined : String(value);
}

/** Single values, and through sequences: `ScheduledStationNameCodeSequence.CodeValue` or `00404025.00080100`. */
function matches(dataset: JsonDataset, path: string, wanted: string): boolean {
  const [name = '', ...rest] = path.split('.');
  const tag = tagOf(name) ?? name;
  if (rest.length > 0) return items(dataset, tag).some((item) => matches(item, rest.join('.'), wanted));
  return (dataset[tag]?.Value ?? []).map(String).some((value) => wanted.split(',').includes(value));
}

function json(response: Response, body: unknown): void {
  response.type('application/dicom+json').send(JSON.stringify(body));
}

function refuse(response: Response, status: number, why: string): void {
  response.status(status).setHeader('Warning', `299 hospital: ${why}`).end();
}
