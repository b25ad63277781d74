/** Opens and closes an HTTP server without losing answers under way. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

const longestRequestMs = 60_000;
/** Long enough to read an answer that came before the end of the request. */
const afterAnswerMs = 2_000;
/** A study of gigabytes takes its time over a hospital's line. */
const longestSendingMs = 3600_000;

export type RunningServer = { readonly port: number; close(): Promise<void> };

export async function listen(
  handler: RequestListener,
  {
    host,
    port,
    largeBodies,
  }: { host: string; port: number; /** Addresses below may take long to be told everything. */ largeBodies?: string },
): Promise<RunningServer> {
  const server: Server = createServer((request, response) => {
    if (largeBodies === undefined || request.url?.startsWith(largeBodies) !== true) {
      const patience = setTimeout(() => request.complete || request.destroy(), longestRequestMs);
      request.once('close', () => clearTimeout(patience));
    }
    // Whoever was answered has no more to say: a refused sender of gigabytes, or of a byte a minute, does not hold on.
    response.once('finish', () => {
      if (!request.complete) setTimeout(() => request.complete || request.destroy(), afterAnswerMs).unref();
    });
    handler(request, response);
  });
  // Slow senders may not hold connections for ever; who sends studies is watched by whoever takes them.
  server.requestTimeout = largeBodies === undefined ? longestRequestMs : longestSendingMs;
  server.headersTimeout = 15_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        // Event streams and slow clients do not keep a stopping service alive.
        setTimeout(() => server.closeAllConnections(), 2_000).unref();
      }),
  };
}
