/** Starts and stops the service: settings in, signals out. The only import with a side effect. */
import { startApp, type Roles } from './app.ts';
import { readConfig } from './config.ts';
import { leaveRoomForPictures } from './heap.ts';
import { jsonLogger } from './log.ts';

/** Runs until SIGINT or SIGTERM. A second signal ends the process at once. */
export async function runService(
  environment: NodeJS.ProcessEnv,
  roles: Roles,
  onReady?: (url: string) => void,
): Promise<void> {
  leaveRoomForPictures();
  const config = readConfig(environment);
  const logger = jsonLogger(config.WETREAD_LOG_LEVEL);
  const stop = stopSignal();
  const app = await startApp(config, logger, roles);
  onReady?.(config.publicUrl);
  logger.info('ready', { url: config.publicUrl, ...roles });
  await stop;
  logger.info('stopping');
  await app.close();
  logger.info('stopped');
}

/** Ctrl+C reaches every process of the terminal's group, and npm and bin/wetread.mjs pass it on besides: that is one wish, not two. */
const sameWishMs = 2_000;

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    const first = () => {
      const since = performance.now();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) {
        process.off(signal, first);
        process.on(signal, () => performance.now() - since > sameWishMs && process.exit(1));
      }
      resolve();
    };
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, first);
  });
}
