/** The command line as an operator runs it: a process of its own, its output and its exit code. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const main = join(root, 'src/cli/wetread.ts');
export const wetreadBin = join(root, 'bin/wetread.mjs');

export type Said = { readonly code: number | string; readonly out: string; readonly err: string };

export type Running = {
  readonly pid: number;
  /** Resolves when standard output matches; rejects when the process ends without. */
  says(pattern: RegExp): Promise<string>;
  /** The same for standard error, where the log goes. */
  logs(pattern: RegExp): Promise<string>;
  readonly ended: Promise<Said>;
};

const living = new Set<number>();

/**
 * `env` is all it gets besides the PATH: settings of the machine the test runs on must not reach it.
 * `command` is what runs it; by default the Node of the test.
 */
export function startWetread(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  command: readonly [string, ...string[]] = [process.execPath, main],
): Running {
  const [program, ...before] = command;
  const run = spawn(program, [...before, ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own, as a terminal gives it: a signal can be sent to all of it.
    detached: true,
  });
  const pid = run.pid ?? 0;
  living.add(pid);
  let [out, err] = ['', ''];
  const looks = new Set<() => void>();
  run.stdout.on('data', (chunk) => {
    out += String(chunk);
    for (const look of looks) look();
  });
  run.stderr.on('data', (chunk) => {
    err += String(chunk);
    for (const look of looks) look();
  });
  const ended = new Promise<Said>((resolve, reject) => {
    run.once('error', reject);
    run.once('close', (code, signal) => {
      living.delete(pid);
      resolve({ code: code ?? signal ?? 'gone', out, err });
    });
  });
  const matching = (text: () => string) => (pattern: RegExp) =>
    new Promise<string>((resolve, reject) => {
      const look = () => pattern.test(text()) && resolve(text());
      looks.add(look);
      look();
      void ended.then(({ code }) => reject(new Error(`ended with ${code} without ${pattern}:\n${out}\n${err}`)));
    });
  return { pid, ended, says: matching(() => out), logs: matching(() => err) };
}

export const wetread = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Said> =>
  startWetread(args, env).ended;

/** For `afterEach`: whatever a failed test left running. */
export function endWetread(): void {
  for (const pid of living) process.kill(-pid, 'SIGKILL');
}
