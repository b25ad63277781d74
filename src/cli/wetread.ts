#!/usr/bin/env node
/** The command line: finds the command, hands it the rest. */
import { runCommand, tellError, type Command } from './command.ts';

/** Loaded when called, so that `--help` answers at once. */
const commands: readonly (readonly [name: string, load: () => Promise<{ command: Command }>])[] = [
  ['demo', () => import('./demo.ts')],
  ['serve', () => import('./serve.ts')],
  ['worker', () => import('./worker.ts')],
  ['doctor', () => import('./doctor.ts')],
  ['studies', () => import('./studies.ts')],
  ['backfill', () => import('./backfill.ts')],
  ['models', () => import('./models.ts')],
  ['infer', () => import('./infer.ts')],
  ['evaluate', () => import('./evaluate.ts')],
  ['dicom', () => import('./dicom.ts')],
  ['send', () => import('./send.ts')],
];

const io = { stdout: process.stdout, stderr: process.stderr, env: process.env };

async function overview(): Promise<string> {
  const rows = await Promise.all(
    commands.map(async ([name, load]) => `  ${name.padEnd(10)}${(await load()).command.summary}`),
  );
  return `wetread: imaging AI inside the chart\n\nUsage: wetread <command> [options]\n\n${rows.join('\n')}\n\nEvery command takes --help and --json. Settings are environment variables: wetread doctor lists them.\n`;
}

async function main([name, ...rest]: string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    io.stdout.write(await overview());
    return name === undefined ? 2 : 0;
  }
  const load = commands.find(([known]) => known === name)?.[1];
  if (load === undefined) {
    const error = { code: 'cli.wrong-use', message: whyNone(name, rest), next: 'Try: wetread --help' } as const;
    tellError(error, { to: io, asJson: [name, ...rest].includes('--json'), called: 'wetread' });
    return 2;
  }
  return runCommand((await load()).command, rest, io);
}

function whyNone(name: string, rest: readonly string[]): string {
  const names = commands.map(([known]) => known);
  if (name.startsWith('-')) {
    const command = rest.find((word) => names.includes(word));
    return command === undefined
      ? `no command is named, only ${name}; there are ${names.join(', ')}`
      : `${name} stands before the command; options follow it: wetread ${command} ${name}`;
  }
  const near = names.filter((known) => known.startsWith(name.slice(0, 2)));
  return `there is no command "${name}"${near.length === 0 ? '' : `; is it ${near.join(' or ')}?`}`;
}

process.exitCode = await main(process.argv.slice(2));
