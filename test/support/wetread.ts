/** The command line as an operator runs it: a process of its own, its output and its exit code. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
export const wetreadMain = join(root, 'src/cli/wetread.ts');
export const wetreadBin = join(root, 'bin/wetread.mjs');

export type Said = { readonly code: number | string; readonly out: string; readonly err: string };

/** `env` is all it gets besides the PATH: settings of the machine the test runs on must not reach it. */
export function wetread(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Said> {
  return new Promise((resolve, reject) => {
    const run = spawn(process.execPath, [wetreadMain, ...args], {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [out, err] = ['', ''];
    run.stdout.on('data', (chunk) => (out += String(chunk)));
    run.stderr.on('data', (chunk) => (err += String(chunk)));
    run.once('error', reject);
    run.once('close', (code, signal) => resolve({ code: code ?? signal ?? 'gone', out, err }));
  });
}
