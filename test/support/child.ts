/** A Node process under test: its lines can be waited for, and it never outlives the test. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export type Child = {
  readonly pid: number;
  readonly lines: readonly string[];
  /** The first line that matches, past or to come. Rejects when the process ends without it. */
  line(pattern: RegExp): Promise<string>;
  /** Resolves to the exit code, or the signal's name. */
  readonly ended: Promise<number | string>;
  kill(signal: NodeJS.Signals): Promise<number | string>;
};

const living = new Set<ReturnType<typeof spawn>>();

export function child(script: string, args: readonly string[]): Child {
  const process_ = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  living.add(process_);
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const ended = new Promise<number | string>((resolve) => {
    process_.once('close', (code, signal) => {
      living.delete(process_);
      resolve(code ?? signal ?? 'gone');
      for (const look of waiting) look();
    });
  });
  for (const stream of [process_.stdout, process_.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      for (const look of waiting) look();
    });
  }
  return {
    pid: process_.pid ?? 0,
    lines,
    ended,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.find((line) => pattern.test(line));
          const over = process_.exitCode !== null || process_.signalCode !== null;
          if (found === undefined && !over) return;
          waiting.delete(look);
          if (found === undefined) reject(new Error(`ended without ${pattern}; it said:\n${lines.join('\n')}`));
          else resolve(found);
        };
        waiting.add(look);
        look();
      }),
    kill: (signal) => {
      process_.kill(signal);
      return ended;
    },
  };
}

/** For `afterEach`: whatever a failed test left running. */
export async function endChildren(): Promise<void> {
  await Promise.all(
    [...living].map((one) => {
      const gone = new Promise((resolve) => one.once('close', resolve));
      one.kill('SIGTERM');
      const patience = setTimeout(() => one.kill('SIGKILL'), 8_000);
      return gone.then(() => clearTimeout(patience));
    }),
  );
}
