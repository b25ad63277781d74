/** A real NVIDIA Triton on loopback, serving a model repository; where it is not installed its tests say so, and fail in CI. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from './free-port.ts';

const script = join(import.meta.dirname, '../../scripts/triton/start.sh');
const cache =
  process.env['TRITON_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'wetread-triton');

export const tritonInstalled = existsSync(join(cache, 'installed'));
export const howToInstallTriton = 'scripts/triton/start.sh --install';

/** `describe.skipIf(withoutTriton())`: skips aloud here; in CI, where it is installed, its absence is a failure. */
export function withoutTriton(): boolean {
  if (tritonInstalled || process.env['CI']) return false;
  process.stderr.write(`\nSKIPPED: tests against a real Triton; install it with ${howToInstallTriton}\n`);
  return true;
}

export type RunningTriton = {
  readonly http: string;
  readonly grpc: string;
  readonly pid: number;
  /** What it printed last. */
  said(): string;
  stop(): Promise<void>;
};

export async function startTriton(repository: string, ports?: { http: number; grpc: number }): Promise<RunningTriton> {
  if (!tritonInstalled) throw new Error(`Triton is not installed: ${howToInstallTriton}`);
  const { http, grpc } = ports ?? { http: await freePort(), grpc: await freePort() };
  // At the rank of model processes: on a busy machine a bench would otherwise compare ranks.
  const child = spawn('nice', ['-n', '10', script, repository, String(http), String(grpc)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TRITON_CACHE: cache },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-6000)));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await Promise.race([ended, pause(10_000).then(() => child.kill('SIGKILL'))]);
    await ended;
  };
  for (let attempt = 0; attempt < 1200 && child.exitCode === null; attempt += 1) {
    const ready = await fetch(`http://127.0.0.1:${http}/v2/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready)
      return {
        http: `http://127.0.0.1:${http}`,
        grpc: `grpc://127.0.0.1:${grpc}`,
        pid: child.pid!,
        said: () => said,
        stop,
      };
    await pause(100);
  }
  await stop();
  throw new Error(`Triton did not start: ${said}`);
}
