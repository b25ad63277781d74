#!/usr/bin/env node
// Runs the command line under the Node that the project brings (docs/decisions/0001), whatever Node called it.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../src/cli/wetread.ts', import.meta.url));
const bundled = fileURLToPath(new URL('bin/node', import.meta.resolve('node/package.json')));
const child = spawn(bundled, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + (signal === 'SIGINT' ? 2 : 15);
});
