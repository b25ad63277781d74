/** What every command of the command line looks like, and the few things all of them do alike. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { asWetreadError } from '../domain/errors.ts';

/** 0 done · 1 a fault was found · 2 called wrongly. */
export type ExitCode = 0 | 1 | 2;

export type Io = {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly env: NodeJS.ProcessEnv;
};

export type Command = {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `--help` prints after the first line. */
  readonly usage: string;
  run(args: string[], io: Io): Promise<number>;
};

/** Wrong use: told to the caller with the way to the help text, exit code 2. */
export class UsageError extends Error {}

export function readArgs<const Options extends NonNullable<ParseArgsConfig['options']>>(
  args: string[],
  options: Options,
  allowPositionals = false,
) {
  try {
    return parseArgs({ args, options, allowPositionals, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

export async function runCommand(command: Command, args: string[], io: Io): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    io.stdout.write(`wetread ${command.name}: ${command.summary}\n\n${command.usage.trim()}\n`);
    return 0;
  }
  try {
    return await command.run(args, io);
  } catch (thrown) {
    if (thrown instanceof UsageError) {
      io.stderr.write(`wetread ${command.name}: ${thrown.message}\nTry: wetread ${command.name} --help\n`);
      return 2;
    }
    const error = asWetreadError(thrown);
    if (args.includes('--json'))
      io.stdout.write(
        `${JSON.stringify({ error: { code: error.code, message: error.message, next: error.row.next } })}\n`,
      );
    else io.stderr.write(`wetread ${command.name}: ${error.message}\n${error.row.next} (${error.code})\n`);
    return 1;
  }
}
