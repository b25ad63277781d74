/** The demo hospital's worklist alone, on loopback, and a client of its own to look at it with; able to lose its events and its answers. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import express from 'express';
import { worklistServer } from '../../sandbox/archive/worklist.ts';
import type { JsonDataset } from '../../sandbox/dicom/part10.ts';
import { silentLogger } from '../../src/domain/log.ts';

export type Scheduled = {
  readonly uid: string;
  readonly studies: readonly string[];
  readonly station?: string;
  readonly code?: string;
  readonly priority?: string;
  readonly readiness?: string;
  readonly accession?: string;
};

export async function startWorklist() {
  const trouble: {
    /** True: the event channel is refused, and open ones are cut. */
    deaf: boolean;
    /** Called after a request was done; true loses its answer. */
    losesAnswer: (request: IncomingMessage) => boolean;
  } = { deaf: false, losesAnswer: () => false };
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const root = `http://127.0.0.1:${(server.address() as AddressInfo).port}/dicom-web`;
  const worklist = worklistServer({ root, logger: silentLogger });
  const app = express().use('/dicom-web', worklist.router);
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    requests.push(`${request.method} ${request.url}`);
    if (trouble.losesAnswer(request)) {
      const { socket } = request;
      // Done, but nobody hears of it.
      response.end = (() => socket.destroy()) as unknown as typeof response.end;
    }
    app(request, response);
  });
  server.on('upgrade', (request, socket: Socket, head) => {
    requests.push(`WS ${request.url}`);
    if (trouble.deaf || !worklist.upgrade(request, socket, head)) socket.destroy();
    sockets.add(socket);
  });

  const dicom = { 'content-type': 'application/dicom+json' };
  const item = async (uid: string) => {
    const response = await fetch(`${root}/workitems/${uid}`);
    const [found] = (await response.json()) as [JsonDataset];
    return found;
  };
  return {
    root,
    trouble,
    requests,
    item,
    text: async (uid: string, tag: string) => (await item(uid))[tag]?.Value?.[0],
    async schedule({
      uid,
      studies,
      station = 'WETREAD',
      code,
      priority = 'MEDIUM',
      readiness = 'READY',
      accession,
    }: Scheduled) {
      const codeItem = (value: string) => ({
        vr: 'SQ',
        Value: [{ '00080100': { vr: 'SH', Value: [value] }, '00080102': { vr: 'SH', Value: ['99HOSP'] } }],
      });
      const dataset = {
        '00404021': { vr: 'SQ', Value: studies.map((study) => ({ '0020000D': { vr: 'UI', Value: [study] } })) },
        '00404025': codeItem(station),
        ...(code === undefined ? {} : { '00404018': codeItem(code) }),
        '00404041': { vr: 'CS', Value: [readiness] },
        ...(accession === undefined
          ? {}
          : { '0040A370': { vr: 'SQ', Value: [{ '00080050': { vr: 'SH', Value: [accession] } }] } }),
        '00741000': { vr: 'CS', Value: ['SCHEDULED'] },
        '00741200': { vr: 'CS', Value: [priority] },
        '00741204': { vr: 'LO', Value: ['Read the spine'] },
      };
      const made = await fetch(`${root}/workitems?${uid}`, {
        method: 'POST',
        headers: dicom,
        body: JSON.stringify([dataset]),
      });
      if (made.status !== 201) throw new Error(`${made.status} ${made.headers.get('warning')}`);
    },
    changeState: (uid: string, state: string, transaction: string) =>
      fetch(`${root}/workitems/${uid}/state`, {
        method: 'PUT',
        headers: dicom,
        body: JSON.stringify([
          { '00081195': { vr: 'UI', Value: [transaction] }, '00741000': { vr: 'CS', Value: [state] } },
        ]),
      }),
    requestCancel: (uid: string, reason: string) =>
      fetch(`${root}/workitems/${uid}/cancelrequest`, {
        method: 'POST',
        headers: dicom,
        body: JSON.stringify([{ '00741238': { vr: 'LT', Value: [reason] } }]),
      }),
    cutEvents() {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    },
    async stop() {
      worklist.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
export type TestWorklist = Awaited<ReturnType<typeof startWorklist>>;
