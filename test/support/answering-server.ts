/** A server on loopback that answers as a test says, over TLS as well; it hears whole bodies first unless told otherwise. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';

export type Heard = {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
};
export type Answering = (heard: Heard, response: ServerResponse, request: IncomingMessage) => unknown;

const running = new Set<() => Promise<void>>();

export async function answering(answer: Answering, options: { tls?: ServerOptions; early?: boolean } = {}) {
  const heard: Heard[] = [];
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    if (options.early !== true) for await (const chunk of request) chunks.push(chunk as Buffer);
    const one = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: Buffer.concat(chunks),
    };
    heard.push(one);
    await answer(one, response, request);
  };
  const listener = (request: IncomingMessage, response: ServerResponse) => void handle(request, response);
  const server = options.tls === undefined ? createServer(listener) : createSecureServer(options.tls, listener);
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const stop = async () => {
    running.delete(stop);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  running.add(stop);
  return { url: `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`, heard, stop };
}

/** For `afterEach`. */
export async function stopAnswering(): Promise<void> {
  for (const stop of running) await stop();
}

export function dicomJson(response: ServerResponse, rows: unknown, headers: Record<string, string> = {}, status = 200) {
  response.writeHead(status, { 'content-type': 'application/dicom+json', ...headers }).end(JSON.stringify(rows));
}
