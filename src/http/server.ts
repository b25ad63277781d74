/** Opens and closes an HTTP server without losing answers under way. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export type RunningServer = { readonly port: number; close(): Promise<void> };

export async function listen(
  handler: RequestListener,
  { host, port }: { host: string; port: number },
): Promise<RunningServer> {
  const server: Server = createServer(handler);
  // Slow senders may not hold connections for ever.
  server.requestTimeout = 60_000;
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
