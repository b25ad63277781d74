/** `node sandbox/main.ts`: the demo hospital as a process of its own; stops cleanly on SIGINT and SIGTERM. */
import type { Logger } from '../src/domain/log.ts';
import { startHospital } from './hospital.ts';

// The page's TypeScript is stripped by a function that Node still calls experimental; other warnings stay visible.
process.removeAllListeners('warning');
process.on('warning', (warning) => {
  if (!warning.message.includes('stripTypeScriptTypes')) process.stderr.write(`${warning.name}: ${warning.message}\n`);
});

const { env } = process;
const levels = ['debug', 'info', 'warn', 'error'];
const least = levels.indexOf(env['WETREAD_LOG_LEVEL'] || 'info');

/** JSON lines on standard error, marked as the hospital's. */
function logger(fields: Readonly<Record<string, unknown>> = {}): Logger {
  const write = (level: string) => (message: string, more?: Readonly<Record<string, unknown>>) => {
    if (levels.indexOf(level) < least) return;
    process.stderr.write(
      `${JSON.stringify({ time: new Date().toISOString(), level, from: 'hospital', message, ...fields, ...more })}\n`,
    );
  };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    with: (more) => logger({ ...fields, ...more }),
  };
}

/** `host:port` */
function hl7Address(text: string): { host: string; port: number } {
  const at = text.lastIndexOf(':');
  return { host: text.slice(0, at) || '127.0.0.1', port: Number(text.slice(at + 1)) };
}

const hospital = await startHospital({
  host: env['WETREAD_HOST'] || '127.0.0.1',
  port: Number(env['WETREAD_SANDBOX_PORT'] || 8090),
  wetreadUrl: env['WETREAD_PUBLIC_URL'] || 'http://127.0.0.1:8080',
  faults: env['WETREAD_SANDBOX_FAULTS'] === '1',
  ...(env['WETREAD_SANDBOX_URL'] ? { publicUrl: env['WETREAD_SANDBOX_URL'] } : {}),
  ...(env['WETREAD_SANDBOX_DATA_DIR'] ? { dataDir: env['WETREAD_SANDBOX_DATA_DIR'] } : {}),
  ...(env['WETREAD_SANDBOX_HL7'] ? { hl7: hl7Address(env['WETREAD_SANDBOX_HL7']) } : {}),
  logger: logger(),
});

let stopping = false;
async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  await hospital.close();
  process.exit(0);
}
process.on('SIGINT', () => void stop());
process.on('SIGTERM', () => void stop());
// Started by `wetread demo`: the parent is told when it is ready, and is not survived.
process.on('disconnect', () => void stop());

// The service is ready and has subscribed: what it is told of now, it reads.
process.on('message', (message) => {
  if (message === 'films on record')
    hospital.bringFilmsOnRecord().catch((error: unknown) => logger().error('films', { error: String(error) }));
});

if (process.send === undefined) process.stdout.write(`Demo hospital: ${hospital.url}/\n`);
else process.send({ ready: true, url: hospital.url });
