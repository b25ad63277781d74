/** `npm start`: comes up with both addresses, and whatever ends it leaves no process behind. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { eventually } from '../journeys/world.ts';
import { freePort } from '../support/free-port.ts';

const root = join(import.meta.dirname, '../..');

/** Processes of this machine whose command line or environment names the folder. */
function processesOf(dataDir: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => ['cmdline', 'environ'].some((file) => readQuietly(`/proc/${pid}/${file}`).includes(dataDir)));
}
function readQuietly(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

describe.skipIf(process.platform !== 'linux')('npm start', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)(
    'prints both addresses, and ends with all its processes when npm gets %s',
    async (signal) => {
      const dataDir = mkdtempSync(join(tmpdir(), 'wetread-start-'));
      const [port, sandboxPort] = [await freePort(), await freePort()];
      const npm = spawn('npm', ['start', '--silent'], {
        cwd: root,
        env: {
          ...process.env,
          WETREAD_DATA_DIR: dataDir,
          WETREAD_PORT: String(port),
          WETREAD_SANDBOX_PORT: String(sandboxPort),
        },
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      let said = '';
      npm.stdout.on('data', (chunk) => (said += String(chunk)));
      try {
        await eventually(async () => said.includes('Ctrl+C stops everything'), { withinMs: 180_000 });
        expect(said).toContain(`http://127.0.0.1:${sandboxPort}/`);
        expect(said).toContain(`http://127.0.0.1:${port}/`);
        expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
        expect(processesOf(dataDir).length).toBeGreaterThan(3);
        npm.kill(signal);
        await eventually(async () => processesOf(dataDir).length === 0);
      } finally {
        for (const pid of processesOf(dataDir)) process.kill(Number(pid), 'SIGKILL');
        rmSync(dataDir, { recursive: true, force: true });
      }
    },
  );
});
